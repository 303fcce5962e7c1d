"""What positions draw from over depth, and what heads move: attention rollout, attention flow, weights by norms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import Tensor

from explorer import Refused, Trace
from explorer.anatomy import Stack
from explorer.attention_flow import FLOW_TOKENS, attention_flow, attention_rollout
from explorer.attention_rows import AttentionRows
from explorer.control import controlled
from explorer.norm_weighted import norm_weighted
from widgets import wire
from widgets.attention_cells import MappedView, check_size, furthest, together, without_first
from widgets.connection import asset, guarded
from widgets.worker import Job

if TYPE_CHECKING:
    import pandas as pd

    from widgets.paper import Paper

# Which fields of the selection each measure depends on.
_CHOSEN_BY = {
    "rollout": ("layer", "stack", "kind"),
    "flow": ("layer", "query", "stack", "kind"),
    "norm": ("layer", "heads", "stack", "kind"),
}


class DepthView(MappedView):
    """A map of what positions draw from tokens, by one of three measures.

    Attributes:
        measure: "rollout" or "flow" (Abnar and Zuidema 2020), from the input to the chosen layer, over all heads; or
            "norm", the length of weight x value x output projection of the chosen heads (Kobayashi et al. 2020), of
            several heads what `combine` says: the mean of the lengths, or the largest.
        every: whether flow is computed for every row, and not for the chosen query's alone (the last token's, where
            none is chosen). It takes seconds a row, in the background.
        reach: what the strongest colour means: the largest of the "map", of each "row", or of the "rest" without the
            first token.

    Warning:
        Rollout and norms up to 4096 tokens, flow up to 64. From 257 tokens on a cell is the largest of a block, and
        finer cells follow the zoom while there is a kernel.
    """

    _esm = asset("attention-depth.js")
    _css = asset("attention-depth.css")
    _making = ("picture", "flow")
    _pictures = ("depth",)
    _kept = ("measure", "every", "reach")

    measure = traitlets.Enum(tuple(_CHOSEN_BY), default_value="rollout").tag(sync=True)
    every = traitlets.Bool(False).tag(sync=True)
    reach = traitlets.Enum(("map", "row", "rest"), default_value="map").tag(sync=True)

    def __init__(self, *args: Any, **traits: Any) -> None:
        self._flows: tuple[Trace, str, int, Tensor] | None = None  # of a trace's stack and layer the rows known so far
        super().__init__(*args, **traits)

    @traitlets.observe("measure", "every")
    @guarded
    def _measure_chosen(self, _change: Any) -> None:
        if self._ready:
            self._request()

    @property
    def _chosen_by(self) -> tuple[str, ...]:  # type: ignore[override]  # where others have an attribute
        return _CHOSEN_BY[self.measure]

    def close(self) -> None:
        """Closes the view and lets go of what it computed."""
        super().close()
        self._flows = None

    def _model_closed(self) -> None:
        self._flows = None
        super()._model_closed()

    def _request(self) -> None:
        # At once, and not when the new picture's turn has come: a flow takes seconds.
        self._worker.cancel(self, "flow")
        super()._request()

    def _draw(self, _job: Job, number: int) -> None:
        trace = self.read()
        stack, layer, heads, where = self._heads(trace)
        check_size(where.queries, where.keys)
        if self.measure == "flow" and where.queries > FLOW_TOKENS:  # before an empty map takes the last one's place
            raise Refused(
                f"Flow is computed for up to {FLOW_TOKENS} tokens, and this text has {where.queries}: shorten it, or "
                "choose rollout, which reads longer ones."
            )
        facts = {
            "request": number,
            "tokens": self._prompt(trace, stack),
            "notes": [],
            "measure": self.measure,
            "layer": layer,
            "layers": len(stack.layers),
            "heads": heads if self.measure == "norm" else [],
            "combine": self.combine,
        }
        if self.measure == "norm":
            each = norm_weighted(trace, layer, heads=heads, stack=stack.name, kind=self.selection.kind)[0]
            moved = together(each, self.combine).cpu()
            self._show(facts, trace, stack, moved[: where.queries, : where.keys], where.seen())
            return
        seen = _reaches(trace, stack, layer)
        if self.measure == "rollout":
            self._show(facts, trace, stack, attention_rollout(trace, layer=layer, stack=stack.name), seen)
            return
        known = self._flows
        if known is None or known[0] is not trace or known[1:3] != (stack.name, layer):
            rows = torch.full((where.queries, where.queries), math.nan, dtype=torch.double)
            known = self._flows = (trace, stack.name, layer, rows)
        rows = known[3]
        asked = where.queries - 1 if self.selection.query is None else min(self.selection.query, where.queries - 1)
        wanted = [asked, *(row for row in reversed(range(where.queries)) if row != asked)] if self.every else [asked]
        missing = [row for row in wanted if bool(rows[row].isnan().any())]
        self._show({**facts, "query": asked}, trace, stack, rows, seen)
        if missing:
            self._submit("flow", lambda job: self._flow(job, {**facts, "query": asked}, missing), background=True)

    def _flow(self, job: Job, facts: dict[str, Any], missing: list[int]) -> None:
        """Computes rows one after the other, and shows each when it is there."""
        if self._flows is None:
            return
        trace, name, layer, rows = self._flows
        stack = next(one for one in trace.anatomy.stacks if one.name == name)
        seen = _reaches(trace, stack, layer)
        cost = [(row + 1) ** 3 for row in missing]  # a later row has more tokens to draw from, by more ways
        for index, row in enumerate(missing):
            with controlled(_Share(job, sum(cost[:index]) / sum(cost), cost[index] / sum(cost))):
                rows[row] = attention_flow(trace, layer=layer, queries=row, stack=name)[0]
            self._show(facts, trace, stack, rows, seen)
        self._finished(job)

    def _show(self, facts: dict[str, Any], trace: Trace, stack: Stack, values: Tensor, seen: Tensor) -> None:
        asking, asked = self._sides(trace, stack)
        planes = values[None].float()
        found = self._cells(facts["request"], planes, seen)
        block = found["block"]
        self._publish(
            view={
                **facts,
                "query_tokens": asking,
                "key_tokens": asked,
                **found,
                # What colours need of all rows, in cells of any size: the largest of each, and the first cells without
                # the first token.
                "largest": wire.array(planes[0].nan_to_num(nan=-math.inf).amax(dim=1)),
                "rest": wire.array(furthest(without_first(planes[..., :block], block), block)[0, :, 0]),
            }
        )

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        from widgets import attention_maps_print

        return attention_maps_print.depth_drawing(self, width)

    def _table(self) -> pd.DataFrame:
        from widgets import attention_maps_print

        return attention_maps_print.depth_table(self)


class _Share:
    """Says how far a part of a job is as the whole job's progress."""

    def __init__(self, job: Job, begin: float, size: float) -> None:
        self._job, self._begin, self._size = job, begin, size
        self.cancelled = job.cancelled
        self.passing = job.passing

    def progress(self, done: float, note: str) -> None:
        self._job.progress(self._begin + self._size * done, note)


def _reaches(trace: Trace, stack: Stack, layer: int) -> Tensor:
    """(query, 2): the tokens that can reach each position through the layers up to one."""
    each: list[AttentionRows] = [trace.attention(at, stack=stack.name) for at in range(layer + 1)]
    last = torch.stack([where.seen()[:, 1] for where in each]).amax(dim=0)
    return torch.stack([torch.zeros_like(last), last], dim=1)
