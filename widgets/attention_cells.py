"""Maps of any numbers in at most 256 x 256 cells, as the browser draws them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from explorer import Refused
from widgets import wire

# A map of this many cells each way fills a screen.
_CELLS = 256
# All numbers are computed before the first is drawn: 64 MB of them.
_MOST_NUMBERS = 4096 * 4096


def check_size(queries: int, keys: int) -> None:
    """Refuses maps that would take too much memory and time.

    Raises:
        Refused: it has more than 4096 x 4096 numbers.
    """
    if queries * keys > _MOST_NUMBERS:
        raise Refused(
            f"this map would have {queries} x {keys} numbers; it is computed for up to 4096 tokens. Shorten the text, "
            "or choose the matrix, which reads any length."
        )


def cells(values: Tensor, seen: Tensor, **beside: Tensor) -> dict[str, Any]:
    """A map's numbers as they travel: of each cell the one that is furthest from 0.

    Args:
        values: (row, column), NaN where there is no number.
        seen: (row, 2), the first column that a row may have a number in, and the one after the last.
        beside: other numbers of the same shape, which travel under their names, each from the same place as the value.
    """
    rows, columns = values.shape
    block = max(1, -(-max(rows, columns) // _CELLS))
    size = values.abs().nan_to_num(nan=-1.0)
    _, place = max_pool2d(size[None], block, ceil_mode=True, return_indices=True)
    taken = {name: wire.array(one.float().flatten()[place[0]]) for name, one in {"data": values, **beside}.items()}
    return {
        **taken,
        "row_start": list(range(0, rows, block)),
        "col_start": list(range(0, columns, block)),
        "rows": rows,
        "columns": columns,
        "block": block,
        "seen": wire.array(seen.to(torch.int32)),
    }
