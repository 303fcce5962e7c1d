"""The sample continues an earlier trace: the same numbers as a fresh one, from a fraction of the work."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import explorer

pytestmark = pytest.mark.model

PROMPT = "When Mary and John went to the store, John gave a drink to"


@pytest.mark.parametrize("text", [PROMPT + " Mary", PROMPT[:-15], PROMPT.replace("store", "park"), "人工智能是"])
def test_every_kind_of_site_equals_a_fresh_trace(
    sample: explorer.Model, text: str, unchanged: Callable[[explorer.Model], None]
) -> None:
    unchanged(sample)
    fresh = sample.trace(text)
    trace = sample.trace(text, reuse=sample.trace(PROMPT))
    assert (trace.reused == 0) == (text == "人工智能是")
    parts = ("resid_pre", "resid_post", "mlp_out", "attn.q", "attn.k", "attn.v", "attn.z", "attn.pattern", "attn.out")
    for layer in (0, 13, 29):
        for part in parts:
            site = f"layers.{layer}.{part}"
            # Residuals of this model reach thousands in a few widths; rounding is relative to those.
            scale = float(fresh[site].abs().max())
            torch.testing.assert_close(trace[site], fresh[site], atol=2e-5 * max(1.0, scale), rtol=1e-3)
    torch.testing.assert_close(trace.logits, fresh.logits, atol=1e-3, rtol=1e-3)
    assert trace.next_tokens(5)["id"].tolist() == fresh.next_tokens(5)["id"].tolist()


def test_a_long_prompt_is_not_run_again(sample: explorer.Model) -> None:
    ids = (sample.read(PROMPT).ids * 20)[:200]
    positions: list[int] = []
    old = sample.trace(ids)
    sample.trace([*ids, 5], reuse=old)  # what is shown once for a model is shown here
    layer = sample.hf.model.layers[0]
    plain = layer.forward
    layer.forward = lambda hidden, *args, **keywords: (
        positions.append(hidden.shape[1]),
        plain(hidden, *args, **keywords),
    )[1]
    try:
        trace = sample.trace([*ids, 7], reuse=old)
    finally:
        del layer.forward
    assert trace.reused == 200
    assert positions == [1]
    assert len(trace) == 201
    assert trace["layers.29.attn.k"].shape[1] == 201
