"""What the gradients of a pass need in memory, told before they are taken."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from explorer.budget import SMALL, require
from explorer.memory import free_bytes

if TYPE_CHECKING:
    from explorer.model import Model

_measured: weakref.WeakKeyDictionary[nn.Module, tuple[float, float]] = weakref.WeakKeyDictionary()
_SHORT, _LONGER = 4, 8
_OFFER = "Use a shorter prompt, or load the model with dtype='bfloat16'."


def check_gradients(model: Model, positions: int, texts: int = 1) -> int:
    """Refuses to take gradients of a pass that need more memory than is free.

    What a pass keeps for its gradients depends on every module's own code, so it is measured on two short texts and
    goes on from there: one part grows with the length, one (attention weights, where they are kept) with its square.

    Args:
        model: the model.
        positions: of each text.
        texts: how many go through together, at most.

    Returns:
        How many can go through together: `texts`, or as many as half of the free memory holds, at least one.

    Raises:
        Refused: the sentence says how much it is, how much is free, and what would need less.
    """
    linear, square = _kept_for_gradients(model)
    needed = int(linear * positions + square * positions**2)
    if needed * texts < SMALL:
        return texts
    require(needed, model.device, f"Gradients of {positions:,} tokens would need", _OFFER)
    free = free_bytes(model.device)
    return texts if free is None else max(1, min(texts, free // 2 // max(1, needed)))


def _kept_for_gradients(model: Model) -> tuple[float, float]:
    """Bytes that a pass keeps for its gradients: for each position, and for each pair of positions."""
    known = _measured.get(model.hf)
    if known is None:
        short, longer = (kept_for_gradients(model, length) for length in (_SHORT, _LONGER))
        square = max(0.0, (longer / _LONGER - short / _SHORT) / (_LONGER - _SHORT))
        known = _measured[model.hf] = (longer / _LONGER - square * _LONGER, square)
    return known


def kept_for_gradients(model: Model, positions: int) -> int:
    """Bytes that a pass over so many positions keeps for its gradients, weights not counted; found by running it."""
    own = {storage.data_ptr() for parameter in model.hf.parameters() for storage in _storages(parameter)}
    kept = dict[int, int]()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.update({one.data_ptr(): one.nbytes() for one in _storages(tensor) if one.data_ptr() not in own})
        return tensor.detach()  # which holds the memory alone: a module's own output would hold the module, for ever

    ids = torch.zeros(1, positions, dtype=torch.long, device=model.device)
    with model.lock, torch.enable_grad():
        embeddings = model.hf.get_input_embeddings()(ids).detach().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), model.stoppable(()):
            result = model.run(inputs_embeds=embeddings)
    del result
    return sum(kept.values())


def _storages(tensor: torch.Tensor) -> Iterator[torch.UntypedStorage]:
    """Where a tensor lies; one in few bits is made of several."""
    if is_traceable_wrapper_subclass(tensor):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _storages(getattr(tensor, name))
    else:
        yield tensor.untyped_storage()
