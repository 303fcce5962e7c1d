"""The sample models, real weights, against plain eager transformers and against Captum itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

import explorer

pytestmark = pytest.mark.model

PROMPT = "When Mary and John went to the store, John gave a drink to"


@pytest.fixture(scope="module")
def eager_sample(sample: explorer.Model) -> Any:
    plain = copy.deepcopy(sample.hf)
    plain.set_attn_implementation("eager")
    return plain


@pytest.mark.parametrize("text", [PROMPT, "人工智能是", "🏳️‍🌈 flags", "a"])
def test_patterns_logits_and_next_tokens_equal_plain_eager(
    sample: explorer.Model, eager_sample: Any, text: str, unchanged: Callable[[explorer.Model], None]
) -> None:
    unchanged(sample)
    ids = sample.tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        plain = eager_sample(ids, output_attentions=True)
    trace = sample.trace(text)
    assert trace.tokens.ids == ids[0].tolist()
    for layer in range(30):
        torch.testing.assert_close(trace.pattern(layer), plain.attentions[layer], atol=5e-6, rtol=1e-3)
    torch.testing.assert_close(trace.logits, plain.logits, atol=2e-4, rtol=1e-4)
    expected = plain.logits[0, -1].softmax(-1).topk(10)
    top = trace.next_tokens(10)
    assert top["id"].tolist() == expected.indices.tolist()
    torch.testing.assert_close(torch.tensor(top["probability"].tolist()), expected.values, atol=1e-5, rtol=1e-3)
    assert sample.next_token(text).top(10).equals(top)


def test_the_model_knows_what_it_should(sample: explorer.Model) -> None:
    top = sample.next_token("The capital of France is").top(3)
    assert top["token"].iloc[0] == " Paris"
    probability = dict(zip(top["token"], top["probability"], strict=True))
    assert probability[" Paris"] > probability.get(" London", 0.0)


def test_the_anatomy_is_the_configs(sample: explorer.Model, encoder: explorer.Model) -> None:
    stack = sample.anatomy.stack
    assert stack is not None
    facts = {(layer.attn.heads, layer.attn.kv_heads, layer.attn.head_width) for layer in stack.layers if layer.attn}
    assert (len(stack.layers), facts, stack.width) == (30, {(9, 3, 64)}, 576)
    assert (stack.causal, sample.context, sample.anatomy.vocabulary) == (True, 8192, 49152)
    other = encoder.anatomy.stack
    assert other is not None
    assert (len(other.layers), set(other.heads), other.causal, encoder.anatomy.vocabulary) == (6, {12}, False, None)


def test_the_encoder_sees_both_ways_and_equals_eager(encoder: explorer.Model) -> None:
    text = "Interpretability 研究 is fun."
    plain = copy.deepcopy(encoder.hf)
    plain.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = plain(**encoder.tokenizer(text, return_tensors="pt"), output_attentions=True).attentions
    trace = encoder.trace(text)
    for layer in range(6):
        torch.testing.assert_close(trace.pattern(layer), attentions[layer], atol=2e-6, rtol=1e-3)
    assert trace.pattern(0)[0, 0, 0, 1:].sum() > 0
    with pytest.raises(explorer.Refused, match="no vocabulary head"):
        encoder.next_token(text)
    with pytest.raises(explorer.Refused, match="no vocabulary head"):
        trace["logits"]


def direct(sample: explorer.Model, text: str, target: int, against: int | None) -> tuple[Any, Any, Any]:
    """The explained function, its input and the mean embedding, written out without the engine."""
    ids = sample.tokenizer(text, return_tensors="pt").input_ids
    table = sample.hf.get_input_embeddings().weight.detach()

    def number(embeddings: torch.Tensor) -> torch.Tensor:
        last = sample.hf(inputs_embeds=embeddings).logits[:, -1]
        return last[:, target] - (last[:, against] if against is not None else 0.0)

    return number, table[ids], table.mean(0)


@pytest.mark.parametrize("against", [None, " London"])
def test_input_x_gradient_is_the_gradient_times_the_input(sample: explorer.Model, against: str | None) -> None:
    text = "The capital of France is"
    result = sample.attribute(text, " Paris", against, method="input_x_gradient")
    paris, london = (sample.tokenizer(word).input_ids[0] for word in (" Paris", " London"))
    number, inputs, _ = direct(sample, text, paris, london if against else None)
    inputs.requires_grad_()
    value = number(inputs)
    (gradient,) = torch.autograd.grad(value[0], inputs)
    torch.testing.assert_close(result.scores, (gradient * inputs).sum(-1)[0].detach(), atol=2e-4, rtol=1e-3)
    assert result.difference == pytest.approx(float(value.detach()), abs=1e-4)
    assert result.convergence_delta is None
    assert result.target.text == " Paris"
    assert result.frame["token"].tolist() == ["The", " capital", " of", " France", " is"]


@pytest.mark.parametrize(("baseline", "hold_first"), [("mean", True), ("zero", True), ("mean", False)])
def test_integrated_gradients_equal_a_direct_captum_call(
    sample: explorer.Model, baseline: str, hold_first: bool
) -> None:
    from captum.attr import IntegratedGradients

    text, steps = "The opposite of hot is", 12
    cold = sample.tokenizer(" cold").input_ids[0]
    number, inputs, mean = direct(sample, text, cold, None)
    start = torch.zeros_like(inputs) if baseline == "zero" else mean.expand_as(inputs).clone()
    if hold_first:
        start[:, 0] = inputs[:, 0]
    scores, delta = IntegratedGradients(number).attribute(
        inputs, start, n_steps=steps, internal_batch_size=6, return_convergence_delta=True
    )
    result = sample.attribute(text, " cold", steps=steps, baseline=baseline, hold_first=hold_first)
    largest = float(scores.sum(-1).abs().max())
    torch.testing.assert_close(result.scores, scores.sum(-1)[0].float().detach(), atol=2e-3 * largest, rtol=0)
    assert result.convergence_delta == pytest.approx(float(delta), abs=5e-3 * largest)
    assert (result.scores[0] == 0) == hold_first


def test_the_scores_sum_to_the_change_they_explain(sample: explorer.Model) -> None:
    result = sample.attribute("The opposite of hot is", " cold", steps=50)
    number, inputs, mean = direct(sample, "The opposite of hot is", sample.tokenizer(" cold").input_ids[0], None)
    start = mean.expand_as(inputs).clone()
    start[:, 0] = inputs[:, 0]
    with torch.no_grad():
        change = float(number(inputs) - number(start))
    assert result.convergence_delta is not None
    assert abs(result.convergence_delta) < 0.05 * abs(change)
    assert float(result.scores.sum()) - result.convergence_delta == pytest.approx(change, abs=1e-2)


def test_attribution_leaves_the_model_as_it_was(
    sample: explorer.Model, unchanged: Callable[[explorer.Model], None]
) -> None:
    unchanged(sample)
    sample.attribute("Hello there", steps=2)


def test_attribution_works_inside_no_grad(sample: explorer.Model) -> None:
    with torch.no_grad():
        assert sample.attribute("Hello there", method="input_x_gradient").scores.abs().sum() > 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"target": " Paris London"}, "2 tokens"),
        ({"target": ""}, "empty"),
        ({"target": 49152}, "49151"),
        ({"target": -1}, "no token id"),
        ({"target": " Paris", "against": " Paris"}, "same token"),
        ({"method": "magic"}, "method='magic'"),
        ({"steps": 0}, "steps=0"),
        ({"baseline": "noise"}, "baseline='noise'"),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(
    sample: explorer.Model, arguments: dict[str, Any], word: str
) -> None:
    with pytest.raises(explorer.Refused, match=word):
        sample.attribute("The capital of France is", **arguments)


@pytest.mark.parametrize(
    ("text", "word"),
    [("", "empty"), ("x " * 8193, "8,192"), ("x" * 1_000_000, "8,192")],
)
def test_prompts_that_cannot_be_read_are_refused(sample: explorer.Model, text: str, word: str) -> None:
    with pytest.raises(explorer.Refused, match=word):
        sample.trace(text)


@pytest.mark.parametrize("text", ["   ", "\ud800x", "</script><img src=x onerror=alert(1)>", "\x00\u202e"])
def test_strange_prompts_are_read(sample: explorer.Model, text: str) -> None:
    trace = sample.trace(text)
    assert torch.isfinite(trace.last_logits).all()
    assert "<img" not in trace.tokens._repr_html_()
    assert "<img" not in sample._repr_html_()
