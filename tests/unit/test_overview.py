"""Pooled maps against a plain maximum over the whole of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import explorer
from explorer import attention_rows
from explorer.attention_rows import AttentionRows
from explorer.overview import overview, pooled, sampled_rows
from tests.conftest import tiny
from tests.tiny_tokenizers import byte_level
from tests.unit.test_attention import call


def largest(weights: torch.Tensor, tall: int, wide: int) -> np.ndarray[Any, Any]:
    """The largest of each block of (query, key), one block at a time."""
    rows, keys = weights.shape
    blocks = [
        [weights[row : row + tall, key : key + wide].max().item() for key in range(0, keys, wide)]
        for row in range(0, rows, tall)
    ]
    return np.array(blocks)


@pytest.fixture(scope="module", params=["llama", "mistral", "gemma2", "gpt_oss", "gpt2"])
def model(request: pytest.FixtureRequest) -> explorer.Model:
    return explorer.attach(tiny(request.param))


@pytest.fixture(params=[1, 1_500_000], ids=["row by row", "at once"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_rows, "_AT_ONCE", request.param)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(("length", "cells"), [(1, 4), (7, 32), (29, 4), (37, 16), (64, 64)])
def test_each_cell_is_the_largest_weight_of_its_block(model: explorer.Model, length: int, cells: int) -> None:
    trace = model.trace([(7 * one) % 90 + 3 for one in range(length)])
    size = -(-length // cells)
    seen = trace.overview(cells=cells)
    assert seen.heads == (4, 4, 4)
    assert (seen.sampled, seen.not_recorded, seen.not_numbers) == (False, (), ())
    assert seen.row_starts == seen.key_starts == tuple(range(0, length, size))
    for layer in range(3):
        pattern = trace.pattern(layer)[0]
        part = trace.pooled(layer, cells=cells)
        assert (part.rows_per_cell, part.keys_per_cell) == (size, size)
        assert part.row_starts == seen.row_starts
        for head in range(4):
            expected = largest(pattern[head], size, size)
            np.testing.assert_allclose(part.weights[head], expected, atol=1e-6)
            small = seen.weights[layer, head].numpy() / 255
            np.testing.assert_allclose(small, expected, atol=seen.max_error + 1e-6)


@pytest.mark.usefixtures("blocks")
def test_a_part_down_to_single_weights_is_exact(model: explorer.Model) -> None:
    trace = model.trace(list(range(3, 43)))
    pattern = trace.pattern(1)[0]
    part = trace.pooled(1, heads=[2, 0], queries=slice(11, 31), keys=slice(5, 25), cells=20)
    torch.testing.assert_close(part.weights, pattern[[2, 0], 11:31, 5:25], atol=1e-6, rtol=0)
    assert part.row_starts == tuple(range(11, 31))
    assert part.key_starts == tuple(range(5, 25))
    coarse = trace.pooled(1, heads=3, queries=slice(-9, None), keys=slice(30, None), cells=4)
    np.testing.assert_allclose(coarse.weights[0], largest(pattern[3, 31:, 30:], 3, 3), atol=1e-6)
    hidden = trace.pooled(1, heads=3, queries=slice(0, 3), keys=slice(30, None), cells=4)
    assert not hidden.weights.any()
    average = trace.pooled(1, heads=[0, 1, 3], mean=True, cells=10)
    np.testing.assert_allclose(average.weights[0], largest(pattern[[0, 1, 3]].mean(0), 4, 4), atol=1e-6)


def test_what_learned_sinks_take_is_told() -> None:
    trace = explorer.attach(tiny("gpt_oss")).trace(list(range(3, 23)))
    taken = 1 - trace.pattern(0)[0].sum(-1)
    part = trace.pooled(0, cells=5)
    assert part.sinks is not None
    torch.testing.assert_close(part.sinks, taken.reshape(4, 5, 4).amax(-1), atol=1e-6, rtol=0)
    assert part.sinks.max() > 0.05
    assert explorer.attach(tiny("llama")).trace([3, 4]).pooled(0).sinks is None


def test_long_texts_are_sampled_and_the_sampled_rows_are_exact() -> None:
    model = explorer.attach(tiny("llama", max_position_embeddings=700))
    trace = model.trace([(11 * one) % 90 + 3 for one in range(600)])
    seen = trace.overview()
    assert seen.sampled
    assert len(seen.queries) == 64
    assert (seen.queries[0], seen.queries[-1]) == (0, 599)
    assert len(set(np.diff(seen.queries))) <= 2
    pattern = trace.pattern(2, queries=list(seen.queries))[0]
    for head in range(4):
        np.testing.assert_allclose(seen.weights[2, head] / 255, largest(pattern[head], 2, 19), atol=0.002)
    assert sampled_rows(512) == list(range(512))
    assert len(set(sampled_rows(513))) == 64


def test_padding_is_no_part_of_a_text() -> None:
    model = explorer.attach(tiny("llama"))
    together = model.trace([[5, 6, 7, 8, 9, 10], [11, 12, 13]])
    alone = model.trace([11, 12, 13])
    assert together.overview(text=1).keys == 3
    torch.testing.assert_close(together.pooled(1, text=1).weights, alone.pooled(1).weights, atol=1e-6, rtol=1e-5)
    with pytest.raises(explorer.Refused, match=r"text=2 is out of range: this pass read 2"):
        together.overview(text=2)


def test_weights_that_are_no_numbers_are_named_and_do_not_spread() -> None:
    model = explorer.attach(tiny("llama"))
    broken = torch.full((1, 4, 8, 8), 0.125)
    broken[0, 2, 5, 3] = torch.nan
    broken[0, 3, 6, 2] = torch.inf
    trace = model.trace(list(range(3, 11)), edits=explorer.Patch("layers.2.attn.pattern", broken))
    seen = trace.overview(cells=4)
    assert (seen.not_numbers, seen.heads_not_numbers) == ((2,), ((2, 2), (2, 3)))
    assert seen.weights[2, 2, 2, 1] == seen.weights[2, 3, 3, 1] == 0
    assert (seen.weights[2, 2, :2] == 32).all()
    part = trace.pooled(2, heads=[2], cells=4).weights[0]
    assert part.isnan().nonzero().tolist() == [[2, 1]]


def test_layers_that_were_not_recorded_are_named() -> None:
    model = explorer.attach(tiny("llama"))
    seen = model.trace([5, 6, 7], record=["layers.1.attn.z"]).overview()
    assert (seen.heads, seen.not_recorded) == ((0, 4, 0), (0, 2))
    assert not seen.weights[0].any()
    with pytest.raises(explorer.Refused, match="ask for it with record="):
        model.trace([5, 6, 7], record=["layers.*.mlp_out"]).overview()


def test_saved_traces_and_texts_that_grew_have_the_same_pictures(tmp_path: Path) -> None:
    model = explorer.attach(tiny("llama"))
    trace = model.trace(list(range(3, 23)))
    there = explorer.open_trace(trace.save(tmp_path / "trace.safetensors"))
    assert torch.equal(there.overview(cells=7).weights, trace.overview(cells=7).weights)
    pd.testing.assert_frame_equal(there.head_measures(), trace.head_measures())
    assert torch.equal(there.rollout(), trace.rollout())
    model = explorer.attach(tiny("llama", vocab_size=420), byte_level())
    run = model.generate("The capital of France", explorer.Sampling(temperature=0), max_new_tokens=6, record=True)
    for _ in run:
        grown = run.trace()
    fresh = model.trace(grown.ids)
    torch.testing.assert_close(grown.pooled(2).weights, fresh.pooled(2).weights, atol=1e-5, rtol=1e-4)
    pd.testing.assert_frame_equal(grown.head_measures(), fresh.head_measures(), atol=1e-4)


def test_half_precision_is_pooled_as_it_is() -> None:
    trace = explorer.attach(tiny("llama").to(torch.bfloat16)).trace(list(range(3, 40)))
    part = trace.pooled(0, cells=8)
    np.testing.assert_array_equal(part.weights[1], largest(trace.pattern(0)[0, 1].float(), 5, 5))


def test_rows_of_one_call_are_those_of_the_whole() -> None:
    one = call(query=torch.randn(2, 2, 3, 2), key=torch.randn(2, 1, 5, 2), value=torch.randn(2, 1, 5, 2))
    whole = one.pattern([0, 1], range(3))
    rows = AttentionRows(one.replaced(z=torch.empty(2)), 1, None, None)
    assert (rows.heads, rows.queries, rows.keys, rows.causal) == (2, 3, 5, True)
    assert [rows.reach([row]) for row in range(3)] == [3, 4, 5]
    torch.testing.assert_close(rows.weights([1], [0, 1], 4), whole[1, [1], :2, :4])
    assert (whole[1, 1, 0, 3:] == 0).all()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"cells": 0}, "cells=0"),
        ({"queries": slice(5, 5)}, "chooses no run"),
        ({"keys": slice(0, 6, 2)}, "chooses no run"),
        ({"heads": [4]}, r"heads=\[4\]"),
    ],
)
def test_parts_that_are_not_there_are_refused(options: dict[str, Any], word: str) -> None:
    trace = explorer.attach(tiny("llama")).trace([5, 6, 7, 8, 9, 10])
    with pytest.raises(explorer.Refused, match=word):
        pooled(trace.attention(0), **options)
    with pytest.raises(explorer.Refused, match="cells=True"):
        overview(trace, cells=True)
