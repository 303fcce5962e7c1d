"""Attention by what it moves: the length of weight x value x output projection.

After Kobayashi et al. 2020 ("Attention is Not Only a Weight: Analyzing Transformers with Vector Norms"): a head adds
to the stream the sum over keys of weight x f(key), where f takes the key's value, its bias in it, through the head's
part of the output projection. A large weight on a key whose f is nearly zero moves nothing. The projection's own bias
belongs to no key and is left out. Where a gate stands between the mixed values and the projection, f has the query's
gate in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from explorer.anatomy import Heads
from explorer.control import checkpoint
from explorer.errors import Refused
from explorer.sites import checked_indices, matching

if TYPE_CHECKING:
    from explorer.trace import Trace

# Numbers at a time, where each query has a gate of its own.
_AT_ONCE = 4_000_000


def norm_weighted(
    trace: Trace,
    layer: int,
    *,
    heads: Sequence[int] | int | None = None,
    queries: Sequence[int] | slice | int | None = None,
    stack: str | None = None,
    kind: str = "attn",
) -> Tensor:
    """The length of what each head moves from each key to each query, (batch, head, query, key), float32.

    In the units of the residual stream, as `attn.head_out` has them: before a norm or multiplier that follows the
    output projection. Over the keys, the moved vectors (not their lengths) sum to `attn.head_out`.

    Args:
        trace: what was recorded.
        layer: which layer.
        heads: head indices; None for all.
        queries: query positions as a list, one int or a slice.
        stack: which stack, where the model has several; the decoder or text stack by default.
        kind: "attn" for self-attention, "cross_attn" for cross-attention.

    Raises:
        Refused: an index is out of range; the family gives weights but no values; or an edit changed what heads gave
            after weights and values were mixed, so that it is no sum over keys.
    """
    site, attention = trace.head_site(layer, stack=stack, kind=kind)
    prefix = site.rpartition(".")[0]
    if attention.how == "replay":
        raise Refused(f"{prefix}: this family gives its attention weights, but not its values, so nothing is moved.")
    for edit in trace.edits:
        if any(changed.address in (f"{prefix}.z", site) for changed in matching(edit.site, trace.anatomy)):
            raise Refused(f"{edit!r} changes what these heads gave after they mixed the values; leave it out.")
    chosen = checked_indices("heads", heads, attention.heads)
    pattern = trace.pattern(layer, heads=chosen, queries=queries, stack=stack, kind=kind).float()
    wide = torch.double if pattern.device.type != "mps" else torch.float
    parts = _projections(trace, attention, chosen, f"{prefix}.z").to(pattern.device, wide)
    values = trace[f"{prefix}.v"].to(wide)  # (batch, key, key-value head, width)
    group = attention.heads // values.shape[2]
    gates = trace.gates(layer, stack=stack, kind=kind)
    for number, head in enumerate(chosen):
        checkpoint()
        value = values[:, :, head // group]
        if gates is None:
            length = torch.matmul(value, parts[number]).norm(dim=-1)[:, None]
        else:
            rows = checked_indices("queries", queries, gates.shape[1])
            length = _gated(value, parts[number], gates[:, rows, head].to(wide), pattern[:, number])
        pattern[:, number] = pattern[:, number].abs() * length
    return pattern


def _projections(trace: Trace, attention: Heads, chosen: Sequence[int], z: str) -> Tensor:
    """(head, value width, width of the stream): the output projection, each head's part of it."""
    like = trace[z]
    units = torch.eye(attention.value_width, dtype=like.dtype, device=like.device)
    return trace.head_parts(attention, units.repeat(1, attention.heads)[None], chosen)[0].transpose(0, 1)


def _gated(value: Tensor, projection: Tensor, gate: Tensor, weights: Tensor) -> Tensor:
    """(batch, query, key): lengths of what keys' values become behind each query's gate.

    Args:
        value: (batch, key, width).
        projection: (width, width of the stream).
        gate: (batch, query, width), NaN where it cannot be told.
        weights: (batch, query, key).
    """
    if bool((gate.isnan().any(dim=-1) & (weights != 0).any(dim=-1)).any()):
        raise Refused("a gate cannot be told where the mixed values are exactly 0, so what is moved cannot either.")
    gate = gate.nan_to_num(0.0)
    found = torch.zeros_like(weights, dtype=value.dtype)
    gram = projection @ projection.T
    step = max(1, _AT_ONCE // (value.shape[1] * value.shape[2]))
    for text in range(len(value)):
        for start in range(0, gate.shape[1], step):
            some = gate[text, start : start + step]
            through = some[:, :, None] * gram * some[:, None, :]  # (query, width, width)
            squares = (torch.matmul(value[text], through) * value[text]).sum(dim=-1)
            found[text, start : start + step] = squares.clamp(min=0.0).sqrt()
    return found
