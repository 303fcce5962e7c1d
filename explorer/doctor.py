"""What a bug report needs: versions, memory, settings, the cache. No tokens, no user's name, home shown as "~"."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from explorer import cache
from explorer.cache_entries import entries, limit
from explorer.errors import Refused
from explorer.memory import free_bytes, written

_PACKAGES = (
    "explorer-notebook",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "huggingface-hub",
    "gguf",
    "numpy",
    "anywidget",
    "ipywidgets",
    "ipykernel",
    "jupyterlab",
)
# Settings that change what is loaded and from where. Their values are shown; of others nothing is.
_SETTINGS = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
_PLACES = ("HF_HOME", "HF_HUB_CACHE", cache.ENVIRONMENT_VARIABLE)


def report() -> list[tuple[str, str]]:
    """Rows of a name and a text; the names of what is wrong end in "!"."""
    rows = [
        ("python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("processors", str(os.cpu_count())),
        _memory(),
    ]
    rows += [_package(name) for name in _PACKAGES]
    rows += _torch()
    rows += [(name, os.environ[name]) for name in _SETTINGS if os.environ.get(name)]
    rows += [(name, shown(os.environ[name])) for name in _PLACES if os.environ.get(name)]
    if os.environ.get("HF_ENDPOINT"):  # a mirror's address may hold a password
        rows.append(("HF_ENDPOINT", urlsplit(os.environ["HF_ENDPOINT"]).hostname or "not an address"))
    return rows + _cache()


def shown(path: str | Path) -> str:
    """A path with the home folder as "~", and a user's name nowhere else in it."""
    text, home = str(path), str(Path.home())
    if home not in ("/", "") and (text == home or text.startswith(home + os.sep)):
        text = "~" + text[len(home) :]
    parts = Path(text).parts
    names = {name for name in (Path(home).name, os.environ.get("USER"), os.environ.get("USERNAME")) if name}
    return str(Path(*("..." if part in names else part for part in parts))) if parts else text


def _package(name: str) -> tuple[str, str]:
    try:
        return name, version(name)
    except PackageNotFoundError:
        return f"{name}!", "not installed; run `python start.py setup` or `pip install -e .`"


def _memory() -> tuple[str, str]:
    free = free_bytes()
    return "memory free", "not known" if free is None else written(free)


def _torch() -> list[tuple[str, str]]:
    try:
        import torch
    except (ImportError, OSError) as error:  # a library of the system that is missing
        return [("torch!", f"cannot be imported: {type(error).__name__}")]
    rows = [("threads", str(torch.get_num_threads()))]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            rows.append((f"cuda:{index}", f"{name}, {written(free)} of {written(total)} free"))
    elif torch.backends.mps.is_available():
        rows.append(("gpu", "mps"))
    else:
        rows.append(("gpu", "none that torch can use"))
    return rows


def _cache() -> list[tuple[str, str]]:
    root = cache.root()
    rows = [("cache", shown(root)), _writable(root)]
    try:
        most = written(limit())
    except Refused as error:
        return [*rows, ("cache limit!", str(error))]
    held = entries()
    rows.append(("cache holds", f"{len(held)} models, {written(sum(entry.size for entry in held))} of {most}"))
    return [*rows, *(("sample", entry.model) for entry in held if entry.kind == "samples")]


def _writable(root: Path) -> tuple[str, str]:
    place = next((folder for folder in (root, *root.parents) if folder.exists()), root)
    try:
        if not place.is_dir():
            raise NotADirectoryError(20, "a file is in the way")
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return "cache writable!", f"no ({error.strerror or type(error).__name__})"
    return "cache writable", f"yes, {written(shutil.disk_usage(place).free)} left on the disk"
