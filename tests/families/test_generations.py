"""What is recorded while a family writes is what a trace of the finished text is."""

from __future__ import annotations

import pytest
import torch

import explorer
from explorer import Sampling
from tests import tiny_tokenizers as zoo
from tests.families.cases import Case, equal
from tests.families.configs import FAMILIES, UNLISTED

WRITING = [
    name
    for name, family in {**FAMILIES, **UNLISTED}.items()
    if family.head == "AutoModelForCausalLM" and not family.images
]


@pytest.mark.parametrize("case", WRITING, indirect=True)
def test_every_site_of_a_written_text_equals_a_trace_of_it(case: Case) -> None:
    model = explorer.attach(case.hf, zoo.wordpiece())
    run = model.generate("the cafe is", Sampling(temperature=1.5, seed=4), 9, record=True).finish()
    trace = run.trace()
    fresh = model.trace(trace.ids)
    assert len(trace) == len(run.prompt) + len(run.ids) - 1 > 5
    weights_only = {
        f"{one.prefix}pattern" for one in case.attentions() if one.heads.how == "replay"
    }  # these are read of whole texts only
    assert {*trace.sites()} == {*fresh.sites()} - weights_only
    for site in trace.sites():
        equal(trace[site], fresh[site], site)
    assert torch.equal(trace.last_logits.argmax(-1), fresh.last_logits.argmax(-1))
