"""Builds the distribution once, and makes empty environments to install it into."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class CleanEnvironment:
    """An environment with nothing of ours, which borrows the dependencies of the one the tests run in.

    Its own packages come first; the borrowed folder adds no editable install, as nobody reads the path files in it.
    """

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        (site,) = folder.glob("Lib/site-packages" if sys.platform == "win32" else "lib/python*/site-packages")
        # Its name comes first: an editable install's own path file needs a package from there.
        (site / "0-borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
        self.site = site
        self.elsewhere = folder / "elsewhere"  # not the checkout, whose packages could be imported from there
        self.elsewhere.mkdir()

    def install(self, *words: str) -> None:
        """Installs with pip, without a network and without dependencies."""
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--no-deps", "--no-index"]
        done = subprocess.run([*command, *words], cwd=self.elsewhere, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, code: str) -> str:
        """What a piece of Python prints there."""
        done = subprocess.run(
            [self.python, "-c", code], cwd=self.elsewhere, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], Path]:
    """Builds a source tree into a wheel or a source archive with the tools of this environment."""

    def run(source: Path, kind: str) -> Path:
        out = tmp_path_factory.mktemp(kind)
        command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(out), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        (built,) = out.iterdir()
        return built

    return run


@pytest.fixture(scope="session")
def wheel(build: Callable[[Path, str], Path]) -> Path:
    """The wheel of this checkout."""
    return build(ROOT, "wheel")


@pytest.fixture
def clean(tmp_path: Path) -> Iterator[CleanEnvironment]:
    """A new environment."""
    return CleanEnvironment(tmp_path / "clean")
