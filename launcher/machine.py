"""What has to hold before any work starts: a system that PyTorch is built for, room on the disk, nobody else at it."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from launcher.console import Stop, megabytes


def refuse_unsupported(system: str, machine: str, mac_release: str, wide: bool) -> None:
    """Stops where PyTorch has no build.

    Args:
        system: as `platform.system()` names it.
        machine: the processor, as `platform.machine()` names it.
        mac_release: the release of macOS; empty elsewhere.
        wide: whether this Python is a 64-bit one.

    Raises:
        Stop: there is none for this.
    """
    reason = None
    if not wide:
        reason = "this Python is a 32-bit one: install a 64-bit Python 3.11, 3.12 or 3.13"
    elif system == "Darwin" and machine == "x86_64":
        reason = "there is no PyTorch for Macs with an Intel processor (nor for an Intel Python): use one for arm64"
    elif system == "Darwin" and int(mac_release.split(".")[0] or 14) < 14:
        reason = f"PyTorch needs macOS 14 or newer and this is {mac_release}: update macOS"
    elif system == "Windows" and machine.upper() == "ARM64":
        reason = "there is no PyTorch on PyPI for Python on ARM: install the x86-64 Python, which Windows runs as well"
    if reason:
        raise Stop(f"Explorer cannot run here, because {reason}.")


def free_space(folder: Path) -> int:
    """The bytes free on the disk that holds a folder."""
    return shutil.disk_usage(folder).free


def require_room(folder: Path, needed: int, free: Callable[[Path], int] = free_space) -> None:
    """Stops where the disk has too little room.

    Args:
        folder: a folder on that disk.
        needed: bytes.
        free: tells how many bytes are free there.

    Raises:
        Stop: there is less than that.
    """
    there = free(folder)
    if there < needed:
        raise Stop(
            f"Setting up needs about {megabytes(needed)} on the disk of {folder} and {megabytes(there)} are free: "
            "free some space or move this folder to a larger disk, then run this again."
        )


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keeps a second start from working on the same environment at the same time.

    Args:
        path: the file that stands for the right to do so; the end of the process gives it free too.

    Raises:
        Stop: another one is at work.
    """
    with path.open("a") as file:
        if not _lock(file):
            raise Stop("Another start.py is setting this folder up: wait until it is done, then run this again.")
        yield


def _lock(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
