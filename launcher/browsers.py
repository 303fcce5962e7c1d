"""Finds a Chrome or Chromium for the browser tests, or gets one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from launcher import children
from launcher.console import LiveLine, Stop, say
from launcher.lab import is_root
from launcher.project import Project

VARIABLE = "EXPLORER_CHROME"
_ON_THE_PATH = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome")
_MACOS = ("Google Chrome.app/Contents/MacOS/Google Chrome", "Chromium.app/Contents/MacOS/Chromium")
_WINDOWS = (r"Google\Chrome\Application\chrome.exe", r"Chromium\Application\chrome.exe")
_EDGE = r"Microsoft\Edge\Application\msedge.exe"  # a Chromium too, and part of every Windows
_PLAYWRIGHTS = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""


def find(project: Project) -> str:
    """The path of a browser for the tests.

    Args:
        project: the checkout, with the tools of the tests installed.

    Raises:
        Stop: there is none and none could be had.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not works(named):
            raise Stop(f"{VARIABLE} is {named!r}, which is no browser that runs: set it to Chrome's path, or unset it.")
        _require_driver(project)
        return named
    _require_driver(project)
    for get in (_machines, _playwrights, _debians, _downloaded):
        found = get(project)
        if found:
            return found
    raise Stop(
        "The tests need a browser, and none was found or could be downloaded: install Chrome or Chromium, or set "
        f"{VARIABLE} to the path of one, then run this again."
    )


def candidates(platform: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Where a system usually keeps Chrome and its kin, the likeliest first.

    Args:
        platform: as `sys.platform` names it.
        environment: the environment variables.
    """
    if platform == "darwin":
        for folder in ("/Applications", Path("~/Applications").expanduser()):
            yield from (f"{folder}/{name}" for name in _MACOS)
    elif platform == "win32":
        folders = [environment.get(name) for name in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")]
        for name in (*_WINDOWS, _EDGE):
            yield from (f"{folder}\\{name}" for folder in folders if folder)
    for name in _ON_THE_PATH:
        on_path = shutil.which(name, path=environment.get("PATH"))
        if on_path:
            yield on_path


def works(path: str) -> bool:
    """Whether a browser is there and runs: Ubuntu has a `chromium-browser` that only says how to install one."""
    if not Path(path).is_file():
        return False
    if sys.platform == "win32":
        return True  # there, asking for the version would open a window
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _require_driver(project: Project) -> None:
    """Playwright brings a Node of its own, which needs a library that the smallest Debian systems do not have."""
    asked = _driver(project)
    if asked.status != 0 and _apt_install(project, "libatomic1"):
        asked = _driver(project)
    if asked.status != 0:
        raise Stop(
            f"Playwright, which moves the browser in the tests, does not run here ({asked.last_words}): install what "
            "it misses (on Debian and Ubuntu `apt-get install libatomic1`), then run this again."
        )


def _driver(project: Project) -> children.Outcome:
    words = [str(project.python), "-m", "playwright", "--version"]
    return children.run(words, env=project.environment(), cwd=project.root, log=project.log)


def _machines(_project: Project) -> str | None:
    return next((path for path in candidates(sys.platform, os.environ) if works(path)), None)


def _playwrights(project: Project) -> str | None:
    """The one that Playwright downloaded earlier."""
    asked = children.run([project.python, "-c", _PLAYWRIGHTS], env=project.environment(), cwd=project.root)
    path = asked.last_words
    return path if asked.status == 0 and works(path) else None


def _debians(project: Project) -> str | None:
    return _machines(project) if _apt_install(project, "chromium") else None


def _apt_install(project: Project, package: str) -> bool:
    if not (is_root() and shutil.which("apt-get")):
        return False
    say(f"      Installing the system's package {package}, which is missing.")
    environment = project.environment(DEBIAN_FRONTEND="noninteractive")
    for words in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        outcome = _watched(project, ["apt-get", *words], environment)
    return outcome.status == 0


def _downloaded(project: Project) -> str | None:
    say("      Downloading Playwright's Chromium (about 300 MB): this machine has no browser.")
    words = [str(project.python), "-m", "playwright", "install", "chromium"]
    # With the system's libraries that it needs, which only root can install.
    more = ["--with-deps"] if is_root() and shutil.which("apt-get") else []
    _watched(project, [*words, *more], project.environment())
    return _playwrights(project)


def _watched(project: Project, words: list[str], environment: dict[str, str]) -> children.Outcome:
    line = LiveLine()

    def watch(said: str | None) -> None:
        if said and said.strip():
            line.show(said.strip())

    outcome = children.run(words, env=environment, cwd=project.root, log=project.log, watch=watch)
    line.clear()
    return outcome
