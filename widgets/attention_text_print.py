"""The coloured text on its way out: the line of weights that is on the screen, as a picture and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from widgets import wire
from widgets.attention_print import coloured, named, quoted, reach_of, said, weights_facts
from widgets.drawings_text import coloured_text
from widgets.paper import Paper

if TYPE_CHECKING:
    import pandas as pd

    from widgets.attention_text import TextView


def drawing(view: TextView, width: float) -> tuple[Paper, str]:
    """The text, coloured by what the chosen token attends to, or is attended to by, and what must be said of it."""
    panel, line = view.keeper, view.line
    assert panel is not None  # a panel hands on to the views that it made
    largest = panel.combine == "max"
    heads, position, attends = line["heads"], line["index"], line["side"] == "query"
    weights, seen = wire.numbers(line["weights"]), wire.numbers(line["visible"]).astype(bool)
    together = weights.max(axis=0) if largest else weights.mean(axis=0)
    hidden = panel.hide_sink and (attends or position == 0)
    limit = None
    if panel.reach != "row" and (panel.hide_sink or panel.reach != "one"):
        tops = wire.numbers(line["largest"])[:, int(panel.hide_sink)]  # of each head, and last of their mean
        limit = float(tops[:-1].max() if largest else tops[-1])
    values, scale = coloured(
        np.where(seen, together, np.nan)[None],
        "weight",
        reach_of(panel),
        hide_first=hidden and attends,
        limit=limit,
        logarithmic=panel.scale == "log",
    )
    rows, columns = panel._texts()
    asking, words = (rows, columns) if attends else (columns, rows)
    how = "attends to" if attends else "is attended to by"
    title = f"Layer {line['layer']}, {named(heads, panel.combine)}: what {quoted(asking[position])} {how}"
    paper = coloured_text(width, words, values[0], position if rows == columns else None, title, scale)
    return paper, said("" if seen.all() else "Grey: not seen", "The first token is hidden" if hidden else "")


def table(view: TextView) -> pd.DataFrame:
    """The weights that the text is coloured by, head by head."""
    panel, line = view.keeper, view.line
    assert panel is not None
    weights = wire.numbers(line["weights"])
    head, other = (index.ravel() for index in np.indices(weights.shape))
    asked = np.full(len(other), line["index"])
    query, key = (asked, other) if line["side"] == "query" else (other, asked)
    return weights_facts(line["layer"], np.array(line["heads"])[head], query, key, weights.ravel(), panel._texts())
