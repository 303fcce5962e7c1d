"""Weights of attention as plain transformers computes them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

import explorer


def eager_weights(model: explorer.Model) -> Callable[[str], Tensor]:
    """Of a model without a decoder a function from a text to its weights, (layer, head, query, key), in double."""
    eager = copy.deepcopy(model.hf)
    eager.set_attn_implementation("eager")

    def of(text: str) -> Tensor:
        with torch.no_grad():
            ids = model.tokenizer(text, return_tensors="pt").input_ids
            return torch.stack(eager(ids, output_attentions=True).attentions)[:, 0].double()

    return of
