"""The lines between tokens on their way out: those that are on the screen, as a picture and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from widgets import attention_parts, wire
from widgets.attention_print import quoted, said, texts, weights_facts
from widgets.drawings_views import Between, lines_between
from widgets.paper import Paper, number

if TYPE_CHECKING:
    import pandas as pd

    from widgets.attention_lines import LinesView

# The smallest weight that is drawn unless somebody chooses another, as on the screen.
_USUAL = 0.05
# More lines on one page are a plain area.
_MOST_PRINTED = 2000


def drawing(view: LinesView, width: float) -> tuple[Paper, str]:
    """The picture, and what must be said of it."""
    picture, lines, pinned = view.view, chosen_lines(view), _pinned(view)
    queries, keys = _sides(view)
    heads, count = picture["heads"], len(lines.weight)
    if count > _MOST_PRINTED:
        lines = lines.taken(np.arange(_MOST_PRINTED))
    broken = int((~np.isfinite(lines.weight)).sum())
    note = said(
        f"Lines are weights from {number(threshold(view))} on; thicker and stronger is more",
        "The first token's are hidden" if _hides_first(view) else "",
        f"The strongest {_MOST_PRINTED} of {count} are drawn" if count > _MOST_PRINTED else "",
        f"The first {len(heads)} of {picture['chosen']} chosen heads" if picture["chosen"] > len(heads) else "",
        f"Dotted: {broken} weights that are not numbers" if broken else "",
    )
    title = f"Layer {picture['layer']}, head{'s' * (len(heads) > 1)} {', '.join(map(str, heads))}"
    if pinned is None:
        title += ": the left column attends to the right"
    elif pinned[0] == "query":
        title += f": what {quoted(queries[pinned[1]])} attends to"
    else:
        title += f": what attends to {quoted(keys[pinned[1]])}"
    return lines_between(width, lines, heads, queries, keys, title, pinned), note


def table(view: LinesView) -> pd.DataFrame:
    """One row for each line, the strongest first."""
    lines, heads = chosen_lines(view), np.array(view.view["heads"])
    return weights_facts(view.view["layer"], heads[lines.head], lines.query, lines.key, lines.weight, _sides(view))


def chosen_lines(view: LinesView) -> Between:
    """The lines that are drawn, the strongest first and what is no number last.

    Of a pinned token all that are strong enough, exactly; else of those that the view holds.
    """
    lines = _of_pinned(view) or _held(view)
    strength = np.where(np.isfinite(lines.weight), lines.weight, -1.0)
    kept = (strength < 0) | ((strength >= threshold(view)) & (strength > 0))
    if _hides_first(view):
        kept &= lines.key != 0
    order = np.argsort(-strength, kind="stable")
    return lines.taken(order[kept[order]])


def threshold(view: LinesView) -> float:
    """The smallest weight that is drawn: the chosen one, else 0.05, or less where that draws too few lines."""
    floor = float(view.view["floor"])
    if view.threshold is not None:
        return max(floor, view.threshold)
    lines = _held(view)
    counts = np.isfinite(lines.weight) & (lines.weight > 0)
    if _hides_first(view):
        counts &= lines.key != 0
    weights, tokens = np.sort(lines.weight[counts])[::-1], len(_sides(view)[0])
    return max(floor, min(_USUAL, float(weights[tokens - 1]))) if len(weights) >= tokens else floor


def _held(view: LinesView) -> Between:
    """All lines of the view, the first token's among them."""
    parts = [wire.numbers(view.view[name]) for name in ("head", "query", "key", "weight")]
    first = wire.numbers(view.view["first"])
    head, query = np.nonzero(first)
    more = (head, query, np.zeros_like(query), first[head, query])
    return Between(*(np.concatenate([one, other]) for one, other in zip(parts, more, strict=True)))


def _of_pinned(view: LinesView) -> Between | None:
    pinned = _pinned(view)
    if pinned is None:
        return None
    _, _, _, where = view._heads(view.read())
    side, index = pinned
    read = attention_parts.row if side == "query" else attention_parts.column
    weights = read(where, view.view["heads"], index).numpy()
    head, other = np.nonzero(weights)
    here = np.full_like(other, index)
    query, key = (here, other) if side == "query" else (other, here)
    return Between(head, query, key, weights[head, other])


def _pinned(view: LinesView) -> tuple[str, int] | None:
    """The token whose lines alone are drawn: the one that attends, else the one that is attended to."""
    for side, tokens in zip(("query", "key"), _sides(view), strict=True):
        index = getattr(view.selection, side)
        if index is not None and index < len(tokens):
            return side, index
    return None


def _sides(view: LinesView) -> tuple[list[str], list[str]]:
    asking = view.view["query_tokens"] or view.view["tokens"]
    return texts(asking), texts(view.view["key_tokens"] or asking)


def _hides_first(view: LinesView) -> bool:
    return view.keeper is not None and view.keeper.hide_sink
