"""The order of the heads' thumbnails: by layer, or the strongest of a measure first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets

from explorer import Refused, Trace
from widgets import head_frames
from widgets.connection import checked, guarded
from widgets.panel import Panel
from widgets.worker import Job

if TYPE_CHECKING:
    import pandas as pd

# Of more than these nobody looks at one after the other.
MOST_THUMBNAILS = 300
USUAL: dict[str, Any] = {
    "measure": "previous",
    "least": None,
    "count": None,
    "ascending": False,
    "thumbnails": False,
}


class Ordering(traitlets.HasTraits):
    """Holds an order of heads.

    Attributes:
        order: which `measure` heads are sorted by, one of `widgets.head_frames.NAMES`; the `least` value that is kept
            and the `count` of heads, None for all; whether the smallest come first (`ascending`); and whether the
            `thumbnails` follow it. What is not named is as it usually is.
    """

    order = traitlets.Dict(default_value=USUAL).tag(sync=True)

    @traitlets.validate("order")
    @checked
    def _check_order(self, proposal: Any) -> dict[str, Any]:
        return checked_order(proposal["value"])


class OrderedHeads(Ordering, Panel):
    """A panel whose thumbnails can be in an order.

    Attributes:
        ranked: the first heads in that order, as the browser draws them; empty where they are by layer.
    """

    ranked = traitlets.Dict().tag(sync=True)

    _trace: Trace | None
    _pictured: tuple[int, str, str]

    def order_by(
        self, measure: str | None, *, least: float | None = None, count: int | None = None, ascending: bool = False
    ) -> None:
        """Puts the thumbnails in the order of a measure, the strongest first; with None they are by layer again.

        Args:
            measure: one of `explorer.head_measures.MEASURES`, measured on the prompt; "probe_duplicate" or
                "probe_induction" for those on random tokens that are said twice.
            least: leave out heads below this value.
            count: at most so many heads.
            ascending: the smallest first.

        Raises:
            Refused: an argument is out of range.
        """
        if measure is None:
            self.order = {**self.order, "thumbnails": False}
            return
        chosen = {"measure": measure, "least": least, "count": count, "ascending": ascending}
        self.order = {**chosen, "thumbnails": True}

    @property
    def ranking(self) -> pd.DataFrame:
        """Layer, head and value of the heads in the order that is chosen, thumbnails sorted by it or not.

        Raises:
            Refused: the measure is not told of this attention.
            ExplorerError: the panel's last request was refused.
        """
        self.wait()
        if self._trace is None:
            raise Refused("There is no picture whose heads could be ranked.")
        return self._ranking(self._trace)

    @traitlets.observe("order")
    @guarded
    def _order_changed(self, _change: Any) -> None:
        if self._trace is not None:
            self._put_in_order()

    def _put_in_order(self) -> None:
        """Asks for the heads in their order; until they come the thumbnails stay as they are."""
        if self.order["thumbnails"]:
            self._submit("order", self._show_order, background=True)
        else:
            self._worker.cancel(self, "order")
            self._publish(ranked={})

    def _show_order(self, job: Job) -> None:
        trace, order = self._trace, self.order
        if trace is None:
            return
        try:
            found = self._ranking(trace)
        except Refused as error:
            self._publish(ranked={})
            self._refused(error)
            return
        self._publish(
            ranked={
                "request": self._pictured[0],
                "measure": order["measure"],
                "heads": found[["layer", "head"]].head(MOST_THUMBNAILS).to_numpy().tolist(),
            }
        )
        self._finished(job)

    def _ranking(self, trace: Trace) -> pd.DataFrame:
        _, stack, kind = self._pictured
        order = self.order
        return head_frames.ranked(head_frames.measured(self.exploration, trace, stack, kind, order["measure"]), order)


def checked_order(value: dict[str, Any]) -> dict[str, Any]:
    """An order with all it says.

    Raises:
        Refused: it names something unknown or out of range.
    """
    unknown = sorted(set(value) - set(USUAL))
    if unknown:
        raise Refused(f"order names {', '.join(unknown)}; known are {', '.join(USUAL)}.")
    order = {**USUAL, **value}
    least, count = order["least"], order["count"]
    if order["measure"] not in head_frames.NAMES:
        raise Refused(f"measure={order['measure']!r} is not known; use one of {', '.join(head_frames.NAMES)}.")
    if least is not None and (isinstance(least, bool) or not isinstance(least, int | float) or least != least):
        raise Refused(f"least={least!r} is no number; use one, or None.")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise Refused(f"count={count!r} is not a whole number of at least 1, or None.")
    for name in ("ascending", "thumbnails"):
        if not isinstance(order[name], bool):
            raise Refused(f"{name}={order[name]!r} is not True or False.")
    return order
