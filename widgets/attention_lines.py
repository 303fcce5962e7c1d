"""The head view: the tokens that attend, those they attend to, and a line for each weight between them.

After Vig, "A Multiscale Visualization of Attention in the Transformer Model" (2019), the view that BertViz made known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import Tensor

from explorer import Refused
from explorer.attention_rows import AttentionRows
from widgets import attention_parts, wire
from widgets.attention_view import AttentionView
from widgets.connection import asset, checked, guarded
from widgets.worker import Job

if TYPE_CHECKING:
    import pandas as pd

    from widgets.paper import Paper

# More could neither be told apart nor sent at once; heads have as many colours and dashes.
MOST_LINES = 40_000
MOST_HEADS = 12
# Of what is no number it is enough to see where it is.
_MOST_BROKEN = 2_000


class LinesView(AttentionView):
    """Two columns of tokens with lines between them, for each chosen head by itself.

    Attributes:
        asked: all weights of the pinned token, where the picture holds only the strongest.
        threshold: the smallest weight that is drawn, 0 to 1; None where the view chooses it.

    Warning:
        The picture holds the 40,000 largest weights of at most 12 heads, and of each row the first token's. What it
        holds is exact; what is smaller is drawn once its token is pinned.
    """

    _esm = asset("attention-lines.js")
    _css = asset("attention-lines.css")
    _pictures = ("lines",)

    asked = traitlets.Dict().tag(sync=True)
    threshold = traitlets.Float(None, allow_none=True).tag(sync=True)

    @traitlets.validate("threshold")
    @checked
    def _within(self, proposal: Any) -> float | None:
        value: float | None = proposal["value"]
        if value is not None and not 0 <= value <= 1:
            raise Refused(f"threshold={value} is no weight; use a number from 0 to 1, or None for the view's own.")
        return value

    @traitlets.observe("selection")
    @guarded
    def _pinned(self, change: Any) -> None:
        old, new = change["old"], change["new"]
        if self._ready and (old.query, old.key) != (new.query, new.key):
            self._submit("asked", lambda _job: self._publish_asked(self.view.get("request", 0)))

    def _draw(self, _job: Job, number: int) -> None:
        trace = self.read()
        stack, layer, heads, where = self._heads(trace)
        drawn = heads[:MOST_HEADS]
        found = strongest(where, drawn, MOST_LINES)
        self._publish(
            view={
                "request": number,
                **self._both_texts(trace, stack),
                "notes": [],
                "layer": layer,
                "heads": drawn,
                "chosen": len(heads),
                "of": where.heads,
                "head": wire.array(found.head),
                "query": wire.array(found.query),
                "key": wire.array(found.key),
                "weight": wire.array(found.weight),
                "first": wire.array(found.first),
                "seen": wire.array(where.seen()),
                "floor": found.floor,
                "left_out": found.left_out,
                "not_numbers": found.not_numbers,
            }
        )
        self._publish_asked(number)

    def _publish_asked(self, number: int) -> None:
        """All weights of the pinned token; nothing where the picture has them already."""
        view, chosen = self.view, self.selection
        if not view.get("left_out") or (chosen.query is None and chosen.key is None):
            self._publish(asked={})
            return
        _, _, heads, where = self._heads(self.read())
        drawn = heads[:MOST_HEADS]
        query, key = chosen.query, chosen.key
        if query is not None and query < where.queries:
            side, index, weights = "query", query, attention_parts.row(where, drawn, query)
        elif key is not None and key < where.keys:
            side, index, weights = "key", key, attention_parts.column(where, drawn, key)
        else:  # a token that this text no longer has
            self._publish(asked={})
            return
        self._publish(asked={"request": number, "side": side, "index": index, "weights": wire.array(weights)})

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        from widgets import attention_lines_print

        return attention_lines_print.drawing(self, width)

    def _table(self) -> pd.DataFrame:
        from widgets import attention_lines_print

        return attention_lines_print.table(self)


@dataclass(frozen=True, eq=False)
class Strongest:
    """The largest weights of some heads, apart from those of the first key, which many heads give most to.

    Attributes:
        head: (line,) int32, the place among the heads that were asked for.
        query: (line,) int32.
        key: (line,) int32.
        weight: (line,) float32, largest first; what is no number comes last.
        first: (head, query) float32, what the first key gets; 0 where it is hidden.
        floor: all weights above it are there; 0 where all are.
        left_out: how many weights above 0 are not there.
        not_numbers: how many weights are NaN or infinite.
    """

    head: Tensor
    query: Tensor
    key: Tensor
    weight: Tensor
    first: Tensor
    floor: float
    left_out: int
    not_numbers: int


def strongest(where: AttentionRows, heads: list[int], most: int) -> Strongest:
    """The `most` largest weights of some heads.

    Args:
        where: the attention.
        heads: which heads.
        most: how many at most; of equal weights at the limit none is there.

    Raises:
        Cancelled: a newer request came.
    """
    seen = where.seen().long()
    first = torch.zeros(len(heads), where.queries)
    places, values = torch.zeros(3, 0, dtype=torch.int64), torch.zeros(0)
    broken: list[Tensor] = []
    floor, above, not_numbers = 0.0, 0, 0
    for start, block in where.blocks(heads, range(where.queries)):
        weights = block.float().cpu()
        rows = seen[start : start + weights.shape[1]]
        keys = torch.arange(weights.shape[2])
        visible = (keys >= rows[:, :1]) & (keys < rows[:, 1:])  # (query, key)
        weights = weights.where(visible, 0.0)
        first[:, start : start + weights.shape[1]] = weights[..., 0]
        number = weights.isfinite()
        not_numbers += int((~number).sum())
        number[..., 0] = True  # told in `first`
        shift = torch.tensor([[0], [start], [0]])
        broken.append((~number).nonzero().T[:, :_MOST_BROKEN] + shift)
        weights[..., 0] = 0.0
        weights = weights.where(number, 0.0)
        above += int((weights > 0).sum())
        kept = weights > floor
        places = torch.cat([places, kept.nonzero().T + shift], dim=1)
        values = torch.cat([values, weights[kept]])
        if len(values) > most:
            floor = float(values.topk(most + 1).values[-1])
            places, values = places[:, values > floor], values[values > floor]
    order = values.argsort(descending=True, stable=True)
    unknown = torch.cat(broken, dim=1)[:, :_MOST_BROKEN]
    head, query, key = torch.cat([places[:, order], unknown], dim=1).int()
    return Strongest(
        head=head,
        query=query,
        key=key,
        weight=torch.cat([values[order], torch.full((unknown.shape[1],), torch.nan)]),
        first=first,
        floor=floor,
        left_out=above - len(values),
        not_numbers=not_numbers,
    )
