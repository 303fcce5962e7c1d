"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("torch", "transformers", "anywidget", "bertviz", "playwright")


def line() -> str:
    """One line: cores, threads, load, versions."""
    import psutil  # type: ignore[import-untyped]
    import torch

    memory = psutil.virtual_memory()
    words = [
        f"{os.cpu_count()} cores ({_processor()})",
        f"torch on {torch.get_num_threads()} threads",
        f"{memory.total / 1e9:.0f} GB of memory, {memory.available / 1e9:.0f} free",
        platform.system(),
        f"Python {platform.python_version()}",
        *(f"{name} {_version(name)}" for name in _PACKAGES),
    ]
    if hasattr(os, "getloadavg"):  # what others did on the machine at the same time shows here
        words.insert(2, f"load {os.getloadavg()[1]:.1f} over five minutes")
    return "Machine: " + ", ".join(words)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # no Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return ", ".join([platform.machine(), *names[:1]])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
