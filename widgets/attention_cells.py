"""Maps of any numbers in at most 256 x 256 cells, as the browser draws them, and finer cells of the part looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import traitlets
from torch import Tensor
from torch.nn.functional import max_pool2d

from explorer import Refused
from widgets import wire
from widgets.attention_parts import answer, asked_part
from widgets.attention_view import AttentionView
from widgets.connection import guarded
from widgets.exploration import Exploration

# A map of this many cells each way fills a screen.
_CELLS = 256
# All numbers are computed before the first is drawn: 64 MB of them.
_MOST_NUMBERS = 4096 * 4096


@dataclass(frozen=True, eq=False)
class _Shown:
    """The numbers behind a map whose cells are blocks.

    Attributes:
        request: the picture's.
        planes: (plane, row, column), float32.
    """

    request: int
    planes: Tensor


class MappedView(AttentionView):
    """A view that is a map of numbers. It answers what the browser asks of the part that is looked at.

    Attributes:
        combine: what several heads become, as the attention panel around it has it: their "mean", or the "max".
    """

    combine = traitlets.Enum(("mean", "max"), default_value="mean").tag(sync=True)

    def __init__(self, exploration: Exploration, keeper: Any = None, **traits: Any) -> None:
        self._behind: _Shown | None = None
        if keeper is not None:
            traits["combine"] = keeper.combine
        super().__init__(exploration, keeper, **traits)
        self._together = None if keeper is None else traitlets.link((keeper, "combine"), (self, "combine"))
        self.on_msg(self._message)

    def close(self) -> None:
        """Closes the view and lets go of what it computed."""
        if self._ready and self._together is not None:
            self._together.unlink()
        super().close()
        self._behind = None

    def _model_closed(self) -> None:
        self._behind = None
        super()._model_closed()

    @traitlets.observe("combine")
    @guarded
    def _combine_set(self, _change: Any) -> None:
        if self._ready and "heads" in self._chosen_by and len(self.selection.heads or (0,)) > 1:
            self._request()

    def _cells(self, request: int, planes: Tensor, seen: Tensor, names: Sequence[str] = ("data",)) -> dict[str, Any]:
        """The numbers as they travel, as `cells` gives them; what is behind larger cells is kept."""
        planes = planes.float()
        found = cells(planes, seen, names)
        self._behind = _Shown(request, planes) if found["block"] > 1 else None
        return found

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Takes what the browser asks for; the answer carries the request's number, or says what was wrong."""
        ask = content.get("type")
        if ask != "part":
            raise Refused(f"The page sent {str(ask)[:40]!r}; this view answers part.")
        self._submit("part", lambda _job: self._answer(content))

    def _answer(self, content: dict[str, Any]) -> None:
        shown = self._behind
        if shown is None or content.get("picture") != shown.request:
            return  # of a picture that is shown no more; the browser asks again for the new one

        def read() -> Tensor:
            rows, columns, block = asked_part(content, *shown.planes.shape[1:])
            part = shown.planes[:, rows.start : rows.stop, columns.start : columns.stop]
            if content.get("hide_sink") is True and columns.start == 0:
                part = without_first(part, block)
            return furthest(part, block).movedim(0, -1)

        answer(self, "part", content, read)


def check_size(queries: int, keys: int) -> None:
    """Refuses maps that would take too much memory and time.

    Raises:
        Refused: it has more than 4096 x 4096 numbers.
    """
    if queries * keys > _MOST_NUMBERS:
        raise Refused(
            f"this map would have {queries} x {keys} numbers; it is computed up to 4096 x 4096. Shorten the text, "
            "or choose the matrix, which reads any length."
        )


def together(each: Tensor, combine: str) -> Tensor:
    """(row, column): the numbers of several heads, (head, row, column), as one: their "mean", or the "max"."""
    return each.amax(dim=0) if combine == "max" else each.mean(dim=0)


def cells(planes: Tensor, seen: Tensor, names: Sequence[str] = ("data",)) -> dict[str, Any]:
    """A map's numbers as they travel: of each cell the one that is furthest from 0.

    Args:
        planes: (plane, row, column), NaN where there is no number. The first plane says of each cell which place is
            shown; the others' numbers are those of the same place.
        seen: (row, 2), the first column that a row may have a number in, and the one after the last.
        names: what the planes travel as.
    """
    rows, columns = planes.shape[1:]
    block = max(1, -(-max(rows, columns) // _CELLS))
    return {
        **{name: wire.array(plane) for name, plane in zip(names, furthest(planes, block), strict=True)},
        "row_start": list(range(0, rows, block)),
        "col_start": list(range(0, columns, block)),
        "rows": rows,
        "columns": columns,
        "block": block,
        "seen": wire.array(seen.to(torch.int32)),
    }


def furthest(planes: Tensor, block: int) -> Tensor:
    """Of each cell of `block` x `block` places the numbers of the one whose first number is furthest from 0.

    Args:
        planes: (plane, row, column); NaN is taken where a cell holds nothing else.
        block: places a cell covers each way; the last cells may cover fewer.

    Returns:
        (plane, row of cells, column of cells); a number below 0 keeps its sign.
    """
    if block == 1:
        return planes
    size = planes[0].abs().nan_to_num(nan=-1.0)
    _, place = max_pool2d(size[None], block, ceil_mode=True, return_indices=True)
    return planes.flatten(1)[:, place[0]]


def without_first(planes: Tensor, block: int) -> Tensor:
    """The same numbers, where cells of several columns count the first one as nothing; alone it keeps its number."""
    if block == 1:
        return planes
    hidden = planes.clone()
    hidden[..., 0] = 0.0
    return hidden
