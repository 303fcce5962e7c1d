"""The lines between tokens: plain transformers' weights, the largest where there are many, and what is no number."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import explorer
from explorer.attention_rows import AttentionRows
from tests.widgets.test_attention_panel import MINUTE, TEXT, decode, tiny
from widgets import AttentionPanel, Selection, attention_lines
from widgets.attention_lines import LinesView, strongest


def drawn(view: dict[str, Any], heads: int, queries: int, keys: int) -> torch.Tensor:
    """(head, query, key): the weights that a view draws, 0 where there is no line."""
    dense = torch.zeros(heads, queries, keys)
    places = [decode(view[name]).long() for name in ("head", "query", "key")]
    dense[tuple(places)] = decode(view["weight"])
    dense[..., 0] = decode(view["first"])
    return dense


def eager(model: explorer.Model, **given: Any) -> Any:
    """What plain transformers says of the same input, from a copy."""
    hf = copy.deepcopy(model.hf)
    hf.set_attn_implementation("eager")
    with torch.no_grad():
        return hf(**given, output_attentions=True)


@pytest.fixture
def shown() -> Iterator[Any]:
    """Makes panels that show lines and closes them."""
    made: list[AttentionPanel] = []

    def show(model: explorer.Model, text: str, **traits: Any) -> tuple[AttentionPanel, LinesView]:
        panel = AttentionPanel(model, text, mode="lines", **traits)
        made.append(panel)
        panel.wait(MINUTE)
        (view,) = panel.panels
        assert isinstance(view, LinesView)
        return panel, view

    yield show
    for panel in made:
        panel.close()


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gemma2", "gpt_oss", "bert", "bloom"])
def test_lines_are_the_weights_of_plain_transformers(family: str, shown: Any) -> None:
    model = tiny(family)
    panel, view = shown(model, TEXT, selection=Selection(layer=2, heads=(3, 1)))
    ids = torch.tensor([panel.exploration.tokens.ids])
    exact = eager(model, input_ids=ids).attentions[2][0, [3, 1]].float()
    assert view.view["heads"] == [3, 1]
    torch.testing.assert_close(drawn(view.view, *exact.shape), exact, atol=2e-6, rtol=1e-4)
    weights = decode(view.view["weight"])
    assert (weights[:-1] >= weights[1:]).all()
    assert (view.view["left_out"], view.view["floor"], view.view["not_numbers"]) == (0, 0.0, 0)


@pytest.mark.parametrize(("stack", "kind"), [("encoder", "attn"), ("decoder", "attn"), ("decoder", "cross_attn")])
def test_each_attention_of_an_encoder_decoder_has_its_own_columns(stack: str, kind: str, shown: Any) -> None:
    model = tiny("bart")
    _, view = shown(model, TEXT, selection=Selection(layer=1, heads=(2,), stack=stack, kind=kind))
    trace = model.trace(TEXT)
    found = eager(model, input_ids=trace.ids, decoder_input_ids=trace.given["decoder_input_ids"])
    name = {"attn": f"{stack}_attentions", "cross_attn": "cross_attentions"}[kind]
    exact = getattr(found, name)[1][0, [2]].float()
    torch.testing.assert_close(drawn(view.view, *exact.shape), exact, atol=2e-6, rtol=1e-4)
    queries = view.view["query_tokens"] or view.view["tokens"]
    keys = view.view["key_tokens"] or queries
    assert (len(queries), len(keys)) == tuple(exact.shape[1:])


@pytest.mark.parametrize("most", [1, 40, 300])
def test_of_many_weights_the_largest_are_kept_and_the_rest_is_counted(most: int) -> None:
    weights = torch.randn(1, 3, 20, 20, generator=torch.Generator().manual_seed(1)).tril().softmax(-1).tril()
    found = strongest(AttentionRows(weights, 0, None, None), [2, 0], most)
    rest = weights[0, [2, 0], :, 1:]
    ranked = rest.flatten().sort(descending=True).values
    assert len(found.weight) == most
    torch.testing.assert_close(found.weight, ranked[:most])
    assert found.floor == pytest.approx(float(ranked[most]))
    assert found.left_out == int((rest > 0).sum()) - most
    at = (found.head.long(), found.query.long(), found.key.long() - 1)
    assert torch.equal(rest[at], found.weight)
    assert torch.equal(found.first, weights[0, [2, 0], :, 0])


def test_equal_weights_at_the_limit_are_left_out_together() -> None:
    found = strongest(AttentionRows(torch.full((1, 1, 6, 6), 1 / 6), 0, None, None), [0], 10)
    assert (len(found.weight), found.left_out, found.floor) == (0, 30, pytest.approx(1 / 6))


def test_what_is_no_number_is_kept_as_such_and_counted() -> None:
    weights = torch.full((1, 1, 5, 5), 0.2)
    weights[0, 0, 3] = torch.nan
    weights[0, 0, 4, 2] = torch.inf
    found = strongest(AttentionRows(weights, 0, None, None), [0], 100)
    assert found.not_numbers == 6
    broken = ~found.weight.isfinite()
    assert sorted(zip(found.query[broken].tolist(), found.key[broken].tolist(), strict=True)) == [
        *((3, key) for key in range(1, 5)),
        (4, 2),
    ]
    assert found.first[0].isnan().tolist() == [False, False, False, True, False]


def test_a_pinned_token_brings_all_of_its_weights_where_the_picture_lacks_some(
    shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_lines, "MOST_LINES", 4)
    model = tiny("gpt2")
    panel, view = shown(model, TEXT, selection=Selection(layer=1, heads=(0, 2)))
    assert (len(decode(view.view["weight"])), view.asked) == (4, {})
    before, pattern = view.view, model.trace(TEXT).pattern(1, heads=[0, 2])[0]
    panel.selection = Selection(layer=1, heads=(0, 2), query=5)
    panel.wait(MINUTE)
    assert (view.asked["side"], view.asked["index"], view.asked["request"]) == ("query", 5, before["request"])
    torch.testing.assert_close(decode(view.asked["weights"]), pattern[:, 5])
    panel.selection = Selection(layer=1, heads=(0, 2), key=3)
    panel.wait(MINUTE)
    torch.testing.assert_close(decode(view.asked["weights"]), pattern[:, :, 3])
    assert view.view is before, "nothing else was computed anew"
    panel.selection = Selection(layer=1, heads=(0, 2))
    panel.wait(MINUTE)
    assert view.asked == {}


def test_one_token_has_one_line(shown: Any) -> None:
    _, view = shown(tiny("gpt2"), "a")
    assert decode(view.view["first"]).tolist() == [[1.0]]
    assert len(decode(view.view["weight"])) == 0


def test_more_heads_than_can_be_told_apart_are_named(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_lines, "MOST_HEADS", 2)
    _, view = shown(tiny("gpt2"), TEXT, selection=Selection(layer=0, heads=(3, 0, 1)))
    assert (view.view["heads"], view.view["chosen"], view.view["of"]) == ([3, 0], 3, 4)


def test_a_model_without_attention_says_so(shown: Any) -> None:
    with pytest.raises(explorer.ExplorerError, match="no attention to show"):
        shown(tiny("mamba"), TEXT)


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_threshold_that_is_no_weight_is_refused(value: float, shown: Any) -> None:
    _, view = shown(tiny("gpt2"), TEXT)
    with pytest.raises(explorer.Refused, match="threshold="):
        view.threshold = value
    view.threshold = 0.25
    assert np.isclose(view.get_state()["threshold"], 0.25)
