"""Where every head attends, and exactly how much one of them does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import traitlets

from explorer import Patch, Refused, Trace, control
from explorer.attention_rows import AttentionRows
from explorer.note import Note
from explorer.one_image import check_image, images_apart, of_image
from explorer.overview import recorded
from explorer.sites import checked_indices, chosen_stack
from widgets import attention_parts
from widgets.attention_depth import DepthView
from widgets.attention_difference import DifferenceView, checked_other
from widgets.attention_lines import LinesView
from widgets.attention_matrix import whole_map
from widgets.attention_measures import MeasuresView
from widgets.attention_neuron import NeuronView
from widgets.attention_order import OrderedHeads
from widgets.attention_overview import all_heads_seen, choices, fitting, images_of
from widgets.attention_page import all_heads
from widgets.attention_patch import patch_of_pinned
from widgets.attention_pictures import PicturesView
from widgets.attention_print import all_heads_drawing, head_drawing, head_table
from widgets.attention_text import TextView
from widgets.attention_view import AttentionView, no_attention, prompt_of
from widgets.connection import asset, checked, guarded
from widgets.panel import Panel
from widgets.selection import Selection
from widgets.snapshot import PageLimits
from widgets.worker import Job
from widgets.written import Written

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from widgets.paper import Paper

_READING = Note("reading_heads", "reading attention")
# The views that are widgets of their own, sent when they are chosen.
VIEWS: dict[str, type[AttentionView]] = {
    "text": TextView,
    "heads": MeasuresView,
    "lines": LinesView,
    "neuron": NeuronView,
    "depth": DepthView,
    "difference": DifferenceView,
    "pictures": PicturesView,
}


def _reference(inner: dict[str, Any], _widget: Any) -> dict[str, str]:
    return {mode: f"anywidget:{view.model_id}" for mode, view in inner.items()}


class AttentionPanel(OrderedHeads):
    """All layers and heads at a glance, and the chosen heads as a map or as colours of the text.

    Attributes:
        inner: the view that stands inside, by the mode it is for; empty where the panel draws the mode itself.
        matrix: weights of the chosen heads in at most 256 x 256 cells, as the browser draws them.
        mode: how they are shown: as a "matrix", or by one of the views in `VIEWS`, such as colours of the "text".
        combine: what several heads become: their "mean" or, weight by weight, the "max"; also in the views "depth"
            (norm-weighted) and "difference", there on each side before one is subtracted.
        scale: of the colours, "linear" or "log" (four decades).
        reach: what the strongest colour means: "one" a weight of 1, "map" the largest in the map, "row" the largest of
            each row.
        direction: in the text, whether the chosen token "attends" or is "attended" to.
        hide_sink: whether the first token's column, and a learned sink, are hidden. Weights stay as they are.
        order: how heads are sorted, and whether the thumbnails are; see `order_by`.
        with_written: whether what the model wrote on from the prompt is shown with it, as far as there is something
            (`exploration.written`). It grows while the model writes, from what its passes recorded.
        image: which image is shown, counted from 0, where a pass read several.
        step: which step of the writing is shown, counted from 0: what was read when its token was chosen, which is the
            last row; None for the newest.
        other: another model, or a trace, that the view "difference" compares with; None for none (not synced).

    Warning:
        Thumbnails are 8 bits deep (error at most 0.002). From 513 tokens on they are made from 64 query rows,
        and from 257 tokens on the large map shows the largest weight of each block; single weights follow its zoom.
        `model.trace` has every weight exactly.
    """

    _esm = asset("attention.js")
    _css = asset("attention.css")

    shows_written = True

    matrix = traitlets.Dict().tag(sync=True)
    mode = traitlets.Enum(("matrix", *VIEWS), default_value="matrix").tag(sync=True)
    inner = traitlets.Dict().tag(sync=True, to_json=_reference)
    combine = traitlets.Enum(("mean", "max"), default_value="mean").tag(sync=True)
    scale = traitlets.Enum(("linear", "log"), default_value="linear").tag(sync=True)
    reach = traitlets.Enum(("one", "map", "row"), default_value="one").tag(sync=True)
    direction = traitlets.Enum(("attends", "attended"), default_value="attends").tag(sync=True)
    hide_sink = traitlets.Bool(False).tag(sync=True)
    with_written = traitlets.Bool(True).tag(sync=True)
    image = traitlets.Int(0).tag(sync=True)
    step = traitlets.Int(None, allow_none=True).tag(sync=True)
    other = traitlets.Any(None)

    def __init__(self, model: Any, text: str | None = None, **traits: Any) -> None:
        self._trace: Trace | None = None
        self._one: tuple[Trace, str, int, Trace] | None = None  # of a pass's stack one image, where it read several
        self._pictured = (0, "", "attn")  # request, stack and kind of the picture that is shown
        self._left: dict[str, dict[str, Any]] = {}  # how views were when others were chosen, by mode
        super().__init__(model, text, **traits)
        self._mode_chosen()
        self.on_msg(self._message)

    @property
    def panels(self) -> tuple[Panel, ...]:  # type: ignore[override]  # where others have an attribute
        return tuple(self.inner.values())

    @traitlets.observe("mode")
    @guarded
    def _mode_chosen(self, _change: Any = None) -> None:
        if not self._ready or self.mode in self.inner:
            return
        old = self.panels
        for mode, view in self.inner.items():
            self._left[mode] = {name: getattr(view, name) for name in view._kept}
        kind = VIEWS.get(self.mode)
        if kind is None:
            self.inner = {}
        else:
            kept = self._left.get(self.mode, {})
            if kind is DifferenceView and self.other is not None:
                kept = {**kept, "other": self.other}
            view = kind(self.exploration, keeper=self, title=self.title, **kept)
            self.inner = {self.mode: view}
        for view in old:
            view.close()

    @traitlets.validate("other")
    def _check_other(self, proposal: Any) -> Any:
        return checked_other(proposal["value"])

    @traitlets.observe("other")
    @guarded
    def _other_set(self, change: Any) -> None:
        for view in self.panels:
            if isinstance(view, DifferenceView):
                view.other = change["new"]

    @traitlets.observe("direction")
    @guarded
    def _direction_changed(self, _change: Any) -> None:
        for view in self.panels:
            if isinstance(view, TextView):
                view.line_asked()

    @traitlets.observe("selection")
    @guarded
    def _selection_changed(self, change: Any) -> None:
        if self._trace is None:
            return
        before = change["old"] if isinstance(change["old"], Selection) else Selection()
        now = change["new"]
        if (before.stack, before.kind) != (now.stack, now.kind):
            self._request()
        elif (before.layer, before.heads) != (now.layer, now.heads):
            self._submit("matrix", lambda _job: self._show_matrix())

    @traitlets.observe("combine", "hide_sink")
    @guarded
    def _together_changed(self, _change: Any) -> None:
        if self._trace is not None:
            self._submit("matrix", lambda _job: self._show_matrix())

    @traitlets.validate("step")
    @checked
    def _check_step(self, proposal: Any) -> int | None:
        step: int | None = proposal["value"]
        written = self.exploration.written
        if step is not None and (written is None or not 0 <= step < len(written)):
            there = "nothing was written" if written is None else f"steps 0 to {len(written) - 1} were written"
            raise Refused(f"step={step} is none: {there}; None is the newest.")
        return step

    @traitlets.observe("with_written", "step")
    @guarded
    def _step_changed(self, _change: Any) -> None:
        if self._ready and self.exploration.written is not None:
            self._read_again()

    def written_changed(self, old: Written | None, new: Written | None) -> None:
        """Shows what was written as it grows; of another text the newest step."""
        if old is None or new is None or old.generation is not new.generation:
            self._publish(step=None)
        if self.with_written and self.step is None and new is not None:
            self._read_again()

    def read(self) -> Trace:
        """The pass over the prompt, or what was recorded as it was written on from, up to the chosen step."""
        written = self.exploration.written
        if self.with_written and written is not None and not written.unrecorded:
            trace: Trace = written.trace(self.step)
            return trace
        return super().read()

    def of_image(self, trace: Trace) -> Trace:
        """The pass, of several images that the chosen stack read apart from each other that of `image` alone."""
        with self.exploration.lock:
            stack, image = chosen_stack(self.selection.stack, trace.anatomy), self.image
            if images_apart(trace, stack) == 1:
                return trace
            known = self._one
            if known is None or known[0] is not trace or known[1:3] != (stack.name, image):
                known = self._one = (trace, stack.name, image, of_image(trace, image, stack))
            return known[3]

    @traitlets.observe("image")
    @guarded
    def _image_changed(self, _change: Any) -> None:
        if self._ready:
            self._read_again()

    def _read_again(self) -> None:
        self._request()
        for view in self.panels:
            view._request()

    def close(self) -> None:
        """Closes the view and lets go of its trace."""
        super().close()
        self._trace = self._one = None

    def _model_closed(self) -> None:
        self._trace = self._one = None
        super()._model_closed()

    def patch_heads(self, layer: int | None = None, heads: Sequence[int] | None = None) -> Patch:
        """Gives heads the output that they had in what is pinned, as an edit of the exploration, and returns the edit.

        Of texts that differ in length, positions whose tokens are equal or stand in each other's place are patched;
        the edit's `positions` says which. A patch of the same heads from before is replaced.

        Args:
            layer: of the heads; the selection's by default.
            heads: which heads; the selection's by default.

        Raises:
            Refused: nothing is pinned, the model is not there, or no position of the two texts stands for the same.
        """
        chosen = self.selection
        layer = (chosen.layer or 0) if layer is None else layer
        heads = (chosen.heads or (0,)) if heads is None else heads
        patch = patch_of_pinned(self.exploration, layer, heads, chosen.stack, chosen.kind)
        place = (Patch, patch.site, patch.heads)
        others = [edit for edit in self.exploration.edits if (type(edit), edit.site, edit.heads) != place]
        self.exploration._publish(edits=(*others, patch))
        return patch

    def _patch(self, content: dict[str, Any]) -> None:
        try:
            self.patch_heads(content.get("layer"), content.get("heads"))
        except (Refused, TypeError) as error:
            self._refused(error)

    def _draw(self, _job: Job, number: int) -> None:
        facts = self.exploration.source.facts
        if not facts.anatomy.routes_attention or facts.anatomy.stack is None:
            raise no_attention(facts.anatomy, facts.name)
        trace = self.read()
        found = choices(trace)
        chosen = self.selection
        name = chosen_stack(chosen.stack, trace.anatomy).name
        if (name, chosen.kind) not in found:
            recorded(trace, chosen.stack, chosen.kind)  # says why not
        stack = chosen_stack(name, trace.anatomy)
        images = images_of(trace)
        check_image(self.image, images or 1)
        whole, trace = trace, self.of_image(trace)
        control.report(0.0, _READING)
        seen = trace.overview(stack=name, kind=chosen.kind)
        self._trace, self._pictured = trace, (number, name, chosen.kind)
        prompt = prompt_of(trace, stack)
        view = {"request": number, **all_heads_seen(trace, stack, chosen.kind, seen, prompt, self._notes(prompt))}
        view |= {"images": images, "apart": trace is not whole}
        view["choices"] = [{"stack": other, "kind": sort} for other, sort in found]
        with self.exploration.lock:  # what was chosen while the heads were read is not taken back
            wanted = self.selection
            if (wanted.stack, wanted.kind) == (chosen.stack, chosen.kind):
                fits = fitting(wanted, seen, view["queries"], view["keys"])
                if fits != wanted:
                    with self.exploration.adjusting():
                        self._publish(selection=fits)
        self._publish(view=view)
        self._publish_matrix()
        self._put_in_order()

    @property
    def _pictures(self) -> tuple[str, ...]:  # type: ignore[override]  # where others have an attribute
        """What is on the screen, the chosen heads' map, and all heads."""
        return (*(name for view in self.panels for name in view._pictures), "head", "heads")

    def _other_pictures(self) -> str:
        others = ", ".join(map(repr, VIEWS))
        return f"; a view is drawn while it is shown, where panel.mode is one of {others}"

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        for view in self.panels:
            if what in view._pictures:
                return view._drawing(what, width)
        return head_drawing(self, width) if what == "head" else all_heads_drawing(self, width)

    def _table(self) -> pd.DataFrame:
        for view in self.panels:
            return view._table()
        return head_table(self)

    def _chosen_rows(self) -> tuple[int, list[int], AttentionRows]:
        """The layer and heads that are shown large, and their weights."""
        trace, chosen = self._shown_trace(), self.selection
        _, name, kind = self._pictured
        layer = next(at for at, heads in enumerate(self.view["heads_per_layer"]) if heads)
        layer = layer if chosen.layer is None else chosen.layer
        return layer, list(chosen.heads or (0,)), trace.attention(layer, stack=name, kind=kind)

    def _texts(self) -> tuple[list[str], list[str]]:
        """What stands at the rows and at the columns of the map."""
        view = self.view
        rows = view["decoder_tokens"] or view["tokens"]
        columns = rows if view["keys_from"] == "decoder" else view["tokens"]
        return [token["text"] for token in rows], [token["text"] for token in columns]

    def _shown_trace(self) -> Trace:
        if self._trace is None:
            raise Refused("This panel was closed, and its trace with it.")
        return self._trace

    def _for_page(self, limits: PageLimits) -> tuple[dict[str, Any], str]:
        if self._trace is None:
            return {}, ""
        _, name, kind = self._pictured
        state, said = all_heads(self._trace, name, kind, limits)
        inner = {**self.inner, **dict(zip(("text",), self._page_panels, strict=False))}
        return {**state, "inner": _reference(inner, self)}, said

    def _ready_page(self, undo: ExitStack) -> None:
        """Makes the text, which needs no model: whoever reads the page can turn to it."""
        if "text" in self.inner or self._trace is None:
            return
        view = TextView(self.exploration, keeper=self, title=self.title, **self._left.get("text", {}))
        undo.callback(view.close)
        view.wait()
        self._page_panels = (view,)
        undo.callback(setattr, self, "_page_panels", ())

    def _page_offer(self) -> str:
        return ", carry fewer with layers=[...], or pool their maps with cells=256"

    def _show_matrix(self) -> None:
        """The chosen heads' weights; where the trace has none, the sentence that says so until others are chosen."""
        try:
            self._publish_matrix()
        except Refused as error:
            self._refused(error)
        else:
            self._accepted()

    def _publish_matrix(self) -> None:
        trace, chosen = self._trace, self.selection
        number, name, kind = self._pictured
        if trace is None or chosen.layer is None:
            return
        where = trace.attention(chosen.layer, stack=name, kind=kind)
        heads = checked_indices("heads", list(chosen.heads or (0,)), where.heads)
        found = whole_map(where, heads, self.combine, self.hide_sink)
        self._publish(matrix={"request": number, "layer": chosen.layer, **found})

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Takes what the browser asks for."""
        ask = content.get("type")
        if ask == "patch":
            self._submit("patch", lambda _job: self._patch(content))
        elif ask == "part":
            self._submit("part", lambda _job: self._answer(content))
        else:
            raise Refused(f"The page sent {str(ask)[:40]!r}; this panel answers part and patch.")

    def _answer(self, content: dict[str, Any]) -> None:
        trace, (number, name, kind) = self._trace, self._pictured
        if trace is None or content.get("picture") != number:
            return  # of a picture that is shown no more; the browser asks again for the new one

        def read() -> Tensor:
            layer = content.get("layer")
            where = trace.attention(layer, stack=name, kind=kind)  # type: ignore[arg-type]  # checked there
            heads = checked_indices("heads", content.get("heads"), where.heads)
            return attention_parts.asked(where, heads, content)

        attention_parts.answer(self, "part", content, read)
