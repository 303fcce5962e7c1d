"""The text itself, coloured by what one of its tokens attends to or is attended to by: the view for long texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import Tensor

from explorer import Refused, Trace
from explorer.attention_rows import AttentionRows
from explorer.control import checkpoint
from explorer.sites import heads_of
from widgets import attention_parts, wire
from widgets.attention_view import AttentionView
from widgets.connection import asset, guarded
from widgets.worker import Job

if TYPE_CHECKING:
    import pandas as pd

    from widgets.paper import Paper


class TextView(AttentionView):
    """The tokens as running text, coloured by the weights of one of them. Which one, and which way, the panel around
    says: `selection.query` and `direction`; without a choice it is the last.

    Attributes:
        line: the weights of that token: of each head that is shown, one for every token of the other side.
        stacked: whether all heads of the layer are shown, each as a stripe, and not the chosen ones together.
    """

    _esm = asset("attention-text.js")
    _css = asset("attention-text.css")
    _chosen_by = ("stack", "kind")
    _kept = ("stacked",)
    _pictures = ("text",)

    line = traitlets.Dict().tag(sync=True)
    stacked = traitlets.Bool(False).tag(sync=True)

    def __init__(self, *args: Any, **traits: Any) -> None:
        self._tops = Tops()
        super().__init__(*args, **traits)

    @traitlets.observe("selection", "stacked")
    @guarded
    def line_asked(self, _change: Any = None) -> None:
        """Asks for the weights of the token that is chosen now."""
        if self._ready and self.view:
            self._submit("line", lambda _job: self._show_line())

    def close(self) -> None:
        """Closes the view and lets go of the trace it read."""
        super().close()
        self._tops = Tops()

    def _model_closed(self) -> None:
        self._tops = Tops()
        super()._model_closed()

    def _draw(self, _job: Job, number: int) -> None:
        trace = self.read()
        stack, *_ = self._heads(trace)
        attentions = [heads_of(layer, self.selection.kind) for layer in stack.layers]
        self._publish(
            view={
                "request": number,
                **self._both_texts(trace, stack),
                "notes": [],
                "heads_per_layer": [0 if heads is None else heads.heads for heads in attentions],
                "stack": stack.name,
                "kind": self.selection.kind,
            }
        )
        self._publish_line(trace)

    def _show_line(self) -> None:
        try:
            self._publish_line(self.read())
        except Refused as error:  # such as a layer that was not recorded
            self._refused(error)
        else:
            self._accepted()

    def _publish_line(self, trace: Trace) -> None:
        stack, layer, heads, where = self._heads(trace)
        drawn = list(range(where.heads)) if self.stacked else heads
        side, index = self._asked(where)
        read = attention_parts.row if side == "query" else attention_parts.column
        name = (stack.name, self.selection.kind, layer)
        self._publish(
            line={
                "request": self.view["request"],
                "layer": layer,
                "heads": drawn,
                "side": side,
                "index": index,
                "weights": wire.array(read(where, drawn, index)),
                "visible": wire.array(_visible(where, side, index)),
                "largest": wire.array(self._tops.of(trace, name, where, drawn)),
            }
        )

    def _asked(self, where: AttentionRows) -> tuple[str, int]:
        """Which side's token is asked about, and which: the chosen one, or the last."""
        chosen = self.selection
        if self.keeper is None or self.keeper.direction == "attends":
            side, index, count = "query", chosen.query, where.queries
        else:
            # Of one text with itself, turning the direction keeps the token.
            same = self.view["key_tokens"] is None
            side, count = "key", where.keys
            index = chosen.query if chosen.key is None and same else chosen.key
        return side, count - 1 if index is None or index >= count else index

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        from widgets import attention_text_print

        return attention_text_print.drawing(self, width)

    def _table(self) -> pd.DataFrame:
        from widgets import attention_text_print

        return attention_text_print.table(self)


def _visible(where: AttentionRows, side: str, index: int) -> Tensor:
    """(position,) bool: what a row may see, or which rows may see a key."""
    seen = where.seen()
    if side == "query":
        keys = torch.arange(where.keys)
        return (keys >= seen[index, 0]) & (keys < seen[index, 1])
    return (index >= seen[:, 0]) & (index < seen[:, 1])


class Tops:
    """The largest weights of heads over all of their maps, which the strongest colour can mean; each is found once."""

    def __init__(self) -> None:
        self._trace: Trace | None = None
        self._known: dict[tuple[Any, ...], Tensor] = {}

    def of(self, trace: Trace, name: tuple[Any, ...], where: AttentionRows, heads: list[int]) -> Tensor:
        """(head + 1, 2) float32: of each head, and last of their mean, the largest weight of all and without the first
        key's. What is not a number counts as nothing.

        Args:
            trace: of which what is known is known.
            name: says which attention of it `where` is.
            where: the attention.
            heads: which heads.

        Raises:
            Cancelled: a newer request came.
        """
        if self._trace is not trace:
            self._trace, self._known = trace, {}
        key = (*name, *heads)
        if key not in self._known:
            found = torch.zeros(len(heads) + 1, 2)
            for _, block in where.blocks(heads, range(where.queries)):
                checkpoint()
                weights = block.float().nan_to_num(0.0, 0.0, 0.0)
                weights = torch.cat([weights, weights.mean(dim=0, keepdim=True)])
                found[:, 0] = found[:, 0].maximum(weights.amax(dim=(1, 2)).cpu())
                if weights.shape[2] > 1:
                    found[:, 1] = found[:, 1].maximum(weights[..., 1:].amax(dim=(1, 2)).cpu())
            self._known[key] = found
        return self._known[key]
