"""Runs every check there is: the linters and type checkers, the front end's tests, and pytest last."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from launcher import browsers
from launcher.console import say
from launcher.project import Project

_BROWSER = "tests/browser"


def test(project: Project, arguments: Sequence[str]) -> int:
    """Runs all checks, also after one has failed; pytest's closing line comes last.

    Args:
        project: the checkout, set up with the tools of the tests.
        arguments: for pytest.

    Returns:
        0 where everything passed.

    Raises:
        Stop: there is no browser for the tests.
    """
    say("[tests] browser")
    chrome = browsers.find(project)
    say(f"      {chrome}")
    # Nothing is fetched while tests run, and a test that needs the browser fails without one instead of skipping.
    own = {browsers.VARIABLE: chrome, "EXPLORER_REQUIRE_BROWSER": "1", "HF_HUB_OFFLINE": "1"}
    # Two runs and a kernel share the cores: threads that wait actively for each other would take them from the rest.
    own["OMP_NUM_THREADS"] = "1"
    plain = {} if sys.stdout.isatty() else {"NO_COLOR": "1"}  # vitest would colour even a log file where CI is set
    environment = project.environment(**own, **plain)
    python = str(project.python)
    checks = {
        "ruff check": [python, "-m", "ruff", "check", "."],
        "ruff format": [python, "-m", "ruff", "format", "--check", "."],
        "mypy": [python, "-m", "mypy"],
        "front end, types": [python, "hatch_build.py", "npm", "run", "--silent", "check"],
        "front end, tests": [python, "hatch_build.py", "npm", "run", "--silent", "test"],
    }
    if arguments:
        failed = _failing(project, checks, environment)
        status = _run(project, "pytest", [python, "-m", "pytest", *arguments], environment)
    else:
        # The tests in the browser mostly wait for it, so the others run meanwhile; those are heard of at the end.
        with tempfile.TemporaryDirectory() as folder, Path(folder, "others.txt").open("wb") as heard:
            others = [python, "-m", "pytest", f"--ignore={_BROWSER}"]
            running = subprocess.Popen(
                others, cwd=project.root, env=environment, stdin=subprocess.DEVNULL, stdout=heard, stderr=heard
            )
            try:
                failed = _failing(project, checks, environment)
                if _run(project, "pytest, in the browser", [python, "-m", "pytest", _BROWSER], environment) != 0:
                    failed.append("pytest, in the browser")
                say("\n[tests] pytest, all others")
                status = _followed(running, Path(heard.name))
            finally:
                running.kill()
                running.wait()
    if failed:
        say(f"Failed besides pytest's own: {', '.join(failed)}.")
    return status or (1 if failed else 0)


def _failing(project: Project, checks: dict[str, list[str]], environment: dict[str, str]) -> list[str]:
    """Runs what is no pytest, all of it, and tells which failed."""
    failed = [name for name, words in checks.items() if _run(project, name, words, environment) != 0]
    if failed:
        say(f"\nFailed so far: {', '.join(failed)}.")
    return failed


def _followed(running: subprocess.Popen[bytes], heard: Path) -> int:
    """Shows what a process has written to a file, and goes on until it ends; gives its exit status."""
    with heard.open(encoding="utf-8", errors="replace") as words:
        while True:
            status = running.poll()  # before the file is read, or the last words could be missed
            sys.stdout.write(words.read())
            sys.stdout.flush()
            if status is not None:
                return status
            time.sleep(0.5)


def _run(project: Project, name: str, words: Sequence[str], environment: dict[str, str]) -> int:
    say(f"\n[tests] {name}")
    # From no terminal and with nobody to answer; the output goes through as it is.
    return subprocess.run(words, cwd=project.root, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
