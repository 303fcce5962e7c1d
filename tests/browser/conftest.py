"""Real JupyterLab in a real Chromium, cut off from every other machine.

One lab, one browser and one tour whose cells have run are shared by all tests of this folder. A test sets from Python
what it starts from, so that it passes alone and in any order. They end with this folder, not with the whole run:
while Playwright's loop lives, nothing else in the process could start one.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from launcher import browsers, lab
from launcher.project import Project

from .notebook import LONG_MS, Notebook
from .panels import AttentionPage, AttributionPage, SamplingPage
from .watching import Watched

REQUIRED = "EXPLORER_REQUIRE_BROWSER"
_ROOT = Path(__file__).resolve().parents[2]
# Without these a browser reaches for its maker's servers, which a closed network answers with a wait.
_QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
_SIZE = {"width": 1280, "height": 1000}

# Two images, of which one is red where it is right, and blue where it is left.
_PICTURE = """
import numpy, torch, transformers
torch.manual_seed(0)
config = transformers.ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
                                image_size=64, patch_size=16, initializer_range=0.3)
scaling = transformers.ViTImageProcessorPil(size={"height": 64, "width": 64})
y, x = numpy.mgrid[0:64, 0:64]
image = numpy.stack([x * 4, y * 4, 255 - x * 4], -1).astype(numpy.uint8)
seen = explorer.attach(transformers.ViTModel(config).eval(), scaling).trace(images=[image, 255 - image])
picture = AttentionPanel(seen, mode="pictures", selection=Selection(layer=1, heads=(2,)))
picture
"""

# Conditions are waited for as long as a busy machine needs; where all is well nobody waits.
expect.set_options(timeout=60_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def chrome() -> str:
    """The browser that `python start.py test` chose, or the machine's."""
    usual = (path for path in browsers.candidates(sys.platform, os.environ) if browsers.works(path))
    path = os.environ.get(browsers.VARIABLE) or next(usual, None)
    if path is None:
        message = f"no Chrome or Chromium: `python start.py test` gets one, or set {browsers.VARIABLE} to its path"
        if os.environ.get(REQUIRED):
            pytest.fail(message)
        pytest.skip(f"since 2026-11-21, {message}")
    return path


@pytest.fixture(scope="package")
def browser(chrome: str) -> Iterator[Browser]:
    """The browser, without a window."""
    sandbox = ["--no-sandbox"] if lab.is_root() else []  # Chromium does not start as root with it
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chrome, args=[*_QUIET, *sandbox])
        yield started
        started.close()


@pytest.fixture(scope="package")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Lab]:
    """JupyterLab as start.py opens it, on a copy of the notebooks, since it saves what it shows."""
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(_ROOT / "notebooks", root / "notebooks")
    settings = tmp_path_factory.mktemp("config")
    # The one thing that differs from what a user gets: scripts of the page may call JupyterLab's commands.
    exposed = {"LabApp": {"expose_app_in_browser": True}}
    (settings / "jupyter_lab_config.json").write_text(json.dumps(exposed), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_CONFIG_DIR", str(settings))  # nor must the settings of whoever runs this count
        patch.delenv("JUPYTER_TOKEN", raising=False)
        with lab.started(Project(root, Path(sys.prefix)), free_port(), browser=False) as running:
            yield running


def free_port() -> int:
    """A port that the system gives, since the usual ones are what a lab that somebody works in would take next."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="package")
def open_page(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens pages, each with storage of its own, in English or the language of `locale`."""
    contexts: list[BrowserContext] = []

    def open_new(locale: str = "en-US") -> Watched:
        contexts.append(browser.new_context(viewport=_SIZE, reduced_motion="reduce", locale=locale))
        return Watched(contexts[-1])

    yield open_new
    for context in contexts:
        context.close()


@pytest.fixture(scope="package")
def opened(jupyter: lab.Lab, open_page: Callable[[], Watched]) -> Notebook:
    """The tour as it opens."""
    notebook = Notebook(open_page())
    notebook.open(jupyter.address)
    return notebook


@pytest.fixture(scope="package")
def ran(opened: Notebook) -> Notebook:
    """The tour with all its cells run and its panels live."""
    opened.run_all()
    expect(opened.panels.locator(".explorer-dot.is-live")).to_have_count(4, timeout=LONG_MS)
    return opened


@pytest.fixture(scope="package")
def four(jupyter: lab.Lab, open_page: Callable[[], Watched]) -> Notebook:
    """A notebook with each panel and a workbench, all live, and attention over an image by a small model.

    The sample's tokenizer adds nothing by itself; that of the token panel begins every text as the Llamas' do.
    """
    notebook = Notebook(open_page())
    notebook.create(
        jupyter.address,
        "four",
        "import explorer\nfrom widgets import *\nmodel = explorer.load()",
        "attention = AttentionPanel(model, 'The capital of France is')\nattention",
        "attribution = AttributionPanel(model, 'The capital of France is')\nattribution",
        "sampling = SamplingPanel(model, 'The capital of France is')\nsampling",
        "bench = Workbench(model, 'The capital of France is')\nbench",
        _PICTURE,
        "import copy\nfrom tokenizers import processors\n"
        "begun = explorer.attach(model.hf, copy.deepcopy(model.tokenizer))\n"
        "begun.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(\n"
        "    single='<|im_start|> $A', special_tokens=[('<|im_start|>', 1)])\n"
        "token = TokenPanel(begun, 'The capital of France is', other=model)\ntoken",
    )
    # Of a panel that a view stands in, both say so.
    expect(notebook.panels.locator(".explorer-dot.is-live")).to_have_count(10, timeout=LONG_MS)
    return notebook


@pytest.fixture
def tour(ran: Notebook) -> Iterator[Notebook]:
    """The same, and a test that leaves an error on the page or a request to another machine fails."""
    yield ran
    ran.watched.assert_clean()


@pytest.fixture
def attention(tour: Notebook) -> AttentionPage:
    """The tour's attention panel."""
    return AttentionPage(tour)


@pytest.fixture
def attribution(tour: Notebook) -> AttributionPage:
    """The tour's attribution panel."""
    return AttributionPage(tour)


@pytest.fixture
def sampling(tour: Notebook) -> SamplingPage:
    """The tour's sampling panel."""
    return SamplingPage(tour)
