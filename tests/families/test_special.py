"""What single families ask for: shared layers, layers without attention, images, and what is refused with a reason."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch

import explorer
from tests.families.cases import IDS, case, equal
from tests.families.configs import FAMILIES, UNLISTED


def refuses(found: Any, site: str, reason: str) -> None:
    assert site not in found.model.sites()
    with pytest.raises(explorer.Refused, match=reason):
        found.plain[site]


def test_a_layer_shared_across_depth_keeps_its_calls_apart() -> None:
    found = case("albert")
    assert len({layer.path for _, layer, _ in found.layers()}) == 1
    assert [layer.call for _, layer, _ in found.layers()] == [0, 1, 2]
    for part in ("attn.pattern", "attn.z", "attn_out", "mlp_out", "resid_post"):
        values = [found.plain[f"layers.{index}.{part}"] for index in range(3)]
        assert not torch.allclose(values[0], values[1], atol=1e-3), part
        assert not torch.allclose(values[1], values[2], atol=1e-3), part
    ablated = found.trace(edits=[explorer.Ablate("layers.1.attn.z")])
    assert (ablated["layers.1.attn.z"] == 0).all()
    assert torch.equal(ablated["layers.0.attn.z"], found.plain["layers.0.attn.z"])
    assert not (ablated["layers.2.attn.z"] == 0).any()


def test_a_discriminator_has_layers_and_no_vocabulary() -> None:
    found = case("electra, discriminator")
    refuses(found, "logits", "no vocabulary head")
    with pytest.raises(explorer.Refused, match="no vocabulary head"):
        _ = found.plain.logits
    assert found.plain["layers.2.attn.pattern"].shape == (1, 4, len(IDS), len(IDS))


@pytest.mark.parametrize("name", ["mamba", "rwkv", "mamba2"])
def test_recurrent_families_say_that_they_have_no_softmax_attention(name: str) -> None:
    found = case(name)
    assert not found.model.anatomy.routes_attention
    refuses(found, "layers.1.attn.pattern", "no softmax attention")
    with pytest.raises(explorer.Refused, match="no softmax attention"):
        found.plain.pattern(1)
    equal(found.plain.logits, found.reference.logits, "logits")


def test_layers_keep_their_numbers_where_some_do_not_attend() -> None:
    found = case("qwen3_next")
    assert [layer.attn is not None for _, layer, _ in found.layers()] == [False, True, False]
    assert found.model.anatomy.stack.heads == (0, 4, 0)
    refuses(found, "layers.0.attn.z", "layer 0 has no softmax attention")
    one = found.attentions()[0]
    assert one.prefix == "layers.1.attn."
    assert one.heads.gated
    given = found.plain["layers.1.attn.z"].flatten(2)
    with torch.no_grad():  # the gate stands between z and the projection
        ungated = found.module(one.heads.projection)(given)
    assert not torch.allclose(ungated, found.plain["layers.1.attn.out"], atol=1e-3)


def test_sinks_take_weight_and_nothing_is_renormalised() -> None:
    sums = case("gpt_oss").plain["layers.1.attn.pattern"].sum(-1)
    assert (sums < 1).all()
    assert sums.min() < 0.5


def test_masked_scores_are_minus_infinity_and_windows_end() -> None:
    scores = case("mistral").plain["layers.0.attn.scores"]
    assert torch.isinf(scores[0, 0, 7]).tolist() == [True] * 5 + [False] * 3
    assert torch.isinf(scores[0, 0, 0]).tolist() == [False] + [True] * 7


@pytest.mark.parametrize("name", ["falcon", "bloom", "deberta", "openai-gpt"])
def test_weights_without_queries_are_said_to_be_that(name: str) -> None:
    refuses(case(name), "layers.0.attn.q", "gives its attention weights, but not its queries")


def test_parallel_blocks_have_no_stream_between_their_parts() -> None:
    refuses(case("gpt_neox"), "layers.0.resid_mid", "blocks are parallel")


def test_neurons_of_a_mixture_are_on_the_experts() -> None:
    refuses(case("mixtral"), "layers.0.mlp.neurons", "neurons live on the experts")


def test_a_family_that_cannot_be_asked_for_weights_is_read_in_parts() -> None:
    found = case("xglm")
    refuses(found, "layers.0.attn.pattern", "makes no attention call that can be recorded")
    equal(found.plain["layers.1.resid_post"], found.reference.hidden_states[2], "the stream")


def test_heads_are_not_taken_apart_where_no_projection_takes_them() -> None:
    # Its attention is a mixture itself: each expert has a projection of its own.
    from transformers import AutoModelForCausalLM, JetMoeConfig

    config = JetMoeConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_key_value_heads=2,
        kv_channels=8,
        num_local_experts=4,
        num_experts_per_tok=2,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    model = explorer.attach(AutoModelForCausalLM.from_config(config).eval())
    assert "layers.1.attn.pattern" in model.sites()
    assert not [site for site in model.sites() if site.endswith(("head_out", "attn.out", "router.probs"))]
    with pytest.raises(explorer.Refused):
        model.trace(IDS)["layers.1.attn.head_out"]


def test_texts_of_two_lengths_are_refused_where_padding_would_be_read() -> None:
    from transformers import AutoModelForMaskedLM, FNetConfig

    config = FNetConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, intermediate_size=48)
    torch.manual_seed(0)
    model = explorer.attach(AutoModelForMaskedLM.from_config(config).eval())
    with pytest.raises(explorer.Refused, match="takes no mask"):
        model.trace([IDS, IDS[:3]])
    assert model.trace([IDS, IDS[::-1]]).logits.shape == (2, len(IDS), 97)


def test_attention_is_not_recorded_where_eager_maths_gives_other_numbers() -> None:
    family = replace(FAMILIES["falcon, sequential with ALiBi"], attention="sdpa")
    hf: Any = family.build()
    model = explorer.attach(hf)
    with torch.no_grad():
        equal(model.trace(IDS).logits, hf(torch.tensor([IDS])).logits, "logits")
    assert "layers.0.attn_out" in model.sites()
    with pytest.raises(explorer.Refused, match="other numbers with eager attention than with sdpa"):
        model.trace(IDS)["layers.0.attn.pattern"]


def test_images_of_a_batch_stay_apart_whatever_is_recorded() -> None:
    pixels = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    vit = case("vit").model
    assert vit.trace(images=pixels, record=["layers.0.mlp_out"])["layers.0.mlp_out"].shape == (2, 5, 32)
    clip = case("clip").model
    trace = clip.trace(IDS, images=pixels, record=["*.layers.0.mlp_out"])
    assert trace["vision.layers.0.mlp_out"].shape == (2, 5, 32)
    assert trace["text.layers.0.mlp_out"].shape == (1, len(IDS), 32)


def test_a_model_that_a_short_pass_cannot_run_says_why() -> None:
    hf: Any = UNLISTED["persimmon"].build()

    def broken(*_args: Any, **_keywords: Any) -> Any:
        raise RuntimeError("a kernel is missing")

    hf.model.layers[1].forward = broken
    model = explorer.attach(hf)
    assert model.anatomy.stacks == ()
    assert re.search(r"short pass .* failed \(RuntimeError: a kernel is missing\)", model.anatomy.missing)
