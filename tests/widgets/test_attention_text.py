"""The text view: every weight it colours against plain transformers, for one head, all heads, and cross-attention."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import explorer
from explorer import Ablate
from tests.families.cases import case
from tests.widgets.test_attention_panel import MINUTE, TEXT, decode, tiny
from widgets import AttentionPanel, Selection, Workbench
from widgets.attention_text import TextView


def attentions(model: explorer.Model, text: str, name: str = "attentions", **inputs: Any) -> list[torch.Tensor]:
    """(head, query, key) of every layer, as transformers itself gives them with its eager attention."""
    before = model.hf.config._attn_implementation
    model.hf.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            given = model.tokenizer(text, return_tensors="pt")
            found = model.hf(**given, **inputs, output_attentions=True)[name]
    finally:
        model.hf.set_attn_implementation(before)
    return [layer[0] for layer in found]


def view_of(panel: AttentionPanel) -> TextView:
    panel.wait(MINUTE)
    (view,) = panel.panels
    assert isinstance(view, TextView)
    return view


def test_all_heads_of_a_row_and_of_a_column_are_transformers_own(sample: explorer.Model) -> None:
    expected = attentions(sample, TEXT)[11]
    panel = AttentionPanel(sample, TEXT, mode="text", selection=Selection(11, (3,), query=5))
    view = view_of(panel)
    torch.testing.assert_close(decode(view.line["weights"]), expected[[3], 5], atol=1e-5, rtol=1e-4)
    view.stacked = True
    panel.wait(MINUTE)
    assert view.line["heads"] == list(range(9)) == list(range(view.view["heads_per_layer"][11]))
    torch.testing.assert_close(decode(view.line["weights"]), expected[:, 5], atol=1e-5, rtol=1e-4)
    assert decode(view.line["visible"]).tolist() == [1] * 6 + [0] * 3
    tops = torch.stack([expected.amax(dim=(1, 2)), expected[..., 1:].amax(dim=(1, 2))], dim=1)
    torch.testing.assert_close(decode(view.line["largest"])[:-1], tops, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        decode(view.line["largest"])[-1, 1], expected.mean(dim=0)[:, 1:].max(), atol=1e-5, rtol=1e-4
    )
    panel.direction = "attended"
    panel.wait(MINUTE)
    assert (view.line["side"], view.line["index"]) == ("key", 5), "the token stays where the direction is turned"
    torch.testing.assert_close(decode(view.line["weights"]), expected[:, :, 5], atol=1e-5, rtol=1e-4)
    assert decode(view.line["visible"]).tolist() == [0] * 5 + [1] * 4
    frame = view.frame
    assert np.allclose(frame[frame["head"] == 7]["weight"], expected[7, :, 5], atol=1e-5)
    panel.close()


def test_all_heads_of_cross_attention_are_transformers_own() -> None:
    model = tiny("t5")
    written = "A lazy dog"
    ids = [0, *model.tokenizer(written)["input_ids"]]
    panel = AttentionPanel(model, TEXT, decoder=written, mode="text")
    panel.selection = Selection(1, (2,), query=2, stack="decoder", kind="cross_attn")
    view = view_of(panel)
    view.stacked = True
    panel.wait(MINUTE)
    texts = view.view["query_tokens"], view.view["key_tokens"]
    assert [len(tokens) for tokens in texts] == [len(view.line["weights"]) and len(ids), len(panel.view["tokens"])]
    expected = attentions(model, TEXT, "cross_attentions", decoder_input_ids=torch.tensor([ids]))[1]
    torch.testing.assert_close(decode(view.line["weights"]), expected[:, 2], atol=1e-5, rtol=1e-4)
    panel.direction = "attended"
    panel.selection = Selection(1, (2,), key=4, stack="decoder", kind="cross_attn")
    panel.wait(MINUTE)
    assert (view.line["side"], view.line["index"]) == ("key", 4)
    torch.testing.assert_close(decode(view.line["weights"]), expected[:, :, 4], atol=1e-5, rtol=1e-4)
    panel.close()


def test_a_choice_sends_weights_and_no_tokens(sample: explorer.Model) -> None:
    bench = Workbench(sample, TEXT, panels=[AttentionPanel])
    attention = bench.panels[0]
    attention.mode = "text"  # type: ignore[attr-defined]
    bench.wait(MINUTE)
    (view,) = attention.panels
    before = view.view
    bench.selection = Selection(4, (1, 2), query=3)
    bench.wait(MINUTE)
    assert view.view is before
    torch.testing.assert_close(
        decode(view.line["weights"]), sample.trace(TEXT).pattern(4, heads=[1, 2])[0, :, 3].float()
    )
    bench.exploration.edits = (Ablate("layers.0.attn.z", heads=[2]),)
    bench.wait(MINUTE)
    assert view.line["request"] == view.view["request"] != before["request"]
    changed = sample.trace(TEXT, edits=bench.exploration.edits).pattern(4, heads=[1, 2])[0, :, 3]
    torch.testing.assert_close(decode(view.line["weights"]), changed.float())
    bench.close()


def test_a_view_keeps_its_stripes_and_forgets_the_trace(sample: explorer.Model) -> None:
    panel = AttentionPanel(sample, TEXT, mode="text")
    view = view_of(panel)
    view.stacked = True
    panel.mode = "matrix"
    assert view._tops._trace is None
    panel.mode = "text"
    assert view_of(panel).stacked
    assert len(view_of(panel).line["heads"]) == 9
    panel.close()


def test_patches_of_an_image_are_a_text_too() -> None:
    vit = case("vit")
    panel = AttentionPanel(vit.plain, mode="text")
    view = view_of(panel)
    assert len(view.view["tokens"]) == decode(view.line["weights"]).shape[1]
    panel.close()


@pytest.mark.parametrize("mode", ["matrix", "text"])
def test_a_saved_page_has_the_text_whatever_was_shown(sample: explorer.Model, tmp_path: Path, mode: str) -> None:
    panel = AttentionPanel(sample, TEXT, mode=mode)
    panel.wait(MINUTE)
    before = panel.inner
    written = panel.save(tmp_path / "page.html").read_text("utf-8")
    (inner,) = re.findall(r'"inner":\{"text":"anywidget:(\w+)"\}', written)
    assert f'"{inner}":{{"state"' in written
    assert (panel.inner, panel._page_panels) == (before, ()), "the notebook's own panel is as it was"
    panel.close()
