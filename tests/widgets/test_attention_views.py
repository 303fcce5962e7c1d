"""The views that stand inside the attention panel: each made when it is chosen, each number against the trace's own."""

import numpy as np
import pytest
import torch

import explorer
from tests.families.cases import case
from tests.widgets.test_attention_panel import MINUTE
from widgets import AttentionPanel, Workbench
from widgets.attention import VIEWS
from widgets.selection import Selection

TEXT = "When Mary and John went to the store, John gave a book to"


def floats(array: dict[str, object]) -> np.ndarray:
    return np.frombuffer(array["data"], np.float32).reshape(array["shape"])  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("mode", list(VIEWS))
def test_a_view_is_made_when_it_is_chosen_and_closed_when_it_is_left(sample: explorer.Model, mode: str) -> None:
    # Pictures are of models that read images.
    panel = (
        AttentionPanel(case("vit").plain, mode=mode) if mode == "pictures" else AttentionPanel(sample, TEXT, mode=mode)
    )
    (view,) = panel.panels
    assert isinstance(view, VIEWS[mode])
    panel.wait(MINUTE)
    assert view.view["request"] == view.status["request"]
    assert panel.get_state()["inner"] == {mode: f"anywidget:{view.model_id}"}
    panel.mode = "matrix"
    assert (panel.panels, view.comm) == ((), None)
    panel._handle_msg({"content": {"data": {"method": "update", "state": {"mode": mode}}}})
    (again,) = panel.panels
    assert again is not view
    panel.wait(MINUTE)
    panel.close()
    assert again.comm is None


def test_a_view_follows_text_edits_and_the_chosen_head_alone(sample: explorer.Model) -> None:
    bench = Workbench(sample, TEXT, panels=[AttentionPanel])
    attention = bench.panels[0]
    attention.mode = "neuron"  # type: ignore[attr-defined]
    bench.wait(MINUTE)
    (view,) = attention.panels
    before = view.view
    bench.selection = Selection(layer=0, heads=(0,), query=None, key=None)
    bench.wait(MINUTE)
    assert view.view is before, "nothing was chosen anew"
    bench.selection = Selection(layer=5, heads=(2,))
    bench.wait(MINUTE)
    assert (view.view["layer"], view.view["head"]) == (5, 2)
    bench.text = "Something else"
    bench.wait(MINUTE)
    assert [token["text"] for token in view.view["tokens"]] == [token.text for token in sample.read("Something else")]
    bench.close()
    assert view.comm is None


@pytest.mark.parametrize("head", [0, 4, 8])
def test_the_products_of_query_and_key_add_up_to_the_score(sample: explorer.Model, head: int) -> None:
    panel = AttentionPanel(sample, TEXT, mode="neuron")
    panel.selection = Selection(layer=11, heads=(head,), query=9, key=3)
    panel.wait(MINUTE)
    view = panel.panels[0].view
    trace = sample.trace(TEXT)
    width = 64
    assert floats(view["q"]).shape == (width,)
    score = float(trace["layers.11.attn.scores"][0, head, 9, 3])
    assert floats(view["product"]).sum() / width**0.5 == pytest.approx(score, rel=1e-4, abs=1e-4)
    torch.testing.assert_close(torch.tensor(view["weight"]), trace["layers.11.attn.pattern"][0, head, 9, 3].cpu())
    assert view["query_token"]["text"] == trace.tokens[9].text
    assert view["key_token"]["text"] == trace.tokens[3].text
    panel.close()
