"""Rollout against plain matrix products; flow against cuts, all of them, and graphs solved on paper."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import explorer
from explorer.attention_flow import max_flows
from tests.conftest import tiny


def mixing(trace: Any, layer: int) -> Tensor:
    pattern = trace.pattern(layer)[0].double().mean(0)
    mixed = 0.5 * pattern + 0.5 * torch.eye(pattern.shape[0])
    return mixed / mixed.sum(-1, keepdim=True)


def least_cut(layers: list[Tensor], source: int, sink: int) -> float:
    """The smallest capacity of all ways to part source from sink, each tried: what the largest flow must equal."""
    count = layers[0].shape[0]
    nodes = [(depth, place) for depth in range(len(layers) + 1) for place in range(count)]
    start, end = (len(layers), source), (0, sink)
    free = [node for node in nodes if node not in (start, end)]
    least = float("inf")
    for sides in product((False, True), repeat=len(free)):
        near = dict(zip(free, sides, strict=True)) | {start: True, end: False}
        cut = sum(
            float(capacities[query, key])
            for depth, capacities in enumerate(layers)
            for query in range(count)
            for key in range(count)
            if near[depth + 1, query] and not near[depth, key]
        )
        least = min(least, cut)
    return least


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_oss", "mistral"])
def test_rollout_is_the_product_of_the_mixing_matrices(family: str) -> None:
    trace = explorer.attach(tiny(family)).trace([(7 * one) % 90 + 3 for one in range(23)])
    one, two, three = (mixing(trace, layer) for layer in range(3))
    whole = trace.rollout()
    torch.testing.assert_close(whole, three @ two @ one, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(whole.sum(-1), torch.ones(23, dtype=torch.double))
    torch.testing.assert_close(trace.rollout(layer=1), two @ one, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(trace.rollout(queries=[22, 4]), whole[[22, 4]])


def test_rollout_of_one_layer_is_half_its_weights_and_half_the_stream() -> None:
    model = explorer.attach(tiny("llama"))
    pattern = torch.zeros(1, 4, 3, 3)
    pattern[:, :, 0, 0] = 1.0
    pattern[0, :2, 1:, 0] = 1.0
    pattern[0, 2:, 1, 1] = pattern[0, 2:, 2, 1] = 1.0
    trace = model.trace([5, 6, 7], edits=explorer.Patch("layers.0.attn.pattern", pattern))
    expected = [[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.25, 0.25, 0.5]]
    assert trace.rollout(layer=0).tolist() == expected
    # through a single layer a pipe is all there is
    torch.testing.assert_close(trace.flow(layer=0, queries=slice(None)), torch.tensor(expected, dtype=torch.double))


def test_flow_through_two_layers_is_that_of_the_paper_and_pencil() -> None:
    below = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    above = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    # from 1: half through 0 straight on to 0; half through 1, which lets 0.25 go to 0 and 0.75 to 1
    assert max_flows([below, above], [0, 1]).tolist() == [[1.0, 0.0], [0.75, 0.5]]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 8), min_size=9, max_size=9), min_size=2, max_size=3), st.integers(0, 2))
def test_flow_is_the_least_cut(numbers: list[list[int]], source: int) -> None:
    layers = [torch.tensor(one, dtype=torch.double).reshape(3, 3) / 16 for one in numbers]
    found = max_flows(layers, [source])[0]
    for sink in range(3):
        assert float(found[sink]) == pytest.approx(least_cut(layers, source, sink), abs=1e-9)


def test_flow_of_a_model_is_that_of_its_mixing_matrices() -> None:
    trace = explorer.attach(tiny("llama")).trace([5, 6, 7])
    layers = [mixing(trace, layer) for layer in range(3)]
    found = trace.flow()
    assert found.shape == (1, 3)
    for sink in range(3):
        assert float(found[0, sink]) == pytest.approx(least_cut(layers, 2, sink), abs=1e-6)
    torch.testing.assert_close(trace.flow(queries=[0, 2])[1:], found)


def test_what_has_no_rollout_is_refused() -> None:
    model = explorer.attach(tiny("llama", max_position_embeddings=80))
    with pytest.raises(explorer.Refused, match="up to 64 tokens, and this text has 65"):
        model.trace([3] * 65).flow()
    with pytest.raises(explorer.Refused, match="ask for it with record="):
        model.trace([3, 4], record=["layers.2.attn.z"]).rollout()
    with pytest.raises(explorer.Refused, match="layer=3 is out of range"):
        model.trace([3, 4]).rollout(layer=3)
