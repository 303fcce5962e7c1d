"""The map of the chosen heads that is shown large, and the parts of it that the browser looks closer at."""

from __future__ import annotations

from typing import Any

from explorer import Refused, Trace
from explorer.attention_rows import AttentionRows
from explorer.sites import checked_indices
from widgets import attention_parts, wire
from widgets.connection import described

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


def answered(trace: Trace, stack: str, kind: str, content: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """The answer to the browser's question for a part of a map: it carries the question's number, and the weights or
    what was wrong.
    """
    facts = {"answer": "part", "number": content.get("number")}
    try:
        where = trace.attention(content.get("layer"), stack=stack, kind=kind)  # type: ignore[arg-type]  # checked there
        heads = checked_indices("heads", content.get("heads"), where.heads)
        values = wire.array(attention_parts.asked(where, heads, content))
    except (Refused, TypeError) as error:
        return {**facts, "error": described(error)["message"]}, []
    shape = {"dtype": values["dtype"], "shape": values["shape"]}
    return {**facts, "arrays": {"weights": shape}}, [values["data"]]
