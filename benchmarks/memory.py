"""What holding a trace costs in memory: growth of the process against the bytes that the trace refers to."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import fresh
from benchmarks.inputs import random_ids
from benchmarks.measuring import spread
from benchmarks.table import Table, say, size

_FLOAT32 = 4
# Long enough that every library has its buffers, short enough that what it frees is not what a trace needs.
_WARM_UP_TOKENS = 4


def table(quick: bool) -> Table:
    """Growth of resident memory while a trace is held, by length, each in processes of their own."""
    found = Table(
        "Memory while a trace is held",
        "storages: bytes of the distinct storages that the trace refers to, weights not counted. growth: of the\n"
        "process's resident memory from before the trace to while only the trace is kept, in a fresh process.\n"
        "trimmed: the same where glibc's empty pages are given back before both looks; what the allocator keeps for\n"
        "later is no part of the trace. all patterns: what every head's weights would take; a trace keeps none.",
        ("tokens", "storages", "per token", "growth / storages", "trimmed / storages", "all patterns", "rounds"),
    )
    for tokens in (256, 1024) if quick else (256, 1024, 4096):
        rounds = 1 if quick or tokens > 1024 else 3
        say(f"memory of a trace of {tokens} tokens, {2 * rounds} processes")
        usual, trimmed = (
            [fresh.call("memory", "held", tokens=tokens, seed=number, trimmed=trim) for number in range(rounds)]
            for trim in (False, True)
        )
        storages = usual[0]["storages"]
        patterns = size(usual[0]["heads"] * tokens**2 * _FLOAT32)
        ratios = (_ratio(usual), _ratio(trimmed))
        found.add(f"{tokens:,}", size(storages), size(storages / tokens), *ratios, patterns, rounds)
    return found


def _ratio(seen: list[dict[str, int] | None]) -> str:
    known = [one["growth"] / one["storages"] for one in seen if one is not None]
    return spread(known).words() if known else "no glibc"


def held(tokens: int, seed: int, trimmed: bool) -> dict[str, int] | None:
    """Measures one trace in this process, which should be fresh.

    Args:
        tokens: length of the traced ids.
        seed: draws the ids.
        trimmed: whether the allocator's empty pages are given back before both looks.

    Returns:
        Bytes as `growth` and `storages`, and the number of `heads`; None where no pages can be given back.
    """
    import psutil  # type: ignore[import-untyped]

    import explorer

    process = psutil.Process()
    model = explorer.load()
    assert model.anatomy.stack is not None  # the sample's layers are known
    model.trace(random_ids(model.vocabulary, _WARM_UP_TOKENS, "warm-up"))
    ids = random_ids(model.vocabulary, tokens, (tokens, seed))
    if trimmed and not _trim():
        return None
    gc.collect()
    before = process.memory_info().rss
    trace = model.trace(ids)
    gc.collect()
    if trimmed:
        _trim()
    growth = process.memory_info().rss - before
    weights = {tensor.untyped_storage().data_ptr() for tensor in model.hf.state_dict().values()}
    return {
        "growth": growth,
        "storages": storage_bytes(trace, ignored=weights, closed=(explorer.Model,)),
        "heads": sum(model.anatomy.stack.heads),
    }


def _trim() -> bool:
    """Makes the allocator give free pages back to the system; False where it cannot be asked to."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # no glibc, or a system without a C library under that name
        return False
    return True


def storage_bytes(root: object, ignored: set[int] | None = None, closed: tuple[type, ...] = ()) -> int:
    """Bytes of the distinct storages of all tensors that can be reached from `root`; views count once, and whole.

    Args:
        root: an object with attributes, a container or a tensor.
        ignored: addresses of storages that are not counted.
        closed: types that are not looked into.
    """
    storages = {
        storage.data_ptr(): storage.nbytes() for storage in (t.untyped_storage() for t in _tensors(root, closed))
    }
    return sum(count for address, count in storages.items() if address not in (ignored or ()))


def _tensors(root: object, closed: tuple[type, ...]) -> Iterator[Any]:
    import torch

    waiting, seen = [root], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, (*closed, type, str, bytes)):
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += value
        else:
            slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
            waiting += [getattr(value, name) for name in slots if hasattr(value, name)]
            waiting += getattr(value, "__dict__", {}).values()
