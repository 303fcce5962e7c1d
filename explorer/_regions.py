"""Where in a site's value an edit acts, and how values from elsewhere are brought there.

A pass over a cache sees only the positions after those the cache holds. Edits name positions of the whole text, so
every axis along the text has a first index here, counted from the text's beginning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from explorer.errors import Refused

Indices = tuple[int, ...] | None


@dataclass(frozen=True)
class Span:
    """What a pass sees of the text.

    Attributes:
        offset: how many positions were read before it (a cache holds them).
        growing: whether the text goes on after it, so that positions it does not reach are no mistake.
    """

    offset: int = 0
    growing: bool = False


def position_axis(site: str) -> int:
    """Which axis, from the end, runs along the text: queries where there are keys, the positions of all else."""
    return -3 if site.endswith((".q", ".k", ".v", ".z", ".head_out")) else -2


def is_pattern(site: str) -> bool:
    return site.endswith(".pattern")


def is_scores(site: str) -> bool:
    return site.endswith(".scores")


def has_keys(site: str) -> bool:
    """Whether the last axis runs along the text as well: (batch, head, query, key)."""
    return is_pattern(site) or is_scores(site)


def is_weights(site: str) -> bool:
    return site.endswith("router.weights")


def first_position(before: Tensor, site: str, span: Span) -> int:
    """The position of the first row along the text.

    Attention sees the keys and values of the cache with those of the pass, so theirs begin with the text; in a
    layer with a sliding window with the oldest position that its cache still holds.
    """
    if site.endswith((".cross_attn.k", ".cross_attn.v")):
        return 0
    if site.endswith((".k", ".v")):
        return max(0, span.offset + 1 - before.shape[1])
    return span.offset


def first_key(before: Tensor, span: Span) -> int:
    """The position of the first key of a pattern or of scores."""
    return max(0, span.offset + before.shape[2] - before.shape[3]) if span.offset else 0


def region(edit: Any, before: Tensor, site: str, span: Span) -> Tensor | None:
    """True where the edit acts, broadcastable to the site's value; None for everywhere.

    Raises:
        Refused: an index is out of range, or the site has no such axis.
    """
    if edit.heads is not None and before.dim() != 4:
        raise Refused(f"heads={edit.heads} has no meaning at {site}, which is not split into heads.")
    if edit.experts is not None and not is_weights(site):
        raise Refused(
            f"experts={edit.experts} has no meaning at {site}; router.weights of a layer is where experts are edited."
        )
    if edit.neurons is not None and is_weights(site):
        raise Refused(f"neurons={edit.neurons} has no meaning at {site}, which holds experts; name them with experts=.")
    heads = 1 if has_keys(site) else 2
    axes = {"heads": (heads, 0), "positions": (before.dim() + position_axis(site), first_position(before, site, span))}
    axes["neurons"] = (before.dim() - 1, first_key(before, span) if has_keys(site) else 0)
    axes["experts"] = (before.dim() - 1, 0)
    mask: Tensor | None = None
    for name, (axis, first) in axes.items():
        chosen: Indices = getattr(edit, name)
        if chosen is None:
            continue
        size = before.shape[axis]
        along_text = name == "positions" or (name == "neurons" and has_keys(site))
        if max(chosen) >= first + size and not (along_text and (span.growing or span.offset)):
            raise Refused(f"{name}={chosen} is out of range at {site}: allowed are 0 to {size - 1}.")
        here = torch.zeros(size, dtype=torch.bool, device=before.device)
        here[[index - first for index in chosen if 0 <= index - first < size]] = True
        shape = [1] * before.dim()
        shape[axis] = size
        mask = here.view(shape) if mask is None else mask & here.view(shape)
    return mask


def from_source(source: Any, before: Tensor, site: str, span: Span, positions: Indices, name: str) -> Tensor:
    """Values of a trace or a tensor, brought to the shape of `before`; row p of the text goes to row p.

    Raises:
        Refused: the shapes do not fit, or the texts differ in length and no positions say what belongs where.
    """
    if isinstance(source, Tensor):
        values, what = source.detach(), "a tensor"
    else:
        values, what = _whole(source, source[site], site, positions, name), "a trace"
    values = values.to(before)
    axis = position_axis(site)
    if values.dim() >= -axis and values.shape[axis] != 1:
        rows, first = before.shape[axis], first_position(before, site, span)
        if positions is None and values.shape[axis] != first + rows:
            raise Refused(
                f"{name} is {what} of {values.shape[axis]} positions and this pass has {first + rows} at {site}; "
                "patching needs texts of the same length. Make them equally long (trace.tokens shows how each text "
                "is split), or name positions= that both have: position p then gets the value of position p."
            )
        if positions is not None:
            if max(positions) >= values.shape[axis]:
                raise Refused(
                    f"{name} is {what} of {values.shape[axis]} positions and positions={positions} asks for more at "
                    f"{site}; allowed are 0 to {values.shape[axis] - 1}."
                )
            kept = torch.arange(first, first + rows, device=values.device).clamp(max=values.shape[axis] - 1)
            values = values.index_select(values.dim() + axis, kept)
    return broadcast(values, before, site, name)


def _whole(trace: Any, values: Tensor, site: str, positions: Indices, name: str) -> Tensor:
    """A trace's values with row p for position p, also where it kept some positions only."""
    if trace.positions is None:
        return values
    if positions is None or not set(positions) <= set(trace.positions):
        raise Refused(
            f"{name} is a trace that kept positions {trace.positions} only; name positions= of the edit at {site} "
            "among these."
        )
    axis = values.dim() + position_axis(site)
    rows = torch.tensor(trace.positions, device=values.device)
    shape = list(values.shape)
    shape[axis] = max(trace.positions) + 1
    return values.new_zeros(shape).index_copy(axis, rows, values)


def broadcast(values: Tensor, before: Tensor, site: str, name: str) -> Tensor:
    """Values in the shape of `before`.

    Raises:
        Refused: they do not fit.
    """
    try:
        return values.expand_as(before)
    except RuntimeError:
        raise Refused(
            f"{name} has the shape {tuple(values.shape)}, which does not fit {site}: {tuple(before.shape)}."
        ) from None


def checked_source(source: Any, name: str, site: str, also: str = "") -> Any:
    """A trace as it is, or a copy of a tensor, so that an edit stays what it was.

    Raises:
        TypeError: it is neither.
    """
    from explorer.trace import Trace

    if isinstance(source, Tensor):
        return source.detach().clone()
    if isinstance(source, Trace):
        return source
    raise TypeError(f"{name} of an edit at {site} is a {type(source).__name__}; {also}a trace or a tensor is needed.")


def indices(name: str, chosen: Any, site: str) -> Indices:
    """Whole numbers from 0, each once.

    Raises:
        Refused: something else is given.
    """
    if chosen is None:
        return None
    several = isinstance(chosen, Sequence | range) or hasattr(chosen, "tolist")
    listed = chosen if several and not isinstance(chosen, str) else (chosen,)
    listed = listed.tolist() if hasattr(listed, "tolist") else listed
    found = tuple(listed) if isinstance(listed, Sequence) else (listed,)
    for index in found:
        if isinstance(index, bool) or not isinstance(index, Integral) or index < 0:
            raise Refused(f"{name}={chosen!r} of an edit at {site} holds {index!r}; use whole numbers from 0.")
    if not found or len(set(found)) < len(found):
        raise Refused(f"{name}={chosen!r} of an edit at {site} must hold one or more different indices.")
    return tuple(int(index) for index in found)


def number(name: str, value: Any) -> float:
    """A finite number.

    Raises:
        Refused: something else is given.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(float(value)):
            return float(value)
    except OverflowError:
        pass
    raise Refused(f"{name}={value!r} is not a finite number.")


def described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype} on {value.device}"
    return f"a {type(value).__name__}"


def check_growing(edit: Any, source: Any, name: str) -> None:
    """Refuses a source with one value for each position: it has none for those that are yet to be written."""
    axis = position_axis(edit.site)
    per_position = not isinstance(source, Tensor) or (source.dim() >= -axis and source.shape[axis] != 1)
    if per_position and edit.positions is None:
        raise Refused(
            f"{name} of {edit!r} has a value for each position of one text, and a text that is being written grows; "
            "name positions=, or give one value for all positions."
        )


def shown_value(value: Any) -> str:
    return f"tensor{tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


def equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return not isinstance(one, Tensor) and not isinstance(other, Tensor) and bool(one == other)
    alike = (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)
    return alike and torch.equal(one, other)
