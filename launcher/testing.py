"""Runs every check there is: the linters and type checkers, the front end's tests, and pytest last."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from launcher import browsers
from launcher.console import say
from launcher.project import Project

# Each loads the sample models, which takes two gigabytes with what tests do.
_PROCESSES = 4


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
    # A test, its kernel and a browser share the cores; threads that actively wait for each other take them from others.
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
    # Two at a time; what each prints is shown when it has ended. pytest has the machine to itself.
    with ThreadPoolExecutor(max_workers=2) as pool:
        ended = pool.map(lambda words: _run(project, words, environment, capture_output=True), checks.values())
        failed = []
        for name, result in zip(checks, ended, strict=True):
            say(f"\n[tests] {name}\n{_text(result.stdout)}{_text(result.stderr)}".rstrip())
            if result.returncode != 0:
                failed.append(name)
    if failed:
        say(f"\nFailed so far: {', '.join(failed)}.")
    say("\n[tests] pytest")
    # All tests in several processes, see tests/turns.py; a few sooner in one, which loads the models once.
    several = [] if arguments else ["-n", str(min(_PROCESSES, os.cpu_count() or 1))]
    status = _run(project, [python, "-m", "pytest", *several, *arguments], environment).returncode
    if failed:
        say(f"Failed besides pytest's own: {', '.join(failed)}.")
    return status or (1 if failed else 0)


def _run(
    project: Project, words: Sequence[str], environment: dict[str, str], *, capture_output: bool = False
) -> subprocess.CompletedProcess[bytes]:
    # From no terminal and with nobody to answer.
    return subprocess.run(
        words,
        cwd=project.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=capture_output,
        check=False,
    )


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")
