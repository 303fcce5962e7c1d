"""The set-up behind start.py: steps that are not repeated, the build of PyTorch, what pip and npm are asked for."""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher import browsers, children, lab, pip, torch_build
from launcher.console import Stop
from launcher.preparing import Step, carry_out
from launcher.project import Project
from launcher.stamps import Stamps

ROOT = Path(__file__).resolve().parents[2]


# --- steps ------------------------------------------------------------------------------------------------------


class Diary:
    """Steps that write down that they were done."""

    def __init__(self, folder: Path) -> None:
        self.stamps = Stamps(folder)
        self.done: list[str] = []
        self.fails: str | None = None

    def step(self, name: str, key: str | None) -> Step:
        def act() -> bool:
            if name == self.fails:
                raise Stop("interrupted")
            if name == "environment":
                self.stamps.drop_all()
            self.done.append(name)
            return True

        return Step(name, "", key, act)

    def run(self, *steps: tuple[str, str | None]) -> list[str]:
        self.done = []
        carry_out([self.step(name, key) for name, key in steps], self.stamps)
        return self.done


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path)


def test_a_second_run_repeats_nothing(diary: Diary) -> None:
    steps = (("environment", "a"), ("packages", "b"), ("link", "c"))
    assert diary.run(*steps) == ["environment", "packages", "link"]
    assert diary.run(*steps) == []


def test_only_what_changed_is_done_again(diary: Diary) -> None:
    diary.run(("environment", "a"), ("packages", "b"), ("link", "c"))
    assert diary.run(("environment", "a"), ("packages", "B"), ("link", "c")) == ["packages"]


def test_a_step_that_finds_out_by_itself_is_asked_each_time(diary: Diary) -> None:
    diary.run(("packages", "b"), ("front end", None))
    assert diary.run(("packages", "b"), ("front end", None)) == ["front end"]


def test_an_interrupted_run_goes_on_where_it_was(diary: Diary) -> None:
    steps = (("environment", "a"), ("packages", "b"), ("link", "c"))
    diary.fails = "packages"
    with pytest.raises(Stop):
        diary.run(*steps)
    diary.fails = None
    assert diary.run(*steps) == ["packages", "link"]


def test_a_new_environment_repeats_what_stands_on_it(diary: Diary) -> None:
    diary.run(("environment", "a"), ("packages", "b"), ("link", "c"))
    assert diary.run(("environment", "A"), ("packages", "b"), ("link", "c")) == ["environment", "packages", "link"]


def test_groups_are_read_with_those_they_include() -> None:
    needed = Project.here().extra("dev")
    assert set(Project.here().extra("test")) < set(needed)
    assert any(requirement.startswith("pre-commit") for requirement in needed)
    assert not any("[" in requirement for requirement in needed)


def test_what_pip_was_interrupted_at_is_installed_anew(tmp_path: Path) -> None:
    library = tmp_path / ("Lib/site-packages" if sys.platform == "win32" else "lib/python3.11/site-packages")
    for name, files in {"whole": ["METADATA", "RECORD"], "cut": ["METADATA"]}.items():
        for file in files:
            (library / f"{name}-1.0.dist-info" / file).parent.mkdir(parents=True, exist_ok=True)
            (library / f"{name}-1.0.dist-info" / file).write_text("")
    pip.forget_half_installed(Project(tmp_path, tmp_path))
    assert [path.name for path in library.iterdir()] == ["whole-1.0.dist-info"]


def test_ending_start_ends_the_program_it_runs(tmp_path: Path) -> None:
    """Ctrl-C arrives while the program prints; it is gone when the interrupt goes on."""
    body = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    pids: list[int] = []

    def watch(line: str | None) -> None:
        if line is not None:
            pids.append(int(line))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        children.run([sys.executable, "-c", body], env={}, cwd=tmp_path, watch=watch)
    import psutil

    assert not psutil.pid_exists(pids[0])


def test_progress_counts_what_pip_fetches() -> None:
    progress = pip.Progress()
    for line in (
        "Processing /mirror/numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl",
        "Collecting torch==2.13.0",
        "  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (873.1 MB)",
        "Progress 262144000 of 873100000",
    ):
        progress.read(line)
    assert progress.fetched == 2
    assert "torch (262 MB of 873 MB)" in progress.text()
    progress.read("Installing collected packages: numpy, torch")
    assert "installing 2 packages" in progress.text()


# --- PyTorch ----------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "constraints.txt").write_text("# pins\ntorch==2.13.0\npip==26.3\n", "utf-8")
    return Project(tmp_path, tmp_path / ".venv")


def offering(*places: str) -> Callable[[Project, str, tuple[str, ...]], bool]:
    """A pip that finds the CPU build in some places: its own sources, PyTorch's index."""

    def offers(_project: Project, requirement: str, options: tuple[str, ...]) -> bool:
        assert requirement == "torch==2.13.0+cpu"
        return ("index" if torch_build.CPU_INDEX in options else "own") in places

    return offers


def choose(project: Project, platform: str, driver: bool, *places: str) -> torch_build.Choice:
    return torch_build.choose(
        project, platform=platform, driver=lambda: driver, offers=offering(*places), size=lambda *_: 2_500_000_000
    )


def test_linux_without_a_driver_takes_the_cpu_build_it_can_get(project: Project) -> None:
    own = choose(project, "linux", False, "own", "index")
    assert (own.requirement, own.options, own.download) == ("torch==2.13.0+cpu", (), None)
    index = choose(project, "linux", False, "index")
    assert index.requirement == "torch==2.13.0+cpu"
    assert torch_build.CPU_INDEX in index.options


def test_linux_without_any_cpu_build_says_how_much_the_default_one_is(project: Project) -> None:
    choice = choose(project, "linux", False)
    assert (choice.requirement, choice.download) == ("torch==2.13.0", 2_500_000_000)


@pytest.mark.parametrize(
    ("platform", "driver"), [("linux", True), ("darwin", False), ("win32", False), ("win32", True)]
)
def test_with_a_driver_or_elsewhere_it_is_the_default_build(project: Project, platform: str, driver: bool) -> None:
    assert choose(project, platform, driver, "own", "index").requirement == "torch==2.13.0"


def test_the_size_is_asked_of_where_the_files_are(tmp_path: Path) -> None:
    (tmp_path / "a-1.0.whl").write_bytes(b"a" * 1000)
    (tmp_path / "b 1.0.whl").write_bytes(b"b" * 234)
    with serving(tmp_path) as address:
        urls = [(tmp_path / "b 1.0.whl").as_uri(), f"{address}/a-1.0.whl"]
        assert torch_build.total_size(report(urls)) == 1234
        assert torch_build.total_size(report([*urls, f"{address}/missing.whl"])) is None


def report(urls: list[str]) -> dict[str, object]:
    return {"install": [{"download_info": {"url": url}} for url in urls]}


class serving:  # noqa: N801 - used as a statement
    """A web server for a folder, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_words: object) -> None:
                """Prints nothing."""

        handler = functools.partial(Quiet, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


# --- lab and browser --------------------------------------------------------------------------------------------


def test_the_token_is_on_no_command_line_and_protection_stays_on() -> None:
    words = " ".join(lab.command(Project.here(), 8899, browser=True))
    assert "token" not in words
    assert "xsrf" not in words
    assert "--ServerApp.port_retries=0" in words
    assert "--no-browser" not in words
    assert "--no-browser" in lab.command(Project.here(), 8899, browser=False)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("darwin", {}, "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
        ("win32", {"PROGRAMFILES": r"C:\Programs"}, r"C:\Programs\Google\Chrome\Application\chrome.exe"),
        ("win32", {"PROGRAMFILES(X86)": r"C:\Old"}, r"C:\Old\Microsoft\Edge\Application\msedge.exe"),
    ],
)
def test_where_a_browser_is_looked_for(platform: str, environment: dict[str, str], expected: str) -> None:
    assert expected in list(browsers.candidates(platform, {"PATH": "", **environment}))


def test_a_named_browser_that_does_not_run_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(browsers.VARIABLE, str(tmp_path / "chrome"))
    with pytest.raises(Stop, match="EXPLORER_CHROME"):
        browsers.find(Project(ROOT, tmp_path))
