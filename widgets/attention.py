"""Where every head attends, and exactly how much one of them does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import traitlets

from explorer import Patch, Refused, Trace, control
from explorer.anatomy import Layer, Stack
from explorer.attention_rows import AttentionRows
from explorer.note import Note
from explorer.overview import Overview, recorded
from explorer.positions import positions, reads_images
from explorer.sites import checked_indices, chosen_stack, heads_of
from widgets import attention_parts, wire
from widgets.attention_depth import DepthView
from widgets.attention_difference import DifferenceView, checked_other
from widgets.attention_lines import LinesView
from widgets.attention_measures import MeasuresView
from widgets.attention_neuron import NeuronView
from widgets.attention_order import OrderedHeads
from widgets.attention_page import all_heads
from widgets.attention_patch import patch_of_pinned
from widgets.attention_pictures import PicturesView
from widgets.attention_view import AttentionView
from widgets.connection import asset, checked, guarded
from widgets.panel import Panel
from widgets.selection import KINDS, Selection
from widgets.snapshot import PageLimits
from widgets.worker import Job
from widgets.written import Written

if TYPE_CHECKING:
    import pandas as pd

    from widgets.paper import Paper

_READING = Note("reading_heads", "reading attention")
# A matrix of this many cells each way fills a screen; a longer prompt is shown in blocks.
_MATRIX_CELLS = 256
# On paper cells may be smaller.
_PRINTED_CELLS = 512
# The views that are widgets of their own, sent when they are chosen.
VIEWS: dict[str, type[AttentionView]] = {
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
        mode: how they are shown: as a "matrix", as colours of the "text", or by one of the views in `VIEWS`.
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

    _pictures = ("head", "heads")
    shows_written = True

    matrix = traitlets.Dict().tag(sync=True)
    mode = traitlets.Enum(("matrix", "text", *VIEWS), default_value="matrix").tag(sync=True)
    inner = traitlets.Dict().tag(sync=True, to_json=_reference)
    combine = traitlets.Enum(("mean", "max"), default_value="mean").tag(sync=True)
    scale = traitlets.Enum(("linear", "log"), default_value="linear").tag(sync=True)
    reach = traitlets.Enum(("one", "map", "row"), default_value="one").tag(sync=True)
    direction = traitlets.Enum(("attends", "attended"), default_value="attends").tag(sync=True)
    hide_sink = traitlets.Bool(False).tag(sync=True)
    with_written = traitlets.Bool(True).tag(sync=True)
    step = traitlets.Int(None, allow_none=True).tag(sync=True)
    other = traitlets.Any(None)

    def __init__(self, model: Any, text: str | None = None, **traits: Any) -> None:
        self._trace: Trace | None = None
        self._pictured = (0, "", "attn")  # request, stack and kind of the picture that is shown
        self._left: dict[type[Panel], dict[str, Any]] = {}  # how views were when others were chosen
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
        for view in old:
            self._left[type(view)] = {name: getattr(view, name) for name in getattr(view, "_kept", ())}
        kind = VIEWS.get(self.mode)
        if kind is None:
            self.inner = {}
        else:
            kept = self._left.get(kind, {})
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
            return written.trace(self.step)
        return super().read()

    def _read_again(self) -> None:
        self._request()
        for view in self.panels:
            view._request()

    def close(self) -> None:
        """Closes the view and lets go of its trace."""
        super().close()
        self._trace = None

    def _model_closed(self) -> None:
        self._trace = None
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
            raise Refused(f"{facts.name} has no attention to show: {facts.anatomy.missing}.")
        trace = self.read()
        choices = _choices(trace)
        chosen = self.selection
        name = chosen_stack(chosen.stack, trace.anatomy).name
        if (name, chosen.kind) not in choices:
            recorded(trace, chosen.stack, chosen.kind)  # says why not
        stack = chosen_stack(name, trace.anatomy)
        control.report(0.0, _READING)
        seen = trace.overview(stack=name, kind=chosen.kind)
        self._trace, self._pictured = trace, (number, name, chosen.kind)
        view = self._picture(trace, stack, seen, choices, number)
        chosen = _fitting(chosen, seen, view["queries"], view["keys"])
        if chosen != self.selection:
            with self.exploration.adjusting():
                self._publish(selection=chosen)
        self._publish(view=view)
        self._publish_matrix()
        self._put_in_order()

    def _picture(
        self, trace: Trace, stack: Stack, seen: Overview, choices: Sequence[tuple[str, str]], number: int
    ) -> dict[str, Any]:
        _, name, kind = self._pictured
        # An image's patches stand in the prompt's place.
        prompt = positions(trace, stack) if reads_images(trace, stack) else trace.tokens
        notes = self._notes(prompt)
        if seen.not_recorded:
            sentence = f"The attention of these layers was not recorded: {', '.join(map(str, seen.not_recorded))}."
            notes = [*notes, Note("not_recorded", sentence, layers=list(seen.not_recorded))]
        for layer in seen.not_numbers:
            sentence = f"Layer {layer} has attention weights that are not numbers; heads that hold some are hatched."
            notes = [*notes, Note("nan_weights", sentence, layer=layer)]
        first = next(layer for layer, heads in enumerate(seen.heads) if heads)
        where = trace.attention(first, stack=name, kind=kind)
        decoding = bool(trace.decoder) and stack.name == "decoder"
        attentions = [heads_of(layer, kind) for layer in stack.layers]
        return {
            "request": number,
            "tokens": wire.tokens(prompt),
            "decoder_tokens": wire.tokens(trace.decoder[0]) if decoding else None,
            "keys_from": "decoder" if decoding and kind == "attn" else "prompt",
            "notes": notes,
            "stack": name,
            "kind": kind,
            "choices": [{"stack": other, "kind": sort} for other, sort in choices],
            "site": f"{stack.prefix}layers.{{}}.{kind}.z",
            "layers": len(stack.layers),
            "heads": max(seen.heads),
            "heads_per_layer": list(seen.heads),
            "absent": [_absence(layer, kind, index in seen.not_recorded) for index, layer in enumerate(stack.layers)],
            "windows": [None if heads is None else heads.window for heads in attentions],
            "sinks": [heads is not None and heads.sinks for heads in attentions],
            "queries": where.queries,
            "keys": where.keys,
            "positions": len(prompt),
            "grid": wire.array(seen.weights),
            "grid_max_error": seen.max_error,
            "not_numbers": [list(head) for head in seen.heads_not_numbers],
            "queries_sampled": len(seen.queries) if seen.sampled else None,
        }

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        from widgets import drawings

        if what == "heads":
            view = self.view
            grid = np.frombuffer(view["grid"]["data"], np.uint8).reshape(view["grid"]["shape"]) / 255
            for head in view["not_numbers"]:
                grid[tuple(head)] = np.nan
            left_out = "Heads with weights that are not numbers are left empty" if view["not_numbers"] else ""
            return drawings.all_heads(width, grid, "Attention of all heads"), left_out
        layer, heads, where = self._chosen_rows()
        queries, keys = range(where.queries), range(where.keys)
        block = max(1, -(-max(where.queries, where.keys) // _PRINTED_CELLS))
        largest = self.combine == "max"
        weights = attention_parts.part(where, heads, queries, keys, block, largest=largest).weights
        note = f"Each cell is the largest of {block} x {block} weights" if block > 1 else ""
        rows, columns = (texts[::block] for texts in self._texts())
        named = f"head {heads[0]}" if len(heads) == 1 else f"{self.combine} of heads {', '.join(map(str, heads))}"
        title = f"Layer {layer}, {named}: rows attend to columns"
        return drawings.head_map(width, weights.numpy(), rows, columns, title), note

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        layer, heads, where = self._chosen_rows()
        weights = where.weights(heads, range(where.queries)).float().cpu()
        rows, columns = (np.array(texts, dtype=object) for texts in self._texts())
        head, query, key = (index.numpy() for index in torch.meshgrid(*map(torch.arange, weights.shape), indexing="ij"))
        query, key = query.ravel(), key.ravel()
        return pd.DataFrame(
            {
                "layer": layer,
                "head": np.array(heads)[head.ravel()],
                "query": query,
                "query_token": rows[query],
                "key": key,
                "key_token": columns[key],
                "weight": weights.reshape(-1).numpy(),
            }
        )

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
        return all_heads(self._trace, name, kind, limits)

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
        heads = list(chosen.heads or (0,))
        largest, skip_first = self.combine == "max", self.hide_sink
        where = trace.attention(chosen.layer, stack=name, kind=kind)
        heads = checked_indices("heads", heads, where.heads)
        queries, keys = range(where.queries), range(where.keys)
        block = max(1, -(-max(where.queries, where.keys) // _MATRIX_CELLS))
        found = attention_parts.part(where, heads, queries, keys, block, largest=largest, skip_first=skip_first)
        self._publish(
            matrix={
                "request": number,
                "layer": chosen.layer,
                "head": heads[0],
                "heads": heads,
                "combine": self.combine,
                "hide_sink": skip_first,
                "data": wire.array(found.weights),
                "row_start": list(queries[::block]),
                "col_start": list(keys[::block]),
                "block": block,
                "first": wire.array(found.first),
                "rest": wire.array(found.rest),
                "seen": wire.array(where.seen()),
                "sinks": where.sinks,
                "not_numbers": found.not_numbers,
            }
        )

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Takes what the browser asks for; the answer carries the request's number, or says what was wrong."""
        ask = content.get("type")
        if ask == "patch":
            self._submit("patch", lambda _job: self._patch(content))
            return
        if ask not in attention_parts.ASKED:
            raise Refused(f"The page sent {str(ask)[:40]!r}; this panel answers {', '.join(attention_parts.ASKED)}.")
        self._submit(str(ask), lambda _job: self._answer(ask, content))

    def _answer(self, ask: str, content: dict[str, Any]) -> None:
        trace, (number, name, kind) = self._trace, self._pictured
        if trace is None or content.get("picture") != number:
            return  # of a picture that is shown no more; the browser asks again for the new one

        def read() -> torch.Tensor:
            layer = content.get("layer")
            where = trace.attention(layer, stack=name, kind=kind)  # type: ignore[arg-type]  # checked there
            heads = checked_indices("heads", content.get("heads"), where.heads)
            return attention_parts.asked(ask, where, heads, content)

        attention_parts.answer(self, ask, content, read)


def _choices(trace: Trace) -> list[tuple[str, str]]:
    """The stacks and kinds of attention that the trace has weights of."""
    sites = set(trace.sites())
    return [
        (stack.name, kind)
        for stack in trace.anatomy.stacks
        for kind in KINDS
        if any(f"{stack.prefix}layers.{layer}.{kind}.pattern" in sites for layer in range(len(stack.layers)))
    ]


def _absence(layer: Layer, kind: str, not_recorded: bool) -> str:
    """Why a layer shows no weights; empty where it does."""
    if not_recorded:
        return "it was not recorded"
    if heads_of(layer, kind) is not None:
        return ""
    if layer.recurrent:
        return "recurrent, no softmax attention"
    return dict(layer.lost).get(kind) or layer.missing or "no softmax attention"


def _fitting(chosen: Selection, seen: Overview, queries: int, keys: int) -> Selection:
    """The selection without what this picture does not have."""
    there = [layer for layer, heads in enumerate(seen.heads) if heads]
    layer, heads, query, key = chosen.layer, chosen.heads, chosen.query, chosen.key
    if any(at is not None and at >= count for at, count in ((query, queries), (key, keys))):
        query = key = None
    if layer is not None and layer not in there:
        layer, heads = there[0], (0,)
    if layer is not None and heads is not None:
        heads = tuple(head for head in heads if head < seen.heads[layer]) or (0,)
    return Selection(layer, heads, query, key, chosen.stack, chosen.kind)
