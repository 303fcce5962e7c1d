"""Where Explorer keeps what it fetched or converted, and how a folder gets there whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from explorer.errors import Refused

ENVIRONMENT_VARIABLE = "EXPLORER_CACHE"
RECORD = "explorer-origin.json"
_CHUNK = 1 << 20


class NotKept(Refused):
    """Something could not be put into the cache; what was to be kept may be used all the same."""


def root() -> Path:
    """The cache folder: `EXPLORER_CACHE` where it is set, else the platform's own place for caches."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("explorer-notebook", appauthor=False)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def building(target: Path, origin: dict[str, str]) -> Iterator[Path]:
    """A scratch folder that becomes `target` when the block ends well, and vanishes when it does not.

    What the folder holds is written down (size, time and hash of every file, and `origin`), so that
    `verify` can tell later whether anything was changed. Call it while holding `lock(target)`.

    Raises:
        NotKept: the cache cannot be written or the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f".{glob.escape(target.name)}-????????"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        scratch.chmod(0o755)  # a class shares one cache; temporary folders are private by default
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield scratch
        files = {
            path.relative_to(scratch).as_posix(): _description(path)
            for path in sorted(scratch.rglob("*"))
            if path.is_file()
        }
        (scratch / RECORD).write_text(json.dumps({"origin": origin, "files": files}, indent=1), "utf-8")
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    except SafetensorError as error:  # its own word for a full disk
        if "os error" not in str(error).lower():
            raise
        raise _unwritable(target, OSError(str(error))) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def lock_file(target: Path) -> Path:
    """The file that processes lock before they make or remove `target`."""
    return target.parent / f".{target.name}.lock"


def origin(target: Path) -> dict[str, str]:
    """What was written down about where a folder of the cache came from; nothing where that cannot be read."""
    try:
        return dict(json.loads((target / RECORD).read_text("utf-8"))["origin"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


@contextmanager
def lock(target: Path) -> Iterator[None]:
    """Holds `target` for this process; a second process that builds the same folder waits for it."""
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        guard = FileLock(lock_file(target))
        guard.acquire()
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield
    finally:
        guard.release()


def verify(target: Path) -> bool:
    """Whether `target` was built here and is whole; False where there is nothing.

    Files whose size and time are as they were written are trusted; others are hashed again. That keeps
    loading fast and still finds a file that was cut or overwritten.

    Raises:
        Refused: a file was changed; the folder is removed first, so that the next call starts afresh.
    """
    if not target.is_dir():
        return False
    try:
        files: dict[str, dict[str, int | str]] = json.loads((target / RECORD).read_text("utf-8"))["files"]
        damaged = [name for name, known in files.items() if not _unchanged(target / name, known)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        damaged = [RECORD]
    if damaged:
        shutil.rmtree(target, ignore_errors=True)
        raise Refused(
            f"The cached model in {target} was not loaded: {', '.join(damaged)} is damaged or was changed after it "
            "was stored. The folder has been removed; call again to fetch it anew."
        )
    with suppress(OSError):  # a cache shared for reading
        os.utime(target / RECORD)  # when it was last used
    return True


def _description(path: Path) -> dict[str, int | str]:
    status = path.stat()
    return {"size": status.st_size, "time": status.st_mtime_ns, "sha256": sha256(path)}


def _unchanged(path: Path, known: dict[str, int | str]) -> bool:
    if not path.is_file():
        return False
    status = path.stat()
    if status.st_size != known["size"]:
        return False
    return status.st_mtime_ns == known["time"] or sha256(path) == known["sha256"]


def _unwritable(target: Path, error: OSError) -> NotKept:
    return NotKept(
        f"The cache folder {target.parent} cannot be written ({error.strerror or error}). "
        f"Free some space there, or set {ENVIRONMENT_VARIABLE} to a folder that can be written."
    )
