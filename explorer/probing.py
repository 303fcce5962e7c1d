"""The short pass a model is looked at with: what it is given, and how two answers are compared."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from explorer import pictures
from explorer.acceptance import execution_device
from explorer.inputs import towers

# Two correct kernels may differ by rounding; a mask or scale that got lost changes logits by far more.
AGREEMENT = 0.02
POSITIONS = 4


def probe(model: Any, *, images: bool = True) -> tuple[dict[str, Tensor], str]:
    """Inputs for a short pass, and why there are none.

    Args:
        model: the transformers model.
        images: whether a model that reads images inside its text is given one.
    """
    config = model.config
    device = execution_device(model)
    inputs: dict[str, Tensor] = {}
    if images and (found := pictures.example(model)[0]) is not None:
        ids, image = found
        return {"input_ids": torch.tensor([ids], device=device), "attention_mask": _ones(ids, device), **image}, ""
    name = getattr(model, "main_input_name", "input_ids")
    vocabulary = getattr(config.get_text_config(), "vocab_size", None)
    two_towers = towers(config) and "input_ids" in inspect.signature(model.forward).parameters
    if (name == "input_ids" or two_towers) and vocabulary is not None:
        # The largest ids are least likely to be special ones, such as padding.
        ids = [max(0, vocabulary - 1 - position) for position in range(POSITIONS)]
        inputs["input_ids"] = torch.tensor([ids], device=device)
    if name == "pixel_values" or two_towers:
        vision = getattr(config, "vision_config", config)
        size, channels = getattr(vision, "image_size", None), getattr(vision, "num_channels", None)
        if not isinstance(size, int) or not isinstance(channels, int):
            return {}, "its config does not give the size of its images"
        generator = torch.Generator().manual_seed(0)
        pixels = torch.rand(1, channels, size, size, generator=generator)
        inputs["pixel_values"] = pixels.to(device=device, dtype=model.dtype)
    if "input_ids" in inputs:
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if getattr(config, "is_encoder_decoder", False) and "input_ids" in inputs:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    if not inputs:
        return {}, f"its input is {name}; models that read token ids or images are read"
    return inputs, ""


def _ones(ids: list[int], device: torch.device) -> Tensor:
    return torch.ones((1, len(ids)), dtype=torch.long, device=device)


def answer(output: Any) -> Tensor:
    """One tensor that depends on all of the pass: the logits, the last hidden state, or the embeddings' product."""
    for name in ("logits", "logits_per_image", "last_hidden_state"):
        value = output.get(name)
        if isinstance(value, Tensor):
            return value
    value = next(value for value in output.values() if isinstance(value, Tensor))
    assert isinstance(value, Tensor)
    return value


def agree(plain: Tensor, routed: Tensor) -> bool:
    """Whether two answers are one up to rounding; tokens that both never say (-inf) agree, and NaN never does."""
    difference = torch.where(plain == routed, 0.0, (plain - routed).float()).abs().max()
    size = torch.where(plain.isinf(), 0.0, plain.float()).abs().max()
    return bool(difference <= AGREEMENT * size.clamp(min=1e-6))


def lengths(inputs: dict[str, Tensor]) -> set[int]:
    """How many positions texts have, and images whose patches lie on one axis."""
    patches = {inputs["pixel_values"].shape[0]} if "image_grid_thw" in inputs else set()
    return {POSITIONS} | patches | ({inputs["input_ids"].shape[1]} if "input_ids" in inputs else set())
