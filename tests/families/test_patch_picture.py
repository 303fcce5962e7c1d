"""The picture that weights are laid over, against the image that the family's own processor was given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

import explorer
from explorer.patch_picture import picture
from explorer.positions import positions
from tests.families.cases import case
from tests.families.pictured import IMAGE, PICTURED, WORDS, pictured


def noise(high: int, wide: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (high, wide, 3), dtype=np.uint8)


def test_a_processors_scaling_is_taken_back() -> None:
    hf = case("vit").hf
    given = noise(16, 16)
    same = transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}, image_mean=[0.4, 0.5, 0.6])
    trace = explorer.attach(hf, same).trace(images=given)
    shown = picture(trace, trace.patch_grids()[0])
    assert shown.true_colors
    assert np.abs(shown.pixels.numpy().astype(int) - given).max() <= 1


def test_without_a_processor_the_images_own_range_is_shown() -> None:
    trace = case("vit").plain
    shown = picture(trace, trace.patch_grids()[0])
    assert (shown.true_colors, int(shown.pixels.min()), int(shown.pixels.max())) == (False, 0, 255)
    pixels = trace.given["pixel_values"][0]
    order = pixels.permute(1, 2, 0).flatten().argsort()
    assert (shown.pixels.flatten()[order].int().diff() >= 0).all(), "the order of the values stays"


@pytest.mark.parametrize("name", [name for name in PICTURED if "qwen" in name])
def test_patches_that_lie_on_one_axis_are_put_together_again(name: str) -> None:
    found = pictured(name)
    images = [noise(16, 16), noise(16, 24)]
    small = {"patch_size": 4, "merge_size": 2, "min_pixels": 64, "max_pixels": 4096}
    read = transformers.Qwen2VLImageProcessorPil(**small)(images=images, return_tensors="pt")
    trace = found.model.trace(found.ids, images={**found.images, **read})
    for grid, given in zip(trace.patch_grids(), images, strict=True):
        shown = picture(trace, grid).pixels.numpy().astype(float)
        # Without the processor the range is the image's own: the same values but for scale, channel by channel.
        for channel in range(3):
            assert np.corrcoef(shown[..., channel].flatten(), given[..., channel].flatten())[0, 1] > 0.9999


def test_a_large_image_is_averaged_down() -> None:
    trace = case("vit").plain
    grid = trace.patch_grids()[0]
    full = picture(trace, grid).pixels.float()
    small = picture(trace, grid, most=8).pixels.float()
    blocks = full.reshape(8, 2, 8, 2, 3).mean((1, 3))
    torch.testing.assert_close(small, blocks, atol=1.0, rtol=0)


def test_positions_are_named_by_what_stands_there() -> None:
    trace = case("vit").plain
    assert [token.text for token in positions(trace, trace.anatomy.stacks[0])] == [
        "[class]",
        "0,0",
        "0,1",
        "1,0",
        "1,1",
    ]
    both = pictured("qwen2_vl")
    trace = both.model.trace(both.ids, images=both.images)
    vision, text = trace.anatomy.stacks
    names = [token.text for token in positions(trace, vision)]
    assert (names[:4], names[16]) == (["0:0,0", "0:0,1", "0:1,0", "0:1,1"], "1:0,0")
    assert positions(trace, text).ids == [*WORDS[:2], *[IMAGE] * 4, WORDS[2], *[IMAGE] * 6, *WORDS[3:]]
