"""Heads that do what one head does: near it by their measures, or by their weights on the same text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from explorer.attention_rows import in_blocks
from explorer.errors import Refused
from explorer.head_measures import spread
from explorer.overview import recorded
from explorer.sites import checked_indices

if TYPE_CHECKING:
    import pandas as pd

    from explorer.trace import Trace


def nearest_heads(frame: pd.DataFrame, layer: int, head: int, n: int = 10) -> pd.DataFrame:
    """The heads whose measures are most like one head's: the frame's rows with a `distance`, nearest first.

    The distance is Euclidean, each measure first divided by its standard deviation over all heads of the frame, so that
    units do not matter, and divided by the square root of their number: 1 is one standard deviation in every measure.
    Measures that are alike for all heads, or missing for one, are left out.

    Args:
        frame: what `head_measures` gave, with any columns of numbers beside layer and head.
        layer: of the head.
        head: which head.
        n: at most so many others.

    Raises:
        Refused: the frame has no such head, or no measure to compare.
    """
    _check_count(n)
    values = frame.drop(columns=["layer", "head"])
    values = values.loc[:, values.notna().all() & (values.std(ddof=0) > 0)]
    one = (frame["layer"] == layer) & (frame["head"] == head)
    if not one.any():
        raise Refused(f"layer={layer!r}, head={head!r} is no head of this frame.")
    if values.shape[1] == 0:
        raise Refused("this frame has no measure that every head has and that differs between heads.")
    scaled = values / values.std(ddof=0)
    distance = (((scaled - scaled[one].iloc[0]) ** 2).mean(axis=1)) ** 0.5
    return frame.assign(distance=distance)[~one].sort_values("distance", kind="stable").head(n).reset_index(drop=True)


def similar_heads(
    trace: Trace,
    layer: int,
    head: int,
    *,
    n: int = 10,
    queries: int | None = None,
    stack: str | None = None,
    kind: str = "attn",
    text: int = 0,
) -> pd.DataFrame:
    """The heads whose weights on a text are most like one head's: layer, head, distance, nearest first.

    The distance of two heads is the mean over query rows of the total variation of their rows: half the sum of |a - b|
    over the keys, what learned sinks took counting as one more key. 0 for equal rows, 1 for rows that share no key: the
    share of weight that would have to move. Row 0 of self-attention, where a causal head sees only itself, is left out.

    Args:
        trace: what was recorded.
        layer: of the head.
        head: which head.
        n: at most so many others.
        queries: at most so many query rows, evenly spread, in place of all of them.
        stack: which stack, where the model has several; the decoder or text stack by default.
        kind: "attn" for self-attention, "cross_attn" for cross-attention.
        text: which text of the batch, or which image.

    Raises:
        Refused: an index is out of range, or the attention was not recorded.
        Cancelled: the work was superseded.
    """
    import pandas as pd

    _check_count(n)
    one = trace.attention(layer, stack=stack, kind=kind, text=text)
    checked_indices("head", head, one.heads)
    rows = spread(0 if kind == "cross_attn" else 1, one.queries, queries)
    if not rows:
        raise Refused("a text of one token has no row to compare: position 0 sees only itself.")
    layers, _ = recorded(trace, stack, kind)
    found: list[tuple[int, int, float]] = []
    for index in layers:
        other = one if index == layer else trace.attention(index, stack=stack, kind=kind, text=text)
        total = torch.zeros(other.heads, dtype=torch.double)
        for _, part in in_blocks(rows, (other.heads + 1) * other.keys, other.causal):
            keys = max(one.reach(part), other.reach(part))
            mine, theirs = one.weights([head], part, keys), other.weights(range(other.heads), part, keys)
            apart = (theirs.float() - mine.float().to(theirs.device)).abs_().sum(dim=-1)
            if one.sinks or other.sinks:
                left = theirs.float().sum(dim=-1) - mine.float().sum(dim=-1).to(theirs.device)
                apart = apart + left.abs()
            total += apart.double().sum(dim=-1).cpu() / 2
        found += [(index, number, float(value) / len(rows)) for number, value in enumerate(total)]
    frame = pd.DataFrame(found, columns=["layer", "head", "distance"])
    others = frame[(frame["layer"] != layer) | (frame["head"] != head)]
    return others.sort_values("distance", kind="stable").head(n).reset_index(drop=True)


def _check_count(n: int) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise Refused(f"n={n!r} is not a whole number of at least 1.")
