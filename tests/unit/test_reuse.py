"""A trace that continues an earlier one equals a fresh trace at every site, or takes nothing over and says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import explorer
from explorer import Ablate, control, segments
from explorer.errors import Cancelled
from tests.conftest import tiny

IDS = [5, 17, 3, 88, 41, 9, 60, 2, 33, 71, 12]
GPTJ = {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4, "n_positions": 64}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
MLA = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 16,
    "num_key_value_heads": 4,
    "first_k_dense_replace": 1,
}
HYBRID = {
    **EXPERTS,
    "shared_expert_intermediate_size": 16,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}


@pytest.fixture(scope="module", params=["llama", "qwen3", "gpt2", "gpt_neox", "opt", "qwen3_moe"])
def model(request: pytest.FixtureRequest) -> explorer.Model:
    return explorer.attach(tiny(request.param, **(EXPERTS if request.param == "qwen3_moe" else {})))


@pytest.fixture(scope="module")
def llama() -> explorer.Model:
    return explorer.attach(tiny("llama"))


def assert_equal(given: explorer.Trace, fresh: explorer.Trace) -> None:
    """Every site, the logits of all positions and single rows of patterns."""
    assert fresh.reused == 0
    assert given.sites() == fresh.sites()
    assert given.ids.tolist() == fresh.ids.tolist()
    assert len(given) == len(fresh)
    for site in fresh.sites():
        torch.testing.assert_close(given[site], fresh[site], atol=3e-5, rtol=1e-4)
    torch.testing.assert_close(given.last_logits, fresh.last_logits, atol=3e-5, rtol=1e-4)
    rows = slice(-2, None)
    torch.testing.assert_close(given.pattern(1, heads=[2], queries=rows), fresh.pattern(1, heads=[2], queries=rows))


@pytest.mark.parametrize(
    ("changed", "taken"),
    [
        ([*IDS, 7], 11),
        ([*IDS, 7, 8, 9], 11),
        (IDS[:5], 4),
        (IDS[:1], 0),
        ([*IDS[:6], 44, *IDS[7:]], 6),
        ([*IDS[:6], *IDS[7:]], 6),
        ([*IDS[:6], 1, *IDS[6:]], 6),
        (IDS, 10),
        ([90, 91, 92], 0),
        ([90, *IDS[1:]], 0),
    ],
    ids=["one more", "three more", "shorter", "one", "replaced", "deleted", "inserted", "same", "unrelated", "first"],
)
def test_every_site_equals_a_fresh_trace(
    model: explorer.Model, changed: list[int], taken: int, unchanged: Callable[[explorer.Model], None]
) -> None:
    unchanged(model)
    trace = model.trace(changed, reuse=model.trace(IDS))
    assert trace.reused == taken
    assert bool(trace.reuse_note) == (taken == 0)
    assert_equal(trace, model.trace(changed))


def test_a_trace_without_an_offer_says_nothing(model: explorer.Model) -> None:
    trace = model.trace(IDS)
    assert (trace.reused, trace.reuse_note) == (0, "")


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_chains_of_edited_prompts_equal_fresh_traces(llama: explorer.Model, data: st.DataObject) -> None:
    ids = list(IDS)
    trace = llama.trace(ids)
    for _ in range(20):
        at = data.draw(st.integers(0, len(ids)))
        new = data.draw(st.lists(st.integers(0, 96), max_size=3))
        ids = (ids[:at] + new + ids[at + data.draw(st.integers(0, 3)) :])[:60] or [1]
        trace = llama.trace(ids, reuse=trace)
    assert_equal(trace, llama.trace(ids))


def test_several_texts_of_one_length_are_continued_together(model: explorer.Model) -> None:
    old = model.trace([IDS, [*IDS[:4], 80, *IDS[5:]]])
    new = [[*IDS, 7], [*IDS[:4], 80, *IDS[5:8], 1, 1, 1, 1]]
    trace = model.trace(new, reuse=old)
    # These see batch and position as one axis somewhere, which cannot be cut at a position.
    flat = model.anatomy.family in ("qwen3_moe", "opt")
    assert trace.reused == (0 if flat else 8)
    assert flat == ("one row for each position" in trace.reuse_note)
    assert_equal(trace, model.trace(new))


@pytest.mark.parametrize(
    ("family", "config", "why"),
    [
        ("mistral", {}, "sliding window"),
        ("gemma2", {}, "sliding window"),
        ("gpt_oss", {}, "sliding window"),
        ("qwen3_next", HYBRID, "no softmax attention"),
        ("gptj", GPTJ, "not recorded"),
        ("deepseek_v3", MLA, "does not hold keys and values"),
        ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "rotary positions (dynamic)"),
    ],
    ids=["mistral", "gemma2", "gpt_oss", "qwen3_next", "gptj", "deepseek_v3", "dynamic rotary"],
)
def test_where_it_would_be_wrong_nothing_is_taken_over(family: str, config: dict[str, Any], why: str) -> None:
    model = explorer.attach(tiny(family, **config))
    trace = model.trace([*IDS, 7], reuse=model.trace(IDS))
    assert trace.reused == 0
    assert why in trace.reuse_note
    assert_equal(trace, model.trace([*IDS, 7]))


def test_models_that_read_in_both_directions_take_nothing_over() -> None:
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(
        "bert", vocab_size=97, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48
    )
    model = explorer.attach(AutoModel.from_config(config).eval())
    trace = model.trace([*IDS, 7], reuse=model.trace(IDS))
    assert trace.reused == 0
    assert "both directions" in trace.reuse_note
    torch.testing.assert_close(trace["layers.2.resid_post"], model.trace([*IDS, 7])["layers.2.resid_post"])


def test_encoder_decoders_take_nothing_over() -> None:
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    config = AutoConfig.for_model("t5", d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=97)
    model = explorer.attach(AutoModelForSeq2SeqLM.from_config(config).eval())
    trace = model.trace(IDS, decoder=[0, 7, 9, 4], reuse=model.trace(IDS, decoder=[0, 7, 9]))
    assert trace.reused == 0
    assert "one stack" in trace.reuse_note
    torch.testing.assert_close(trace.logits, model.trace(IDS, decoder=[0, 7, 9, 4]).logits)


def test_edits_on_either_side_keep_it_from_being_used(llama: explorer.Model) -> None:
    edit = Ablate("layers.1.attn.z", heads=[1])
    plain, edited = llama.trace(IDS), llama.trace(IDS, edits=[edit])
    for trace, fresh in (
        (llama.trace([*IDS, 7], reuse=edited), llama.trace([*IDS, 7])),
        (llama.trace([*IDS, 7], edits=[edit], reuse=plain), llama.trace([*IDS, 7], edits=[edit])),
        (llama.trace([*IDS, 7], edits=[edit], reuse=edited), llama.trace([*IDS, 7], edits=[edit])),
    ):
        assert trace.reused == 0
        assert "edited" in trace.reuse_note
        assert_equal(trace, fresh)


def test_another_model_padding_and_other_types_are_told_apart(llama: explorer.Model) -> None:
    old = llama.trace(IDS)
    other = explorer.attach(tiny("llama", num_hidden_layers=2)).trace([*IDS, 7], reuse=old)
    assert (other.reused, other.reuse_note) == (0, "the earlier trace is of another model")
    assert llama.trace([IDS, IDS[:4]], reuse=old).reused == 0
    assert llama.trace([*IDS, 7], reuse=llama.trace([IDS, IDS[:4]])).reused == 0
    again = explorer.attach(llama.hf)  # the same weights, attached twice
    assert again.trace([*IDS, 7], reuse=old).reused == len(IDS)
    with pytest.raises(TypeError, match="reuse='yes' is a str"):
        llama.trace(IDS, reuse="yes")  # type: ignore[arg-type]


def test_changed_weights_and_hooks_keep_it_from_being_used() -> None:
    model = explorer.attach(tiny("llama"))
    old = model.trace(IDS)
    with torch.no_grad():
        model.hf.model.layers[1].mlp.down_proj.weight.mul_(1.5)
    trace = model.trace([*IDS, 7], reuse=old)
    assert trace.reused == 0
    assert "have changed" in trace.reuse_note
    assert_equal(trace, model.trace([*IDS, 7]))
    old = model.trace(IDS)
    handle = model.hf.model.layers[0].register_forward_hook(lambda _m, _a, output: output * 1.5)
    trace = model.trace([*IDS, 7], reuse=old)
    assert trace.reused == 0
    assert_equal(trace, model.trace([*IDS, 7]))
    handle.remove()
    assert model.trace([*IDS, 7], reuse=old).reused == len(IDS)
    model.hf.model.layers[2].self_attn.scaling *= 2.0
    trace = model.trace([*IDS, 7], reuse=old)
    assert trace.reused == 0
    assert_equal(trace, model.trace([*IDS, 7]))


def test_a_model_whose_cache_is_wrong_is_found_out() -> None:
    hf = tiny("llama")
    plain = type(hf.model).forward

    class Forgetful(type(hf.model)):  # type: ignore[misc]
        """Counts positions from zero, whatever the cache holds."""

        def forward(self, input_ids: Any = None, **keywords: Any) -> Any:
            keywords["position_ids"] = torch.arange(input_ids.shape[1])[None]
            return plain(self, input_ids, **keywords)

    hf.model.__class__ = Forgetful
    model = explorer.attach(hf)
    trace = model.trace([*IDS, 7], reuse=model.trace(IDS))
    assert trace.reused == 0
    assert "two pieces" in trace.reuse_note
    assert_equal(trace, model.trace([*IDS, 7]))


def test_what_is_kept_may_be_narrower_but_not_wider(llama: explorer.Model) -> None:
    full, narrow = llama.trace(IDS), llama.trace(IDS, record=["layers.1.resid_post"])
    trace = llama.trace([*IDS, 7], record=["layers.1.resid_post", "layers.2.attn.z"], reuse=full)
    assert trace.reused == len(IDS)
    for site in ("layers.1.resid_post", "layers.2.attn.pattern", "logits"):
        torch.testing.assert_close(trace[site], llama.trace([*IDS, 7])[site], atol=3e-5, rtol=1e-4)
    for old, record in ((narrow, None), (trace, None), (full, ["layers.*.mlp.neurons"])):
        again = llama.trace([*IDS, 7, 8], record=record, reuse=old)
        assert again.reused == 0
        assert "did not keep" in again.reuse_note


def storages(trace: explorer.Trace) -> dict[int, int]:
    """Bytes of each distinct storage a trace holds, by address."""
    seen = trace._recording
    tensors: list[torch.Tensor] = []
    for values in (seen.hidden, seen.attention, seen.outputs):
        for key in values:
            for part in segments.parts_of(values, key):
                if isinstance(part, list):
                    tensors += [getattr(part[0], name) for name in ("query", "key", "value", "z")]
                else:
                    tensors += segments.tensors_of(part)
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


def test_a_chain_does_not_hold_the_prefix_twice(llama: explorer.Model) -> None:
    ids = [1 + index % 90 for index in range(48)]
    first = llama.trace(ids[:40])
    held = storages(first)
    trace = first
    for length in range(41, 49):
        trace = llama.trace(ids[:length], reuse=trace)
        held |= storages(trace)
    fresh = sum(storages(llama.trace(ids)).values())
    assert sum(held.values()) <= fresh * 1.02
    assert set(storages(first)) <= set(storages(trace))


def test_the_earlier_trace_is_not_touched(model: explorer.Model) -> None:
    old = model.trace(IDS)
    before = {site: old[site] for site in old.sites()}
    versions = [call.key._version for calls in old._recording.attention.values() for call in calls]
    new = model.trace([*IDS[:7], 1, 2], reuse=old)
    for site in new.sites():
        new[site].fill_(0)
    assert versions == [call.key._version for calls in old._recording.attention.values() for call in calls]
    for site, value in before.items():
        assert torch.equal(old[site], value)
    assert_equal(new, model.trace([*IDS[:7], 1, 2]))


class After:
    """Cancels at the n-th checkpoint."""

    def __init__(self, checkpoints: int) -> None:
        self.left = checkpoints

    def cancelled(self) -> bool:
        self.left -= 1
        return self.left < 0

    def progress(self, done: float, note: str) -> None:
        """Nothing is shown here."""

    def passing(self, done: float) -> None:
        """Nothing is shown here."""


def test_a_cancelled_pass_leaves_model_and_trace_as_they_were(
    llama: explorer.Model, unchanged: Callable[[explorer.Model], None]
) -> None:
    unchanged(llama)
    old = llama.trace(IDS)
    assert llama.trace([*IDS, 7], reuse=old).reused == len(IDS)
    with pytest.raises(Cancelled), control.controlled(After(2)):
        llama.trace([*IDS, 7], reuse=old)
    assert_equal(llama.trace([*IDS, 7], reuse=old), llama.trace([*IDS, 7]))


def test_the_next_token_can_be_read_after_a_prefix(model: explorer.Model) -> None:
    old = model.trace(IDS)
    given = model.next_token([*IDS[:8], 4, 5], reuse=old)
    torch.testing.assert_close(given.logits, model.next_token([*IDS[:8], 4, 5]).logits, atol=3e-5, rtol=1e-4)
    edit = Ablate("layers.1.attn_out")
    given = model.next_token([*IDS[:8], 4, 5], edits=[edit], reuse=old)
    fresh = model.next_token([*IDS[:8], 4, 5], edits=[edit])
    torch.testing.assert_close(given.logits, fresh.logits, atol=3e-5, rtol=1e-4)
