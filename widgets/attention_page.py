"""All heads' weights in a few bytes each, so that a page without a kernel shows any head that is chosen."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import max_pool2d

from explorer import Refused, Trace
from explorer.attention_rows import AttentionRows
from explorer.overview import recorded
from widgets import wire
from widgets.snapshot import PageLimits

# More than this could not be packed in reasonable time or opened in a browser's memory, whatever the page may weigh.
_MOST = 400_000_000


def all_heads(trace: Trace, stack: str, kind: str, limits: PageLimits) -> tuple[dict[str, Any], str]:
    """The weights of every head of a stack, for `carried` in the browser, and how exact they are.

    A weight is a byte: 255 is its head's largest weight, so the error is at most that weight / 510. Where no position
    attends to a later one only what it can attend to is there, key by key, which packs best: neighbouring queries
    often look alike. What each row gives to the first key and what its weights lack to one are half-precision numbers.

    Args:
        trace: what was recorded.
        stack: which stack.
        kind: "attn" or "cross_attn".
        limits: which layers, and the most cells each way.

    Raises:
        Refused: `limits.layers` names a layer without recorded attention, or it would all be too much.
    """
    there, _ = recorded(trace, stack, kind)
    layers = there if limits.layers is None else sorted(set(limits.layers))
    absent = [layer for layer in layers if layer not in there]
    if absent:
        raise Refused(f"layers={list(limits.layers or ())}: there is no attention of layer {absent[0]} to carry.")
    readers = {layer: trace.attention(layer, stack=stack, kind=kind) for layer in layers}
    first = readers[layers[0]]
    longest = max(first.queries, first.keys)
    block = max(1, -(-longest // min(longest, limits.cells or longest)))
    queries, keys = -(-first.queries // block), -(-first.keys // block)
    heads = max(reader.heads for reader in readers.values())
    total = len(layers) * heads * queries * keys
    if total > _MOST:
        raise Refused(
            f"{len(layers)} layers of {heads} heads with {queries} x {keys} weights are {total / 1e6:.0f} million; a "
            f"page holds at most {_MOST / 1e6:.0f} million. Choose some with layers=[...], or pool them with cells=256."
        )
    scale = torch.zeros(len(layers), heads)
    edges = torch.zeros(2, len(layers), heads, first.queries, dtype=torch.float16)
    causal = queries == keys
    maps: list[torch.Tensor] = []
    for place, reader in enumerate(readers.values()):
        pattern, edges[:, place, : reader.heads] = _pooled(reader, block)
        scale[place, : len(pattern)] = pattern.amax(dim=(1, 2))
        unit = pattern / scale[place, : len(pattern), None, None].clamp_min(torch.finfo(torch.float32).tiny)
        levels = torch.zeros(heads, queries, keys, dtype=torch.uint8)
        levels[: len(pattern)] = wire.unit_bytes(unit)
        causal = causal and not levels.triu(1).any()
        maps.append(levels.transpose(1, 2))  # key by key
    by_key, by_query = torch.triu_indices(keys, keys)
    flat = [levels[:, by_key, by_query] if causal else levels.reshape(heads, -1) for levels in maps]
    error = float(scale.max()) / 510
    carried = {
        "stack": stack,
        "kind": kind,
        "layers": layers,
        "heads": heads,
        "row_start": list(range(0, first.queries, block)),
        "col_start": list(range(0, first.keys, block)),
        "block": block,
        "causal": causal,
        "levels": wire.array(torch.stack(flat).reshape(-1)),
        "scale": wire.array(scale.reshape(-1)),
        "first": wire.array(edges[0].reshape(-1)),
        "rest": wire.array(edges[1].reshape(-1)),
        "seen": wire.array(torch.stack([reader.seen() for reader in readers.values()]).reshape(-1)),
        "sinks": [reader.sinks for reader in readers.values()],
        "error": error,
    }
    return {"carried": carried}, f"attention weights to ±{error:.4f} (8 bits for each, its head's largest as 255)"


def _pooled(reader: AttentionRows, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Each cell's largest weight, (head, row, column); (2, head, query): the first key's weight, what lacks to one."""
    found = torch.zeros(reader.heads, -(-reader.queries // block), -(-reader.keys // block))
    edges = torch.zeros(2, reader.heads, reader.queries)
    for start, weights in reader.blocks(range(reader.heads), range(reader.queries), step=block):
        weights = weights.float().nan_to_num(0.0)
        rows = slice(start, start + weights.shape[1])
        edges[0, :, rows] = weights[..., 0].cpu()
        edges[1, :, rows] = (1.0 - weights.sum(dim=-1)).cpu()
        cells = weights if block == 1 else max_pool2d(weights[None], block, ceil_mode=True)[0]
        row = start // block
        found[:, row : row + cells.shape[1], : cells.shape[2]] = cells.cpu()
    return found, edges
