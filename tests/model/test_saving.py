"""Traces of real weights in files: the same numbers and the same words, without model and tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import explorer

pytestmark = pytest.mark.model
TEXT = "The capital of France is 🇫🇷 Paris. 中文\n"


def test_the_samples_trace_reads_the_same_without_it(sample: Any, tmp_path: Path) -> None:
    trace = sample.trace(TEXT)
    trace.save(tmp_path / "a.safetensors", include=["logits", "lens", "head_out"])
    opened = explorer.open_trace(tmp_path / "a.safetensors")
    assert opened.sites() == trace.sites()
    for site in trace.sites():
        assert torch.equal(opened[site], trace[site]), site
    assert opened.tokens == trace.tokens
    assert opened.tokens._repr_html_() == trace.tokens._repr_html_()
    assert opened.next_tokens(50).equals(trace.next_tokens(50))
    assert opened.lens(k=3).equals(trace.lens(k=3))
    with pytest.raises(explorer.Refused, match="without its model"):
        opened.logit_attribution(" Paris")


def test_a_prompt_of_many_tokens_and_an_encoder(sample: Any, encoder: Any, tmp_path: Path) -> None:
    for model, text in ((sample, TEXT * 40), (encoder, TEXT)):
        trace = model.trace(text)
        path = trace.save(tmp_path / f"{model.name}.safetensors")
        opened = explorer.open_trace(path)
        last = len(model.anatomy.stack.layers) - 1
        assert torch.equal(opened.pattern(last), trace.pattern(last))
        assert torch.equal(opened[f"layers.{last}.resid_post"], trace[f"layers.{last}.resid_post"])
        assert opened.tokens == trace.tokens
