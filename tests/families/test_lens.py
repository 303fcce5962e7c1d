"""The lens and logit attribution where an encoder stands beside the layers, and where a head transforms its input."""

from __future__ import annotations

import copy

import pytest
import torch

import explorer
from tests.families.cases import IDS, WRITTEN, Case, equal
from tests.families.configs import FAMILIES

DECODING = [name for name, family in FAMILIES.items() if family.seq2seq]
SUMS = [name for name in DECODING if name != "bart"]
MASKED = [name for name, family in FAMILIES.items() if family.head == "AutoModelForMaskedLM"]


@pytest.mark.parametrize("case", [*DECODING, *MASKED], indirect=True)
def test_the_last_layer_reads_as_the_models_answer_and_earlier_ones_do_not(case: Case) -> None:
    last = len(case.model.anatomy.stack.layers) - 1
    equal(case.plain.lens_logits(last), case.reference.logits, "the last layer")
    assert not torch.allclose(case.plain.lens_logits(0), case.reference.logits, atol=1e-2)
    frame = case.plain.lens(layers=last, positions=1, k=3)
    assert frame.id.tolist() == case.reference.logits[0, 1].topk(3).indices.tolist()
    texts = case.model.trace([IDS, IDS[::-1]], **({"decoder": [WRITTEN, WRITTEN[::-1]]} if case.family.seq2seq else {}))
    equal(texts.lens_logits(last), texts.logits, "two texts")


@pytest.mark.parametrize("case", DECODING, indirect=True)
def test_an_earlier_decoder_layer_reads_as_in_a_model_that_ends_there(case: Case) -> None:
    short = copy.deepcopy(case.twin)
    del short.get_submodule(case.model.anatomy.stack.path)[2]
    equal(case.plain.lens_logits(1), case.ask_of(short).logits, "a decoder of two layers")


@pytest.mark.parametrize("case", SUMS, indirect=True)
def test_a_logit_is_the_sum_of_what_decoder_and_cross_attention_added(case: Case) -> None:
    result = case.plain.logit_attribution(7, 9, position=2)
    logits = case.reference.logits[0, 2]
    assert result.difference == pytest.approx(float(logits[7] - logits[9]), abs=1e-4)
    assert abs(result.remainder) < 2e-4
    assert result.frame.part.tolist() == ["embed", *["attn_out", "cross_attn_out", "mlp_out"] * 3, "bias"]
    split = case.plain.logit_attribution(7, 9, position=2, heads=True).frame
    assert split["head"].dropna().tolist() == [0, 1, 2, 3] * 6
    for part in ("attn_out", "cross_attn_out"):
        one, many = (frame[(frame.part == part) & (frame.layer == 1)] for frame in (result.frame, split))
        assert many.contribution.sum() == pytest.approx(one.contribution.item(), abs=1e-4)


@pytest.mark.parametrize("case", ["t5", "t5, tied"], indirect=True)
def test_a_decoders_part_is_what_the_frozen_norm_makes_of_it(case: Case) -> None:
    """By hand, from the weights: T5's norm has no mean and no bias, and a tied head is scaled by width ** -0.5."""
    norm, stream = case.hf.decoder.final_layer_norm, case.plain["decoder.layers.2.resid_post"][0, 2]
    part = case.plain["decoder.layers.1.cross_attn_out"][0, 2]
    part = part * torch.rsqrt(stream.pow(2).mean() + norm.variance_epsilon) * norm.weight
    scale = 32**-0.5 if case.hf.config.scale_decoder_outputs else 1.0
    expected = float((part @ (case.hf.lm_head.weight[7] - case.hf.lm_head.weight[9]) * scale).detach())
    frame = case.plain.logit_attribution(7, 9, position=2).frame
    row = frame[(frame.part == "cross_attn_out") & (frame.layer == 1)]
    assert row.contribution.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("case", ["bart"], indirect=True)
def test_norms_inside_the_stream_are_why_a_logit_is_no_sum(case: Case) -> None:
    with pytest.raises(explorer.Refused, match="post-norm"):
        case.plain.logit_attribution(7)
    with pytest.raises(explorer.Refused, match="post-norm"):
        case.plain.logit_attribution(7, 9, position=2, heads=True)
