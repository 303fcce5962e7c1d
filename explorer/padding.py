"""Whether a model can be given texts of two lengths: shown once on a short batch, not taken from its architecture.

Most families hide padding behind their mask. Some let it through all the same (convolutions over positions, averages
over blocks of positions, kernels that take no mask); what they give for a text would then depend on its neighbours.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from explorer.anatomy import Place
from explorer.errors import Cancelled

if TYPE_CHECKING:
    from explorer.model import Model

_LONG, _SHORT = 9, 4
# Rounding differs between shapes, most in half precision; padding that is read changes far more.
_AGREEMENT = 0.05
_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

# What was shown for a model, by whether its decoder's texts were padded too: why it is wrong, empty where it is right.
_SHOWN: weakref.WeakKeyDictionary[nn.Module, dict[bool, str]] = weakref.WeakKeyDictionary()


def unfit(model: Model, *, decoder: bool) -> str:
    """Why texts of two lengths cannot share a pass of this model; empty where they can.

    The first call runs three short passes.

    Args:
        model: the model.
        decoder: whether a decoder's texts differ in length too.
    """
    with model.lock:
        shown = _SHOWN.setdefault(model.hf, {})
        if decoder not in shown:
            try:
                shown[decoder] = _shown(model, decoder)
            except Cancelled:
                raise
            except _FAILURES as error:
                shown[decoder] = f"a short padded batch failed ({type(error).__name__}: {error})"
        return shown[decoder]


def _shown(model: Model, decoder: bool) -> str:
    from explorer.probing import probe

    inputs, missing = probe(model.hf, images=False)
    if missing:
        return missing
    size = model.vocabulary
    texts = [[(size // 2 + 3 * row + 5 * step) % size for step in range(n)] for row, n in enumerate((_LONG, _SHORT))]
    others = {name: value for name, value in inputs.items() if name == "pixel_values"}
    seq2seq = "decoder_input_ids" in inputs
    written = [text if decoder else text[:_SHORT] for text in texts] if seq2seq else None
    together = _ran(model, texts, written, others)
    for row, text in enumerate(texts):
        alone = _ran(model, [text], None if written is None else [written[row]], others)
        if together.dim() != 3 or alone.dim() != 3:
            return ""
        real = together[row, : alone.shape[1]].float()
        if real.shape != alone[0].shape or not _near(real, alone[0].float()):
            return "padding changes what it gives for the texts beside it"
    return ""


def _near(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= _AGREEMENT * other.abs().max().clamp(min=1e-6))


def _ran(model: Model, texts: list[list[int]], written: list[list[int]] | None, others: dict[str, Tensor]) -> Tensor:
    """The answer for each position, or the last layer's stream where the answer is of the whole text."""
    from explorer.inputs import padded
    from explorer.passes import plain

    ids, mask = padded(model, texts)
    arguments: dict[str, Any] = {"input_ids": ids}
    if model.accepts("attention_mask"):
        arguments["attention_mask"] = mask
    if written is not None:
        arguments["decoder_input_ids"] = padded(model, written)[0]
    arguments |= {name: value.expand(len(texts), *value.shape[1:]) for name, value in others.items()}
    stack = model.anatomy.stack
    if stack is None or model.anatomy.vocabulary is not None:
        return plain(model, arguments).answer
    last = stack.layers[-1]
    return plain(model, arguments, until=Place(last.path, "out", last.call)).answer.reshape(len(texts), -1, stack.width)
