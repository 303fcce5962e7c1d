"""Views over depth and of differences: what they draw against plain transformers, matrix by matrix and sum by sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import explorer
from explorer import Ablate, Steer
from tests.conftest import tiny
from tests.widgets.eager import eager_weights
from tests.widgets.test_attention_panel import MINUTE
from widgets import AttentionPanel, Workbench
from widgets.attention_cells import cells, check_size
from widgets.selection import Selection

TEXT = "The capital of France is"
OTHER = "The big capital of Italy is"


def shown(view: dict[str, Any], name: str = "data") -> Tensor:
    array = view[name]
    return torch.from_numpy(np.frombuffer(array["data"], np.float32).reshape(array["shape"]).copy())


def view_of(panel: AttentionPanel) -> Any:
    panel.wait(MINUTE)
    (view,) = panel.panels
    return view


@pytest.fixture(scope="module")
def weights(sample: explorer.Model) -> Any:
    """Weights of a text by plain transformers, (layer, head, query, key)."""
    return eager_weights(sample)


def test_rollout_is_the_product_of_mixtures_up_to_the_chosen_layer(sample: explorer.Model, weights: Any) -> None:
    panel = AttentionPanel(sample, TEXT, mode="depth", selection=Selection(layer=11, heads=(2,)))
    view = view_of(panel)
    every = 0.5 * weights(TEXT).mean(dim=1) + 0.5 * torch.eye(5, dtype=torch.double)
    for layer in (11, 29):
        panel.selection = Selection(layer=layer, heads=(0,))
        panel.wait(MINUTE)
        expected = torch.eye(5, dtype=torch.double)
        for one in every[: layer + 1]:
            expected = one @ expected
        torch.testing.assert_close(shown(view.view).double(), expected, atol=1e-6, rtol=1e-4)
        assert (view.view["layer"], view.view["measure"], view.view["block"]) == (layer, "rollout", 1)
    panel.close()


def test_norms_are_the_lengths_of_weight_times_value_times_output(sample: explorer.Model, weights: Any) -> None:
    panel = AttentionPanel(sample, TEXT, mode="depth", selection=Selection(layer=7, heads=(1, 4)))
    panel.panels[0].measure = "norm"  # type: ignore[attr-defined]
    view = view_of(panel)
    layer = sample.hf.model.layers[7]
    with torch.no_grad():
        ids = sample.tokenizer(TEXT, return_tensors="pt").input_ids
        stream = sample.hf(ids, output_hidden_states=True).hidden_states[7]
        value = layer.self_attn.v_proj(layer.input_layernorm(stream))[0].view(5, 3, 64).double()
        out = layer.self_attn.o_proj.weight.view(576, 9, 64).double()
        expected = torch.zeros(5, 5, dtype=torch.double)
        for head in (1, 4):
            moved = torch.einsum("qk,kw,dw->qkd", weights(TEXT)[7, head], value[:, head // 3], out[:, head])
            expected += moved.norm(dim=-1) / 2
    torch.testing.assert_close(shown(view.view).double(), expected, atol=1e-4, rtol=1e-3)
    assert view.view["heads"] == [1, 4]
    panel.close()


def test_flow_is_computed_for_the_asked_row_and_for_every_row_when_that_is_asked() -> None:
    model = explorer.attach(tiny("llama"))
    panel = AttentionPanel(model.trace([5, 6, 7, 8]), mode="depth", selection=Selection(layer=2, query=2))
    view = panel.panels[0]
    view.measure = "flow"  # type: ignore[attr-defined]
    panel.wait(MINUTE)
    trace = panel.exploration.trace()
    expected = trace.flow(queries=slice(None))
    found = shown(view.view).double()
    torch.testing.assert_close(found[2], expected[2], atol=1e-6, rtol=1e-5)
    assert found[[0, 1, 3]].isnan().all(), "rows that nobody asked for"
    panel.selection = Selection(layer=2, query=3)
    panel.wait(MINUTE)
    assert (shown(view.view).isnan().any(dim=1) == torch.tensor([True, True, False, False])).all()
    view.every = True  # type: ignore[attr-defined]
    panel.wait(MINUTE)
    torch.testing.assert_close(shown(view.view).double(), expected, atol=1e-6, rtol=1e-5)
    assert panel.panels[0].status["state"] == "live"
    panel.close()


def test_edits_are_compared_with_the_pass_without_them(sample: explorer.Model, weights: Any) -> None:
    edit = Ablate("layers.3.attn.z", heads=[0, 1, 2])
    panel = AttentionPanel(sample, TEXT, mode="difference", selection=Selection(layer=9, heads=(3, 5)))
    view = view_of(panel)
    assert view.reference == "prompt"
    assert "data" not in view.view, "nothing was typed"
    view.reference = "edits"
    panel.wait(MINUTE)
    assert "data" not in view.view, "there are no edits"
    panel.edits = (edit,)
    panel.wait(MINUTE)
    projection = sample.hf.model.layers[3].self_attn.o_proj
    before = weights(TEXT)[9, [3, 5]].mean(dim=0)
    torch.testing.assert_close(shown(view.view, "first").double(), before, atol=1e-5, rtol=1e-4)

    def cut(_module: Any, inputs: tuple[Tensor, ...]) -> Tensor:
        return torch.cat([torch.zeros_like(inputs[0][..., : 3 * 64]), inputs[0][..., 3 * 64 :]], dim=-1)

    handle = projection.register_forward_pre_hook(cut)
    try:
        now = sample.trace(TEXT).pattern(9, heads=[3, 5])[0].double().mean(dim=0)
    finally:
        handle.remove()
    torch.testing.assert_close(shown(view.view, "second").double(), now, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shown(view.view).double(), now - before, atol=1e-5, rtol=1e-4)
    assert (now - before).abs().max() > 0.01
    panel.mode = "matrix"
    panel.mode = "difference"
    assert panel.panels[0].reference == "edits", "as it was left"  # type: ignore[attr-defined]
    panel.close()


def test_two_prompts_are_aligned_and_what_is_not_is_told(sample: explorer.Model, weights: Any) -> None:
    panel = AttentionPanel(sample, TEXT, mode="difference", selection=Selection(layer=9, heads=(3,)))
    view = panel.panels[0]
    view.set_state({"reference": "prompt", "other_prompt": OTHER})
    panel.wait(MINUTE)
    groups = [(one["label"], one["how"], one["before"], one["now"]) for one in view.view["queries"]]
    assert groups == [
        ("The", "same", [0, 1], [0, 1]),
        (" big", "only_before", [1, 2], [1, 1]),
        (" capital", "same", [2, 3], [1, 2]),
        (" of", "same", [3, 4], [2, 3]),
        (" Italy →  France", "replaced", [4, 5], [3, 4]),
        (" is", "same", [5, 6], [4, 5]),
    ]
    both = [0, 2, 3, 4, 5]
    now, before = weights(TEXT)[9, 3], weights(OTHER)[9, 3]
    expected = now - before[both][:, both]
    found = shown(view.view).double()
    torch.testing.assert_close(found[both][:, both], expected, atol=1e-5, rtol=1e-4)
    assert found[1].isnan().all(), "this prompt has no such token"
    torch.testing.assert_close(shown(view.view, "first").double(), before, atol=1e-5, rtol=1e-4)
    panel.close()


def test_what_is_pinned_and_another_model_are_compared_with(sample: explorer.Model, weights: Any) -> None:
    bench = Workbench(sample, OTHER, panels=[AttentionPanel])
    attention = bench.panels[0]
    attention.selection = Selection(layer=9, heads=(3,))
    attention.mode = "difference"  # type: ignore[attr-defined]
    (view,) = attention.panels
    view.reference = "pinned"  # type: ignore[attr-defined]
    bench.wait(MINUTE)
    assert "data" not in view.view
    bench.exploration.pin()
    bench.wait(MINUTE)
    assert shown(view.view).abs().max() < 1e-6, "compared with itself"
    bench.text = TEXT
    bench.wait(MINUTE)
    torch.testing.assert_close(shown(view.view, "first").double(), weights(OTHER)[9, 3], atol=1e-5, rtol=1e-4)
    trace = sample.trace(TEXT, edits=[Steer("layers.2.resid_post", torch.ones(576), 3.0)])
    attention.other = trace  # type: ignore[attr-defined]
    bench.wait(MINUTE)
    assert (view.view["reference"], view.other_name) == ("other", sample.name)  # type: ignore[attr-defined]
    torch.testing.assert_close(shown(view.view, "first"), trace.pattern(9, heads=[3])[0, 0].float().cpu())
    with pytest.raises(TypeError, match="other is a str"):
        attention.other = "gpt2"  # type: ignore[attr-defined]
    bench.close()


def test_a_long_map_is_drawn_by_what_is_furthest_from_zero() -> None:
    values = torch.zeros(300, 300)
    values[1, 0], values[0, 1] = -3.0, 2.0
    values[4] = torch.nan
    values[5, 5] = 1.0
    seen = torch.tensor([[0, 300]] * 300)
    found = cells(torch.stack([values, torch.arange(90_000.0).reshape(300, 300)]), seen, ("data", "first"))
    assert (found["block"], found["row_start"][:3]) == (2, [0, 2, 4])
    assert shown(found)[0, 0] == -3.0
    assert shown(found, "first")[0, 0] == 300.0, "of the same place"
    assert shown(found)[2, 2] == 1.0, "a number beside what is none"
    with pytest.raises(explorer.Refused, match="up to 4096 x 4096"):
        check_size(5000, 5000)
