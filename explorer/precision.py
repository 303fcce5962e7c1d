"""How far quantised weights are from the full ones: a row of the self-check, where both fit in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explorer import quantising
from explorer.findings import Measured
from explorer.passes import answer, plain

if TYPE_CHECKING:
    from explorer.model import Model

WHAT = "difference to full precision"


def compare(
    found: Measured, model: Model, arguments: Mapping[str, Tensor], free: Callable[[torch.device], int | None]
) -> None:
    """Says how the answer of a quantised model differs from that of the same weights in full precision.

    Args:
        found: takes the row.
        model: the model.
        arguments: for its forward.
        free: how many bytes a device has left.
    """
    if not model.quantised:
        return
    if model.reopen is None:
        found.remark(WHAT, "", "not compared: the full weights are not at hand; open the model with explorer.load")
        return
    needed = int(1.1 * quantising.count(model.hf) * model.dtype.itemsize)
    left = free(model.device)
    if left is not None and needed > left:
        words = f"{needed / 1e9:.1f} GB are needed, {left / 1e9:.1f} GB are free"
        found.remark(WHAT, "", f"not compared: the full weights do not fit beside these ({words})")
        return
    full: Any = model.reopen()
    full.eval()
    options = {"use_cache": False} if model.accepts("use_cache") else {}
    with torch.no_grad():
        expected = answer(full(**arguments, **options)).float()
    given = plain(model, dict(arguments)).answer.float()
    off = float((given - expected).abs().max())
    words = f"largest {off:.3g}, where values spread by {float(expected.std()):.3g}"
    if model.anatomy.vocabulary is not None:
        same = given.argmax(-1) == expected.argmax(-1)
        words += f"; the likeliest token agrees at {int(same.sum())} of {math.prod(same.shape)} positions"
    found.remark(WHAT, "", words)
