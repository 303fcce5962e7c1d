"""Patterns against a direct computation with numbers that can be checked on paper."""

from __future__ import annotations

import math

import pytest
import torch

from explorer.attention import AttentionCall, additive_mask


def call(**changes: object) -> AttentionCall:
    """Two heads over one key-value head, three positions, width 2."""
    torch.manual_seed(3)
    query, key, value = torch.randn(1, 2, 3, 2), torch.randn(1, 1, 3, 2), torch.randn(1, 1, 3, 2)
    facts = {"query": query, "key": key, "value": value, "z": torch.empty(0), "mask": None, "scaling": 0.5}
    return AttentionCall(**{**facts, "causal": True, **changes})  # type: ignore[arg-type]


def by_hand(query: list[float], keys: list[list[float]], scaling: float) -> list[float]:
    scores = [scaling * sum(a * b for a, b in zip(query, key, strict=True)) for key in keys]
    weights = [math.exp(score) for score in scores]
    return [weight / sum(weights) for weight in weights]


def test_causal_pattern_is_the_softmax_over_earlier_keys() -> None:
    one = call()
    pattern = one.pattern([0, 1], range(3))
    for head in range(2):
        for row in range(3):
            expected = by_hand(one.query[0, head, row].tolist(), one.key[0, 0, : row + 1].tolist(), 0.5)
            assert pattern[0, head, row, : row + 1].tolist() == pytest.approx(expected, abs=1e-6)
            assert pattern[0, head, row, row + 1 :].sum() == 0


def test_chosen_heads_and_rows_are_those_of_the_whole() -> None:
    one = call()
    whole = one.pattern([0, 1], range(3))
    assert torch.equal(one.pattern([1], [2, 0]), whole[:, [1]][:, :, [2, 0]])


def test_rows_are_aligned_to_the_end_when_there_are_more_keys() -> None:
    one = call(key=torch.randn(1, 1, 5, 2))
    pattern = one.pattern([0], range(3))[0, 0]
    assert (pattern[0, 3:] == 0).all()
    assert (pattern[2] > 0).all()


def test_hidden_scores_are_minus_infinity() -> None:
    scores = call().scores([0], range(3))[0, 0]
    assert torch.isneginf(scores).tolist() == [[False, True, True], [False, False, True], [False, False, False]]


def test_bool_and_float_masks_mean_the_same() -> None:
    seen = torch.tensor([[[[True, False, False], [True, True, False], [False, True, True]]]])
    added = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
    a, b = call(mask=seen).pattern([0, 1], range(3)), call(mask=added).pattern([0, 1], range(3))
    assert torch.equal(a, b)
    assert a[0, 0, 2, 0] == 0


def test_a_row_that_may_see_nothing_is_uniform_as_in_eager_attention() -> None:
    pattern = call(mask=torch.zeros(1, 1, 3, 3, dtype=torch.bool)).pattern([0], [1])
    assert pattern.flatten().tolist() == pytest.approx([1 / 3] * 3)


def test_softcap_bounds_the_scores() -> None:
    one = call(query=torch.full((1, 2, 3, 2), 100.0), key=torch.ones(1, 1, 3, 2), softcap=2.0)
    assert one.scores([0], [2]).max() == pytest.approx(2.0 * math.tanh(50.0))


def test_sinks_take_weight_and_rows_are_not_renormalised() -> None:
    one = call(sinks=torch.tensor([0.0, 1.0]))
    scores = one.scores([0, 1], [2])[0, :, 0]
    expected = scores.exp() / (scores.exp().sum(-1) + torch.tensor([1.0, math.e]))[:, None]
    torch.testing.assert_close(one.pattern([0, 1], [2])[0, :, 0], expected)


def test_bias_is_added_for_the_right_head_and_row() -> None:
    bias = torch.zeros(1, 2, 3, 3)
    bias[0, 1, 2, 0] = 5.0
    plain, biased = call().scores([0, 1], range(3)), call(bias=bias).scores([0, 1], range(3))
    changed = (plain != biased).nonzero().tolist()
    assert changed == [[0, 1, 2, 0]]


@pytest.mark.parametrize("causal", [True, False])
def test_additive_mask_hides_what_the_missing_mask_meant(causal: bool) -> None:
    query, key = torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, 2)
    mask = additive_mask(None, query, key, causal)
    assert (mask is None) == (not causal)
    if mask is not None:
        assert (mask[0, 0] < 0).tolist() == [[False, True, True], [False, False, True], [False, False, False]]
