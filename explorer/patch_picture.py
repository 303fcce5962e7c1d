"""The picture that a model was given, put together again from its pixels, to lay weights over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explorer.errors import Refused
from explorer.patch_grid import PatchGrid

if TYPE_CHECKING:
    from explorer.trace import Trace


@dataclass(frozen=True, eq=False)
class Picture:
    """One image as the model saw it.

    Attributes:
        pixels: (row, column, 3), uint8: red, green and blue; a single channel is grey.
        true_colors: whether the image processor told how its pixels were scaled. Where nothing did, the darkest value
            of the image is black here and its largest is white.
    """

    pixels: Tensor
    true_colors: bool


def picture(trace: Trace, grid: PatchGrid, most: int = 512) -> Picture:
    """The image of a patch grid.

    Args:
        trace: the pass that read it.
        grid: one of its `patch_grids()`.
        most: the longest side of the result, in pixels; a larger image is averaged down.

    Raises:
        Refused: its pixels are of a form that is not known.
    """
    values = _channels_first(trace, grid).float().cpu()
    if values.shape[0] not in (1, 3):
        raise Refused(f"an image of {values.shape[0]} channels has no colours to show.")
    values = values.expand(3, -1, -1)
    processor = getattr(trace.model.processor, "image_processor", trace.model.processor)
    mean, std = (getattr(processor, name, None) for name in ("image_mean", "image_std"))
    true_colors = mean is not None and std is not None and bool(getattr(processor, "do_normalize", False))
    if true_colors:
        values = values * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    else:
        low, high = values.min(), values.max()
        values = (values - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)
    longest = max(values.shape[1:])
    if longest > most:
        size = [max(1, round(side * most / longest)) for side in values.shape[1:]]
        values = torch.nn.functional.interpolate(values[None], size, mode="area")[0]
    levels = (values.nan_to_num(0.0).clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
    return Picture(levels.permute(1, 2, 0).contiguous(), true_colors)


def _channels_first(trace: Trace, grid: PatchGrid) -> Tensor:
    """(channel, row, column) as the model was given it."""
    pixels = trace.given["pixel_values"]
    if (sizes := trace.given.get("image_grid_thw")) is not None:
        return _joined(trace, grid, pixels, sizes.tolist())
    pixels = pixels.flatten(0, 1) if pixels.dim() == 5 else pixels
    return pixels[grid.image]


def _joined(trace: Trace, grid: PatchGrid, pixels: Tensor, sizes: list[list[int]]) -> Tensor:
    """From patches that each lie on one axis, as (channel, frame, row, column), those of a square side by side."""
    hf: Any = trace.model.hf
    vision = hf.config.vision_config
    merged, frames = int(vision.spatial_merge_size), int(vision.temporal_patch_size)
    high, wide = grid.patch
    first = sum(frame * rows * columns for frame, rows, columns in sizes[: grid.image])
    own = pixels[first : first + grid.rows * grid.columns].reshape(-1, frames, high, wide)
    channels = own.shape[0] // (grid.rows * grid.columns)
    blocks = own.reshape(grid.rows // merged, grid.columns // merged, merged, merged, channels, frames, high, wide)
    # (square's row, its column, row in it, column in it, channel, frame, y, x) -> (channel, y of all, x of all)
    return (
        blocks[:, :, :, :, :, 0].permute(4, 0, 2, 5, 1, 3, 6).reshape(channels, grid.rows * high, grid.columns * wide)
    )
