"""The JupyterLab that start.py opens: the tour with its kernel running, nothing in the way, and still protected."""

from __future__ import annotations

import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from launcher import browsers, lab, ports
from launcher.project import Project

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
OWN = ("http://localhost:", "http://127.0.0.1:", "data:", "blob:")
# Without these a browser reaches for its maker's servers, which a closed network answers with a wait.
QUIET_CHROME = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Lab]:
    """The running lab, of this environment."""
    with pytest.MonkeyPatch.context() as patch:
        # The settings of whoever runs this must not decide how it ends.
        patch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        patch.delenv("JUPYTER_TOKEN", raising=False)
        with lab.started(Project(ROOT, Path(sys.prefix)), ports.choose(None), browser=False) as running:
            yield running


@pytest.fixture
def page() -> Iterator[Page]:
    """A new browser's page."""
    chrome = os.environ.get(browsers.VARIABLE) or next(
        (path for path in browsers.candidates(sys.platform, os.environ) if browsers.works(path)), None
    )
    if chrome is None:
        message = f"no Chrome or Chromium: `python start.py test` gets one, or set {browsers.VARIABLE} to its path"
        if os.environ.get("EXPLORER_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chrome, args=QUIET_CHROME)
        yield browser.new_page(viewport={"width": 1280, "height": 800})
        browser.close()


def base(running: lab.Lab) -> str:
    return running.address.split("lab/tree/")[0]


def test_the_tour_opens_with_its_kernel_and_nothing_in_the_way(served: lab.Lab, page: Page) -> None:
    foreign: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(OWN) else foreign.append(request.url))
    page.goto(served.address)
    expect(page.locator(".jp-NotebookPanel:visible")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("tab", name="00_tour.ipynb")).to_be_visible()
    # The kernel answered; a dialog that asks for one would have come before, and news once the lab was restored.
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    page.wait_for_load_state("networkidle")
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    expect(page.locator(".Toastify__toast")).to_have_count(0)
    assert foreign == []
    programs = [child.cmdline() for child in psutil.Process(served.process.pid).children(recursive=True)]
    kernels = [words for words in programs if "ipykernel_launcher" in words]
    assert [Path(words[0]) for words in kernels] == [Path(sys.executable)]


def test_a_port_that_is_taken_after_it_was_found_free_is_given_up_for_the_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    look = ports.choose
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        monkeypatch.setattr(ports, "choose", lambda asked, first=None: taken if first is None else look(asked))
        with lab.running(Project(ROOT, Path(sys.prefix)), None, browser=False) as running:
            assert f":{taken}/" not in running.address
            assert urllib.request.urlopen(running.address, timeout=30).status == 200
        with (
            pytest.raises(lab.Taken, match=f"Port {taken} was taken"),
            lab.running(Project(ROOT, Path(sys.prefix)), taken, browser=False),
        ):
            pass
    assert f"Port {taken} was taken by another program just now." in capsys.readouterr().out


def test_without_the_token_nothing_is_served(served: lab.Lab) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(base(served) + "api/contents", timeout=30)
    assert refused.value.code == 403


def test_a_foreign_page_cannot_act_for_a_logged_in_reader(served: lab.Lab, page: Page) -> None:
    """With the cookie that the lab gave, and without the XSRF word that only its own pages know."""
    page.goto(served.address)
    expect(page.locator(".jp-LabShell")).to_be_visible(timeout=60_000)
    assert page.request.get(base(served) + "api/contents").ok
    answer = page.request.post(base(served) + "api/kernels", data={})
    assert answer.status == 403
    assert "_xsrf" in answer.text()
