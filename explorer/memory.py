"""How much memory is free, and how an amount is written."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Files of control groups (version 2, then 1): what a container may use, and what it uses.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)


def free_bytes(device: torch.device | None = None) -> int | None:
    """Bytes that can still be had on a device, the CPU by default; None where the system does not say.

    On a CPU the least of what the machine, its container and the process's own limit leave.
    """
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    found = [value for value in (_machine(), _container(), _process()) if value is not None]
    return min(found) if found else None


def written(size: float) -> str:
    """An amount of memory for a reader, such as "1.4 GB"."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB"


def _machine() -> int | None:
    table = Path("/proc/meminfo")
    if table.exists():
        lines = dict(line.split(":", 1) for line in table.read_text(encoding="ascii").splitlines() if ":" in line)
        return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else None
    if sys.platform == "win32":
        return _windows()
    try:  # macOS gives what is free away at once; the whole is the only figure that does not mislead
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _windows() -> int | None:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "pages", "free_pages", "space", "free_space")),
            ("extended", ctypes.c_ulonglong),
        )

    status = Status(length=ctypes.sizeof(Status))
    library = getattr(ctypes, "windll").kernel32  # noqa: B009 - only there on Windows
    return int(status.free) if library.GlobalMemoryStatusEx(ctypes.byref(status)) else None


def _container() -> int | None:
    for most, used, statistics in _GROUPS:
        try:
            limit, current = Path(most).read_text("ascii").strip(), int(Path(used).read_text("ascii"))
            lines = dict(line.split() for line in Path(statistics).read_text("ascii").splitlines())
        except (OSError, ValueError):
            continue
        if limit.isdigit():
            # pages of files are given back when they are needed
            return max(0, int(limit) - current + int(lines.get("inactive_file", 0)))
    return None


def _process() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = Path("/proc/self/statm")
    if limit == resource.RLIM_INFINITY or not used.exists():
        return None
    return max(0, limit - int(used.read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE"))
