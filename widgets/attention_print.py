"""The attention panel's own pictures and tables on their way out: what is on the screen, in its colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.attention_rows import AttentionRows
from widgets import attention_parts, wire

if TYPE_CHECKING:
    import pandas as pd

    from widgets.attention import AttentionPanel
    from widgets.paper import Paper, Scale

# On paper cells may be smaller than on the screen.
_PRINTED_CELLS = 512


def texts(tokens: Sequence[dict[str, Any]]) -> list[str]:
    """Tokens that travel, as a reader knows them."""
    return [token["text"] for token in tokens]


def named(heads: Sequence[int], combine: str = "mean") -> str:
    """The chosen heads in a few words."""
    return f"head {heads[0]}" if len(heads) == 1 else f"{combine} of heads {', '.join(map(str, heads))}"


def quoted(token: str) -> str:
    """A token in a sentence, also one that is nothing but blanks."""
    return f"“{token if token.strip(' ') else '␣' * len(token)}”"


def said(*parts: str) -> str:
    """What must be said of a picture, in one line."""
    return ". ".join(filter(None, parts))


def coloured(
    values: NDArray[np.floating[Any]],
    name: str,
    reach: str,
    *,
    hide_first: bool = False,
    limit: float | None = None,
    logarithmic: bool = False,
) -> tuple[NDArray[np.floating[Any]], Scale]:
    """Numbers of rows as they are drawn, and what their colours mean.

    Args:
        values: (row, column).
        name: what the numbers are.
        reach: what the strongest colour means: "one" a weight of 1, "map" the largest number, "row" each row's largest.
        hide_first: whether the first column is left out, which then is no number.
        limit: the largest number, where there are more than these.
        logarithmic: whether colours follow the logarithm.
    """
    from widgets.paper import Scale

    values = values.copy()
    if hide_first:
        values[:, :1] = np.nan
    known = np.where(np.isfinite(values), values, 0.0)
    if reach == "one":
        return values, Scale(name, logarithmic=logarithmic)
    if reach == "map":
        high = float(known.max(initial=0.0)) if limit is None else limit
        return values, Scale(name, high or 1.0, logarithmic=logarithmic)
    largest = known.max(axis=1, keepdims=True, initial=0.0)
    values = np.divide(values, largest, out=np.where(np.isfinite(values), 0.0, np.nan), where=largest > 0)
    return values, Scale(f"{name}, as a share of the row's largest", logarithmic=logarithmic)


def reach_of(panel: AttentionPanel) -> str:
    """What the strongest colour means; without the first token nothing comes near 1."""
    return "map" if panel.hide_sink and panel.reach == "one" else panel.reach


def all_heads_drawing(panel: AttentionPanel, width: float) -> tuple[Paper, str]:
    """The thumbnails of all heads."""
    from widgets import drawings

    view = panel.view
    grid = wire.numbers(view["grid"]) / 255
    for head in view["not_numbers"]:
        grid[tuple(head)] = np.nan
    left_out = "Heads with weights that are not numbers are left empty" if view["not_numbers"] else ""
    return drawings.all_heads(width, grid, "Attention of all heads"), left_out


def head_drawing(panel: AttentionPanel, width: float) -> tuple[Paper, str]:
    """The map of the chosen heads."""
    from widgets import drawings

    layer, heads, where = panel._chosen_rows()
    queries, keys = range(where.queries), range(where.keys)
    block = max(1, -(-max(where.queries, where.keys) // _PRINTED_CELLS))
    largest, hidden = panel.combine == "max", panel.hide_sink
    found = attention_parts.part(where, heads, queries, keys, block, largest=largest, skip_first=hidden)
    values, scale = coloured(
        found.weights.numpy(),
        "weight",
        reach_of(panel),
        hide_first=hidden and block == 1,
        logarithmic=panel.scale == "log",
    )
    note = said(
        f"Each cell is the largest of {block} x {block} weights" if block > 1 else "",
        _hidden_words(found, where) if hidden else "",
        f"Hatched: {found.not_numbers} weights that are not numbers" if found.not_numbers else "",
    )
    rows, columns = (names[::block] for names in panel._texts())
    title = f"Layer {layer}, {named(heads, panel.combine)}: rows attend to columns"
    return drawings.token_map(width, values, rows, columns, title, scale), note


def _hidden_words(found: attention_parts.Part, where: AttentionRows) -> str:
    """How much of all attention is not drawn."""
    whole = 1.0 - found.rest.double()
    known = whole.isfinite()
    share = float(found.first.double()[known].sum() / whole[known].sum().clamp_min(1e-12))
    sink = f", and a learned sink's {float(found.rest[known].mean()):.0%}" if where.sinks else ""
    return f"The first token is hidden: {share:.0%} of all weight{sink}".replace("%", " %")


def head_table(panel: AttentionPanel) -> pd.DataFrame:
    """Every weight of the chosen heads."""
    layer, heads, where = panel._chosen_rows()
    weights = where.weights(heads, range(where.queries)).float().cpu()
    head, query, key = (index.ravel() for index in np.indices(tuple(weights.shape)))
    return weights_facts(layer, np.array(heads)[head], query, key, weights.reshape(-1).numpy(), panel._texts())


def weights_facts(
    layer: int,
    heads: NDArray[Any],
    queries: NDArray[Any],
    keys: NDArray[Any],
    weights: NDArray[Any],
    names: tuple[Sequence[str], Sequence[str]],
) -> pd.DataFrame:
    """One row for each weight of a list of them; all but the names are of one length."""
    import pandas as pd

    rows, columns = (np.array(side, dtype=object) for side in names)
    return pd.DataFrame(
        {
            "layer": layer,
            "head": heads,
            "query": queries,
            "query_token": rows[queries],
            "key": keys,
            "key_token": columns[keys],
            "weight": weights,
        }
    )
