"""All heads' weights in a few bytes each, so that a page without a kernel shows any head that is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from explorer import Refused, Trace
from explorer.anatomy import Stack
from widgets import wire
from widgets.snapshot import PageLimits

# More than this could not be packed in reasonable time or opened in a browser's memory, whatever the page may weigh.
_MOST = 400_000_000


def all_heads(trace: Trace, stack: Stack, missing: Sequence[int], limits: PageLimits) -> tuple[dict[str, Any], str]:
    """The weights of every head, for `carried` in the browser, and how exact they are.

    A weight is a byte: 255 is its head's largest weight, so the error is at most that weight / 510. Where no position
    attends to a later one only what it can attend to is there, key by key, which packs best: neighbouring queries
    often look alike.

    Raises:
        Refused: `limits.layers` names a layer without recorded attention, or it would all be too much.
    """
    recorded = [layer for layer, heads in enumerate(stack.heads) if heads and layer not in missing]
    layers = recorded if limits.layers is None else sorted(set(limits.layers))
    absent = [layer for layer in layers if layer not in recorded]
    if absent:
        raise Refused(f"layers={list(limits.layers or ())}: there is no attention of layer {absent[0]} to carry.")
    length = len(trace)
    starts = wire.block_starts(length, min(length, limits.cells or length))
    side = len(starts)
    heads = max(stack.heads)
    total = len(layers) * heads * side * side
    if total > _MOST:
        raise Refused(
            f"{len(layers)} layers of {heads} heads with {side} x {side} weights are {total / 1e6:.0f} million; a page "
            f"holds at most {_MOST / 1e6:.0f} million. Choose some with layers=[...], or pool them with cells=256."
        )
    block = starts[1] - starts[0] if side > 1 else 1
    scale = torch.zeros(len(layers), heads)
    causal = True
    maps: list[torch.Tensor] = []
    for place, layer in enumerate(layers):
        pattern = _pooled(trace.pattern(layer)[0], side).nan_to_num(0.0).cpu()
        scale[place, : len(pattern)] = pattern.amax(dim=(1, 2))
        unit = pattern / scale[place, : len(pattern), None, None].clamp_min(torch.finfo(torch.float32).tiny)
        levels = torch.zeros(heads, side, side, dtype=torch.uint8)
        levels[: len(pattern)] = wire.unit_bytes(unit)
        causal = causal and not levels.triu(1).any()
        maps.append(levels.transpose(1, 2))  # key by key
    keys, queries = torch.triu_indices(side, side)
    flat = [levels[:, keys, queries] if causal else levels.reshape(heads, -1) for levels in maps]
    error = float(scale.max()) / 510
    carried = {
        "layers": layers,
        "heads": heads,
        "row_start": starts,
        "block": block,
        "causal": causal,
        "levels": wire.array(torch.stack(flat).reshape(-1)),
        "scale": wire.array(scale.reshape(-1)),
        "error": error,
    }
    return {"carried": carried}, f"attention weights to ±{error:.4f} (8 bits for each, its head's largest as 255)"


def _pooled(pattern: torch.Tensor, side: int) -> torch.Tensor:
    """The largest weight of each block of positions, both ways; (heads, side, side)."""
    by_key = wire.pool_last(pattern.float(), side)
    return wire.pool_last(by_key.transpose(1, 2), side).transpose(1, 2)
