"""Texts of two lengths share a pass only where it was shown that padding is not read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

import explorer
from tests.conftest import snapshot
from tests.families.cases import IDS, SHORT, equal

SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
# A convolution over positions, averages over blocks of them, and an estimate of attention that ignores the mask.
READ = {
    "convbert": {"embedding_size": 16},
    "nystromformer": {},
    "yoso": {"use_expectation": True},
}


def attached(family: str) -> explorer.Model:
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, **{**SMALL, **READ.get(family, {})})
    return explorer.attach(transformers.AutoModelForMaskedLM.from_config(config).eval())


@pytest.mark.parametrize("family", READ)
def test_a_model_that_reads_padding_is_given_texts_of_one_length_only(family: str) -> None:
    model = attached(family)
    before = snapshot(model.hf)
    with pytest.raises(explorer.Refused, match="padding changes what it gives"):
        model.trace([IDS, SHORT])
    assert snapshot(model.hf) == before
    both = model.trace([IDS, IDS[::-1]])
    with torch.no_grad():
        equal(both.logits[:1], model.hf(torch.tensor([IDS]), torch.ones(1, len(IDS))).logits, "one length")
    check = model.check()
    assert check.passed, check
    assert "padding changes" in {row.what: row.note for row in check.rows}["padded"]


def test_a_model_that_hides_padding_is_given_both() -> None:
    model = attached("bert")
    before = snapshot(model.hf)
    both = model.trace([IDS, SHORT])
    assert snapshot(model.hf) == before
    with torch.no_grad():
        equal(both.logits[1:, : len(SHORT)], model.hf(torch.tensor([SHORT])).logits, "the short text")
