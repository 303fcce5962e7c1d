"""An environment of its own for each peer: made once, in the cache folder, with the torch and transformers of this one.

Peers pin what they stand on, so none is installed beside Explorer; `start.py` knows nothing of these folders.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.table import say
from explorer import cache
from launcher.torch_build import CPU_INDEX

_MADE = "made.txt"
_PATIENCE_S = 900


@dataclass(frozen=True)
class Peer:
    """A tool to be measured beside Explorer.

    Attributes:
        package: its distribution.
        version: the one that is measured.
        beside: what it imports without naming it as a dependency; installed as it is here.
    """

    package: str
    version: str
    beside: tuple[str, ...] = ()


class NoEnvironment(Exception):  # noqa: N818 - reads as what happened
    """The environment could not be made; the text says why."""


def python_of(peer: Peer) -> Path:
    """The interpreter of a peer's environment, which is made where it is missing.

    Raises:
        NoEnvironment: pip could not install the peer.
    """
    same = [f"{name}=={version(name)}" for name in ("torch", "transformers", "psutil", *peer.beside)]
    wanted = "\n".join([*same, f"{peer.package}=={peer.version}", f"python=={sys.version.split()[0]}"])
    folder = cache.root() / "benchmarks" / f"{peer.package}-{peer.version}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / _MADE
    if stamp.is_file() and stamp.read_text("utf-8") == wanted and python.exists():
        return python
    say(f"making an environment for {peer.package} {peer.version} (once, a minute or more) in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    failed = _run([sys.executable, "-m", "venv", str(folder)])
    if not failed:
        # torch first and alone: as somebody's dependency pip would take its build with CUDA.
        failed = _pip(python, same[0])
        if failed and same[0].endswith("+cpu"):
            failed = _pip(python, same[0], "--index-url", CPU_INDEX)
    if not failed:
        failed = _pip(python, *same, f"{peer.package}=={peer.version}")
    if failed:
        raise NoEnvironment(failed)
    stamp.write_text(wanted, "utf-8")
    return python


def _pip(python: Path, *words: str) -> str:
    return _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words])


def _run(command: list[str]) -> str:
    """Runs a command; what it said last where it failed, else nothing."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return f"pip was not done after {_PATIENCE_S} seconds"
    if result.returncode == 0:
        return ""
    lines = (result.stderr or result.stdout).strip().splitlines() or ["no message"]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines)[-1].removeprefix("ERROR:").strip()
