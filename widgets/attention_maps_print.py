"""Maps of numbers that are no weights on their way out: over depth, and of differences, as pictures and as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import Refused
from widgets import wire
from widgets.attention_print import coloured, named, quoted, said, texts
from widgets.drawings import token_map
from widgets.paper import Paper, Scale

if TYPE_CHECKING:
    import pandas as pd

    from widgets.attention_depth import DepthView
    from widgets.attention_difference import DifferenceView

_MEASURES = {
    "rollout": ("Attention rollout", "rows draw from columns", "rollout", "Abnar and Zuidema 2020"),
    "flow": ("Attention flow", "rows draw from columns", "flow", "Abnar and Zuidema 2020"),
    "norm": (
        "Norm-weighted attention",
        "what columns move into rows",
        "length in the residual stream",
        "Kobayashi et al. 2020",
    ),
}
# What is compared with what: the reference, and what is shown now.
_SIDES = {
    "edits": ("without the edits", "with the edits"),
    "prompt": ("in the other prompt", "in this prompt"),
    "pinned": ("of what is pinned", "now"),
    "other": ("in the other", "in this"),
}
_NOTHING = {
    "edits": "there are no edits, so nothing differs; set panel.edits, or compare with something else",
    "prompt": "no other prompt was given; set the view's other_prompt: panel.panels[0].other_prompt = '...'",
    "pinned": "nothing is pinned; keep what is shown with panel.exploration.pin(), then change the prompt or the edits",
    "other": "there is nothing to compare with; set panel.other to a model or a trace",
}
_NAMED = 4


def depth_drawing(view: DepthView, width: float) -> tuple[Paper, str]:
    """The map of what positions draw from, and what must be said of it."""
    picture = view.view
    name, meaning, unit, source = _MEASURES[picture["measure"]]
    values = wire.numbers(picture["data"])
    missing = int(np.isnan(values[:, 0]).sum())
    hide_first = view.reach == "rest" and picture["block"] == 1
    values, scale = coloured(
        np.where(_later(picture), 0.0, values),
        unit,
        "row" if view.reach == "row" else "map",
        hide_first=hide_first,
    )
    layer, heads = picture["layer"], picture["heads"]
    depth = (
        f"layer {layer}, {named(heads, picture['combine'])}"
        if heads
        else f"layers 0 to {layer}"
        if layer
        else "after layer 0"
    )
    note = said(
        f"After {source}",
        _blocks(picture),
        f"Hatched: {missing} rows that are not computed" if missing else "",
        "Hatched: the first token, left out of the colours" if hide_first else "",
    )
    rows, columns = _labels(picture, texts(picture["query_tokens"]), texts(picture["key_tokens"]))
    return token_map(width, values, rows, columns, f"{name}, {depth}: {meaning}", scale), note


def depth_table(view: DepthView) -> pd.DataFrame:
    """One row for each cell that is computed."""
    picture = view.view
    names = texts(picture["query_tokens"]), texts(picture["key_tokens"])
    found = _cells_table(picture, names, value=wire.numbers(picture["data"]))
    found.insert(0, "measure", picture["measure"])
    found.insert(1, "layer", picture["layer"])
    return found[found["value"].notna()].reset_index(drop=True)


def difference_drawing(view: DifferenceView, width: float) -> tuple[Paper, str]:
    """The map of what differs, and what must be said of it."""
    picture = _compared(view)
    alone = _alone(picture)
    values = np.where(alone, np.nan, wire.numbers(picture["data"]))
    high = float(np.abs(np.where(np.isfinite(values), values, 0.0)).max(initial=0.0)) or 1.0
    groups = {(*one["before"], *one["now"]): one for side in ("queries", "keys") for one in picture[side]}
    before, now = _sides(view)
    note = said(
        _blocks(picture),
        _listed(f"Only {before}", "only_before", groups),
        _listed(f"Only {now}", "only_now", groups),
        _listed("In each other's place", "replaced", groups),
        "Hatched: what only one side has" if alone.any() else "",
    )
    rows, columns = _labels(picture, *_group_names(picture))
    title = (
        f"Layer {picture['layer']}, {named(picture['heads'], picture['combine'])}: attention {now} minus that {before}"
    )
    scale = Scale("less  ←  difference of weights  →  more", high, signed=True)
    return token_map(width, values, rows, columns, title, scale), note


def difference_table(view: DifferenceView) -> pd.DataFrame:
    """One row for each cell: what the weight was in the reference, what it is now, and the difference.

    `query` and `key` count groups of positions that stand for the same; `query_how` and `key_how` say how they do.
    """
    picture = _compared(view)
    numbers = {"before": "first", "now": "second", "difference": "data"}
    found = _cells_table(
        picture, _group_names(picture), **{column: wire.numbers(picture[name]) for column, name in numbers.items()}
    )
    found.insert(0, "layer", picture["layer"])
    found.insert(1, "heads", ", ".join(map(str, picture["heads"])))
    for at, (side, column) in enumerate((("queries", "query"), ("keys", "key"))):
        how = np.array([group["how"] for group in picture[side]], dtype=object)
        found.insert(4 + 3 * at, f"{column}_how", how[found[column]])
    return found


def _compared(view: DifferenceView) -> dict[str, Any]:
    """What the view shows.

    Raises:
        Refused: there is nothing that it compares with.
    """
    picture = view.view
    if "data" not in picture:
        raise Refused(f"There is no difference to take along: {_NOTHING[picture['reference']]}.")
    return picture


def _sides(view: DifferenceView) -> tuple[str, str]:
    """What the reference and what is shown now are called."""
    if view.view["reference"] == "other" and view.other_name:
        return f"in {view.other_name}", f"in {view.about['name']}"
    return _SIDES[view.view["reference"]]


def _group_names(picture: dict[str, Any]) -> tuple[list[str], list[str]]:
    queries, keys = ([_label(group) for group in picture[side]] for side in ("queries", "keys"))
    return queries, keys


def _label(group: dict[str, Any]) -> str:
    return str(group["label"]).replace("→  ", "→ ")


def _alone(picture: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Which cells only one side has; blocks of several groups count as what both have."""
    if picture["block"] > 1:
        return np.zeros((len(picture["row_start"]), len(picture["col_start"])), bool)
    rows, columns = (
        np.array([group["how"] in ("only_before", "only_now") for group in picture[side]])
        for side in ("queries", "keys")
    )
    either: np.ndarray[Any, Any] = rows[:, None] | columns[None, :]
    return either


def _listed(words: str, how: str, groups: dict[Any, dict[str, Any]]) -> str:
    """What does not align, by name."""
    found = [quoted(_label(group)) for group in groups.values() if group["how"] == how]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{words}: {', '.join(found[:_NAMED])}{more}" if found else ""


def _later(picture: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Which cells no position of their rows may draw from."""
    reach = np.maximum.reduceat(wire.numbers(picture["seen"])[:, 1], picture["row_start"])
    later: np.ndarray[Any, Any] = np.array(picture["col_start"])[None, :] >= reach[:, None]
    return later


def _blocks(picture: dict[str, Any]) -> str:
    block = picture["block"]
    return f"Each cell is the one furthest from 0 of {block} x {block} numbers" if block > 1 else ""


def _labels(picture: dict[str, Any], rows: list[str], columns: list[str]) -> tuple[list[str], list[str]]:
    """What stands at the first position of each row and column of cells."""
    return [rows[at] for at in picture["row_start"]], [columns[at] for at in picture["col_start"]]


def _cells_table(
    picture: dict[str, Any], names: tuple[list[str], list[str]], **numbers: np.ndarray[Any, Any]
) -> pd.DataFrame:
    """One row for each cell; `query` and `key` are its first positions, `block` how many it covers each way."""
    import pandas as pd

    query, key = (index.ravel() for index in np.meshgrid(picture["row_start"], picture["col_start"], indexing="ij"))
    rows, columns = (np.array(side, dtype=object) for side in names)
    places = {"query": query, "query_token": rows[query], "key": key, "key_token": columns[key]}
    values = {name: value.ravel() for name, value in numbers.items()}
    return pd.DataFrame({**places, "block": picture["block"], **values})
