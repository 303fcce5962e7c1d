"""The lens and logit attribution on the sample's real weights."""

from __future__ import annotations

import pytest
import torch

import explorer

PROMPT = "The capital of France is"


@pytest.mark.model
def test_paris_grows_through_the_layers_and_its_logit_is_a_sum(sample: explorer.Model) -> None:
    trace = sample.trace(PROMPT)
    paris, london = (sample.read(word).ids[0] for word in (" Paris", " London"))
    shares = [float(trace.lens_logits(layer, -1 % len(trace)).softmax(-1)[0, 0, paris]) for layer in range(30)]
    assert max(shares[:10]) < 0.01 < 0.1 < shares[-1]
    torch.testing.assert_close(trace.lens_logits(29)[:, -1], trace.last_logits, atol=1e-3, rtol=1e-4)
    result = trace.logit_attribution(" Paris", " London")
    logits = trace.last_logits[0]
    assert result.difference == pytest.approx(float(logits[paris] - logits[london]), abs=1e-3)
    assert result.difference > 0
    assert abs(result.remainder) < 1e-2
    top = trace.lens(layers=29, positions=len(trace) - 1, k=3)
    assert top.token.tolist() == trace.next_tokens(3).token.tolist()


@pytest.mark.model
def test_ablating_in_generation_equals_ablating_in_traces(sample: explorer.Model) -> None:
    edits = [explorer.Ablate("layers.3.attn.z", heads=[1, 5]), explorer.Scale("layers.20.mlp_out", 0.0)]
    run = sample.generate(PROMPT, explorer.Sampling(temperature=0.0), 4, edits=edits).finish()
    ids = sample.read(PROMPT).ids
    for step in run.steps:
        assert step.id == int(sample.trace([*ids, *run.ids[: step.index]], edits=edits).last_logits.argmax())
