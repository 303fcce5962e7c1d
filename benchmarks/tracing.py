"""What recording a pass costs in time: `model.trace` in turns with a plain pass and with bare hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

import explorer
from benchmarks import memory, patterns
from benchmarks.inputs import random_ids
from benchmarks.measuring import in_turns, paired, spread
from benchmarks.table import Table, say

_LENGTHS = (64, 256, 1024)
# Passes over long texts take seconds and vary less.
_LONG = 1024


def tables(quick: bool) -> Iterator[Table]:
    """Speed, memory and late patterns of traces of the sample."""
    model = explorer.load()
    yield speed(model, quick)
    yield patterns.table(model, quick)
    del model
    yield memory.table(quick)


def speed(model: explorer.Model, quick: bool) -> Table:
    """Seconds of a trace against those of plain passes, by length."""
    found = Table(
        f"Tracing {model.name}",
        "trace: model.trace(ids), which keeps residuals, q, k, v and z of every layer and projects the last position\n"
        "to the vocabulary. plain: model.hf(ids) without gradients or cache, all positions projected.\n"
        "hooks: the plain pass with bare forward hooks that keep each layer's output and what its attention projects.\n"
        "plain, last: the plain pass that projects the last position only. In turns, new ids each round.",
        ("tokens", "plain, s", "trace, s", "trace / plain", "trace / hooks", "trace / plain, last", "rounds"),
    )
    ways = _ways(model)
    for tokens in _LENGTHS:
        rounds = (3 if quick else 5) if tokens >= _LONG else (7 if quick else 15)
        say(f"tracing {tokens} tokens, {rounds} rounds")
        taken = in_turns(ways, _inputs(model, tokens), rounds)
        ratios = [paired(taken["trace"], taken[name]).words() for name in ("plain", "hooks", "last")]
        plain, trace = spread(taken["plain"]), spread(taken["trace"])
        found.add(tokens, plain.words(3), trace.words(3), *ratios, rounds)
    return found


def _inputs(model: explorer.Model, tokens: int) -> Callable[[int], Tensor]:
    return lambda number: torch.tensor([random_ids(model.vocabulary, tokens, (tokens, number))])


def _ways(model: explorer.Model) -> dict[str, Callable[[Tensor], object]]:
    @torch.no_grad()
    def plain(ids: Tensor, **options: Any) -> Any:
        return model.hf(input_ids=ids, use_cache=False, **options)

    return {
        "trace": model.trace,
        "plain": plain,
        "hooks": lambda ids: _hooked(model, lambda: plain(ids)),
        "last": lambda ids: plain(ids, logits_to_keep=1),
    }


def _hooked(model: explorer.Model, run: Callable[[], Any]) -> Any:
    """A pass with hooks as one would write them by hand, and what they kept."""
    stack = model.anatomy.stack
    assert stack is not None  # the sample's layers are known
    kept: dict[str, Any] = {}
    with ExitStack() as undo:

        def keep(path: str, module: nn.Module) -> None:
            def after(_module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
                kept[path] = (args[0] if args else None, output)

            undo.callback(module.register_forward_hook(after).remove)

        for layer in stack.layers:
            keep(layer.path, model.hf.get_submodule(layer.path))
            assert layer.attn is not None  # every layer of the sample has attention
            for name, module in model.hf.get_submodule(layer.attn.path).named_modules():
                if isinstance(module, nn.Linear):
                    keep(f"{layer.attn.path}.{name}", module)
        return run(), kept
