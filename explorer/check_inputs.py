"""What a self-check lets a model read, where nothing is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from explorer.errors import Refused
from explorer.inputs import prepare, reads_text, towers
from explorer.model import Model
from explorer.pictures import example

_POSITIONS = 12
# A window up to this wide is made to hide something; a wider one would cost more than a check should.
_WIDEST_WINDOW = 256
_SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog sleeps on."


def given_to(model: Model, inputs: Any) -> dict[str, Any]:
    """What `model.trace` is given: by default a short text, an image of noise, a few ids for a decoder."""
    config = model.hf.config
    given: dict[str, Any] = {"inputs": None}
    if inputs is None and (found := example(model.hf)[0]) is not None:
        return {"inputs": [found[0]], "images": found[1]}
    text = reads_text(model.hf)
    if (towers(config) or not text) and (text or inputs is None):
        vision = getattr(config, "vision_config", config)
        size = getattr(vision, "image_size", None)
        if not isinstance(size, int):
            raise Refused("inputs=None: this model's config does not give the size of its images; give pixel values.")
        shape = (_count(inputs), int(getattr(vision, "num_channels", 3)), size, size)
        given["images"] = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    elif not text:
        given["images"] = inputs
    if text:
        chosen = default_ids(model) if inputs is None else inputs
        if getattr(config, "is_encoder_decoder", False):
            given["decoder"] = [[_start(config), *spread(model)[3:8]]] * _count(inputs)
        given["inputs"] = [tokens.ids for tokens in prepare(model, **{**given, "inputs": chosen}).tokens]
    return given


def _count(inputs: Any) -> int:
    """How many texts there are: only a list of texts or of lists of ids holds several."""
    several = (
        isinstance(inputs, Sequence) and not isinstance(inputs, str) and all(isinstance(i, str | list) for i in inputs)
    )
    return len(inputs) if several else 1


def _start(config: Any) -> int:
    start = getattr(config, "decoder_start_token_id", None)
    return 0 if start is None else int(start)


def default_ids(model: Model) -> list[int]:
    """A short text: a sentence where there is a tokenizer; longer where a narrow window would else hide nothing."""
    ids = list(model.read(_SENTENCE).ids) if hasattr(model.tokenizer, "encode") else spread(model)
    window = model.anatomy.window
    needed = window + 4 if isinstance(window, int) and window <= _WIDEST_WINDOW else _POSITIONS
    needed = min(max(needed, _POSITIONS), model.context or needed)
    return (ids * (needed // len(ids) + 1))[: max(needed, 1)]


def spread(model: Model) -> list[int]:
    """Ids from the middle of the vocabulary: the first and the last ones are often special."""
    size = model.vocabulary
    low = min(10, size // 2)
    return [low + ((size - low) // 3 + 7 * step) % (size - low) for step in range(_POSITIONS)]
