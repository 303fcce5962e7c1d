"""A second model in the view of differences: real ones, side by side with plain transformers."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

import explorer
from explorer import Ablate
from explorer.errors import ExplorerError
from tests import tiny_tokenizers as zoo
from tests.conftest import tiny
from tests.widgets.test_attention_cells import grouped
from tests.widgets.test_attention_maps import shown, view_of
from tests.widgets.test_attention_panel import MINUTE
from widgets import AttentionPanel
from widgets.selection import Selection

TEXT = "The capital of France is Paris. 中国的首都"
CHOSEN = Selection(layer=1, heads=(0, 2))


def reader(family: str, tokenizer: Any, **changes: Any) -> explorer.Model:
    return explorer.attach(tiny(family, vocab_size=len(tokenizer), **changes), tokenizer)


def eager(model: explorer.Model, text: str) -> Tensor:
    """The chosen heads' weights by plain transformers, (head, query, key)."""
    plain = copy.deepcopy(model.hf)
    plain.set_attn_implementation("eager")
    with torch.no_grad():
        ids = model.tokenizer(text, return_tensors="pt").input_ids
        attentions = plain(ids, output_attentions=True).attentions
    return attentions[1][0, [0, 2]]


def test_another_revision_reads_the_same_prompt_without_the_edits() -> None:
    model = reader("llama", zoo.byte_level())
    changed = copy.deepcopy(model.hf)
    with torch.no_grad():
        changed.model.layers[1].self_attn.q_proj.weight.mul_(1.5)
    other = explorer.attach(changed, zoo.byte_level())
    panel = AttentionPanel(model, TEXT, mode="difference", selection=CHOSEN, other=other)
    view = view_of(panel)
    assert (view.view["reference"], view.other_name) == ("other", other.name)
    before, now = eager(other, TEXT).mean(dim=0), eager(model, TEXT).mean(dim=0)
    torch.testing.assert_close(shown(view.view, "first"), before, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(shown(view.view), now - before, atol=1e-6, rtol=1e-5)
    panel.edits = (Ablate("layers.0.attn.z"),)
    panel.wait(MINUTE)
    torch.testing.assert_close(shown(view.view, "first"), before, atol=1e-6, rtol=1e-5)
    assert (shown(view.view, "second") - now).abs().max() > 1e-3, "the edits are this model's"
    with torch.no_grad():  # as training does, between two looks
        changed.model.layers[1].self_attn.q_proj.weight.mul_(2.0)
    panel.edits = ()
    panel.wait(MINUTE)
    torch.testing.assert_close(shown(view.view, "first"), eager(other, TEXT).mean(dim=0), atol=1e-6, rtol=1e-5)
    panel.close()


def test_the_sample_under_edits_is_compared_with_itself(sample: explorer.Model) -> None:
    edits = (Ablate("layers.3.attn.z", heads=[0, 1, 2]),)
    panel = AttentionPanel(sample, TEXT, mode="difference", selection=CHOSEN, edits=edits, other=sample)
    view = view_of(panel)
    first = sample.trace(TEXT).pattern(1, heads=[0, 2])[0].float().cpu().mean(dim=0)
    torch.testing.assert_close(shown(view.view, "first"), first)
    assert view.view["most"]["change"] == 0.0, "what is before the edit"
    panel.selection = Selection(layer=4, heads=(0, 2))
    panel.wait(MINUTE)
    assert abs(view.view["most"]["change"]) > 1e-3
    panel.close()


@pytest.mark.parametrize("speller", ["unigram", "wordpiece"])
def test_a_model_with_another_tokenizer_is_aligned_by_characters(speller: str) -> None:
    model, other = reader("llama", zoo.byte_level()), reader("gpt2", getattr(zoo, speller)())
    panel = AttentionPanel(model, TEXT, mode="difference", selection=CHOSEN, other=other)
    groups = view_of(panel).view["queries"]
    spelt = {side: [token.text for token in one.read(TEXT)] for side, one in (("before", other), ("now", model))}
    for group in groups:
        texts = ["".join(spelt[side][slice(*group[side])]) for side in ("before", "now")]
        if group["how"] in ("same", "respelt"):
            assert texts == [group["label"]] * 2
    assert {" capital", " France", "."} <= {group["label"] for group in groups if group["how"] != "only_before"}
    for side in ("before", "now"):
        each = [position for group in groups for position in range(*group[side])]
        assert each == list(range(len(spelt[side]))), "every token is in one group"

    before, now = (
        grouped(eager(one, TEXT), groups, side).mean(dim=0) for one, side in ((other, "before"), (model, "now"))
    )
    view = panel.panels[0].view
    torch.testing.assert_close(shown(view, "first"), before, atol=1e-6, rtol=1e-5, equal_nan=True)
    torch.testing.assert_close(shown(view, "second"), now, atol=1e-6, rtol=1e-5, equal_nan=True)
    common = [at for at, group in enumerate(groups) if group["how"] != "only_before"]
    change = (now - before)[common][:, common]
    torch.testing.assert_close(shown(view)[common][:, common], change, atol=1e-6, rtol=1e-5)
    panel.close()


def test_one_that_was_closed_keeps_the_picture_and_is_not_kept() -> None:
    model, other = reader("llama", zoo.byte_level()), reader("gpt2", zoo.byte_level())
    panel = AttentionPanel(model, TEXT, mode="difference", selection=CHOSEN, other=other)
    view = view_of(panel)
    picture = view.view
    weights, read = weakref.ref(other.hf), weakref.ref(view._known[1])
    other.close()
    gc.collect()
    assert weights() is None
    assert read() is None, "nor what was recorded of it"
    assert view.view is picture
    panel.text = "two"
    with pytest.raises(ExplorerError, match=r"GPT2LMHeadModel cannot be compared with: .* was closed"):
        panel.wait(MINUTE)
    assert view.view is picture
    view.reference = "prompt"
    view.other_prompt = "one"
    panel.wait(MINUTE)
    assert view.status["state"] == "live"
    with pytest.raises(explorer.Refused, match="was closed"):
        panel.other = copy.copy(other)  # as another value than the one that is set
    panel.close()


def test_a_model_that_lacks_what_is_chosen_is_refused_by_name() -> None:
    tokenizer = zoo.byte_level()
    model = reader("llama", tokenizer)
    panel = AttentionPanel(model, TEXT, mode="difference", selection=Selection(layer=1, heads=(3,)))
    for other, sentence in (
        (reader("gpt2", tokenizer, num_hidden_layers=1), "layer=1 is out of range"),
        (reader("gpt2", tokenizer, num_attention_heads=2), r"heads=\[3\]"),
        (explorer.attach(tiny("gpt2")), "without a tokenizer"),
    ):
        panel.other = other
        with pytest.raises(ExplorerError, match=f"GPT2LMHeadModel cannot be compared with: .*{sentence}"):
            panel.wait(MINUTE)
    panel.other = None
    panel.wait(MINUTE)
    panel.close()
