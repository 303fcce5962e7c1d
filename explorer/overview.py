"""Pictures of attention weights in few cells: each holds the largest weight of its block, so that none vanishes.

All heads at a glance are 8 bits deep; part of one layer, down to single weights, is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from explorer.attention_rows import AttentionRows
from explorer.errors import Refused
from explorer.sites import checked_indices, chosen_stack, heads_of

if TYPE_CHECKING:
    from explorer.trace import Trace

# Up to here every row goes into a small map; beyond, so many rows do, evenly spread, each computed exactly.
ALL_ROWS_UP_TO = 512
SAMPLED_ROWS = 64


@dataclass(frozen=True, eq=False)
class Overview:
    """Every head of a stack as a small map.

    Attributes:
        weights: (layer, head, row of cells, column of cells), uint8 on the CPU: 255 times the largest weight of each
            cell, rounded; 0 where a layer has fewer heads, and where a weight is not a number.
        heads: how many heads each layer has; 0 where it has no attention that was recorded.
        queries: which query rows the maps were made from, ascending: all of them, or a sample.
        keys: how many keys there are.
        row_starts: the first query row of each row of cells.
        key_starts: the first key of each column of cells.
        sampled: whether `queries` are a sample.
        not_recorded: layers whose attention is not in the trace.
        not_numbers: layers with weights that are NaN or infinite.
        heads_not_numbers: (layer, head) of each head that holds some.
        max_error: of a weight, by rounding to 8 bits.
    """

    weights: Tensor
    heads: tuple[int, ...]
    queries: tuple[int, ...]
    keys: int
    row_starts: tuple[int, ...]
    key_starts: tuple[int, ...]
    sampled: bool
    not_recorded: tuple[int, ...]
    not_numbers: tuple[int, ...]
    heads_not_numbers: tuple[tuple[int, int], ...] = ()
    max_error: float = 1 / 510

    def __repr__(self) -> str:
        rows = f"{len(self.queries)} query rows{', sampled' if self.sampled else ''}"
        return f"Overview({len(self.heads)} layers, {sum(self.heads)} heads, {rows}, {self.keys} keys)"


@dataclass(frozen=True, eq=False)
class Pooled:
    """Part of a layer's weights in few cells.

    Attributes:
        weights: (head, row of cells, column of cells), float32: the largest weight of each cell; the weights
            themselves where a cell is one query and one key.
        row_starts: the first query of each row of cells.
        key_starts: the first key of each column of cells.
        rows_per_cell: how many queries a cell holds; the last may hold fewer.
        keys_per_cell: how many keys.
        sinks: (head, row of cells), the largest share of a row that the head's learned sink took; None without.
    """

    weights: Tensor
    row_starts: tuple[int, ...]
    key_starts: tuple[int, ...]
    rows_per_cell: int
    keys_per_cell: int
    sinks: Tensor | None

    def __repr__(self) -> str:
        heads, rows, columns = self.weights.shape
        per_cell = f"{self.rows_per_cell} x {self.keys_per_cell} weights each"
        return f"Pooled({heads} heads, {rows} x {columns} cells of {per_cell})"


def overview(trace: Trace, *, stack: str | None = None, kind: str = "attn", text: int = 0, cells: int = 32) -> Overview:
    """Every head of a stack as a map of at most `cells` by `cells` cells.

    Up to 512 query rows all go in; of a longer text 64 rows, evenly spread with the first and the last, each exact.

    Args:
        trace: what was recorded.
        stack: which stack, where the model has several; the decoder or text stack by default.
        kind: "attn" for self-attention, "cross_attn" for cross-attention.
        text: which text of the batch, or which image.
        cells: the most cells each way.

    Raises:
        Refused: no layer's attention can be read, or an argument is out of range.
    """
    _check_cells(cells)
    found = chosen_stack(stack, trace.anatomy)
    there, missing = recorded(trace, stack, kind)
    maps: dict[int, Tensor] = {}
    not_numbers: list[tuple[int, int]] = []
    queries: list[int] = []
    keys = 0
    for layer in there:
        where = trace.attention(layer, stack=stack, kind=kind, text=text)
        queries, keys = sampled_rows(where.queries), where.keys
        maps[layer] = _small(where, queries, cells)
        finite = torch.isfinite(maps[layer]).flatten(1).all(dim=1)
        not_numbers += [(layer, head) for head in (~finite).nonzero()[:, 0].tolist()]
    heads = tuple(maps[layer].shape[0] if layer in maps else 0 for layer in range(len(found.layers)))
    whole = torch.zeros((len(heads), max(heads), *next(iter(maps.values())).shape[1:]), dtype=torch.uint8)
    for layer, one in maps.items():
        whole[layer, : heads[layer]] = _bytes(one)
    return Overview(
        weights=whole,
        heads=heads,
        queries=tuple(queries),
        keys=keys,
        row_starts=tuple(queries[start] for start in _starts(len(queries), cells)),
        key_starts=tuple(_starts(keys, cells)),
        sampled=len(queries) > 0 and len(queries) < where.queries,
        not_recorded=tuple(missing),
        not_numbers=tuple(sorted({layer for layer, _ in not_numbers})),
        heads_not_numbers=tuple(not_numbers),
    )


def pooled(
    where: AttentionRows,
    *,
    heads: Sequence[int] | int | None = None,
    queries: slice | None = None,
    keys: slice | None = None,
    cells: int = 256,
    mean: bool = False,
) -> Pooled:
    """Part of a layer's weights as a map of at most `cells` by `cells` cells, every weight looked at.

    Args:
        where: the attention, as `trace.attention` gives it.
        heads: which heads; None for all.
        queries: which rows, a slice without a step; None for all.
        keys: which keys, likewise.
        cells: the most cells each way.
        mean: the heads' average, in place of each head; of its cells again the largest.

    Raises:
        Refused: an argument is out of range.
    """
    _check_cells(cells)
    chosen = checked_indices("heads", heads, where.heads)
    rows, columns = _span("queries", queries, where.queries), _span("keys", keys, where.keys)
    tall, wide = _size(len(rows), cells), _size(len(columns), cells)
    count = 1 if mean else len(chosen)
    found = torch.zeros(count, -(-len(rows) // tall), -(-len(columns) // wide))
    sinks = torch.zeros(count, found.shape[1]) if where.sinks else None
    for start, block in where.blocks(chosen, rows, step=tall):
        weights = block.float()
        weights = weights.mean(dim=0, keepdim=True) if mean else weights
        first = start // tall
        if sinks is not None:
            taken = 1.0 - weights.sum(dim=-1)
            sinks[:, first : first + -(-taken.shape[1] // tall)] = _pool(taken[..., None], tall, 1)[..., 0].cpu()
        if columns.start < weights.shape[-1]:  # else none of these rows sees so far
            _put(found, _pool(weights[..., columns.start : columns.stop], tall, wide), first)
    return Pooled(
        weights=found,
        row_starts=tuple(rows[start] for start in range(0, len(rows), tall)),
        key_starts=tuple(columns[start] for start in range(0, len(columns), wide)),
        rows_per_cell=tall,
        keys_per_cell=wide,
        sinks=sinks,
    )


def recorded(trace: Trace, stack: str | None, kind: str) -> tuple[list[int], list[int]]:
    """The layers of a stack whose attention weights are in a trace, and those whose are not.

    Raises:
        Refused: there is none in the trace; the sentence says why, and what to record.
    """
    found = chosen_stack(stack, trace.anatomy)
    sites = set(trace.sites())
    attending = [layer for layer, one in enumerate(found.layers) if heads_of(one, kind) is not None]
    there = [layer for layer in attending if f"{found.prefix}layers.{layer}.{kind}.pattern" in sites]
    if not there:
        first = attending[0] if attending else 0
        trace.attention(first, stack=stack, kind=kind)  # says why
        raise Refused(f"{found.prefix}layers.{first}.{kind}.pattern was not recorded.")
    return there, [layer for layer in attending if layer not in there]


def sampled_rows(count: int) -> list[int]:
    """All rows of a short text; of a long one some, evenly spread, the first and the last among them."""
    if count <= ALL_ROWS_UP_TO:
        return list(range(count))
    return [(count - 1) * index // (SAMPLED_ROWS - 1) for index in range(SAMPLED_ROWS)]


def _small(where: AttentionRows, queries: Sequence[int], cells: int) -> Tensor:
    """(head, row of cells, column of cells), float32 on the CPU."""
    tall, wide = _size(len(queries), cells), _size(where.keys, cells)
    found = torch.zeros(where.heads, -(-len(queries) // tall), -(-where.keys // wide))
    for start, block in where.blocks(range(where.heads), queries, step=tall):
        _put(found, _pool(block, tall, wide), start // tall)
    return found


def _put(found: Tensor, block: Tensor, first: int) -> None:
    found[:, first : first + block.shape[1], : block.shape[2]] = block.cpu()


def _pool(weights: Tensor, tall: int, wide: int) -> Tensor:
    """The largest of each block of (head, query, key); a NaN makes its block NaN. The last blocks may be smaller."""
    return weights if tall == wide == 1 else max_pool2d(weights[None], (tall, wide), ceil_mode=True)[0]


def _bytes(weights: Tensor) -> Tensor:
    return (weights.nan_to_num(0.0, 0.0, 0.0).clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


def _size(length: int, cells: int) -> int:
    return max(1, -(-length // cells))


def _starts(length: int, cells: int) -> list[int]:
    return list(range(0, length, _size(length, cells)))


def _span(name: str, chosen: slice | None, count: int) -> range:
    if chosen is not None and not isinstance(chosen, slice):
        raise TypeError(f"{name}={chosen!r} is a {type(chosen).__name__}; a slice or None is needed.")
    span = range(count) if chosen is None else range(count)[chosen]
    if not span or span.step != 1:
        raise Refused(f"{name}={chosen!r} chooses no run of positions; there are {count} (0 to {count - 1}).")
    return span


def _check_cells(cells: int) -> None:
    if isinstance(cells, bool) or not isinstance(cells, int) or cells < 1:
        raise Refused(f"cells={cells!r} is not a whole number of at least 1.")
