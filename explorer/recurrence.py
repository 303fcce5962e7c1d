"""Which layers are recurrent: they carry a state from position to position in place of attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from explorer.anatomy import Layer, Stack

# transformers' words for layers whose mixer has a state and no softmax over positions.
_KINDS = ("linear_attention", "mamba", "mamba2", "recurrent", "linear")


def marked(stack: Stack, model: Any) -> Stack:
    """The stack with its recurrent layers marked.

    A config that lists its layers' kinds says which they are; without a list, they are the layers of a model that
    keeps a state (which transformers marks on the class) in which no attention was seen.
    """
    kinds = getattr(model.config.get_text_config(), "layer_types", None)
    listed: list[str] = kinds if isinstance(kinds, list) and len(kinds) == len(stack.layers) else []
    keeps = any(getattr(module, "_is_stateful", False) for module in model.modules())

    def recurrent(index: int, layer: Layer) -> bool:
        if layer.attn is not None:
            return False
        return listed[index] in _KINDS if listed else keeps

    layers = (replace(layer, recurrent=recurrent(index, layer)) for index, layer in enumerate(stack.layers))
    return replace(stack, layers=tuple(layers))
