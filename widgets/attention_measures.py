"""What every head does, at a glance: its measures as a map and a table, and the heads that are like one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from explorer import Refused, Trace
from explorer.anatomy import Stack
from explorer.head_probe import TEXTS
from explorer.similar_heads import nearest_heads
from explorer.sites import heads_of
from widgets import head_frames, wire
from widgets.attention_order import Ordering
from widgets.attention_view import AttentionView
from widgets.connection import asset, described, guarded
from widgets.worker import Job

if TYPE_CHECKING:
    import pandas as pd

    from widgets.paper import Paper

_LIKE = 10
_LIKE_BY = ("weights", "measures")


class MeasuresView(Ordering, AttentionView):
    """Every head's measures on the prompt, and on random tokens said twice, which follow in the background.

    `frame` has them all, with the heads in the order that is chosen; `explorer.head_measures.MEASURES` says what each
    one is. Of a prompt longer than 1024 tokens so many rows are read, evenly spread, each exact.

    Attributes:
        like: the head whose likes are listed and by what: `{"layer": 5, "head": 2, "by": "weights"}` (what they attend
            to in this text, see `Trace.similar_heads`) or by "measures" (see `explorer.similar_heads.nearest_heads`);
            empty for none.
        alike: those heads and their distances, nearest first.
    """

    _esm = asset("attention-measures.js")
    _css = asset("attention-measures.css")
    _chosen_by = ("stack", "kind")
    _making = ("picture", "probe")
    _pictures = ("measures",)

    like = traitlets.Dict().tag(sync=True)
    alike = traitlets.Dict().tag(sync=True)

    def __init__(self, exploration: Any, keeper: Any = None, **traits: Any) -> None:
        self._measured: tuple[Trace, pd.DataFrame] | None = None
        self._joint: Any = None
        super().__init__(exploration, keeper, **traits)
        if keeper is not None:  # the thumbnails stand in the same order
            self._joint = traitlets.link((keeper, "order"), (self, "order"))

    def close(self) -> None:
        """Closes the view and lets go of what it measured."""
        if self._joint is not None:
            self._joint.unlink()
            self._joint = None
        super().close()
        self._measured = None

    def _request(self) -> None:
        # At once: the new picture's pass would wait for the probe's.
        self._worker.cancel(self, "probe")
        super()._request()

    def _draw(self, _job: Job, number: int) -> None:
        trace = self.read()
        stack, _, _, where = self._heads(trace)
        kind = self.selection.kind
        prompt = head_frames.of_prompt(trace, stack.name, kind)
        view = {
            "request": number,
            "tokens": self._prompt(trace, stack),
            "notes": [],
            "stack": stack.name,
            "kind": kind,
            "layers": len(stack.layers),
            "heads_per_layer": [_count(stack, layer, kind) for layer in range(len(stack.layers))],
            "rows": prompt.attrs["queries"],
            "all_rows": where.queries - (kind == "attn"),
            "texts": TEXTS,
        }
        probe, told = self._probe_now(trace, stack, prompt)
        self._show(trace, prompt, probe, view, told)
        if told["state"] == "pending":
            self._submit("probe", lambda job: self._probe(job, trace, stack, prompt, view), background=True)

    def _probe_now(
        self, trace: Trace, stack: Stack, prompt: pd.DataFrame
    ) -> tuple[pd.DataFrame | None, dict[str, Any]]:
        """The probe's measures where they are known, and what is said of it."""
        if "induction" not in prompt.columns:
            return None, {"state": "none", "why": "", "edited": True}
        try:
            model = self.exploration.source.model_for("passes")
        except Refused as error:
            return None, {"state": "none", "why": described(error)["message"], "edited": True}
        known = head_frames.known_probe(model, stack.name, self.selection.kind, trace.edits)
        if known is None:
            return None, {"state": "pending", "why": "", "edited": True}
        return known[0], {"state": "ready", "why": "", "edited": known[1]}

    def _probe(self, job: Job, trace: Trace, stack: Stack, prompt: pd.DataFrame, view: dict[str, Any]) -> None:
        """The probe's measures for a picture that is already shown."""
        model = self.exploration.source.model_for("passes")
        try:
            probe, edited = head_frames.of_probe(model, stack.name, view["kind"], trace.edits)
        except Refused as error:
            told = {"state": "none", "why": described(error)["message"], "edited": True}
            self._show(trace, prompt, None, view, told)
        else:
            self._show(trace, prompt, probe, view, {"state": "ready", "why": "", "edited": edited})
        self._finished(job)

    def _show(
        self,
        trace: Trace,
        prompt: pd.DataFrame,
        probe: pd.DataFrame | None,
        view: dict[str, Any],
        told: dict[str, Any],
    ) -> None:
        if view["request"] != self._number:
            return
        frame = head_frames.joined(prompt, probe) if "induction" in prompt.columns else prompt
        names = [name for name in head_frames.NAMES if name in frame.columns]
        values = np.full((len(names), view["layers"], max(view["heads_per_layer"])), np.nan, np.float32)
        values[:, frame["layer"], frame["head"]] = frame[names].to_numpy(np.float32).T
        self._measured = (trace, frame)
        self._publish(view={**view, "measures": names, "values": wire.array(values), "probe": told})
        if self.like:
            self._like_changed()

    @traitlets.validate("like")
    def _check_like(self, proposal: Any) -> dict[str, Any]:
        value = proposal["value"]
        known = isinstance(value.get("layer"), int) and isinstance(value.get("head"), int)
        if value and not (known and value.get("by") in _LIKE_BY and len(value) == 3):
            raise traitlets.TraitError(f"like={value!r} is none; it has a layer, a head, and by: weights or measures.")
        checked: dict[str, Any] = value
        return checked

    @traitlets.observe("like")
    @guarded
    def _like_changed(self, _change: Any = None) -> None:
        if not self.like:
            self._worker.cancel(self, "alike")
            self._publish(alike={})
        elif self._measured is not None:
            self._submit("alike", self._show_alike, background=True)

    def _show_alike(self, job: Job) -> None:
        measured, like = self._measured, self.like
        if measured is None or not like:
            return
        trace, frame = measured
        layer, head = like["layer"], like["head"]
        stack, kind = self.view["stack"], self.view["kind"]
        try:
            if like["by"] == "weights":
                rows = head_frames.MOST_ROWS
                found = trace.similar_heads(layer, head, n=_LIKE, queries=rows, stack=stack, kind=kind)
            else:
                found = nearest_heads(frame, layer, head, n=_LIKE)
        except Refused as error:
            self._publish(alike={})
            self._refused(error)
            return
        distances = found["distance"].to_numpy(np.float32)
        heads = found[["layer", "head"]].to_numpy(np.int32)
        self._publish(alike={**like, "heads": wire.array(heads), "distances": wire.array(distances)})
        self._finished(job)

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        from widgets import attention_measures_print

        return attention_measures_print.drawing(self, width)

    def _shown_order(self) -> dict[str, Any]:
        """The order with a measure that there is: one that this attention has none of gives way, as on the screen."""
        told = self.view["measures"]
        return self.order if self.order["measure"] in told else {**self.order, "measure": told[0]}

    def _table(self) -> pd.DataFrame:
        if self._measured is None:
            raise Refused("There are no measures yet.")
        _, frame = self._measured
        order = head_frames.ranked(frame, self._shown_order())[["layer", "head"]]
        return order.merge(frame, on=["layer", "head"], how="left")


def _count(stack: Stack, layer: int, kind: str) -> int:
    heads = heads_of(stack.layers[layer], kind)
    return 0 if heads is None else heads.heads
