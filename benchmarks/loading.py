"""How long it takes until there is a model, each time in a process of its own."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import fresh
from benchmarks.measuring import paired, seconds, spread
from benchmarks.table import Table, say

_TEXT = "The capital of France is"
_MUST_WAIT = ("torch", "transformers")


def tables(quick: bool) -> Iterator[Table]:
    """Imports and the cached sample, in fresh processes that take turns."""
    rounds = 3 if quick else 15
    say(f"loading, {rounds} rounds of three processes")
    light: list[dict[str, float]] = []
    ours: list[dict[str, float]] = []
    plain: list[dict[str, float]] = []
    for number in range(-1, rounds):
        turn = [("import_explorer", light), ("load_ours", ours), ("load_plain", plain)]
        for function, taken in turn if number % 2 == 0 else reversed(turn):
            measured = fresh.call("loading", function)
            if number >= 0:  # one round before the first fills the disk's cache
                taken.append(measured)
    found = Table(
        "Loading",
        "Fresh processes, files in the disk's cache. `import explorer` alone imports neither torch nor transformers\n"
        "(checked). plain: transformers' own from_pretrained of model and tokenizer from the same folder. It leaves\n"
        "the weights on the disk until a pass needs them; explorer.load() has run two short passes by then, to find\n"
        "the model's parts. With the first pass over a text counted, both have done the same.",
        ("what", "explorer, s", "plain, s", "explorer / plain", "rounds"),
    )
    found.add("import explorer", spread([one["imports"] for one in light]).words(3), "", "", rounds)
    names = {"imports": "import all", "loads": "load, after these imports", "starts": "load and first pass"}
    for key, name in names.items():
        over, under = [one[key] for one in ours], [one[key] for one in plain]
        found.add(name, spread(over).words(), spread(under).words(), paired(over, under).words(), rounds)
    yield found
    yield _gguf(rounds)


def _gguf(rounds: int) -> Table:
    """The sample as the GGUF file it was published as: converted at the first load, read from the cache after it."""
    found = Table(
        "Loading a GGUF file",
        "The sample's own file (4 bits, 98 MB), in fresh processes after these imports, in a cache of its own. The\n"
        "first load dequantises it and keeps safetensors.",
        ("load", "seconds", "rounds"),
    )
    from explorer import samples  # not above: `import explorer` is timed in this module

    with tempfile.TemporaryDirectory(prefix="explorer-") as scratch:
        say("the sample as a GGUF file, fetched once more")
        file = samples.original(samples.SAMPLES[samples.DEFAULT], Path(scratch), say)
        with _cache_in(scratch):
            first = fresh.call("loading", "load_file", path=str(file))
            later = [fresh.call("loading", "load_file", path=str(file)) for _ in range(rounds)]
    found.add("first", f"{first:.1f}", 1)
    found.add("second", spread(later).words(), rounds)
    return found


@contextlib.contextmanager
def _cache_in(folder: str) -> Iterator[None]:
    """The cache of the processes that are started meanwhile."""
    from explorer import cache

    before = os.environ.get(cache.ENVIRONMENT_VARIABLE)
    os.environ[cache.ENVIRONMENT_VARIABLE] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[cache.ENVIRONMENT_VARIABLE]
        else:
            os.environ[cache.ENVIRONMENT_VARIABLE] = before


def load_file(path: str) -> float:
    """Seconds of `explorer.load(path)` after the imports."""
    _import_all()
    import explorer
    from explorer import loading  # noqa: F401 - no part of the load

    return seconds(explorer.load, path)


def import_explorer() -> dict[str, float]:
    """Seconds of `import explorer`.

    Raises:
        RuntimeError: it imported what has to wait until a model is loaded.
    """
    imports = seconds(_import_explorer)
    early = [name for name in _MUST_WAIT if name in sys.modules]
    if early:
        raise RuntimeError(f"`import explorer` imported {' and '.join(early)}; both must wait for the first model.")
    return {"imports": imports}


def load_ours() -> dict[str, float]:
    """Seconds of the imports, of `explorer.load()` after them, and of both that and the first trace."""
    imports = seconds(_import_all)
    import explorer
    from explorer import loading  # noqa: F401 - no part of the load

    return {"imports": imports, **_opened(explorer.load, lambda model: model.trace(_TEXT))}


def load_plain() -> dict[str, float]:
    """The same with what transformers needs to open the sample's folder."""
    imports = seconds(_import_all)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from explorer import samples

    where = str(samples.folder())

    def load() -> Any:
        model = AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, use_safetensors=True)
        return model, AutoTokenizer.from_pretrained(where)

    @torch.no_grad()
    def first(opened: Any) -> object:
        model, tokenizer = opened
        return model(**tokenizer(_TEXT, return_tensors="pt"), use_cache=False)

    return {"imports": imports, **_opened(load, first)}


def _opened(load: Callable[[], Any], first: Callable[[Any], object]) -> dict[str, float]:
    started = time.perf_counter()
    model = load()
    loaded = time.perf_counter()
    first(model)
    return {"loads": loaded - started, "starts": time.perf_counter() - started}


def _import_explorer() -> None:
    import explorer  # noqa: F401 - timed


def _import_all() -> None:
    import torch  # noqa: F401 - timed
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401 - timed
