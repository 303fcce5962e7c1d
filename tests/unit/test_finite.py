"""Numbers that are none: the first place is named, with the weights or the number format as the cause."""

from __future__ import annotations

import math

import pytest
import torch

import explorer
from explorer import NextToken, Refused, Sampling, Steer
from tests.conftest import tiny

IDS = [5, 17, 3, 88, 41, 9, 60]


def poisoned() -> explorer.Model:
    hf = tiny("llama")
    with torch.no_grad():
        hf.model.layers[1].mlp.up_proj.weight[7, 3] = math.nan
    return explorer.attach(hf)


def test_weights_that_are_nan_are_named_when_the_model_is_opened() -> None:
    model = poisoned()
    named = "the weights model.layers.1.mlp.up_proj.weight hold NaN in 1 of 1,536 numbers"
    assert named in model.anatomy.missing
    assert "from model.layers.1.mlp.up_proj (NaN in " in model.anatomy.missing
    assert not model.capabilities.checked
    assert named in repr(model)
    found = model.check()
    assert not found.passed
    (row,) = [row for row in found.failures if row.what == "numbers are finite"]
    assert named in row.note
    with pytest.raises(Refused, match=r"NaN or infinite logits.*up_proj\.weight"):
        model.trace(IDS).next_tokens()
    with pytest.raises(Refused, match=r"up_proj\.weight"):
        model.trace(IDS).lens()
    with pytest.raises(Refused, match=r"hold NaN.*model\.check\(\) names the first layer"):
        model.next_token(IDS)


def overflowing() -> explorer.Model:
    """Half precision, whose range one position leaves: in the MLP of layer 1, at the sixth token."""
    model = explorer.attach(tiny("llama").half())

    def push(_module: object, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        pushed = args[0].clone()
        pushed[:, 5:6] = 60_000  # as outliers are; the largest number of this format is 65,504
        return (pushed,)

    model.hf.model.layers[1].mlp.down_proj.register_forward_pre_hook(push)
    return model


def test_an_overflow_is_named_with_the_first_site_in_trace_lens_and_check() -> None:
    model = overflowing()
    trace = model.trace(IDS)
    first = next(
        site
        for site in ("layers.0.resid_post", "layers.1.attn.z", "layers.1.attn_out", "layers.1.mlp_out")
        if not torch.isfinite(trace[site]).all()
    )
    assert first == "layers.1.mlp_out"
    sentence = rf"begin at {first} \((NaN|infinity).*weights are finite, so float16 is too narrow.*dtype='float32'"
    with pytest.raises(Refused, match=sentence):
        trace.lens()
    with pytest.raises(Refused, match=sentence):
        explorer.finite.check_answer(trace, trace.logits)
    (row,) = [row for row in model.check(IDS).failures if row.what == "numbers are finite"]
    assert row.site == first


def test_edits_that_overflow_are_named() -> None:
    model = explorer.attach(tiny("llama"))
    huge = Steer("layers.1.resid_post", torch.full((32,), 3e38), 10.0)
    with pytest.raises(Refused, match=r"begin at layers\.1\.resid_post .*Its edits may be the cause"):
        model.trace(IDS, edits=huge).next_tokens()


def test_banned_tokens_are_no_fault() -> None:
    hf = tiny("llama")

    def ban(_module: object, _args: object, output: torch.Tensor) -> torch.Tensor:
        return output.index_fill(-1, torch.tensor([4, 5]), -torch.inf)

    hf.lm_head.register_forward_hook(ban)
    model = explorer.attach(hf)
    assert model.capabilities.checked
    assert model.capabilities.attention == (("", "recorded"),)
    top = model.trace(IDS).next_tokens(97)
    assert len(top) == 95
    assert not {4, 5} & set(top["id"])
    shares = model.next_token(IDS).under(Sampling())
    by_hand = shares.probabilities.double()
    by_hand = by_hand[by_hand > 0]
    assert shares.entropy == pytest.approx(float(-(by_hand * by_hand.log2()).sum()), abs=1e-5)
    assert shares.probabilities[[4, 5]].tolist() == [0, 0]
    frame = model.trace(IDS).lens(layers=[2], positions=[-1 + len(IDS)], k=97)
    assert not frame["probability"].isna().any()
    assert frame[frame["id"].isin([4, 5])]["probability"].sum() == 0
    assert math.isfinite(NextToken(model.trace(IDS).last_logits[0], IDS).under(Sampling()).entropy)
    assert model.check().passed
