"""Tracing tiny random models of every rule of attention against plain eager transformers."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import explorer
from explorer import control
from explorer.recording import ATTENTION_NAME
from tests import tiny_tokenizers as zoo
from tests.conftest import TINY_CAUSAL, tiny

IDS = [5, 17, 3, 88, 41, 9, 60, 2, 33, 71, 12]


def eager(hf: Any, ids: list[int]) -> Any:
    """What plain transformers gives, from a copy, with eager attention."""
    plain = copy.deepcopy(hf)
    plain.set_attn_implementation("eager")
    with torch.no_grad():
        return plain(torch.tensor([ids]), output_attentions=True, output_hidden_states=True, use_cache=False)


@pytest.fixture(scope="module", params=sorted(TINY_CAUSAL))
def model(request: pytest.FixtureRequest) -> explorer.Model:
    return explorer.attach(tiny(request.param))


def test_logits_and_patterns_equal_plain_eager(
    model: explorer.Model, unchanged: Callable[[explorer.Model], None]
) -> None:
    unchanged(model)
    plain = eager(model.hf, IDS)
    trace = model.trace(IDS)
    torch.testing.assert_close(trace.last_logits, plain.logits[:, -1], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(trace.logits, plain.logits, atol=2e-5, rtol=1e-4)
    for layer, attention in enumerate(plain.attentions):
        expected = attention[..., : len(IDS)]  # a learned sink's column is dropped
        torch.testing.assert_close(trace.pattern(layer), expected, atol=2e-6, rtol=1e-4)
        torch.testing.assert_close(trace[f"layers.{layer}.attn.pattern"], expected, atol=2e-6, rtol=1e-4)


def test_z_is_the_pattern_times_the_values(model: explorer.Model) -> None:
    trace = model.trace(IDS)
    for layer in range(3):
        value = trace[f"layers.{layer}.attn.v"]
        group = trace[f"layers.{layer}.attn.q"].shape[2] // value.shape[2]
        z = torch.einsum("bhqk,bkhd->bqhd", trace.pattern(layer), value.repeat_interleave(group, 2))
        torch.testing.assert_close(trace[f"layers.{layer}.attn.z"], z, atol=2e-5, rtol=1e-4)


def test_the_residual_stream_is_what_transformers_calls_hidden_states(model: explorer.Model) -> None:
    plain = eager(model.hf, IDS)
    trace = model.trace(IDS)
    torch.testing.assert_close(trace["embed"], plain.hidden_states[0], atol=2e-5, rtol=1e-4)
    for layer in (1, 2):
        torch.testing.assert_close(trace[f"layers.{layer}.resid_pre"], plain.hidden_states[layer], atol=5e-5, rtol=1e-4)
        assert torch.equal(trace[f"layers.{layer}.resid_pre"], trace[f"layers.{layer - 1}.resid_post"])


def test_the_softmax_of_the_scores_is_the_pattern_unless_a_sink_takes_part(model: explorer.Model) -> None:
    trace = model.trace(IDS)
    soft = torch.softmax(trace["layers.1.attn.scores"].float(), -1)
    pattern = trace.pattern(1)
    if model.anatomy.family == "gpt_oss":
        assert (pattern.sum(-1) < 0.999).any()
        ratio = pattern.sum(-1, keepdim=True)
        torch.testing.assert_close(pattern, soft * ratio, atol=2e-6, rtol=1e-4)
    else:
        torch.testing.assert_close(pattern, soft, atol=2e-6, rtol=1e-4)


def test_what_is_read_is_a_copy(model: explorer.Model) -> None:
    trace = model.trace(IDS)
    for site in ("layers.1.resid_pre", "layers.1.attn.q", "layers.1.attn.z", "logits", "embed"):
        before = trace[site].clone()
        trace[site].zero_()
        assert torch.equal(trace[site], before)
        assert not trace[site].requires_grad


@pytest.fixture(scope="module")
def llama() -> explorer.Model:
    return explorer.attach(tiny("llama"))


def test_a_model_that_was_loaded_with_eager_attention_keeps_its_kernel() -> None:
    hf = tiny("llama")
    hf.set_attn_implementation("eager")
    trace = explorer.attach(hf).trace(IDS)
    assert torch.equal(trace["layers.1.resid_post"], eager(hf, IDS).hidden_states[2])


def test_training_mode_dropout_and_others_hooks_come_back(unchanged: Callable[[explorer.Model], None]) -> None:
    hf = tiny("gpt2", attn_pdrop=0.5, resid_pdrop=0.5).train()
    hf.transformer.h[1].attn.eval()
    seen: list[str] = []
    hf.transformer.h[0].register_forward_hook(lambda *_: seen.append("mine"))
    model = explorer.attach(hf)
    unchanged(model)
    seen.clear()
    first, second = model.trace(IDS), model.trace(IDS)
    assert torch.equal(first.logits, second.logits)
    assert seen == ["mine", "mine"]


def test_an_error_in_a_layer_leaves_nothing_behind(unchanged: Callable[[explorer.Model], None]) -> None:
    broken = False

    def explode(*_: Any) -> None:
        if broken:
            raise ZeroDivisionError("in the layer")

    model = explorer.attach(tiny("llama"))
    model.hf.model.layers[2].register_forward_pre_hook(explode)
    unchanged(model)
    expected = model.trace(IDS).logits
    broken = True
    for call in (model.trace, model.next_token):
        with pytest.raises(ZeroDivisionError):
            call(IDS)
    broken = False
    assert torch.equal(model.trace(IDS).logits, expected)


class Stopping:
    """Cancels at the n-th checkpoint."""

    def __init__(self, at: int) -> None:
        self.left = at

    def cancelled(self) -> bool:
        self.left -= 1
        return self.left < 0

    def progress(self, done: float, note: str) -> None:
        pass

    def passing(self, done: float) -> None:
        pass


@settings(max_examples=25, deadline=None)
@given(at=st.integers(0, 4), ids=st.lists(st.integers(0, 96), min_size=1, max_size=20))
def test_cancelling_anywhere_leaves_nothing_behind(llama: explorer.Model, at: int, ids: list[int]) -> None:
    from tests.conftest import snapshot

    before = snapshot(llama.hf)
    try:
        with control.controlled(Stopping(at)):
            llama.trace(ids)
        assert at >= 3, "three layers, so at least three checkpoints"
    except explorer.Cancelled:
        assert at < 3
    assert snapshot(llama.hf) == before
    assert len(llama.trace(ids)) == len(ids)


def test_threads_do_not_see_each_others_recordings(llama: explorer.Model) -> None:
    expected = {n: llama.trace(IDS[:n]).pattern(1) for n in range(2, 8)}
    wrong: list[int] = []

    def work(n: int) -> None:
        wrong.extend(n for _ in range(10) if not torch.equal(llama.trace(IDS[:n]).pattern(1), expected[n]))

    threads = [threading.Thread(target=work, args=(n,)) for n in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_family_outside_the_interface_gives_its_own_weights() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model("gptj", vocab_size=97, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, n_positions=64)
    hf = AutoModelForCausalLM.from_config(config).eval()
    model = explorer.attach(hf)
    trace = model.trace(IDS)
    assert torch.equal(trace.pattern(0), eager(hf, IDS).attentions[0])
    assert "layers.0.attn.z" in model.sites()
    with pytest.raises(explorer.Refused, match="not its queries, keys and values"):
        trace["layers.0.attn.q"]
    torch.testing.assert_close(model.next_token(IDS).logits, hf(torch.tensor([IDS])).logits[0, -1].detach())


def test_layers_without_softmax_attention_keep_their_number() -> None:
    model = explorer.attach(
        tiny("qwen3_next", layer_types=["linear_attention", "full_attention", "linear_attention"], num_experts=0)
    )
    stack = model.anatomy.stack
    assert stack is not None
    assert [heads > 0 for heads in stack.heads] == [False, True, False]
    trace = model.trace(IDS)
    torch.testing.assert_close(trace.pattern(1), eager(model.hf, IDS).attentions[-1], atol=2e-6, rtol=1e-4)
    with pytest.raises(explorer.Refused, match="no softmax attention"):
        trace.pattern(0)
    assert "layers.0.attn.q" not in model.sites()


@pytest.mark.parametrize(
    ("layer", "heads", "queries", "word"),
    [
        (3, None, None, "layer=3"),
        (-1, None, None, "layer=-1"),
        (True, None, None, "layer=True"),
        (0, [4], None, "heads="),
        (0, [], None, "chooses nothing"),
        (0, [True], None, "heads="),
        (0, None, [11], "queries="),
        (0, None, [-1], "queries="),
        (0, None, slice(5, 5), "chooses nothing"),
    ],
)
def test_indices_out_of_range_are_named(llama: explorer.Model, layer: int, heads: Any, queries: Any, word: str) -> None:
    with pytest.raises(explorer.Refused, match=word):
        llama.trace(IDS).pattern(layer, heads=heads, queries=queries)


def test_patterns_keep_four_axes(llama: explorer.Model) -> None:
    trace = llama.trace(IDS)
    assert trace.pattern(1, heads=2, queries=-1 + len(IDS)).shape == (1, 1, 1, len(IDS))
    torch.testing.assert_close(
        trace.pattern(1, heads=[2], queries=slice(-1, None)), trace.pattern(1)[:, 2:3, -1:], atol=1e-6, rtol=0
    )


def test_unknown_sites_list_near_ones(llama: explorer.Model) -> None:
    trace = llama.trace(IDS)
    with pytest.raises(explorer.Refused, match=r"layers\.1\.attn\.pattern"):
        trace["layers.1.attn.patern"]
    assert set(llama.sites()) - set(trace.sites()) == {f"layers.{layer}.mlp.neurons" for layer in range(3)}
    for site in trace.sites():
        assert torch.isfinite(trace[site]).any()


@pytest.mark.parametrize(
    ("inputs", "error", "word"),
    [
        ([], explorer.Refused, "no tokens"),
        ([1, 97], explorer.Refused, "vocabulary of 97"),
        ([-1], explorer.Refused, "Token id -1"),
        ([1] * 65, explorer.Refused, "context is 64"),
        ([1.5], explorer.Refused, "list of ints"),
        ([[1], ["x"]], explorer.Refused, "list of ints"),
        (torch.zeros(1, 1, 1, dtype=torch.long), explorer.Refused, r"\(1, 1, 1\)"),
        (torch.tensor([1.0]), explorer.Refused, "float32"),
        (b"abc", TypeError, "bytes"),
        (None, explorer.Refused, "reads text"),
        ("text", explorer.Refused, "without a tokenizer"),
    ],
)
def test_inputs_that_cannot_be_read_are_refused_in_words(
    llama: explorer.Model, inputs: Any, error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        llama.trace(inputs)


@pytest.mark.parametrize("inputs", [IDS, [IDS], torch.tensor(IDS), torch.tensor([IDS])])
def test_ids_in_every_shape(llama: explorer.Model, inputs: Any) -> None:
    assert llama.trace(inputs).ids.tolist() == [IDS]


@pytest.mark.parametrize("family", ["llama", "mixtral", "gptj"])
def test_nothing_that_is_read_reaches_the_trace_or_the_model(
    family: str, unchanged: Callable[[explorer.Model], None]
) -> None:
    sizes = {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4, "n_positions": 64} if family == "gptj" else {}
    model = explorer.attach(tiny(family, **sizes))
    unchanged(model)
    trace = model.trace(IDS)
    readers: list[Callable[[], torch.Tensor]] = [lambda site=site: trace[site] for site in trace.sites()]  # type: ignore[misc]
    readers += [lambda: trace.ids, lambda: trace.last_logits, lambda: trace.pattern(1), lambda: trace.lens_logits(1)]
    before = [read().clone() for read in readers]
    for read in readers:
        read().fill_(3)
    assert all(torch.equal(read(), value) for read, value in zip(readers, before, strict=True))
    assert torch.equal(model.trace(IDS).logits, trace.logits)


def test_a_tokenizer_that_is_not_the_models_is_named_with_both_sizes() -> None:
    tokenizer = zoo.byte_level()
    model = explorer.attach(tiny("llama"), tokenizer)
    with pytest.raises(explorer.Refused, match=rf"vocabulary of 97\. The tokenizer has {len(tokenizer):,} entries"):
        model.trace("Hello there")
    with pytest.raises(explorer.Refused, match=r"vocabulary of 97\. Allowed are 0 to 96"):
        explorer.attach(model.hf).trace([97])


@pytest.mark.parametrize(("family", "limit"), [("llama", "64 tokens"), ("bloom", "4,000,000 are split")])
def test_a_pasted_book_is_refused_before_it_is_tokenised(
    family: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"n_layer": 2, "n_head": 4, "max_position_embeddings": -1} if family == "bloom" else {}
    model = explorer.attach(tiny(family, **sizes), zoo.byte_level())
    monkeypatch.setattr("explorer.model.read_text", lambda *_: pytest.fail("it was tokenised"))
    with pytest.raises(explorer.Refused, match=rf"10,000,000 characters.*{limit}"):
        model.trace("ten words " * 1_000_000)


def test_one_token_gives_a_map_of_one_cell(llama: explorer.Model) -> None:
    assert llama.trace([7]).pattern(0).tolist() == [[[[1.0]]] * 4]


def test_attach_takes_the_model_itself(llama: explorer.Model) -> None:
    assert explorer.attach(llama.hf).hf is llama.hf
    assert explorer.attach(llama.hf).lock is llama.lock
    with pytest.raises(TypeError, match="PreTrainedModel"):
        explorer.attach("gpt2")  # type: ignore[arg-type]


def test_our_attention_name_is_not_left_in_any_config(llama: explorer.Model) -> None:
    llama.trace(IDS)
    names = {m.config._attn_implementation for m in llama.hf.modules() if hasattr(m, "config")}
    assert ATTENTION_NAME not in names


def test_the_next_token_after_any_position_is_the_row_of_logits_there(model: explorer.Model) -> None:
    trace = model.trace(IDS)
    for position in (0, 4, -2, -1):
        torch.testing.assert_close(
            trace.next_token(position).logits, trace.logits[0, position].float(), atol=1e-5, rtol=1e-5
        )
    expected = trace.logits[0, 3].float()
    torch.testing.assert_close(model.trace(IDS).next_token(3).logits, expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(explorer.Refused, match="allowed are 0 to 10"):
        trace.next_token(11)
