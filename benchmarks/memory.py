"""What holding a trace costs in memory: growth of the process against the bytes that the trace refers to."""

from __future__ import annotations

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


def tables(quick: bool) -> Iterator[Table]:
    """Growth of resident memory while a trace is held and after it, by length, each in processes of their own."""
    found = Table(
        "Memory while a trace is held",
        "storages: bytes of the distinct storages that the trace refers to, weights not counted. growth: of the\n"
        "process's resident memory from before the trace to while only the trace is kept, in a fresh process; below 1\n"
        "where part of it went into pages that loading had left free. left: growth when the trace is dropped as well.\n"
        "all patterns: what every head's weights would take; a trace keeps none.",
        ("tokens", "storages", "per token", "growth / storages", "left, MB", "all patterns", "rounds"),
    )
    for tokens in (64, 256, 1024) if quick else (64, 256, 1024, 4096):
        rounds = 1 if quick or tokens > 1024 else 3
        say(f"memory of a trace of {tokens} tokens, {rounds} processes")
        seen = [fresh.call("memory", "held", tokens=tokens, seed=number) for number in range(rounds)]
        storages = seen[0]["storages"]
        growth = spread([one["growth"] / one["storages"] for one in seen]).words()
        left = spread([one["left"] / 1e6 for one in seen]).words(0)
        patterns = size(seen[0]["heads"] * tokens**2 * _FLOAT32)
        found.add(f"{tokens:,}", size(storages), size(storages / tokens), growth, left, patterns, rounds)
    yield found


def held(tokens: int, seed: int) -> dict[str, int]:
    """Measures one trace in this process, which should be fresh.

    Args:
        tokens: length of the traced ids.
        seed: draws the ids.

    Returns:
        Bytes as `growth`, `left` and `storages`, and the number of `heads`.
    """
    import explorer

    model = explorer.load()
    assert model.anatomy.stack is not None  # the sample's layers are known
    model.trace(random_ids(model.vocabulary, _WARM_UP_TOKENS, "warm-up"))
    ids = random_ids(model.vocabulary, tokens, (tokens, seed))
    before = resident()
    trace = model.trace(ids)
    growth = resident() - before
    weights = {tensor.untyped_storage().data_ptr() for tensor in model.hf.state_dict().values()}
    storages = storage_bytes(trace, ignored=weights, closed=(explorer.Model,))
    del trace
    return {
        "growth": growth,
        "left": resident() - before,
        "storages": storages,
        "heads": sum(model.anatomy.stack.heads),
    }


def resident() -> int:
    """Bytes of this process's resident memory, when what nobody refers to is gone."""
    import psutil  # type: ignore[import-untyped]

    gc.collect()
    return int(psutil.Process().memory_info().rss)


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
