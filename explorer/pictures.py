"""Images that stand inside a text: which models read them, and an example to look at such a model with.

The form of an image differs by family (one tensor, tiles, patches with a grid). Which one a model takes is tried on its
own `get_image_features`, whose answer also tells how many places in the text an image fills.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from explorer.acceptance import execution_device
from explorer.capturing import uncaptured

# More patches than this would make opening a model slow; its images are then not looked at.
_MOST = 1200
_TEXT = 4
_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

Example = tuple[list[int], dict[str, Tensor]]
# What was found for a model: the example, and why there is none.
_FOUND: weakref.WeakKeyDictionary[nn.Module, tuple[Example | None, str]] = weakref.WeakKeyDictionary()


def image_token(config: Any) -> int | None:
    """The id that holds an image's place in the text; None where images do not stand inside the text."""
    names = ("image_token_id", "image_token_index")
    found = next((token for name in names if (token := getattr(config, name, None)) is not None), None)
    return int(found) if found is not None and getattr(config, "vision_config", None) is not None else None


def example(hf: Any) -> tuple[Example | None, str]:
    """Ids with the places of one image of noise, and the image as the model's forward takes it; else why not.

    The image is the model's own size, or four by four patches where it takes any.
    """
    if hf not in _FOUND:
        _FOUND[hf] = _example(hf)
    return _FOUND[hf]


def _example(hf: Any) -> tuple[Example | None, str]:
    token = image_token(hf.config)
    features = getattr(hf, "get_image_features", None)
    vocabulary = getattr(hf.config.get_text_config(), "vocab_size", 0)
    if token is None or features is None or token >= vocabulary:
        return None, ""
    vision = hf.config.vision_config
    side, patch = _side(vision, "image_size"), _side(vision, "patch_size") or 1
    grid = getattr(vision, "spatial_merge_size", None) is not None
    if side is not None and not grid and (side // patch) ** 2 > _MOST:
        return None, f"its images, of {(side // patch) ** 2:,} patches each, were not looked at"
    context = getattr(hf.config.get_text_config(), "max_position_embeddings", None) or 0
    failure = "its features have no place in the text, or more than its context"
    for image in _forms(hf, vision, side, patch):
        try:
            with torch.no_grad(), uncaptured(list(hf.modules())):
                count = _places(features(**image), int(hf.config.get_text_config().hidden_size))
        except torch.OutOfMemoryError:
            raise
        except _FAILURES as error:
            failure = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            continue
        if count and not 0 < context < count + _TEXT:
            ids = [(vocabulary // 2 + 3 * step) % vocabulary for step in range(2 * _TEXT)]
            ids = [one for one in ids if one != token][:_TEXT]
            ids = [*ids[:1], *[token] * count, *ids[1:]]
            return (ids, image | places(hf, torch.tensor([ids], device=execution_device(hf)))), ""
    return None, f"no form of an image that was tried could be read, so images were not looked at ({failure})"


def unread(hf: Any, why: str) -> None:
    """Notes that a model could not be run on its example, so that it is looked at without images."""
    _FOUND[hf] = (None, f"with an image a short pass failed, so images were not looked at ({why})")


def places(hf: Any, ids: Tensor) -> dict[str, Tensor]:
    """Which positions are images', for models whose forward must be told so."""
    token = image_token(hf.config)
    if token is None or "mm_token_type_ids" not in inspect.signature(hf.forward).parameters:
        return {}
    return {"mm_token_type_ids": (ids == token).long()}


def _side(config: Any, name: str) -> int | None:
    value = getattr(config, name, None)
    value = value[0] if isinstance(value, list | tuple) and value else value
    return value if isinstance(value, int) else None


def _forms(hf: Any, vision: Any, side: int | None, patch: int) -> Iterator[dict[str, Tensor]]:
    """One image of noise in each of the forms that families take."""
    device, generator = execution_device(hf), torch.Generator().manual_seed(0)
    channels = getattr(vision, "num_channels", None) or getattr(vision, "in_channels", None) or 3

    def noise(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(device=device, dtype=hf.dtype)

    if getattr(vision, "temporal_patch_size", None) is not None:
        width = int(channels) * int(vision.temporal_patch_size) * patch**2
        yield {"pixel_values": noise(16, width), "image_grid_thw": torch.tensor([[1, 4, 4]], device=device)}
    if side is not None:
        size = torch.tensor([[side, side]], device=device)
        one = noise(1, int(channels), side, side)
        yield {"pixel_values": one}
        yield {"pixel_values": one, "image_sizes": size}
        yield {"pixel_values": one[:, None]}
        tiles = noise(1, 5, int(channels), side, side)  # of which families take as many as they want
        yield {"pixel_values": tiles, "image_sizes": size}


def _places(answer: Any, width: int) -> int:
    """How many rows of the text's width an image's features have."""
    found = getattr(answer, "pooler_output", answer)
    tensors = [found] if isinstance(found, Tensor) else [one for one in found if isinstance(one, Tensor)]
    return sum(one.numel() // width for one in tensors if one.shape[-1] == width)
