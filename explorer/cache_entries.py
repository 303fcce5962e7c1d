"""What the cache holds, how much it may hold, and what goes first when it is full."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from explorer import cache
from explorer.errors import Refused
from explorer.memory import written

LIMIT_VARIABLE = "EXPLORER_CACHE_LIMIT"
_DEFAULT_LIMIT = 50_000_000_000
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
# Samples are small and cannot be made again without a network; they go only when they are asked to.
_KEPT = "samples"
# What was used this recently may be about to be read by another process.
_FRESH = 600.0


@dataclass(frozen=True)
class Entry:
    """One folder of the cache.

    Attributes:
        kind: "samples" or "gguf".
        name: the folder's name.
        model: what it holds, as its origin says.
        folder: where it lies.
        size: in bytes.
        used: when it was last opened, in seconds since 1970.
    """

    kind: str
    name: str
    model: str
    folder: Path
    size: int
    used: float


def entries() -> list[Entry]:
    """Everything in the cache, the least recently used first."""
    found = []
    for record in cache.root().glob(f"*/*/{cache.RECORD}"):
        folder = record.parent
        if folder.name.startswith("."):
            continue
        with contextlib.suppress(OSError):  # another process removed it meanwhile
            model = cache.origin(folder).get("model", folder.name)
            found.append(Entry(folder.parent.name, folder.name, model, folder, _size(folder), record.stat().st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def limit() -> int:
    """How many bytes the cache may take: `EXPLORER_CACHE_LIMIT`, such as "20GB", or 50 GB.

    Raises:
        Refused: the variable cannot be read as a size.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return _DEFAULT_LIMIT
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.lower())
    if match is None:
        raise Refused(f"{LIMIT_VARIABLE}={text!r} is not a size; write it like 20GB or 500MB.")
    return int(float(match[1]) * _UNITS[match[2]])


def make_room(size: int) -> None:
    """Removes what was not used for longest until `size` more bytes fit the limit.

    Raises:
        cache.NotKept: they do not fit, or the disk has less space left than that.
    """
    most, held = limit(), entries()
    if size > most:
        raise cache.NotKept(
            f"it takes {written(size)} and the cache may take {written(most)}; raise {LIMIT_VARIABLE} to keep it."
        )
    excess = sum(entry.size for entry in held) + size - most
    for entry in held:
        if excess <= 0:
            break
        if entry.kind != _KEPT and time.time() - entry.used > _FRESH and _removed(entry.folder):
            excess -= entry.size
    if excess > 0:
        raise cache.NotKept(
            f"it takes {written(size)}, {written(excess)} more than the limit of {written(most)} leaves; "
            f"raise {LIMIT_VARIABLE}, or run `python -m explorer cache clear`."
        )
    with contextlib.suppress(OSError):
        cache.root().mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache.root()).free
        if size > free:
            raise cache.NotKept(f"it takes {written(size)} and the disk has {written(free)} left.")


def clear(names: Collection[str] = ()) -> tuple[list[Entry], list[Entry]]:
    """Removes entries, all of them where no names are given, and what broken-off conversions left.

    Returns:
        What was removed, and what was not because another process is making it or it cannot be deleted.

    Raises:
        Refused: there is no entry of a name.
    """
    held = entries()
    missing = sorted(set(names) - {entry.name for entry in held})
    if missing:
        there = ", ".join(entry.name for entry in held) or "nothing"
        raise Refused(f"The cache has no entry {', '.join(missing)}; it holds {there}.")
    removed: list[Entry] = []
    left: list[Entry] = []
    for entry in held:
        if not names or entry.name in names:
            (removed if _removed(entry.folder) else left).append(entry)
    if not names:
        for scratch in cache.root().glob("*/.*-*"):
            if scratch.is_dir():
                _removed(scratch.parent / scratch.name[1:].rpartition("-")[0], scratch)
    return removed, left


def _removed(target: Path, folder: Path | None = None) -> bool:
    """Whether a folder of the cache is gone; one that is being made by another process stays."""
    from filelock import FileLock, Timeout

    folder = folder or target
    try:
        with FileLock(cache.lock_file(target), timeout=0):
            shutil.rmtree(folder)
    except (Timeout, OSError):
        return False
    return True


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
