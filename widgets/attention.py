"""Where every head attends, and exactly how much one of them does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import traitlets

from explorer import Refused, Trace, control
from explorer.anatomy import Stack
from explorer.note import Note
from widgets import wire
from widgets.attention_page import all_heads
from widgets.connection import asset, guarded
from widgets.panel import Panel
from widgets.selection import Selection
from widgets.snapshot import PageLimits
from widgets.worker import Job

if TYPE_CHECKING:
    import pandas as pd

    from widgets.paper import Paper

_READING = Note("reading_heads", "reading attention")
# A thumbnail is 30 to 40 pixels wide on the screen; more cells than this could not be seen.
_THUMBNAIL_CELLS = 32
# Up to here thumbnails are made from every row; beyond, from this many rows, each computed exactly.
_ALL_ROWS_UP_TO = 512
_SAMPLED_ROWS = 64
# A matrix of this many cells each way fills a screen; a longer prompt is shown in blocks.
_MATRIX_CELLS = 256
# On paper cells may be smaller.
_PRINTED_CELLS = 512


class AttentionPanel(Panel):
    """All layers and heads at a glance, the first head of the selection large.

    Attributes:
        matrix: weights of the chosen head, as the browser draws them.

    Warning:
        Thumbnails are 8 bits deep (error at most 0.002). From 513 tokens on they are made from 64 query rows,
        and from 257 tokens on the large map shows the largest weight of each block. `model.trace` has every
        weight exactly.
    """

    _esm = asset("attention.js")
    _css = asset("attention.css")

    _pictures = ("head", "heads")

    matrix = traitlets.Dict().tag(sync=True)

    def __init__(self, model: Any, text: str | None = None, **traits: Any) -> None:
        self._trace: Trace | None = None
        super().__init__(model, text, **traits)

    @traitlets.observe("selection")
    @guarded
    def _selection_changed(self, change: Any) -> None:
        before = change["old"] if isinstance(change["old"], Selection) else Selection()
        if (before.layer, before.heads) != (change["new"].layer, change["new"].heads) and self._trace is not None:
            self._submit("matrix", lambda _job: self._show_matrix())

    def close(self) -> None:
        """Closes the view and lets go of its trace."""
        super().close()
        self._trace = None

    def _model_closed(self) -> None:
        self._trace = None
        super()._model_closed()

    def _draw(self, _job: Job, number: int) -> None:
        facts = self.exploration.source.facts
        stack = facts.anatomy.stack
        if not facts.anatomy.routes_attention or stack is None:
            raise Refused(f"{facts.name} has no attention to show: {facts.anatomy.missing}.")
        trace = self.exploration.trace()
        missing = _missing(trace, stack)
        view = self._picture(trace, stack, missing, number)
        self._trace = trace
        chosen = self.selection
        fits = all(position is None or position < len(trace) for position in (chosen.query, chosen.key))
        if not fits:
            chosen = Selection(chosen.layer, chosen.heads)
        if chosen.layer in missing:
            there = next(layer for layer, heads in enumerate(stack.heads) if heads and layer not in missing)
            chosen = Selection(there, (0,), chosen.query, chosen.key)
        if chosen != self.selection:
            with self.exploration.adjusting():
                self._publish(selection=chosen)
        self._publish(view=view)
        self._publish_matrix(number)

    def _picture(self, trace: Trace, stack: Stack, missing: Sequence[int], number: int) -> dict[str, Any]:
        length = len(trace)
        rows: list[int] | None = None
        if length > _ALL_ROWS_UP_TO:
            rows = torch.linspace(0, length - 1, _SAMPLED_ROWS).round().long().tolist()
        notes = self._notes(trace.tokens)
        if missing:
            sentence = f"The attention of these layers was not recorded: {', '.join(map(str, missing))}."
            notes = [*notes, Note("not_recorded", sentence, layers=list(missing))]
        side = len(wire.block_starts(length, _THUMBNAIL_CELLS))
        grid = torch.zeros(len(stack.layers), max(stack.heads), min(side, _THUMBNAIL_CELLS), side)
        for layer, heads in enumerate(stack.heads):
            control.report(layer / len(stack.layers), _READING)
            if not heads or layer in missing:
                continue
            pattern = trace.pattern(layer, queries=rows)[0]
            if not torch.isfinite(pattern).all():
                sentence = f"Layer {layer} has attention weights that are not numbers; they are drawn as 0."
                notes = [*notes, Note("nan_weights", sentence, layer=layer)]
            pooled = wire.pool_last(pattern, _THUMBNAIL_CELLS)
            pooled = wire.pool_last(pooled.transpose(1, 2), grid.shape[2]).transpose(1, 2)
            grid[layer, :heads, : pooled.shape[1]] = pooled.cpu()
        return {
            "request": number,
            "tokens": wire.tokens(trace.tokens),
            "notes": notes,
            "layers": len(stack.layers),
            "heads": max(stack.heads),
            "heads_per_layer": [0 if layer in missing else heads for layer, heads in enumerate(stack.heads)],
            "positions": length,
            "grid": wire.array(wire.unit_bytes(grid)),
            "grid_max_error": 1 / 510,
            "queries_sampled": None if rows is None else len(rows),
        }

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        from widgets import drawings

        trace, chosen = self._shown_trace(), self.selection
        if what == "heads":
            view = self.view
            grid = np.frombuffer(view["grid"]["data"], np.uint8).reshape(view["grid"]["shape"]) / 255
            return drawings.all_heads(width, grid, "Attention of all heads"), ""
        layer, head = chosen.layer or 0, (chosen.heads or (0,))[0]
        weights = trace.pattern(layer, heads=[head])[0, 0].float()
        starts = wire.block_starts(len(trace), _PRINTED_CELLS)
        note = ""
        if len(starts) < len(trace):
            weights = wire.pool_last(wire.pool_last(weights, len(starts)).T, len(starts)).T
            note = f"Each cell is the largest of {starts[1]} x {starts[1]} weights"
        words = [trace.tokens[start].text for start in starts]
        title = f"Layer {layer}, head {head}: rows attend to columns"
        return drawings.head_map(width, weights.cpu().numpy(), words, title), note

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        trace, chosen = self._shown_trace(), self.selection
        layer, heads = chosen.layer or 0, list(chosen.heads or (0,))
        weights = trace.pattern(layer, heads=heads)[0].float().cpu()
        texts = np.array([token.text for token in trace.tokens], dtype=object)
        head, query, key = (index.numpy() for index in torch.meshgrid(*map(torch.arange, weights.shape), indexing="ij"))
        query, key = query.ravel(), key.ravel()
        return pd.DataFrame(
            {
                "layer": layer,
                "head": np.array(heads)[head.ravel()],
                "query": query,
                "query_token": texts[query],
                "key": key,
                "key_token": texts[key],
                "weight": weights.reshape(-1).numpy(),
            }
        )

    def _shown_trace(self) -> Trace:
        if self._trace is None:
            raise Refused("This panel was closed, and its trace with it.")
        return self._trace

    def _for_page(self, limits: PageLimits) -> tuple[dict[str, Any], str]:
        trace, stack = self._trace, self.exploration.source.facts.anatomy.stack
        if trace is None or stack is None:
            return {}, ""
        return all_heads(trace, stack, _missing(trace, stack), limits)

    def _page_offer(self) -> str:
        return ", carry fewer with layers=[...], or pool their maps with cells=256"

    def _show_matrix(self) -> None:
        """The chosen head's weights; where the trace has none, the sentence that says so until another is chosen."""
        try:
            self._publish_matrix(self._number)
        except Refused as error:
            self._refused(error)
        else:
            self._accepted()

    def _publish_matrix(self, number: int) -> None:
        trace, chosen = self._trace, self.selection
        if trace is None or chosen.layer is None:
            return
        head = 0 if chosen.heads is None else chosen.heads[0]
        starts = wire.block_starts(len(trace), _MATRIX_CELLS)
        block = starts[1] - starts[0] if len(starts) > 1 else 1
        bands = []
        for start in starts:  # one band of query rows at a time: the whole map need not fit in memory
            band = trace.pattern(chosen.layer, heads=[head], queries=slice(start, start + block))[0, 0]
            bands.append(wire.pool_last(band.float(), _MATRIX_CELLS).amax(dim=0))
        self._publish(
            matrix={
                "request": number,
                "layer": chosen.layer,
                "head": head,
                "data": wire.array(torch.stack(bands)),
                "row_start": starts,
                "col_start": starts,
                "block": block,
            }
        )


def _missing(trace: Trace, stack: Stack) -> list[int]:
    """The layers whose attention weights are not in a trace.

    Raises:
        Refused: those of all layers are missing.
    """
    there = set(trace.sites())
    routed = [layer for layer, heads in enumerate(stack.heads) if heads]
    missing = [layer for layer in routed if f"{stack.prefix}layers.{layer}.attn.pattern" not in there]
    if missing == routed:
        trace.pattern(missing[0], heads=[0], queries=[0])  # says what to record
        return []
    return missing
