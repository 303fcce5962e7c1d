"""Images inside a text: both stacks of each family against plain eager transformers, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import explorer
from tests import tiny_tokenizers as zoo
from tests.conftest import snapshot
from tests.families.cases import equal
from tests.families.pictured import IMAGE, PICTURED, WORDS, Pictured, pictured

GRID = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]


@pytest.fixture
def found(request: pytest.FixtureRequest) -> Iterator[Pictured]:
    one = pictured(request.param)
    before = snapshot(one.hf)
    yield one
    assert snapshot(one.hf) == before


every = pytest.mark.parametrize("found", PICTURED, indirect=True)
grids = pytest.mark.parametrize("found", GRID, indirect=True)


@every
def test_attaching_leaves_the_model_as_it_was_and_finds_both_stacks(found: Pictured) -> None:
    assert found.unchanged
    assert [(stack.name, stack.heads) for stack in found.model.anatomy.stacks] == [
        ("vision", (4, 4)),
        ("text", (4, 4, 4)),
    ]


@every
def test_a_pass_with_two_images_equals_plain_transformers_in_both_stacks(found: Pictured) -> None:
    trace = found.model.trace(found.ids, images=found.images, record=["*"])
    assert trace.sites() == found.model.sites()
    plain, eager = found.ask(found.hf), found.ask(found.twin, output_hidden_states=True, output_attentions=True)
    equal(trace.logits, plain.logits, "logits")
    equal(trace.logits, eager.logits, "eager logits")
    for index in range(3):
        equal(trace.pattern(index, stack="text"), eager.attentions[index], f"text {index}")
        if index < 2:  # the last one is listed after its norm
            equal(trace[f"text.layers.{index}.resid_post"], eager.hidden_states[index + 1], f"text {index}")
    # The tower's own weights and what went through it, from the twin's modules.
    layers = [found.twin.get_submodule(layer.path) for layer in found.model.anatomy.stacks[0].layers]
    seen: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda _m, _a, out: seen.append(out)) for layer in layers]
    found.ask(found.twin)
    for hook in hooks:
        hook.remove()
    for index, out in enumerate(seen):
        given = out if isinstance(out, torch.Tensor) else out[0]
        value = trace[f"vision.layers.{index}.resid_post"]
        equal(value, given.reshape(value.shape), f"vision {index}")
        pattern, z = trace.pattern(index, stack="vision"), trace[f"vision.layers.{index}.attn.z"]
        equal((pattern @ trace[f"vision.layers.{index}.attn.v"].transpose(1, 2)).transpose(1, 2), z, f"z {index}")
        heads = trace[f"vision.layers.{index}.attn.head_out"].sum(2)
        bias = getattr(found.hf.get_submodule(found.model.anatomy.stacks[0].layers[index].attn.projection), "bias", 0)
        equal(heads + bias, trace[f"vision.layers.{index}.attn.out"], f"heads {index}")


@every
def test_text_alone_is_read_as_before_and_the_lens_ends_in_the_answer(found: Pictured) -> None:
    trace = found.model.trace(WORDS)
    with torch.no_grad():
        equal(trace.logits, found.hf(input_ids=torch.tensor([WORDS]), use_cache=False).logits, "text")
    equal(trace.lens_logits(2), trace.logits, "lens")
    with pytest.raises(explorer.Refused, match="read nothing that goes through it"):
        trace["vision.layers.0.resid_post"]
    both = found.model.trace(found.ids, images=found.images)
    equal(both.lens_logits(2), both.logits, "lens with images")


@grids
def test_images_of_a_pass_do_not_see_each_other(found: Pictured) -> None:
    both = found.model.trace(found.ids, images=found.images, record=["vision.*"])
    patches, ends = [16, 24], [0, 16, 40]
    rows = torch.split(found.images["pixel_values"], patches)
    for number, pixels in enumerate(rows):
        grid = found.images["image_grid_thw"][[number]]
        ids = [WORDS[0], *[IMAGE] * (patches[number] // 4), WORDS[1]]
        alone = found.model.trace(ids, images={"pixel_values": pixels, "image_grid_thw": grid}, record=["vision.*"])
        here = slice(ends[number], ends[number + 1])
        for index in range(2):
            whole = both.pattern(index, stack="vision")
            equal(whole[:, :, here, here], alone.pattern(index, stack="vision"), f"image {number}")
            outside = whole[:, :, here].clone()
            outside[..., here] = 0
            assert not outside.any()


@pytest.mark.parametrize("found", ["qwen2_5_vl"], indirect=True)
def test_windows_are_kept_apart_inside_an_image(found: Pictured) -> None:
    trace = found.model.trace(found.ids, images=found.images)
    seen = (trace.pattern(0, stack="vision")[0] > 0).sum(-1)
    assert (seen == 4).all()  # a window of one merged patch
    assert (trace.pattern(1, stack="vision")[0] > 0).sum(-1).unique().tolist() == [16, 24]
    with pytest.raises(explorer.Refused, match="attended several times in one call"):
        found.model.trace(found.ids, images=found.images, edits=explorer.Ablate("vision.layers.0.attn.z", heads=[1]))
    edit = explorer.Ablate("vision.layers.0.mlp_out", positions=[3])
    edited = found.model.trace(found.ids, images=found.images, edits=edit)
    assert not edited["vision.layers.0.mlp_out"][0, 3].any()
    assert edited["vision.layers.0.mlp_out"][0, 4].any()
    assert not torch.allclose(edited.logits, trace.logits, atol=1e-4)


@grids
def test_a_tower_that_is_called_twice_in_a_pass_is_refused_and_the_text_is_read(found: Pictured) -> None:
    video = {
        "pixel_values_videos": torch.randn(16, 96, generator=torch.Generator().manual_seed(2)),
        "video_grid_thw": torch.tensor([[1, 4, 4]]),
    }
    ids = [*found.ids, *[91] * 4, WORDS[0]]
    kinds = torch.tensor([[1 if one == IMAGE else 2 if one == 91 else 0 for one in ids]])
    images = {**found.images, **video, "mm_token_type_ids": kinds}
    trace = found.model.trace(ids, images=images)
    with torch.no_grad():
        mask = torch.ones((1, len(ids)), dtype=torch.long)
        plain = found.hf(input_ids=torch.tensor([ids]), attention_mask=mask, use_cache=False, **images)
    equal(trace.logits, plain.logits, "logits")
    assert trace["text.layers.1.resid_post"].shape == (1, len(ids), 32)
    for ask in (lambda: trace["vision.layers.0.resid_post"], lambda: trace.pattern(0, stack="vision")):
        with pytest.raises(explorer.Refused, match="2 times"):
            ask()
    with pytest.raises(explorer.Refused, match="2 times"):
        found.model.trace(ids, images=images, edits=explorer.Ablate("vision.layers.0.mlp_out"))


@pytest.mark.parametrize("found", ["llava", "qwen2_vl"], indirect=True)
def test_the_self_check_reads_an_image_and_holds(found: Pictured) -> None:
    check = found.model.check()
    assert check.passed, check
    assert any(row.site.startswith("vision.") for row in check.rows)


@pytest.mark.parametrize("found", ["llava"], indirect=True)
def test_what_cannot_be_read_is_refused_with_the_reason(found: Pictured) -> None:
    images = found.images["pixel_values"]
    wrong: list[tuple[Any, Any, str]] = [
        (WORDS, images, "no place for an image"),
        (None, images, "give the text"),
        ("a cat", images, "without a processor"),
        (found.ids, {"pixel_values": images, "sound": images}, "does not take"),
        (found.ids, {"pixel_values": [[1.0]]}, "tensors are needed"),
    ]
    for ids, given, reason in wrong:
        with pytest.raises(explorer.Refused, match=reason):
            found.model.trace(ids, images=given)


def test_a_processor_writes_the_places_of_an_image_into_the_text() -> None:
    import transformers
    from PIL import Image

    tokenizer = copy.deepcopy(zoo.byte_level())
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    sides = {"height": 16, "width": 16}
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=sides),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
    )
    settings = copy.deepcopy(PICTURED["llava"])
    settings["text_config"]["vocab_size"] = len(tokenizer)
    settings["image_token_index"] = tokenizer.convert_tokens_to_ids("<image>")
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model("llava", **settings)
    hf = transformers.AutoModelForImageTextToText.from_config(config).eval()
    model: Any = explorer.attach(hf, processor)
    picture = Image.linear_gradient("L").convert("RGB").resize((20, 24))
    trace = model.trace("Hello <image> there", images=[picture])
    given = processor(text=["Hello <image> there"], images=[picture], return_tensors="pt")
    with torch.no_grad():
        equal(trace.logits, hf(**given).logits, "logits")
    assert trace.tokens.ids == given["input_ids"][0].tolist()
    assert trace["vision.layers.0.attn.pattern"].shape == (1, 4, 5, 5)
