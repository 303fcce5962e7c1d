"""Attention over an image: the weights of plain transformers on their patches, and what has no picture."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import explorer
from tests.families.cases import case
from tests.families.pictured import pictured
from tests.widgets.test_attention_panel import MINUTE, TEXT, decode, tiny
from widgets import AttentionPanel, AttributionPanel, Selection, attention_pictures


@pytest.fixture
def shown() -> Iterator[Any]:
    """Makes panels that show pictures and closes them."""
    made: list[AttentionPanel] = []

    def show(source: Any, **traits: Any) -> tuple[AttentionPanel, Any]:
        panel = AttentionPanel(source, mode="pictures", **traits)
        made.append(panel)
        panel.wait(MINUTE)
        return panel, panel.panels[0]

    yield show
    for panel in made:
        panel.close()


def laid(view: dict[str, Any], query: int) -> torch.Tensor:
    """(head, row, column): what a position attends to, on the grid."""
    return decode(view["weights"])[:, query - view["queries"][0]][:, decode(view["places"]).long()]


def twin(hf: Any) -> Any:
    found = copy.deepcopy(hf)
    found.set_attn_implementation("eager")
    return found.eval()


@pytest.mark.parametrize("name", ["vit", "clip"])
def test_patches_carry_the_weights_of_plain_transformers(name: str, shown: Any) -> None:
    found = case(name)
    trace = found.plain
    stack = None if name == "vit" else "vision"
    panel, view = shown(trace, selection=Selection(layer=1, heads=(2, 0), stack=stack))
    tower = twin(found.hf)
    tower = tower if name == "vit" else tower.vision_model
    with torch.no_grad():
        exact = tower(pixel_values=found.given["images"], output_attentions=True).attentions[1][0, [2, 0]]
    assert (view.view["query"], view.view["class_token"], view.view["images"]) == (0, 0, 1)
    for query in (0, 3):
        weights = laid(view.view, query)
        torch.testing.assert_close(weights.flatten(1), exact[:, query, 1:], atol=2e-6, rtol=1e-4)
    # The whole panel is of the image: its other views too.
    assert [token["text"] for token in panel.view["tokens"]] == ["[class]", "0,0", "0,1", "1,0", "1,1"]
    torch.testing.assert_close(decode(panel.matrix["data"]), exact.mean(0), atol=2e-6, rtol=1e-4)
    for mode in ("lines", "neuron", "text"):
        panel.mode = mode
        panel.wait(MINUTE)


@pytest.mark.parametrize("name", ["llava", "gemma3", "qwen2_5_vl"])
def test_a_texts_tokens_attend_to_the_image_where_it_stands_in_the_text(name: str, shown: Any) -> None:
    found = pictured(name)
    trace = found.model.trace(found.ids, images=found.images)
    _, view = shown(trace, selection=Selection(layer=2, heads=(1,), stack="text"))
    exact = found.ask(found.twin, output_attentions=True).attentions[2][0, 1]
    images = [place for place, id in enumerate(found.ids) if id == 90]
    for image in range(2):
        view.image = image
        view.wait(MINUTE)
        places = decode(view.view["places"]).flatten().long()
        assert view.view["query"] == len(found.ids) - 1
        torch.testing.assert_close(
            laid(view.view, len(found.ids) - 1).flatten(), exact[-1, places], atol=2e-5, rtol=1e-3
        )
        images = [place for place in images if place not in places.tolist()]
    assert images == [], "every place of an image is on a grid"


def test_of_large_images_the_asked_row_alone_travels(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_pictures, "MOST_WEIGHTS", 10)
    trace = case("vit").plain
    panel, view = shown(trace, selection=Selection(layer=0, heads=(1,)))
    assert view.view["queries"] == [0, 1]
    panel.selection = Selection(layer=0, heads=(1,), query=3)
    view.wait(MINUTE)
    assert view.view["queries"] == [3, 1]
    torch.testing.assert_close(laid(view.view, 3).flatten(), trace.pattern(0)[0, 1, 3, 1:])


def test_what_has_no_picture_says_so(shown: Any) -> None:
    with pytest.raises(explorer.ExplorerError, match="read no image, so there is no picture"):
        shown(tiny("gpt2"), text=TEXT)
    with pytest.raises(explorer.ExplorerError, match="does not see the image patch by patch"):
        shown(case("clip").plain, selection=Selection(layer=0, heads=(0,), stack="text"))
    both = pictured("qwen2_5_vl")
    trace = both.model.trace(both.ids, images=both.images)
    with pytest.raises(explorer.ExplorerError, match="reorders the image's patches"):
        shown(trace, selection=Selection(layer=0, heads=(0,), stack="vision"))
    with pytest.raises(explorer.ExplorerError, match="reads images, not text"):
        shown(case("vit").model, text="a cat")


def test_an_image_that_there_is_not_is_named(shown: Any) -> None:
    _, view = shown(case("vit").plain)
    view.image = 4
    with pytest.raises(explorer.ExplorerError, match="image=4 is out of range: this pass read 1"):
        view.wait(MINUTE)


def test_weights_that_are_no_numbers_are_counted(shown: Any) -> None:
    hf = copy.deepcopy(case("vit").hf)
    model = explorer.attach(hf)
    with torch.no_grad():
        hf.get_submodule(model.anatomy.stacks[0].layers[1].path).attention.q_proj.bias.fill_(torch.nan)
    _, view = shown(model.trace(**case("vit").given), selection=Selection(layer=1, heads=(0,)))
    assert view.view["not_numbers"] == 25


def test_what_an_image_is_given_to_stays_and_other_passes_are_refused(shown: Any) -> None:
    panel, _ = shown(case("vit").plain)
    with pytest.raises(explorer.Refused, match="trace of an image; to change the text"):
        panel.text = "a dog"
    with pytest.raises(explorer.Refused, match="trace of an image; to change the edits"):
        panel.edits = (explorer.Ablate("layers.0.attn.z", heads=[0]),)
    assert panel.text == "(an image)"
    other = AttributionPanel(panel.exploration)
    with pytest.raises(explorer.ExplorerError):
        other.wait(MINUTE)
    other.close()
