"""The two passes that a self-check compares: the model as it is with bare hooks, and the same through the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from explorer.anatomy import Heads, Place
from explorer.attention import AttentionCall
from explorer.capturing import uncaptured
from explorer.edits import Edit
from explorer.hidden_states import hidden_state
from explorer.model import Model
from explorer.recording import evaluating
from explorer.trace import Trace


class _Enough(Exception):  # noqa: N818 - not an error: the rest of the pass is not needed
    def __init__(self, state: Tensor) -> None:
        self.state = state


@dataclass
class Plain:
    """What one plain pass showed, without the engine.

    Attributes:
        answer: logits, last hidden state, or what the pass had when it was ended.
        norms: (input, output) of each norm that was watched.
    """

    answer: Tensor
    norms: list[tuple[Tensor, Tensor]] = field(default_factory=list)


def plain(
    model: Model,
    arguments: dict[str, Tensor],
    *,
    norms: Sequence[str] = (),
    without: tuple[Heads, int] | None = None,
    until: Place | None = None,
) -> Plain:
    """One pass of the model as it is, with bare hooks of its own.

    Args:
        model: the model.
        arguments: for its forward.
        norms: modules whose input and output are kept.
        without: an attention and a head whose part of the output projection's input is set to zero.
        until: the output with which the pass is ended.
    """
    shown: list[tuple[Tensor, Tensor]] = []
    turns = {"projection": -1, "end": -1}

    def keep(_module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and isinstance(output, Tensor):
            shown.append((args[0], output))

    def remove_head(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        assert without is not None
        turns["projection"] += 1
        heads, head = without
        if turns["projection"] != heads.call:
            return None
        given: Tensor = args[0].clone()
        split = given.view(*given.shape[:-1], heads.heads, -1)
        split[..., head, :] = 0.0
        return (given, *args[1:])

    def end(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        assert until is not None
        turns["end"] += 1
        if turns["end"] == until.call:
            raise _Enough(hidden_state(output))

    with ExitStack() as undo:
        undo.enter_context(model.lock)
        undo.enter_context(torch.no_grad())
        undo.enter_context(evaluating(model.hf.modules()))
        undo.enter_context(uncaptured(list(model.hf.modules())))
        for path in norms:
            undo.callback(model.hf.get_submodule(path).register_forward_hook(keep).remove)
        if without is not None and without[0].projection is not None:
            projection = model.hf.get_submodule(without[0].projection)
            undo.callback(projection.register_forward_pre_hook(remove_head).remove)
        if until is not None:
            undo.callback(model.hf.get_submodule(until.path).register_forward_hook(end).remove)
        options = {"use_cache": False} if model.accepts("use_cache") else {}
        try:
            return Plain(answer(model.hf(**arguments, **options)), shown)
        except _Enough as enough:
            return Plain(enough.state, shown)


@dataclass
class Recorded:
    """What one pass through the engine showed.

    Attributes:
        trace: of it.
        calls: its attention calls by prefix.
        answer: as for a plain pass.
    """

    trace: Trace
    calls: Mapping[str, list[AttentionCall]]
    answer: Tensor


def recorded(
    model: Model, given: Mapping[str, Any], edits: Sequence[Edit] = (), record: list[str] | None = None
) -> Recorded:
    """One `model.trace`, and what the model answered in it."""
    shown: list[Any] = []

    def keep(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        shown.append(output)

    with model.lock:
        handle = model.hf.register_forward_hook(keep)
        try:
            trace = model.trace(**given, edits=edits, record=record)
        finally:
            handle.remove()
    answered = trace.logits if model.anatomy.vocabulary is not None and record is None else answer(shown[0])
    return Recorded(trace, trace._recording.attention, answered)


def answer(output: Any) -> Tensor:
    """One tensor that depends on all of a pass."""
    for name in ("logits", "logits_per_image", "last_hidden_state"):
        if isinstance(value := output.get(name), Tensor):
            return value
    return hidden_state([value for value in output.values() if isinstance(value, Tensor)])
