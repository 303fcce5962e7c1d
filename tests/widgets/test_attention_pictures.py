"""Attention over an image: the weights of plain transformers on their patches, and what has no picture."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import explorer
from explorer.note import Note
from tests.families.cases import case
from tests.families.pictured import pictured
from tests.widgets.test_attention_panel import MINUTE, TEXT, decode, tiny
from widgets import AttentionPanel, AttributionPanel, SamplingPanel, Selection, TokenPanel, attention_pictures
from widgets.attention import VIEWS


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
    assert (view.view["query"], view.view["class_token"]) == (0, 0)
    assert (panel.view["images"], panel.view["apart"]) == (1, False)
    for query in (0, 3):
        weights = laid(view.view, query)
        torch.testing.assert_close(weights.flatten(1), exact[:, query, 1:], atol=2e-6, rtol=1e-4)
    # The whole panel is of the image: its other views too.
    assert [token["text"] for token in panel.view["tokens"]] == ["[class]", "0,0", "0,1", "1,0", "1,1"]
    torch.testing.assert_close(decode(panel.matrix["data"]), exact.mean(0), atol=2e-6, rtol=1e-4)
    for mode in ("lines", "neuron", "text", "heads", "depth", "difference"):
        panel.mode = mode
        panel.wait(MINUTE)


@pytest.mark.parametrize("name", ["llava", "gemma3", "qwen2_5_vl"])
def test_a_texts_tokens_attend_to_the_image_where_it_stands_in_the_text(name: str, shown: Any) -> None:
    found = pictured(name)
    trace = found.model.trace(found.ids, images=found.images)
    panel, view = shown(trace, selection=Selection(layer=2, heads=(1,), stack="text"))
    exact = found.ask(found.twin, output_attentions=True).attentions[2][0, 1]
    images = [place for place, id in enumerate(found.ids) if id == 90]
    for image in range(2):
        panel.image = image
        panel.wait(MINUTE)
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


@pytest.mark.parametrize("mode", ["pictures", "matrix"])
def test_an_image_that_there_is_not_is_named_and_the_panel_goes_on(mode: str, shown: Any) -> None:
    panel, _ = shown(case("vit").plain)
    panel.mode = mode
    panel.image = 4
    with pytest.raises(explorer.ExplorerError, match="image=4 is out of range: this pass read 1"):
        panel.wait(MINUTE)
    panel.image = 0
    panel.wait(MINUTE)


def test_of_a_batch_of_images_the_chosen_one_is_shown_in_every_view(shown: Any) -> None:
    found = case("vit")
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(8))
    panel, view = shown(found.model.trace(images=images), selection=Selection(layer=1, heads=(3,)))
    with torch.no_grad():
        exact = torch.stack(twin(found.hf)(pixel_values=images, output_attentions=True).attentions)
    for image in (1, 0):
        panel.image = image
        panel.wait(MINUTE)
        assert (panel.view["images"], panel.view["apart"]) == (2, True)
        torch.testing.assert_close(decode(panel.matrix["data"]), exact[1, image, 3], atol=2e-6, rtol=1e-4)
        torch.testing.assert_close(laid(view.view, 2).flatten(), exact[1, image, 3, 2, 1:], atol=2e-6, rtol=1e-4)
        grid = decode(panel.view["grid"]) / 255
        torch.testing.assert_close(grid, exact[:, image], atol=1 / 500, rtol=0)
        assert not torch.equal(decode(view.view["picture"])[0, 0], decode(view.view["picture"])[-1, -1])
    # Multiplied over depth, on paper: half of it is the stream itself.
    panel.mode, panel.image = "depth", 1
    panel.wait(MINUTE)
    mixed = 0.5 * exact[:, 1].mean(dim=1) + 0.5 * torch.eye(5)
    torch.testing.assert_close(decode(panel.panels[0].view["data"]), mixed[1] @ mixed[0], atol=2e-6, rtol=1e-4)


def test_a_tower_before_a_text_shows_each_image_by_itself(shown: Any) -> None:
    found = pictured("llava")
    panel, view = shown(
        found.model.trace(found.ids, images=found.images), selection=Selection(layer=1, heads=(0,), stack="vision")
    )
    tower = found.twin.model.vision_tower
    with torch.no_grad():
        exact = tower(found.images["pixel_values"], output_attentions=True).attentions[1]
    for image in (1, 0):
        panel.image = image
        panel.wait(MINUTE)
        torch.testing.assert_close(decode(panel.matrix["data"]), exact[image, 0], atol=2e-6, rtol=1e-4)
        torch.testing.assert_close(laid(view.view, 0).flatten(), exact[image, 0, 0, 1:], atol=2e-6, rtol=1e-4)
        assert [choice["stack"] for choice in panel.view["choices"]] == ["vision", "text"]


def test_weights_that_are_no_numbers_are_counted(shown: Any) -> None:
    hf = copy.deepcopy(case("vit").hf)
    model = explorer.attach(hf)
    with torch.no_grad():
        hf.get_submodule(model.anatomy.stacks[0].layers[1].path).attention.q_proj.bias.fill_(torch.nan)
    _, view = shown(model.trace(**case("vit").given), selection=Selection(layer=1, heads=(0,)))
    assert view.view["not_numbers"] == 25


def test_a_text_is_shown_where_nothing_of_its_images_was_recorded() -> None:
    found = pictured("llava")
    panel = AttentionPanel(found.model.trace(found.ids, images=found.images, record=["text.layers.*"]))
    panel.wait(MINUTE)
    assert (len(panel.view["tokens"]), panel.view["apart"]) == (len(found.ids), False)
    panel.close()


def test_edits_run_the_pass_over_the_same_image_again(shown: Any) -> None:
    found = case("vit")
    panel, view = shown(found.model.trace(**found.given), selection=Selection(layer=1, heads=(2,)))
    before = decode(panel.matrix["data"])
    changed = twin(found.hf)
    out = changed.get_submodule(found.stacks[0].layers[0].path).attention.o_proj
    with torch.no_grad():
        out.weight[:, 8:16] = 0.0  # what the second of four heads adds
        exact = changed(pixel_values=found.given["images"], output_attentions=True).attentions[1][0, 2]
    panel.edits = (explorer.Ablate("layers.0.attn.z", heads=[1]),)
    panel.wait(MINUTE)
    torch.testing.assert_close(decode(panel.matrix["data"]), exact, atol=2e-6, rtol=1e-4)
    torch.testing.assert_close(laid(view.view, 0).flatten(), exact[0, 1:], atol=2e-6, rtol=1e-4)
    panel.mode = "difference"  # with the edits and without them
    panel.wait(MINUTE)
    torch.testing.assert_close(decode(panel.panels[0].view["data"]), exact - before, atol=2e-6, rtol=1e-3)
    panel.edits = ()
    panel.wait(MINUTE)
    torch.testing.assert_close(decode(panel.matrix["data"]), before)


def test_edits_act_on_images_inside_a_text_and_where_they_cannot_the_panel_says_so(shown: Any) -> None:
    found = pictured("qwen2_5_vl")
    panel, _ = shown(
        found.model.trace(found.ids, images=found.images), selection=Selection(layer=2, heads=(1,), stack="text")
    )
    edit = explorer.Ablate("text.layers.0.attn.z", heads=[1])
    changed = twin(found.twin)
    with torch.no_grad():
        changed.get_submodule(f"{found.stacks[-1].layers[0].path}.self_attn.o_proj").weight[:, 8:16] = 0.0
    panel.edits = (edit,)
    panel.wait(MINUTE)
    exact = found.ask(changed, output_attentions=True).attentions[2][0, 1]
    torch.testing.assert_close(decode(panel.matrix["data"]), exact, atol=2e-5, rtol=1e-3)
    for mode in VIEWS:
        panel.mode = mode
        panel.wait(MINUTE)
    panel.edits = (explorer.Ablate("vision.layers.0.attn.z", heads=[1]),)
    with pytest.raises(explorer.ExplorerError, match="for one image or window after the other"):
        panel.wait(MINUTE)
    panel.edits = (edit,)
    panel.wait(MINUTE)


def test_what_was_pinned_of_an_image_is_patched_back(shown: Any) -> None:
    found = case("vit")
    panel, _ = shown(found.model.trace(**found.given), selection=Selection(layer=0, heads=(1,)))
    before = decode(panel.view["grid"])
    panel.exploration.pin()
    panel.edits = (explorer.Ablate("layers.0.attn.z", heads=[1]),)
    panel.patch_heads(0, [1])  # the ablated head does again what it did
    panel.wait(MINUTE)
    torch.testing.assert_close(decode(panel.view["grid"]), before)


def test_the_image_and_the_text_of_a_trace_stay(shown: Any) -> None:
    panel, _ = shown(case("vit").plain)
    with pytest.raises(explorer.Refused, match="trace of an image; to change the text"):
        panel.text = "a dog"
    assert panel.text == "(an image)"
    with pytest.raises(explorer.Refused, match="is not a site of this model"):
        panel.edits = (explorer.Ablate("layers.99.attn.z", heads=[0]),)


_SAYS = {
    "attention": (AttentionPanel, "reads images, not text", ""),
    "sampling": (SamplingPanel, "predicts no next token", "predicts no next token"),
    "attribution": (AttributionPanel, "predicts no next token", "predicts no next token"),
    "tokens": (TokenPanel, "reads images, not text", "no tokens of a text"),
}


@pytest.mark.parametrize("name", _SAYS)
def test_every_panel_says_what_an_image_model_lacks(name: str) -> None:
    found = case("vit")
    kind, of_model, of_trace = _SAYS[name]
    for source, sentence in ((found.model, of_model), (found.model.trace(**found.given), of_trace)):
        panel: Any = kind(source)
        if sentence:
            with pytest.raises(explorer.ExplorerError, match=sentence):
                panel.wait(MINUTE)
            error = panel.status["error"]
            assert (type(error["message"]), error["detail"]) == (Note, ""), "a sentence in both languages, no defect"
        else:
            panel.wait(MINUTE)
        panel.close()


def test_what_is_of_texts_alone_says_so_beside_an_image() -> None:
    found = pictured("llava")
    trace = found.model.trace(found.ids, images=found.images)
    attribution = AttributionPanel(trace)
    attribution.wait(MINUTE)
    assert attribution.view["unavailable"].key == "of_text_alone"
    sampling = SamplingPanel(trace)
    sampling.wait(MINUTE)
    row = torch.log_softmax(found.ask(found.twin).logits[0, -1], -1)
    torch.testing.assert_close(torch.log_softmax(decode(sampling.view["logits"]), -1), row, atol=2e-4, rtol=1e-3)
    with pytest.raises(explorer.Refused, match="written on from a text alone"):
        sampling.generate(3)
    for panel in (attribution, sampling):
        panel.close()


def test_texts_and_images_go_to_models_that_read_them() -> None:
    images = case("vit").given["images"]
    with pytest.raises(explorer.Refused, match="reads text and no images; leave images= out"):
        tiny("gpt2").trace(TEXT, images=images)
    with pytest.raises(explorer.Refused, match="reads a text together with images"):
        case("clip").model.trace([5, 6])
    with pytest.raises(explorer.Refused, match="reads images, not text"):
        case("vit").model.trace("a cat")


def test_a_saved_trace_of_images_is_shown_with_its_model(tmp_path: Path, shown: Any) -> None:
    found = case("vit")
    trace = found.model.trace(**found.given)
    trace.save(tmp_path / "image.safetensors")
    with pytest.raises(explorer.Refused, match="of images alone, and panels show those with their model"):
        AttentionPanel(explorer.open_trace(tmp_path / "image.safetensors"))
    _, view = shown(explorer.open_trace(tmp_path / "image.safetensors", model=found.model))
    torch.testing.assert_close(laid(view.view, 0)[0].flatten(), trace.pattern(0)[0, 0, 0, 1:])
