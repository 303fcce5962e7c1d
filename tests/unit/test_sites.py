"""Addresses: taken apart once for each anatomy, and never with another one's parts."""

from __future__ import annotations

import copy
import gc
from dataclasses import replace
from typing import Any

import pytest

import explorer
from explorer import Refused, sites
from explorer.anatomy import Anatomy
from tests.conftest import tiny


@pytest.fixture
def anatomy() -> Anatomy:
    return explorer.attach(tiny("llama")).anatomy


def test_each_address_is_the_site_that_bears_it(anatomy: Anatomy) -> None:
    stack = anatomy.stack
    found = [sites.parse(address, anatomy) for address in sites.sites(anatomy)]
    assert [site.address for site in found] == sites.sites(anatomy)
    assert found == list(sites.every(anatomy))
    for site in found:
        assert site.stack is (None if site.part == "logits" else stack)
        assert site.address == (site.part if site.layer is None else f"layers.{site.layer}.{site.part}")
        assert sites.parse(site.address, anatomy) is site


def test_another_anatomy_has_its_own_sites(anatomy: Anatomy) -> None:
    assert sites.parse("layers.1.mlp_out", anatomy).place_of_layer.mlp_out is not None
    stack = anatomy.stacks[0]
    layers = tuple(replace(layer, mlp_out=None) if index == 1 else layer for index, layer in enumerate(stack.layers))
    less = replace(anatomy, stacks=(replace(stack, layers=layers),))
    assert set(sites.sites(anatomy)) - set(sites.sites(less)) == {"layers.1.mlp_out"}
    with pytest.raises(Refused, match="is not a site of this model"):
        sites.parse("layers.1.mlp_out", less)
    assert sites.parse("layers.1.mlp_out", anatomy).stack is stack


def test_equal_anatomies_keep_their_own_stacks(anatomy: Anatomy) -> None:
    twin = copy.deepcopy(anatomy)
    assert twin == anatomy
    assert sites.parse("layers.0.attn.q", anatomy).stack is anatomy.stacks[0]
    assert sites.parse("layers.0.attn.q", twin).stack is twin.stacks[0]


def test_a_model_whose_anatomy_is_replaced_reads_by_the_new_one() -> None:
    model = explorer.attach(tiny("llama"))
    trace = model.trace([5, 17, 3])
    trace["layers.2.mlp_out"]
    stack = model.anatomy.stacks[0]
    kept = replace(stack, layers=tuple(replace(layer, mlp_out=None) for layer in stack.layers))
    model.anatomy = replace(model.anatomy, stacks=(kept,))
    with pytest.raises(Refused, match="is not a site of this model"):
        trace["layers.2.mlp_out"]


def test_what_is_gone_leaves_nothing_behind(anatomy: Anatomy) -> None:
    gc.collect()
    before = len(sites._tables)
    others = [copy.deepcopy(anatomy) for _ in range(3)]
    for other in others:
        sites.sites(other)
    assert len(sites._tables) == before + 3
    del others, other
    gc.collect()
    assert len(sites._tables) == before


@pytest.mark.parametrize("address", [None, 3, ["layers.0.attn.q"], "layers.0.attn", "layers.3.attn.q", ""])
def test_what_is_no_address_is_refused_in_words(anatomy: Anatomy, address: Any) -> None:
    with pytest.raises(Refused, match="is not a site of this model"):
        sites.parse(address, anatomy)
