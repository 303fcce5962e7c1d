"""Layers read by the model's own head, and logits taken apart, on every rule of norm and head."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

import explorer
from explorer import Ablate, Cancelled, Patch, Refused, Steer
from explorer.control import controlled
from explorer.record import Record
from tests import tiny_tokenizers as zoo
from tests.conftest import TINY_CAUSAL, snapshot, tiny

IDS = [5, 17, 3, 88, 41, 9, 60]
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
OTHERS: dict[str, dict[str, Any]] = {
    "gptj": {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4, "n_positions": 64},
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4},
    "gpt_neox": {**SMALL, "intermediate_size": 48},
    "phi": {**SMALL, "intermediate_size": 48},
    "olmo2": {**SMALL, "intermediate_size": 48},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 3},
    "openai-gpt": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},
}


def made(family: str) -> explorer.Model:
    if family not in OTHERS:
        return explorer.attach(tiny(family))
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=97, pad_token_id=0, **OTHERS[family])
    config.initializer_range = 0.2
    hf = AutoModelForCausalLM.from_config(config).eval()
    for name, parameter in hf.named_parameters():
        if "bias" in name or "norm" in name or "ln_" in name:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.5)
    return explorer.attach(hf)


@pytest.mark.parametrize("family", [*sorted(TINY_CAUSAL), *OTHERS])
def test_the_lens_at_the_last_layer_is_the_models_answer(family: str) -> None:
    model = made(family)
    before = snapshot(model.hf)
    trace = model.trace([IDS, IDS[::-1]])
    torch.testing.assert_close(
        trace.lens_logits(len(model.anatomy.stack.layers) - 1), trace.logits, atol=1e-5, rtol=1e-5
    )
    some = trace.lens_logits(1, [6, 2])
    torch.testing.assert_close(some, trace.lens_logits(1)[:, [6, 2]], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(some, trace.logits[:, [6, 2]], atol=1e-2)
    assert snapshot(model.hf) == before


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "granite", "gemma2"])
def test_an_earlier_layer_reads_as_in_a_model_that_ends_there(family: str) -> None:
    model = made(family)
    short = copy.deepcopy(model.hf)
    stack = short.get_submodule(model.anatomy.stack.path)
    del stack[2]
    short.config.num_hidden_layers = 2
    with torch.no_grad():
        expected = short(torch.tensor([IDS]), use_cache=False).logits
    torch.testing.assert_close(model.trace(IDS).lens_logits(1), expected, atol=1e-5, rtol=1e-5)


def test_the_frame_ranks_tokens_by_layer_and_position() -> None:
    model = explorer.attach(tiny("llama", vocab_size=400), zoo.byte_level())
    trace = model.trace("Hello there")
    frame = trace.lens(layers=[0, 2], positions=slice(-2, None), k=3)
    assert list(frame.columns) == ["layer", "position", "rank", "id", "token", "probability"]
    count = len(trace.tokens)
    assert frame[["layer", "position", "rank"]].values.tolist() == [
        [layer, position, rank] for layer in (0, 2) for position in (count - 2, count - 1) for rank in (1, 2, 3)
    ]
    last = frame[(frame.layer == 2) & (frame.position == count - 1)]
    top = trace.next_tokens(3)
    assert last.id.tolist() == top.id.tolist()
    assert last.token.tolist() == top.token.tolist()
    assert last.probability.tolist() == pytest.approx(top.probability.tolist(), abs=1e-6)
    assert len(trace.lens(k=9999, layers=1, positions=0)) == 400


def test_traces_that_kept_some_positions_are_read_at_these() -> None:
    model = made("llama")
    whole = model.trace(IDS)
    some = model.trace(IDS, record=Record(positions=[2, 5], dtype="bfloat16"))
    assert some.lens(layers=2).position.unique().tolist() == [2, 5]
    torch.testing.assert_close(some.lens_logits(2, 5), whole.lens_logits(2, 5), atol=0.2, rtol=0.05)
    one, other = (trace.logit_attribution(7, 9, position=5).frame.contribution for trace in (some, whole))
    assert one.tolist() == pytest.approx(other.tolist(), abs=0.1)
    for wrong in (lambda: some.lens(positions=3), lambda: some.logit_attribution(7)):
        with pytest.raises(Refused, match="was not kept"):
            wrong()
    site = "layers.1.resid_post"
    some = model.trace(IDS[::-1], record=Record(positions=[2, 5]))
    whole = model.trace(IDS[::-1])
    patched = [model.trace(IDS, edits=Patch(site, trace, positions=[5])).logits for trace in (some, whole)]
    assert torch.equal(*patched)
    for positions in (None, [3]):
        with pytest.raises(Refused, match="kept positions"):
            model.trace(IDS, edits=Patch(site, some, positions=positions))


class Superseded:
    def cancelled(self) -> bool:
        return True

    def progress(self, done: float, note: str) -> None:
        """Nothing is shown."""

    def passing(self, done: float) -> None:
        """Nothing is shown."""


def test_reading_layers_leaves_the_model_as_it_was_also_when_it_fails_or_is_cancelled() -> None:
    model = made("llama")
    model.hf.train()
    trace = model.trace(IDS)
    before = snapshot(model.hf)
    with controlled(Superseded()), pytest.raises(Cancelled):
        trace.lens()
    assert snapshot(model.hf) == before

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    model.hf.lm_head.register_forward_hook(fail)
    before = snapshot(model.hf)
    for read in (trace.lens, lambda: trace.lens_logits(1), lambda: trace.logit_attribution(7)):
        with pytest.raises(ZeroDivisionError):
            read()
        assert snapshot(model.hf) == before


def test_masked_models_are_read_through_their_own_head() -> None:
    config = AutoConfig.for_model("bert", vocab_size=97, max_position_embeddings=64, intermediate_size=48, **SMALL)
    model = explorer.attach(AutoModelForMaskedLM.from_config(config).eval())
    trace = model.trace(IDS)
    torch.testing.assert_close(trace.lens_logits(2), trace.logits, atol=1e-5, rtol=1e-5)
    with pytest.raises(Refused, match="post-norm"):
        trace.logit_attribution(5)


def test_what_cannot_be_read_is_refused_with_the_reason() -> None:
    model = made("llama")
    trace = model.trace(IDS)
    for wrong in ({"k": 0}, {"k": True}, {"layers": 3}, {"positions": [7]}, {"layers": []}):
        with pytest.raises(Refused):
            trace.lens(**wrong)
    with pytest.raises(Refused, match="layer=3 is out of range"):
        trace.lens_logits(3)
    with pytest.raises(Refused, match="holds 2 texts"):
        model.trace([IDS, IDS]).lens()
    with pytest.raises(Refused, match="not recorded"):
        model.trace(IDS, record=["embed"]).lens()
    with pytest.raises(Refused, match="after its layers"):
        model.trace(IDS, edits=Ablate("final_norm", positions=0)).lens()
    for target, against, options in ((97, None, {}), (5, 5, {}), (5, 6, {"position": 7}), (5, 6, {"position": True})):
        with pytest.raises(Refused):
            trace.logit_attribution(target, against, **options)
    large = explorer.attach(tiny("gemma2", final_logit_softcapping=30.0))  # far above any of its logits
    with pytest.raises(Refused, match="softcap"):
        large.trace(IDS).logit_attribution(5)
    for family, reason in (("gemma2", "softcap"), ("openai-gpt", "post-norm"), ("mamba", "cannot be split")):
        with pytest.raises(Refused, match=reason):
            made(family).trace(IDS).logit_attribution(5)


FAMILIES = [
    "llama",
    "gpt2",
    "opt",
    "granite",
    "cohere",
    "gpt_oss",
    "qwen3",
    "gptj",
    "bloom",
    "gpt_neox",
    "phi",
    "olmo2",
]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_parts_of_a_logit_sum_to_it(family: str) -> None:
    model = made(family)
    before = snapshot(model.hf)
    trace = model.trace(IDS)
    for against, position in ((None, -1), (9, 2)):
        result = trace.logit_attribution(7, against, position=position)
        logits = trace.logits[0, position]
        assert result.difference == pytest.approx(float(logits[7] - (0 if against is None else logits[9])), abs=1e-4)
        assert result.frame.contribution.sum() + result.remainder == pytest.approx(result.difference, abs=1e-9)
        assert abs(result.remainder) < 2e-4
        assert result.frame.part.tolist() == ["embed", *["attn_out", "mlp_out"] * 3, "bias"]
        assert result.frame.layer.dropna().tolist() == [0, 0, 1, 1, 2, 2]
    assert snapshot(model.hf) == before


def test_a_part_is_what_the_frozen_norm_makes_of_it() -> None:
    """By hand, from the weights: RMS norm in Llama, layer norm in GPT-2."""
    for family in ("llama", "gpt2"):
        model = made(family)
        trace = model.trace(IDS)
        stream, part = trace["layers.2.resid_post"][0, -1], trace["layers.1.mlp_out"][0, -1]
        if family == "llama":
            norm = model.hf.model.norm
            part = part * torch.rsqrt(stream.pow(2).mean() + norm.variance_epsilon) * norm.weight
        else:
            norm = model.hf.transformer.ln_f
            part = (part - part.mean()) * torch.rsqrt(stream.var(correction=0) + norm.eps) * norm.weight
        expected = part @ (model.hf.lm_head.weight[7] - model.hf.lm_head.weight[9])
        frame = trace.logit_attribution(7, 9).frame
        assert float(frame[(frame.part == "mlp_out") & (frame.layer == 1)].contribution.item()) == pytest.approx(
            float(expected.detach()), abs=1e-4
        )


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "granite", "gptj"])
def test_heads_sum_to_their_attention(family: str) -> None:
    trace = made(family).trace(IDS)
    whole, split = trace.logit_attribution(7, 9), trace.logit_attribution(7, 9, heads=True)
    assert split.frame["head"].dropna().tolist() == [0, 1, 2, 3] * 3
    for layer in range(3):
        one, many = (f[(f.part == "attn_out") & (f.layer == layer)] for f in (whole.frame, split.frame))
        assert many.contribution.sum() == pytest.approx(one.contribution.item(), abs=1e-5)
    with pytest.raises(Refused, match="heads=True"):
        made("olmo2").trace(IDS).logit_attribution(7, heads=True)


def test_what_edits_put_into_the_stream_is_a_part_of_its_own() -> None:
    model = made("llama")
    steer = Steer("layers.1.resid_post", torch.linspace(-1, 1, 32), 2.0)
    result = model.trace(IDS, edits=steer).logit_attribution(7, 9)
    assert result.frame.part.tolist()[-2:] == ["edits", "bias"]
    assert abs(result.remainder) < 2e-4
    assert "in 9 parts" in repr(result)
    inside = model.trace(IDS, edits=Ablate("layers.1.attn.z", heads=0)).logit_attribution(7, 9)
    assert "edits" not in inside.frame.part.tolist()
