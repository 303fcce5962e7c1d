"""Aligning two texts, and the difference of their weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import explorer
from explorer.prompt_alignment import aligned
from explorer.tokens import Token, read_text
from tests.conftest import tiny
from tests.tiny_tokenizers import byte_level, wordpiece


def tokens(*texts: str) -> list[Token]:
    return [Token(index, text, "text", index) for index, text in enumerate(texts)]


def shown(first: list[Token], second: list[Token]) -> list[tuple[list[int], list[int], str]]:
    return [(list(group.first), list(group.second), group.how) for group in aligned(first, second)]


def test_equal_tokens_are_matched_and_one_for_one_replaced() -> None:
    one, two = tokens("The", " capital", " of", " France", " is"), tokens("The", " capital", " of", " Italy", " is")
    assert shown(one, two) == [
        ([0], [0], "same"),
        ([1], [1], "same"),
        ([2], [2], "same"),
        ([3], [3], "replaced"),
        ([4], [4], "same"),
    ]
    assert aligned(one, two)[3].label == " France →  Italy"


def test_the_same_characters_in_other_tokens_are_one_group() -> None:
    one, two = tokens("un", "believ", "able", " news"), tokens("unbe", "liev", "able", " ne", "ws")
    assert shown(one, two) == [
        ([0, 1], [0, 1], "respelt"),
        ([2], [2], "same"),
        ([3], [3, 4], "respelt"),
    ]


def test_what_one_side_lacks_and_runs_of_other_lengths() -> None:
    one, two = tokens("a", "b", "c"), tokens("x", "a", "c")
    assert shown(one, two) == [
        ([], [0], "only second"),
        ([0], [1], "same"),
        ([1], [], "only first"),
        ([2], [2], "same"),
    ]
    one, two = tokens("a", "12", "c"), tokens("a", "3", "4", "c")
    assert shown(one, two)[1] == ([1], [1, 2], "replaced")


def test_tokens_of_one_character_are_not_parted() -> None:
    parts = [Token(7, "中", "byte", 0, 1, 2), Token(8, "中", "byte", 0, 2, 2)]
    whole = [Token(3, "中", "text", 0)]
    assert shown(parts, whole) == [([0, 1], [0], "respelt")]


pieces = st.lists(st.sampled_from(["a", "b", "ab", " a", "ba", "中", ""]), max_size=9)


@settings(max_examples=200, deadline=None)
@given(pieces, pieces)
def test_each_position_is_in_one_group_in_order(first: list[str], second: list[str]) -> None:
    one, two = tokens(*first), tokens(*second)
    groups = aligned(one, two)
    assert [place for group in groups for place in group.first] == list(range(len(one)))
    assert [place for group in groups for place in group.second] == list(range(len(two)))
    mirrored = aligned(two, one)
    for group in groups:
        texts = ["".join(side[place].text for place in run) for side, run in ((one, group.first), (two, group.second))]
        assert (texts[0] == texts[1]) == (group.how in ("same", "respelt")) or not all((group.first, group.second))
    assert sum(len(group.first) for group in mirrored) == len(two)


@pytest.fixture(scope="module")
def model() -> explorer.Model:
    return explorer.attach(tiny("llama", vocab_size=420), byte_level())


TEXTS = ["The capital of France is Paris.", "The city of Paris is", "hello there, hello world", "über France is 中国"]


@pytest.mark.parametrize("first", TEXTS)
@pytest.mark.parametrize("second", TEXTS[:2])
def test_weights_are_summed_over_keys_and_averaged_over_queries(model: Any, first: str, second: str) -> None:
    one, two = model.trace(first), model.trace(second)
    found = explorer.attention_difference(one, two, 1, [2, 0])
    pattern, other = one.pattern(1, heads=[2, 0])[0].double(), two.pattern(1, heads=[2, 0])[0].double()
    for row, group in enumerate(found.queries):
        for column, keys in enumerate(found.keys):
            sides = []
            for weights, mine, theirs in ((pattern, group.first, keys.first), (other, group.second, keys.second)):
                sides.append(weights[:, list(mine)][:, :, list(theirs)].sum(-1).mean(-1))
            expected = sides[1] - sides[0]
            torch.testing.assert_close(
                found.values[:, row, column].double(), expected, atol=1e-6, rtol=0, equal_nan=True
            )
    both = [row for row, group in enumerate(found.queries) if group.first and group.second]
    assert found.values[:, both].sum(-1).abs().max() < 1e-5
    back = explorer.attention_difference(two, one, 1, [2, 0])
    if first == second:
        assert not found.values.any()
    assert back.values.shape[0] == 2


def test_with_and_without_edits_it_is_the_difference_of_the_patterns(model: Any) -> None:
    plain = model.trace(TEXTS[0])
    edited = model.trace(TEXTS[0], edits=explorer.Ablate("layers.0.attn.head_out", heads=[1]))
    found = explorer.attention_difference(plain, edited, 2)
    torch.testing.assert_close(found.values, edited.pattern(2)[0] - plain.pattern(2)[0], atol=1e-6, rtol=0)
    assert found.values.abs().max() > 1e-3
    assert list(found.frame.index) == [token.text for token in plain.tokens]
    assert {group.how for group in found.queries} == {"same"}


def test_two_models_with_their_own_tokenizers(model: Any) -> None:
    other = explorer.attach(tiny("gpt2", vocab_size=420), wordpiece())
    one, two = model.trace(TEXTS[0]), other.trace(TEXTS[0])
    assert read_text(wordpiece(), TEXTS[0]).ids == two.tokens.ids
    found = explorer.attention_difference(one, two, 0, [1], second_layer=2, second_heads=[3])
    assert {group.how for group in found.queries} >= {"respelt"}
    both = [row for row, group in enumerate(found.queries) if group.first and group.second]
    assert found.values[:, both].sum(-1).abs().max() < 1e-5
    for arguments, word in (({"second_heads": [0, 1]}, "as many"), ({"second_layer": 3}, "layer=3")):
        with pytest.raises(explorer.Refused, match=word):
            explorer.attention_difference(one, two, 0, [1], **arguments)
    with pytest.raises(explorer.Refused, match="holds 2"):
        explorer.attention_difference(one, model.trace(["Paris", "France"]), 0)
