"""Finding a model's parts by looking at one short pass: who was called, with what, and what adds up.

Every module's call is written down with copies of what went in and came out. A run of layers is a list of modules
whose calls hand the hidden state on from one to the next. Within a layer the parts are found by arithmetic: what
attention and the MLP add are those module outputs that, added to the residual stream, give exactly what the next
part received. Nothing is taken from names; what does not add up is not claimed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from explorer.adapters import wrapped, wrappers

# Of the largest entry of a sum; rounding in the model's own dtype comes on top.
_TOLERANCE = 2e-4


@dataclass
class Call:
    """One call of one module.

    Attributes:
        path: of the module.
        start: when it began, in the order of all beginnings and endings.
        end: when it ended.
        given: the hidden state that went in, a copy; None where none did.
        gave: the hidden state that came out, a copy; None where none did.
        weights: a (batch, head, query, key) tensor among what came out, or None.
        overwritten: whether a later part changed what came out in place, so that it must be copied to be kept.
        leaf: whether it has a weight matrix of its own and no parts.
        received: what went in, positional and keyword arguments with copies of tensors, where a table of whole
            numbers is among it, as a mixture's experts are given; else None.
        flat: whether what went in had batch and position on one axis.
    """

    path: str
    start: int
    end: int = -1
    given: Tensor | None = None
    gave: Tensor | None = None
    weights: Tensor | None = None
    overwritten: bool = False
    leaf: bool = False
    received: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    flat: bool = False

    @property
    def single(self) -> bool:
        """Whether no other module was called inside it, as in a norm."""
        return self.end == self.start + 1

    def holds(self, other: Call) -> bool:
        """Whether `other` happened inside this call, or is it."""
        return self.start <= other.start and other.end <= self.end


@contextmanager
def watching(model: nn.Module, lengths: Collection[int]) -> Iterator[list[Call]]:
    """Writes down every module's call inside the block, in order of their beginnings.

    Args:
        model: the model.
        lengths: how many positions its texts and images have in the pass that will run, which is of one text.
    """
    calls: list[Call] = []
    running: list[Call] = []
    originals: list[tuple[Call, Tensor]] = []
    clock = iter(range(1 << 60))

    def before(path: str, leaf: bool) -> Any:
        def hook(_module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            values = (*args, *keywords.values())
            found = _hidden(values, lengths)
            call = Call(path, next(clock), given=_copy(found), leaf=leaf, flat=found is not None and found.dim() == 2)
            if any(isinstance(value, Tensor) and value.dim() == 2 and _is_whole(value) for value in values):
                call.received = tuple(map(_kept, args)), {name: _kept(value) for name, value in keywords.items()}
            calls.append(call)
            running.append(call)

        return hook

    def after(_module: nn.Module, _args: Any, _keywords: Any, output: Any) -> None:
        call = running.pop()
        call.end = next(clock)
        values = tuple(output.values()) if isinstance(output, Mapping) else output
        values = values if isinstance(values, tuple | list) else (values,)
        original = _hidden(values, lengths)
        call.gave = _copy(original)
        if original is not None:
            originals.append((call, original))
        call.weights = next((_copy(value) for value in values[1:] if is_pattern(value)), None)

    with ExitStack() as undo:
        adapted = wrappers(model)
        for path, module in model.named_modules():
            if any(path.startswith(f"{outer}.") for outer in adapted):
                continue  # a module with its adapters is one part: what lies inside differs with the adapter
            core = wrapped(module)
            weight = getattr(core, "weight", None)
            leaf = not list(core.children()) and isinstance(weight, Tensor) and weight.dim() == 2
            undo.callback(module.register_forward_pre_hook(before(path, leaf), with_kwargs=True).remove)
            undo.callback(module.register_forward_hook(after, with_kwargs=True).remove)
        yield calls
    for call, original in originals:
        call.overwritten = not torch.equal(original.nan_to_num(), call.gave.reshape(original.shape).nan_to_num())  # type: ignore[union-attr]


def _hidden(values: Any, lengths: Collection[int]) -> Tensor | None:
    """The first (batch, position, width) tensor; some parts see batch and position as one axis, of one text."""
    for value in values:
        if isinstance(value, Tensor) and value.is_floating_point():
            if value.dim() == 3:
                return value
            if value.dim() == 2 and value.shape[0] in lengths:
                return value
    return None


def _copy(value: Tensor | None) -> Tensor | None:
    if value is None:
        return None
    copied = value.detach().clone()
    return copied[None] if copied.dim() == 2 else copied


def _is_whole(value: Tensor) -> bool:
    return value.dtype in (torch.int32, torch.int64)


def _kept(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def is_pattern(value: Any) -> bool:
    """Whether a value looks like attention weights: (batch, head, query, key), not negative, rows up to one."""
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.dim() == 4
        and value.shape[2] <= value.shape[3]
        and bool((value >= 0).all())
        and bool((value.sum(-1) <= 1.01).all())
    )


@dataclass
class Run:
    """A list of modules whose calls hand the hidden state on.

    Attributes:
        path: of the list.
        calls: one for each layer, in order of depth; a module that is shared across depth occurs several times.
        linked: whether each layer receives exactly what the one before it gave.
    """

    path: str
    calls: list[Call]
    linked: bool


def runs(model: nn.Module, calls: list[Call]) -> list[Run]:
    """The model's runs of layers, in the order in which they were called."""
    lists = [path for path, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module)]
    found: list[Run] = []
    for path in lists:
        if any(path.startswith(f"{other.path}.") for other in found):
            continue  # a list inside a layer holds parts of that layer
        element = re.compile(re.escape(path) + r"\.\d+")
        inside = [call for call in calls if element.fullmatch(call.path) and _same_width(call)]
        if not inside or not any(other is not call and call.holds(other) for call in inside for other in calls):
            continue
        for times in _apart(path, inside, calls):
            links = [close(b.given, a.gave) for a, b in pairwise(times)]
            if len(times) > 1 and not any(links):
                continue  # parallel branches or experts, not a run
            found.append(Run(path, times, all(links)))
    return sorted(found, key=lambda run: run.calls[0].start)


def _apart(path: str, inside: list[Call], calls: list[Call]) -> list[list[Call]]:
    """The calls of a list's modules, one group for each call of a module that holds the whole list.

    A tower that reads two images one after the other is called twice, and neither call is a part of the other's
    depth. Layers that are gone through again inside one call (weights shared across depth) stay one group.
    """
    parents = [path.rsplit(".", depth)[0] for depth in range(1, path.count(".") + 1)]
    for parent in parents:
        holding = [call for call in calls if call.path == parent]
        groups = [[call for call in inside if whole.holds(call)] for whole in holding]
        apart = len(groups) > 1 and sum(map(len, groups)) == len(inside) and all(groups)
        if not apart or len({tuple(call.path for call in group) for group in groups}) > 1:
            continue
        if not any(close(after[0].given, before[-1].gave) for before, after in pairwise(groups)):
            return groups
    return [inside]


def _same_width(call: Call) -> bool:
    return call.given is not None and call.gave is not None and call.given.shape == call.gave.shape


def close(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two tensors are equal up to the rounding of their dtype."""
    if a is None or b is None or a.shape != b.shape:
        return False
    scale = float(torch.maximum(a.abs().max(), b.abs().max()))
    return float((a.float() - b.float()).abs().max()) <= _tolerance(a) * max(scale, 1e-12)


def _tolerance(tensor: Tensor) -> float:
    return max(_TOLERANCE, 8 * torch.finfo(tensor.dtype).eps)


@dataclass
class Addition:
    """Something a part adds to the residual stream.

    Attributes:
        call: the module call whose output is added.
        factor: what the output is multiplied with on the way.
        seen: the call that shows the sum, by receiving it (`received`) or returning it; None where only the
            layer's own output shows it.
        received: whether `seen` receives the sum.
        norm: the call of a norm that follows the addition inside the stream (post-norm), or None.
    """

    call: Call
    factor: float
    seen: Call | None
    received: bool = False
    norm: Call | None = None


def additions(layer: Call, calls: list[Call]) -> list[Addition] | None:
    """How a layer gets from its input to its output by additions; None when that cannot be shown.

    One to three additions in a row are found, each seen by a later part, or two at once (parallel blocks).
    """
    inside = [call for call in calls if layer.holds(call) and call is not layer]
    assert layer.given is not None
    assert layer.gave is not None  # a run's layers have both
    for depth in (1, 2, 3):
        chain = _chain(layer.given, layer.start, layer.gave, inside, depth)
        if chain is not None:
            return chain
    return _parallel(layer.given, layer.gave, inside)


def _chain(state: Tensor, since: int, goal: Tensor, inside: list[Call], depth: int) -> list[Addition] | None:
    if depth == 0:
        return None
    for call in _outermost(call for call in inside if call.start > since and call.gave is not None):
        factor = _factor(state, goal, call.gave)
        if factor is not None and depth == 1:
            return [Addition(call, factor, None)]
        for seen, received in _sums(state, call, inside):
            sum_ = seen.given if received else seen.gave
            factor = _factor(state, sum_, call.gave)
            assert factor is not None
            assert sum_ is not None
            in_stream = received and seen.single and not seen.leaf  # a norm that the stream goes through
            if depth == 1:
                if in_stream and close(seen.gave, goal):
                    return [Addition(call, factor, seen, received, norm=seen)]
                continue
            rest = _chain(sum_, call.end, goal, inside, depth - 1)
            if rest is not None:
                return [Addition(call, factor, seen, received), *rest]
            if in_stream and seen.gave is not None and seen.gave.shape == goal.shape:
                rest = _chain(seen.gave, seen.end, goal, inside, depth - 1)
                if rest is not None:
                    return [Addition(call, factor, seen, received, norm=seen), *rest]
    return None


def _sums(state: Tensor, call: Call, inside: list[Call]) -> Iterator[tuple[Call, bool]]:
    """Calls that receive or return the state plus what `call` gave, earliest first."""
    for other in inside:
        if other.start > call.end and _factor(state, other.given, call.gave) is not None:
            yield other, True
        elif other is not call and other.holds(call) and _factor(state, other.gave, call.gave) is not None:
            yield other, False


def _parallel(given: Tensor, gave: Tensor, inside: list[Call]) -> list[Addition] | None:
    candidates = _outermost(call for call in inside if call.gave is not None and call.gave.shape == given.shape)
    for i, first in enumerate(candidates):
        for second in candidates[i + 1 :]:
            if first.holds(second) or second.holds(first):
                continue
            assert first.gave is not None
            if _factor(given + first.gave, gave, second.gave) == 1.0:
                return [Addition(first, 1.0, None), Addition(second, 1.0, None)]
    return None


def _outermost(calls: Iterator[Call]) -> list[Call]:
    """One call for each distinct output, the outermost, in order; an inner one may only pass through it."""
    kept: list[Call] = []
    for call in sorted(calls, key=lambda call: (call.start, -call.end)):
        if not any(close(call.gave, other.gave) for other in kept):
            kept.append(call)
    return kept


def _factor(before: Tensor | None, after: Tensor | None, added: Tensor | None) -> float | None:
    """The one number f with after = before + f * added, or None where there is none."""
    if before is None or after is None or added is None or not before.shape == after.shape == added.shape:
        return None
    difference, part = (after.double() - before.double()).flatten(), added.double().flatten()
    square = float(part @ part)
    if square == 0.0:
        return None
    factor = float(difference @ part) / square
    scale = float(torch.maximum(before.abs().max(), after.abs().max()))
    off = float((difference - factor * part).abs().max())
    if off > _tolerance(before) * scale or abs(factor) * float(part.abs().max()) < 4 * off:
        return None
    return 1.0 if abs(factor - 1.0) < 1e-3 else factor
