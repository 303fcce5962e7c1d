"""What heads do, on its way out: one measure of all heads as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explorer import Refused
from explorer.head_measures import MEASURES
from widgets import head_frames, wire
from widgets.attention_print import said
from widgets.drawings_views import measures_map
from widgets.paper import Paper, Scale

if TYPE_CHECKING:
    from widgets.attention_measures import MeasuresView


def drawing(view: MeasuresView, width: float) -> tuple[Paper, str]:
    """The chosen measure of every head, those that the filter leaves out in grey, and what must be said of it.

    Raises:
        Refused: the view was closed.
    """
    if view._measured is None:
        raise Refused("There are no measures yet.")
    picture, order = view.view, view._shown_order()
    name = order["measure"]
    values = wire.numbers(picture["values"])[picture["measures"].index(name)]
    for layer, heads in enumerate(picture["heads_per_layer"]):
        values[layer, heads:] = np.inf
    ranked = head_frames.ranked(view._measured[1], order)
    kept = np.zeros(values.shape, bool)
    kept[ranked["layer"], ranked["head"]] = True
    measure = MEASURES[name.removeprefix(head_frames.PROBE)]
    probing = name.startswith(head_frames.PROBE)
    if probing:
        rows = f"{picture['texts']} texts of random tokens, each said twice"
    else:
        rows = f"{picture['rows']} rows"
        rows += f" of {picture['all_rows']}" if picture["rows"] < picture["all_rows"] else ""
    heads, unknown = sum(picture["heads_per_layer"]), int(np.isnan(values).sum())
    left = heads - unknown - len(ranked)
    note = said(
        f"{measure.definition} Mean over {rows} ({measure.source})",
        f"Small squares: {left} of {heads} heads, which the filter leaves out" if left else "",
        f"Crosses: {unknown} heads without a row that counts" if unknown else "",
    )
    high = measure.most or float(np.where(np.isfinite(values), values, 0.0).max()) or 1.0
    title = f"What heads do: {measure.title}{', on random tokens said twice' * probing}"
    return measures_map(width, values, kept, title, Scale(f"{measure.title}: {measure.unit}", high)), note
