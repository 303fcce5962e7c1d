"""The map of the chosen heads that is shown large."""

from __future__ import annotations

from typing import Any

from explorer.attention_rows import AttentionRows
from widgets import attention_parts, wire

# A matrix of this many cells each way fills a screen; a longer prompt is shown in blocks.
_CELLS = 256


def whole_map(where: AttentionRows, heads: list[int], combine: str, hide_sink: bool) -> dict[str, Any]:
    """The weights of some heads together in at most 256 x 256 cells, as the browser's `Matrix` without its layer.

    Args:
        where: the attention.
        heads: which heads.
        combine: what several become: their "mean" or, weight by weight, the "max".
        hide_sink: leave the first key out of cells that hold others as well.

    Raises:
        Cancelled: a newer request came.
    """
    queries, keys = range(where.queries), range(where.keys)
    block = max(1, -(-max(where.queries, where.keys) // _CELLS))
    largest = combine == "max"
    found = attention_parts.part(where, heads, queries, keys, block, largest=largest, skip_first=hide_sink)
    return {
        "head": heads[0],
        "heads": heads,
        "combine": combine,
        "hide_sink": hide_sink,
        "data": wire.array(found.weights),
        "row_start": list(queries[::block]),
        "col_start": list(keys[::block]),
        "block": block,
        "first": wire.array(found.first),
        "rest": wire.array(found.rest),
        "seen": wire.array(where.seen()),
        "sinks": where.sinks,
        "not_numbers": found.not_numbers,
    }
