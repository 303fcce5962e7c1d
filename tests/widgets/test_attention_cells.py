"""Maps of more positions than cells: each finer cell, and what several heads become, against plain transformers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

import explorer
from tests.conftest import tiny
from tests.tiny_tokenizers import byte_level
from tests.widgets.eager import eager_weights
from tests.widgets.test_attention_maps import shown, view_of
from tests.widgets.test_attention_panel import MINUTE, Heard
from widgets import AttentionPanel
from widgets.selection import Selection

# 383 tokens, two to a cell: a row and a column are left over. The other prompt has others in some places.
TEXT = "The capital of France is Paris. " * 34 + "Hello world, hello there. " * 15 + "Hello world, hello there"
OTHER = "Well, " + TEXT.replace("Paris", "Rome", 3)
HEADS = [1, 3]
TOGETHER = {"mean": lambda each: each.mean(dim=0), "max": lambda each: each.amax(dim=0)}
both = pytest.mark.parametrize("combine", list(TOGETHER))


@pytest.fixture(scope="module")
def model() -> explorer.Model:
    tokenizer = byte_level()
    return explorer.attach(tiny("llama", vocab_size=len(tokenizer), max_position_embeddings=1024), tokenizer)


@pytest.fixture(scope="module")
def weights(model: explorer.Model) -> Any:
    """Weights of a text by plain transformers, (layer, head, query, key)."""
    return eager_weights(model)


@pytest.fixture
def panel(model: explorer.Model) -> Iterator[AttentionPanel]:
    made = AttentionPanel(model, TEXT, selection=Selection(layer=1, heads=(1, 3)))
    yield made
    made.close()


def furthest(values: Tensor, block: int) -> Tensor:
    """Of each block the value furthest from 0; by definition, one block at a time."""
    rows, columns = values.shape
    starts = [range(0, count, block) for count in (rows, columns)]
    blocks = [[values[r : r + block, c : c + block].flatten() for c in starts[1]] for r in starts[0]]
    return torch.stack([torch.stack([one[one.abs().nan_to_num(nan=-1.0).argmax()] for one in row]) for row in blocks])


def grouped(weights: Tensor, groups: list[dict[str, Any]], side: str) -> Tensor:
    """(head, group, group) of one side: by definition the sums over a group's keys, averaged over its queries."""
    summed = torch.stack([weights[..., slice(*group[side])].sum(dim=-1) for group in groups], dim=-1)
    return torch.stack([summed[:, slice(*group[side])].mean(dim=1) for group in groups], dim=1)


def part(view: Any, patch: pytest.MonkeyPatch, rows: list[int], columns: list[int], block: int, **more: Any) -> Tensor:
    """What the view answers, (row, column, number)."""
    heard = Heard(view, patch)
    answer = heard.ask(type="part", rows=rows, columns=columns, block=block, **more)
    assert (answer["answer"], answer["number"]) == ("part", 0)
    return torch.tensor(answer["weights"])


def test_finer_cells_of_rollout_are_the_products_own_numbers(
    panel: AttentionPanel, weights: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.mode = "depth"
    view = view_of(panel)
    each = weights(TEXT).mean(dim=1)
    mixed = 0.5 * each + 0.5 * torch.eye(each.shape[-1], dtype=torch.double)
    exact = (mixed[1] @ mixed[0]).float()
    count = len(exact)
    assert view.view["block"] == 2
    torch.testing.assert_close(shown(view.view), furthest(exact, 2))
    torch.testing.assert_close(shown(view.view, "largest"), exact.amax(dim=1))
    torch.testing.assert_close(shown(view.view, "rest"), pad(exact[:, 1], (0, count % 2)).reshape(-1, 2).amax(dim=1))
    found = part(view, monkeypatch, [100, 171], [64, count], 1)
    torch.testing.assert_close(found[..., 0], exact[100:171, 64:])
    found = part(view, monkeypatch, [0, 8], [0, 12], 4, hide_sink=True)
    torch.testing.assert_close(found[..., 0], furthest(pad(exact[:8, 1:12], (1, 0)), 4))


@both
def test_norms_of_several_heads_are_their_mean_or_the_largest(
    combine: str, model: explorer.Model, panel: AttentionPanel, weights: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.mode = "depth"
    panel.panels[0].measure = "norm"  # type: ignore[attr-defined]
    panel.combine = combine
    view = view_of(panel)
    layer, config = model.hf.model.layers[1], model.hf.config
    width, groups = config.hidden_size // config.num_attention_heads, config.num_key_value_heads
    with torch.no_grad():
        ids = model.tokenizer(TEXT, return_tensors="pt").input_ids
        stream = model.hf(ids, output_hidden_states=True).hidden_states[1]
        value = layer.self_attn.v_proj(layer.input_layernorm(stream))[0].view(-1, groups, width).double()
        out = layer.self_attn.o_proj.weight.view(config.hidden_size, -1, width).double()
        lengths = [
            weights(TEXT)[1, head] * (value[:, head * groups // out.shape[1]] @ out[:, head].T).norm(dim=-1)
            for head in HEADS
        ]
    exact = TOGETHER[combine](torch.stack(lengths)).float()
    assert (view.view["heads"], view.view["combine"]) == (HEADS, combine)
    torch.testing.assert_close(shown(view.view), furthest(exact, 2), atol=1e-5, rtol=1e-4)
    found = part(view, monkeypatch, [200, 264], [128, 192], 1)
    torch.testing.assert_close(found[..., 0], exact[200:264, 128:192], atol=1e-5, rtol=1e-4)


@both
def test_finer_cells_of_a_difference_have_its_sign_and_both_sides(
    combine: str, panel: AttentionPanel, weights: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.mode = "difference"
    panel.combine = combine
    view = panel.panels[0]
    view.set_state({"reference": "prompt", "other_prompt": OTHER})
    panel.wait(MINUTE)
    groups = view.view["queries"]
    assert {group["how"] for group in groups} > {"same", "only_before"}

    each = grouped(weights(OTHER)[1, HEADS], groups, "before"), grouped(weights(TEXT)[1, HEADS], groups, "now")
    before, now = (TOGETHER[combine](side).float() for side in each)
    change = now - before
    change[:, [group["how"] == "only_before" for group in groups]] = torch.nan
    assert (shown(view.view).nan_to_num() < 0).any()
    assert (shown(view.view).nan_to_num() > 0).any()
    torch.testing.assert_close(shown(view.view), furthest(change, 2), equal_nan=True)
    most = view.view["most"]
    assert most["change"] == pytest.approx(float(change[most["query"], most["key"]]))
    assert abs(most["change"]) == pytest.approx(float(change.nan_to_num().abs().max()))
    count = len(before)
    found = part(view, monkeypatch, [290, count], [3, 77], 1)
    torch.testing.assert_close(found[..., 0], change[290:, 3:77], equal_nan=True)
    torch.testing.assert_close(found[..., 1], before[290:, 3:77])
    torch.testing.assert_close(found[..., 2], now[290:, 3:77], equal_nan=True)
    torch.testing.assert_close(found[..., 0], found[..., 2] - found[..., 1], equal_nan=True)
    found = part(view, monkeypatch, [256, count], [0, 128], 2)
    torch.testing.assert_close(found[..., 0], furthest(change[256:, :128], 2), equal_nan=True)


def test_flow_of_a_long_text_is_refused_and_the_last_map_stays(panel: AttentionPanel) -> None:
    panel.mode = "depth"
    view = view_of(panel)
    before = view.view
    view.measure = "flow"
    with pytest.raises(explorer.errors.ExplorerError, match=r"up to 64 tokens.*choose rollout"):
        panel.wait(MINUTE)
    assert view.view is before


def test_wrong_and_stale_questions_are_answered_in_words_or_not_at_all(
    panel: AttentionPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.mode = "depth"
    view = view_of(panel)
    heard = Heard(view, monkeypatch)
    run = {"type": "part", "rows": [0, 2], "columns": [0, 2], "block": 1}
    for changes, sentence in (({"rows": [0, 999]}, "rows="), ({"block": 0}, "block=0"), ({"columns": 3}, "columns=")):
        assert sentence in heard.ask(**{**run, **changes})["error"]
    heard.ask(**run)
    count = len(heard.sent)
    view._message(view, {**run, "number": 9, "picture": view._number - 1}, [])
    panel.wait(MINUTE)
    assert len(heard.sent) == count, "of a picture that is shown no more"
    with pytest.raises(explorer.Refused, match="answers part"):
        view._message(view, {"type": "row"}, [])
    panel.text = "short"
    panel.wait(MINUTE)
    view._message(view, {**run, "number": 10, "picture": view._number}, [])
    panel.wait(MINUTE)
    assert len(heard.sent) == count, "a short map is all there"


def test_both_panels_say_the_same_of_what_several_heads_become(panel: AttentionPanel) -> None:
    panel.mode = "depth"
    view = view_of(panel)
    before = view.view
    panel.combine = "max"
    panel.wait(MINUTE)
    assert (view.combine, view.view) == ("max", before), "rollout is of all heads, in any case"
    view._handle_msg({"content": {"data": {"method": "update", "state": {"combine": "mean"}}}})
    assert panel.combine == "mean"
    panel.mode = "matrix"
    panel.combine = "max"
    assert view.combine == "mean", "a view that was left hears nothing"
