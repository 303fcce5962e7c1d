"""Runs the environment's pip, shows how far it is, and turns its failures into sentences."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence

from launcher import children
from launcher.console import LiveLine, Stop, megabytes
from launcher.project import Project

_AGAIN = "then run this again: what is done already is kept"
# In this order: a full disk or a dead network also shows up further down, as "no matching distribution" for instance.
_CAUSES = (
    (
        r"No space left on device|Errno 28\b|not enough space on the disk|Disk quota exceeded|Errno 122\b",
        f"The disk is full: free some space, {_AGAIN}.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError",
        "pip does not trust the package index's certificate: where a company's proxy stands between, point "
        f"`pip config set global.cert FILE` at its certificate, {_AGAIN}.",
    ),
    (
        r"Retry\(total=0|NewConnectionError|NameResolutionError|getaddrinfo failed|Name or service not known"
        r"|ConnectTimeout|ReadTimeout|ConnectionResetError|IncompleteRead|Connection broken|ProxyError"
        r"|Network is unreachable|Could not fetch URL",
        "The package index cannot be reached: check the network (or the proxy and index that `pip config list` "
        f"shows), {_AGAIN}.",
    ),
    (
        r"Permission denied|Errno 13\b|Access is denied|WinError 5\b",
        "A file in {venv} cannot be written: close programs that use it, or make the folder yours, "
        "then run this again.",
    ),
    (
        r"No matching distribution found for (?P<name>\S+)",
        "There is no build of {name} for this system and Python: Explorer runs on 64-bit Linux (glibc 2.28 or newer), "
        "Windows, and macOS 14 or newer on Apple silicon.",
    ),
    (
        r"DO NOT MATCH THE HASHES|BadZipFile|has an invalid wheel",
        f"A downloaded file arrived damaged: run `pip cache purge`, {_AGAIN}.",
    ),
)


def explain(output: str, project: Project) -> str:
    """The sentence for a pip that failed.

    Args:
        output: what it printed.
        project: whose environment it worked in.
    """
    for pattern, sentence in _CAUSES:
        found = re.search(pattern, output)
        if found:
            return sentence.format(venv=project.venv, name=found.groupdict().get("name", ""))
    errors = re.findall(r"^ERROR: (.+)$", output, re.MULTILINE | re.IGNORECASE)
    words = errors[-1] if errors else children.Outcome(1, output).last_words
    rest = f"all it said is in {project.log}; if that does not help, delete {project.venv} and run this again."
    return f"pip failed ({words.rstrip('.')}): {rest}"


class Progress:
    """Condenses pip's many lines into one about where it is.

    Attributes:
        fetched: packages met so far.
        received: bytes downloaded so far.
    """

    def __init__(self) -> None:
        self.fetched = 0
        self.received = 0
        self._current = ""
        self._part = (0, 0)
        self._installing = 0
        self._began = time.monotonic()

    def read(self, line: str) -> None:
        """Takes in one line of `pip install --progress-bar raw`."""
        if found := re.match(r"\s*(?:Downloading|Using cached|Processing) (\S+)", line):
            self.fetched += 1
            self.received += self._part[1]
            self._current = re.sub(r"-\d.*", "", re.split(r"[/\\]", found.group(1))[-1])
            self._part = (0, 0)
        elif found := re.match(r"Progress (\d+) of (\d+)", line):
            self._part = (int(found.group(1)), int(found.group(2)))
        elif found := re.match(r"Installing collected packages: (.+)", line):
            self._installing = found.group(1).count(",") + 1

    def text(self) -> str:
        """Where it is, for the live line."""
        seconds = int(time.monotonic() - self._began)
        clock = f"{seconds // 60}:{seconds % 60:02d}"
        if self._installing:
            return f"{clock}  installing {self._installing} packages"
        if not self._current:
            return f"{clock}  looking for packages"
        done, size = self._part
        part = f" ({megabytes(done)} of {megabytes(size)})" if size > 5_000_000 else ""
        return f"{clock}  {self.fetched} packages, now {self._current}{part}"


def install(project: Project, requirements: Sequence[str], *options: str, progress: bool = True) -> None:
    """Installs into the environment, at the pinned versions.

    Args:
        project: whose environment.
        requirements: what to install.
        options: further options of `pip install`.
        progress: whether this pip can tell how far it is; the one that Python brings along may be too old for that.

    Raises:
        Stop: pip failed; the sentence says why.
    """
    forget_half_installed(project)
    state, line = Progress(), LiveLine()

    def watch(said: str | None) -> None:
        if said is not None:
            state.read(said)
        line.show(state.text())

    bar = ["--progress-bar", "raw"] if progress else []
    outcome = run(project, ["install", "--constraint", str(project.constraints), *bar, *options, *requirements], watch)
    line.clear()
    if outcome.status != 0:
        raise Stop(explain(outcome.output, project))


def forget_half_installed(project: Project) -> None:
    """Makes pip install anew what it was interrupted at.

    pip writes the list of a package's files last and looks only at what comes before it: without this, it would take
    a package that was cut short for a whole one.
    """
    pattern = "Lib/site-packages/*.dist-info" if os.name == "nt" else "lib/python*/site-packages/*.dist-info"
    for metadata in project.venv.glob(pattern):
        if not (metadata / "RECORD").is_file():
            shutil.rmtree(metadata)


def run(project: Project, words: Sequence[str], watch: Callable[[str | None], None] | None = None) -> children.Outcome:
    """Runs the environment's pip.

    Args:
        project: whose environment.
        words: sub-command and options.
        watch: called with every line, and with None about once a second while there is none.
    """
    temporary = str(project.temporary)
    project.temporary.mkdir(exist_ok=True)
    environment = project.environment(TMPDIR=temporary, TEMP=temporary, TMP=temporary)
    # -P: a folder of the checkout must not be taken for a module of pip's or Python's.
    command = [str(project.python), "-P", "-m", "pip", *words]
    return children.run(command, env=environment, cwd=project.root, log=project.log, watch=watch)
