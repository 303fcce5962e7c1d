"""Which positions are which patches of an image, so that attention can be laid over the picture.

Rows and columns follow from the pixels that the model was given and from its config; what stands at the positions is
then counted against them. An arrangement that is not known is refused, since a wrong one would look just as good.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explorer.anatomy import Stack
from explorer.errors import Refused
from explorer.pictures import image_token

if TYPE_CHECKING:
    from explorer.trace import Trace


@dataclass(frozen=True, eq=False)
class PatchGrid:
    """The patches of one image.

    Attributes:
        image: which image of the pass.
        rows: of patches.
        columns: of patches.
        patch: height and width of a patch, in pixels of the picture as the model was given it.
        stack: the vision stack.
        text: what to give as `text=` where its attention is read: the image, or 0 where all lie on one axis.
        positions: (row, column), the position of each patch in the vision stack; None where the stack reorders them.
        class_token: its position, or None.
        in_text: (row, column), positions in the text where the image's features stand, each of one patch or of a square
            of patches; None where images do not stand inside a text.
    """

    image: int
    rows: int
    columns: int
    patch: tuple[int, int]
    stack: str
    text: int
    positions: Tensor | None
    class_token: int | None
    in_text: Tensor | None

    def lay(self, weights: Tensor) -> Tensor:
        """Weights over the vision stack's positions, (..., position), on the grid: (..., row, column)."""
        if self.positions is None:
            raise Refused("the vision stack reorders this image's patches, so its weights cannot be laid over it.")
        return weights[..., self.positions.to(weights.device)]

    def __repr__(self) -> str:
        return f"PatchGrid(image {self.image}: {self.rows} x {self.columns} patches of {self.patch} pixels)"


def patch_grids(trace: Trace) -> list[PatchGrid]:
    """The patch grid of each image that a pass read.

    Raises:
        Refused: the pass read no image, or how its patches are arranged is not known.
    """
    hf: Any = trace.model.hf
    given = trace.given
    pixels = given.get("pixel_values")
    if pixels is None:
        raise Refused("this pass read no image, so there is no patch grid.")
    vision = getattr(hf.config, "vision_config", None) or hf.config
    stack = _vision(trace)
    if (sizes := given.get("image_grid_thw")) is not None:
        return _of_sizes(trace, vision, stack, sizes.tolist())
    if pixels.dim() == 5 and "image_sizes" not in given:
        pixels = pixels.flatten(0, 1)
    if pixels.dim() != 4 or "image_sizes" in given:
        raise Refused("this model cuts images into tiles, whose places in the picture are not read.")
    high, wide = _patch(vision)
    rows, columns = pixels.shape[-2] // high, pixels.shape[-1] // wide
    count = trace[f"{stack.prefix}layers.0.resid_pre"].shape[1]
    before = count - rows * columns
    known = {0, 1, 1 + int(getattr(vision, "num_register_tokens", 0) or 0)}
    if before not in known:
        raise Refused(
            f"the vision stack has {count} positions for {rows} x {columns} patches, so which is which is not known."
        )
    positions = torch.arange(before, count).reshape(rows, columns)
    places = _in_text(trace, [_reduced(trace, rows, columns, len(pixels))] * len(pixels))
    return [
        PatchGrid(
            image=image,
            rows=rows,
            columns=columns,
            patch=(high, wide),
            stack=stack.name,
            text=image,
            positions=positions,
            class_token=0 if before else None,
            in_text=places[image] if places else None,
        )
        for image in range(len(pixels))
    ]


def _of_sizes(trace: Trace, vision: Any, stack: Stack, sizes: list[list[int]]) -> list[PatchGrid]:
    """Where each image has a size of its own, and patches that are merged stand side by side on one axis."""
    merged = int(vision.spatial_merge_size)
    reorders = getattr(vision, "fullatt_block_indexes", None) is not None
    places = _in_text(trace, [(high // merged, wide // merged) for _, high, wide in sizes])
    found, first = [], 0
    for image, (frames, high, wide) in enumerate(sizes):
        if frames != 1:
            raise Refused("a patch grid is told of single images, and this one has several frames.")
        squares = torch.arange(first, first + high * wide).reshape(high // merged, wide // merged, merged, merged)
        found.append(
            PatchGrid(
                image=image,
                rows=high,
                columns=wide,
                patch=_patch(vision),
                stack=stack.name,
                text=0,
                positions=None if reorders else squares.transpose(1, 2).reshape(high, wide),
                class_token=None,
                in_text=places[image] if places else None,
            )
        )
        first += high * wide
    return found


def _in_text(trace: Trace, grids: list[tuple[int, int]]) -> list[Tensor]:
    """The positions of each image's features, by their grids; empty where images do not stand inside the text."""
    token = image_token(trace.model.hf.config)
    if token is None or not trace.batch:
        return []
    if len(trace.batch) > 1:
        raise Refused("patch grids are told of one text with its images at a time.")
    there = torch.tensor([place for place, id in enumerate(trace.tokens.ids) if id == token])
    counts = [rows * columns for rows, columns in grids]
    if sum(counts) != len(there):
        raise Refused(f"the text has {len(there)} places for images, and their grids have {sum(counts)}.")
    return [part.reshape(grid) for part, grid in zip(torch.split(there, counts), grids, strict=True)]


def _reduced(trace: Trace, rows: int, columns: int, images: int) -> tuple[int, int]:
    """The grid of an image's features in the text: that of its patches, or of squares of them."""
    token = image_token(trace.model.hf.config)
    if token is None or not trace.batch:
        return rows, columns
    each = trace.tokens.ids.count(token) // images
    side = isqrt(rows * columns // each) if each else 0
    if side and rows % side == columns % side == 0 and rows * columns == each * side * side:
        return rows // side, columns // side
    raise Refused(
        f"an image of {rows} x {columns} patches fills {each} places in the text, which is no grid of squares."
    )


def _vision(trace: Trace) -> Stack:
    stacks = [stack for stack in trace.anatomy.stacks if stack.name.startswith("vision")]
    if len(stacks) == 1:
        return stacks[0]
    if not stacks and len(trace.anatomy.stacks) == 1 and not trace.batch:
        return trace.anatomy.stacks[0]
    raise Refused("this model has no single vision stack, so there is no patch grid.")


def _patch(vision: Any) -> tuple[int, int]:
    """Height and width."""
    size = getattr(vision, "patch_size", None)
    pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(pair) != 2 or not all(isinstance(one, int) for one in pair):
        raise Refused("the config of the vision tower names no patch size, so there is no patch grid.")
    return int(pair[0]), int(pair[1])
