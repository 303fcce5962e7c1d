"""Patch grids against what one changed patch of the picture changes, with nothing mixed between positions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import explorer
from tests.families.cases import case
from tests.families.pictured import PICTURED, Pictured, pictured


def changed(one: Tensor, other: Tensor) -> list[tuple[int, int]]:
    """(text or image, position) of the rows that differ."""
    return [tuple(place) for place in (one != other).any(-1).nonzero().tolist()]


def unmixed(model: Any, stack: str) -> list[explorer.Ablate]:
    """Edits that leave every position of a vision stack to itself."""
    prefix = f"{stack}." if stack else ""
    layers = next(one for one in model.anatomy.stacks if one.name == stack).layers
    return [explorer.Ablate(f"{prefix}layers.{index}.attn.out") for index in range(len(layers))]


@pytest.mark.parametrize("name", ["vit", "clip"])
def test_a_changed_patch_changes_its_position_alone(name: str) -> None:
    found = case(name)
    given = {**found.given, "images": torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(5))}
    if "inputs" in given:
        given["inputs"] = [given["inputs"]] * 2
    trace = found.model.trace(**given)
    grids = trace.patch_grids()
    assert len(grids) == 2
    high, wide = grids[0].patch
    assert (grids[0].rows * high, grids[0].columns * wide) == (16, 16)
    assert grids[0].class_token == 0
    site = f"{grids[0].stack}.layers.0.resid_pre" if grids[0].stack else "layers.0.resid_pre"
    for image, row, column in ((0, 0, 0), (1, 0, 1), (1, 1, 0)):
        pixels = given["images"].clone()
        pixels[image, :, row * high : (row + 1) * high, column * wide : (column + 1) * wide] += 1.0
        other = found.model.trace(**{**given, "images": pixels})
        grid = grids[image]
        assert grid.positions is not None
        assert changed(trace[site], other[site]) == [(grid.text, int(grid.positions[row, column]))]
    stack = grids[1].stack or None
    weights = trace.pattern(0, stack=stack)[grids[1].text, 2, 0]
    laid = grids[1].lay(weights)
    assert laid.shape == (grids[1].rows, grids[1].columns)
    assert laid.flatten().tolist() == weights[1:].tolist()


@pytest.mark.parametrize("name", [name for name in PICTURED if "qwen" not in name])
def test_a_changed_patch_changes_its_place_in_the_text_alone(name: str) -> None:
    found = Pictured(name)  # its own, since it is changed
    projection = getattr(found.model.hf.model, "multi_modal_projector", None)
    with torch.no_grad():
        for parameter in () if projection is None else projection.parameters():
            if parameter.ndim == 2 and not parameter.any():  # gemma3's is nothing before it is trained
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7)))
    edits = unmixed(found.model, "vision")
    trace = found.model.trace(found.ids, images=found.images, edits=edits)
    grids = trace.patch_grids()
    assert len(grids) == 2
    grid = grids[1]
    assert grid.in_text is not None
    high, wide = grid.patch
    square = grid.rows // grid.in_text.shape[0]
    for row in range(grid.rows):
        for column in range(grid.columns):
            pixels = found.images["pixel_values"].clone()
            pixels.flatten(0, -4)[1, :, row * high : (row + 1) * high, column * wide : (column + 1) * wide] += 1.0
            images = {**found.images, "pixel_values": pixels}
            other = found.model.trace(found.ids, images=images, edits=edits)
            there = "vision.layers.0.resid_pre"
            assert grid.positions is not None
            assert changed(trace[there], other[there]) == [(grid.text, int(grid.positions[row, column]))]
            there = "text.layers.0.resid_pre"
            place = int(grid.in_text[row // square, column // square])
            assert changed(trace[there], other[there]) == [(0, place)]


@pytest.mark.parametrize("name", [name for name in PICTURED if "qwen" in name])
def test_images_of_several_sizes_have_grids_of_their_own(name: str) -> None:
    found = pictured(name)
    edits = unmixed(found.model, "vision")
    trace = found.model.trace(found.ids, images=found.images, edits=edits)
    grids = trace.patch_grids()
    assert [(grid.rows, grid.columns) for grid in grids] == [(4, 4), (4, 6)]
    assert [tuple(grid.in_text.shape) for grid in grids if grid.in_text is not None] == [(2, 2), (2, 3)]
    first = 0
    for grid in grids:
        for square in range(grid.rows * grid.columns // 4):
            pixels = found.images["pixel_values"].clone()
            patch = first + 4 * square + 2  # of a square: above left, above right, below left, below right
            pixels[patch] += 1.0
            other = found.model.trace(found.ids, images={**found.images, "pixel_values": pixels}, edits=edits)
            row, column = divmod(square, grid.columns // 2)
            assert grid.in_text is not None
            there = "text.layers.0.resid_pre"
            assert changed(trace[there], other[there]) == [(0, int(grid.in_text[row, column]))]
            if grid.positions is None:
                assert name == "qwen2_5_vl"
                with pytest.raises(explorer.Refused, match="reorders"):
                    grid.lay(torch.zeros(40))
            else:
                there = "vision.layers.0.resid_pre"
                place = int(grid.positions[2 * row + 1, 2 * column])
                assert changed(trace[there], other[there]) == [(0, place)]
        first += grid.rows * grid.columns


def test_a_pass_without_a_picture_has_no_grid() -> None:
    with pytest.raises(explorer.Refused, match="read no image"):
        case("llama").plain.patch_grids()
    with pytest.raises(explorer.Refused, match="read no image"):
        pictured("llava").model.trace([5, 17, 3]).patch_grids()
