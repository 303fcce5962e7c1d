"""Measures of heads on patterns whose values can be told on paper."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import explorer
from explorer import attention_rows
from explorer.head_measures import MEASURES, separates
from explorer.head_probe import repeated_tokens
from explorer.similar_heads import nearest_heads
from explorer.tokens import Token
from tests.conftest import tiny

#      0  1  2  3  4  5  6: 11 and 12 come twice, and 12 follows 11 both times
IDS = [10, 11, 12, 13, 11, 12, 14]


def words(vocabulary: list[str]) -> Any:
    """A tokenizer of whole words that puts <s> in front."""
    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")


@pytest.fixture(scope="module")
def model() -> explorer.Model:
    return explorer.attach(tiny("llama"))


def with_heads(model: explorer.Model, *heads: torch.Tensor, ids: list[int] = IDS) -> Any:
    """A trace in which the heads of layer 1 have these patterns."""
    rest = [torch.eye(len(ids))] * (4 - len(heads))
    pattern = torch.stack([*heads, *rest])[None]
    return model.trace(ids, edits=explorer.Patch("layers.1.attn.pattern", pattern))


def one_key(*keys: int) -> torch.Tensor:
    """Each row gives all of its weight to one key."""
    return torch.eye(len(IDS))[list(keys)]


def row_of(frame: pd.DataFrame, layer: int, head: int) -> dict[str, float]:
    return frame[(frame["layer"] == layer) & (frame["head"] == head)].iloc[0].to_dict()


def test_heads_of_one_kind_have_the_value_one_and_all_others_zero(model: explorer.Model) -> None:
    previous = one_key(0, 0, 1, 2, 3, 4, 5)
    first = one_key(0, 0, 0, 0, 0, 0, 0)
    duplicate = one_key(0, 0, 0, 0, 1, 2, 0)  # rows without an earlier occurrence rest on the first position
    induction = one_key(0, 0, 0, 0, 2, 3, 0)
    frame = with_heads(model, previous, first, duplicate, induction).head_measures()
    assert list(frame.columns) == ["layer", "head", *(name for name in MEASURES if name != "sink")]
    assert frame.shape[0] == 12
    assert frame.attrs["queries"] == 6
    expected = {"previous": 1, "duplicate": 0, "induction": 0, "first": 1 / 6, "self": 0, "entropy": 0, "distance": 1}
    assert row_of(frame, 1, 0).items() >= expected.items()
    # row 1's previous token is the first
    expected = {"previous": 1 / 6, "duplicate": 0, "induction": 0, "first": 1, "self": 0, "distance": 21 / 6}
    assert row_of(frame, 1, 1).items() >= expected.items()
    expected = {"previous": 1 / 6, "duplicate": 1, "induction": 0, "first": 4 / 6, "distance": 18 / 6}
    assert row_of(frame, 1, 2).items() >= expected.items()
    expected = {"previous": 1 / 6, "duplicate": 0, "induction": 1, "first": 4 / 6, "distance": 16 / 6}
    assert row_of(frame, 1, 3).items() >= expected.items()


def test_a_uniform_head_has_the_entropy_of_its_keys(model: explorer.Model) -> None:
    uniform = torch.ones(7, 7).tril() / torch.arange(1, 8)[:, None]
    own = torch.eye(7)
    measured = row_of(with_heads(model, uniform, own).head_measures(), 1, 0)
    rows = range(1, 7)
    assert measured["entropy"] == pytest.approx(np.mean([math.log(row + 1) for row in rows]), abs=1e-6)
    for name in ("previous", "first", "self"):
        assert measured[name] == pytest.approx(np.mean([1 / (row + 1) for row in rows]), abs=1e-6)
    assert measured["distance"] == pytest.approx(np.mean([row / 2 for row in rows]), abs=1e-6)
    assert measured["duplicate"] == measured["induction"] == pytest.approx((1 / 5 + 1 / 6) / 2, abs=1e-6)
    assert row_of(with_heads(model, uniform, own).head_measures(), 1, 1)["self"] == 1


def test_weights_that_do_not_sum_to_one_are_not_rescaled_but_for_the_distance(model: explorer.Model) -> None:
    half = one_key(0, 0, 1, 2, 3, 4, 5) / 2
    nothing = torch.zeros(7, 7)
    broken = one_key(0, 0, 1, 2, 3, 4, 5)
    broken[3, 0] = torch.nan
    frame = with_heads(model, half, nothing, broken).head_measures()
    measured = row_of(frame, 1, 0)
    assert (measured["previous"], measured["distance"]) == (0.5, 1.0)
    assert measured["entropy"] == pytest.approx(-0.5 * math.log(0.5))
    assert row_of(frame, 1, 1)["previous"] == 0
    assert math.isnan(row_of(frame, 1, 1)["distance"])
    assert math.isnan(row_of(frame, 1, 2)["first"])
    assert row_of(frame, 1, 2)["previous"] == 1


def test_separators_are_special_tokens_punctuation_and_line_breaks() -> None:
    def token(text: str, kind: Any = "text") -> Token:
        return Token(1, text, kind)

    for text in (",", " .", "...", "。", "⏎", "⏎⏎", "?!", '"', "$", " ="):
        assert separates(token(text)), text
    for text in ("a", " the", "3", "'s", "中", " ", "🙂", "a."):
        assert not separates(token(text)), text
    assert separates(token("<s>", "special"))


def test_what_a_row_gives_to_separators_is_counted_but_for_the_first_position() -> None:
    model = explorer.attach(tiny("llama"), words(["<s>", "<unk>", "a", "b", ",", "."]))
    trace = model.trace("a b , a . b", edits=explorer.Ablate("layers.2.attn.z"))
    pattern = trace.pattern(0)[0].numpy()
    shown = [token.text.strip() for token in trace.tokens]
    places = [index for index, text in enumerate(shown) if text in ("<s>", ",", ".") and index]
    assert len(places) == 2
    for head in range(4):
        expected = pattern[head, 1:][:, places].sum(-1).mean()
        assert row_of(trace.head_measures(), 0, head)["separators"] == pytest.approx(expected, abs=1e-6)


def test_a_text_without_repetition_or_of_one_token_has_no_value(model: explorer.Model) -> None:
    frame = model.trace([5, 6, 7, 8]).head_measures()
    assert frame[["duplicate", "induction"]].isna().all(axis=None)
    assert frame.drop(columns=["duplicate", "induction"]).notna().all(axis=None)
    alone = model.trace([5]).head_measures()
    assert alone.shape == (12, 10)
    assert alone.drop(columns=["layer", "head"]).isna().all(axis=None)


def test_rows_can_be_sampled_and_say_so(model: explorer.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = model.trace([(7 * one) % 90 + 3 for one in range(40)])
    whole = trace.head_measures()
    assert trace.head_measures(queries=39).equals(whole)
    some = trace.head_measures(queries=4)
    assert (whole.attrs["queries"], some.attrs["queries"]) == (39, 4)
    pattern = trace.pattern(2, queries=[1, 13, 26, 39])[0]
    assert row_of(some, 2, 1)["first"] == pytest.approx(float(pattern[1, :, 0].mean()), abs=1e-6)
    monkeypatch.setattr(attention_rows, "_AT_ONCE", 1)
    pd.testing.assert_frame_equal(trace.head_measures(), whole, atol=1e-6)


def test_texts_of_a_batch_count_by_their_rows(model: explorer.Model) -> None:
    texts = [[10, 11, 12, 10, 11, 12, 13], [20, 21, 20]]
    together = model.trace(texts).head_measures()
    alone = [model.trace(text).head_measures() for text in texts]
    rows = {"duplicate": (3, 1), "induction": (3, 1)}
    for name in together.columns[2:]:
        one, other = rows.get(name, (6, 2))
        expected = (alone[0][name] * one + alone[1][name] * other) / (one + other)
        np.testing.assert_allclose(together[name], expected, atol=1e-6)


def test_the_probe_says_the_same_tokens_twice(model: explorer.Model) -> None:
    texts = repeated_tokens(model)
    assert texts == repeated_tokens(model)
    assert texts != repeated_tokens(model, seed=1)
    assert len(texts) == 4
    for ids in texts:
        half = len(ids) // 2
        assert half == 32  # the context holds 64
        assert ids[:half] == ids[half:]
        assert len(set(ids)) == half
        assert not {0, 1, 2} & set(ids)
    named = explorer.attach(tiny("llama"), words(["<s>", "<unk>", "a", "b", ",", "."]))
    for start, *ids in repeated_tokens(named):
        assert start == 0
        assert ids[:4] == ids[4:]
        assert set(ids) == {2, 3, 4, 5}


def test_a_probes_repetitions_take_the_place_of_the_prompts(model: explorer.Model) -> None:
    probe = model.head_measures()
    trace = model.trace([5, 6, 7, 8])
    joined = trace.head_measures(probe=probe)
    assert joined[["duplicate", "induction"]].equals(probe[["duplicate", "induction"]])
    rest = ["layer", "head", "previous", "first", "self", "entropy", "distance", "separators"]
    assert joined[rest].equals(trace.head_measures()[rest])
    with pytest.raises(explorer.Refused, match="probe has no column 'duplicate'"):
        trace.head_measures(probe=joined.drop(columns="duplicate"))


def test_measures_leave_the_model_as_it_was(model: explorer.Model, unchanged: Any) -> None:
    unchanged(model)
    model.head_measures()


def test_near_heads_by_measures() -> None:
    frame = pd.DataFrame(
        [(0, 0, 0.0, 10.0, 5.0), (0, 1, 1.0, 10.0, 5.0), (1, 0, 0.0, 30.0, 5.0), (1, 1, 0.1, 10.0, 5.0)],
        columns=["layer", "head", "previous", "distance", "self"],
    )
    near = nearest_heads(frame, 0, 0)
    spread = frame[["previous", "distance"]].std(ddof=0)
    expected = sorted([0.1 / spread["previous"], 1 / spread["previous"], 20 / spread["distance"]])
    np.testing.assert_allclose(near["distance"] * math.sqrt(2), expected)
    assert (near["layer"].iloc[0], near["head"].iloc[0]) == (1, 1)
    assert len(nearest_heads(frame, 0, 0, n=1)) == 1
    for arguments, word in (((2, 0), "no head of this frame"), ((0, 0, 0), "n=0")):
        with pytest.raises(explorer.Refused, match=word):
            nearest_heads(frame, *arguments)
    with pytest.raises(explorer.Refused, match="no measure"):
        nearest_heads(frame[["layer", "head", "self"]], 0, 0)


def test_near_heads_by_their_weights(model: explorer.Model) -> None:
    previous = one_key(0, 0, 1, 2, 3, 4, 5)
    mixed = 0.75 * previous + 0.25 * one_key(0, 0, 0, 0, 0, 0, 0)
    trace = with_heads(model, previous, mixed, torch.eye(7), previous)
    near = trace.similar_heads(1, 0, n=20)
    found = {(layer, head): distance for layer, head, distance in near.itertuples(index=False)}
    assert len(found) == 11
    assert found[1, 3] == 0
    assert found[1, 1] == pytest.approx(0.25 * 5 / 6)  # row 1's previous token is the first
    assert found[1, 2] == 1
    pattern = trace.pattern(0)[0, 2, 1:].double()
    assert found[0, 2] == pytest.approx(float((pattern - previous[1:]).abs().sum(-1).mean() / 2), abs=1e-6)
    assert near["distance"].is_monotonic_increasing
    with pytest.raises(explorer.Refused, match="one token"):
        model.trace([5]).similar_heads(0, 0)
    with pytest.raises(explorer.Refused, match="head=4"):
        trace.similar_heads(0, 4)


@pytest.mark.parametrize("queries", [0, -1, 1.5, True])
def test_numbers_of_rows_that_mean_nothing_are_refused(model: explorer.Model, queries: Any) -> None:
    with pytest.raises(explorer.Refused, match="queries="):
        model.trace(IDS).head_measures(queries=queries)
