"""Router probabilities and chosen experts equal what transformers' own router logits say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import explorer
from explorer import mixtures
from tests.families.cases import IDS, Case, equal

MIXTURES = {
    "mixtral": "softmax",
    "qwen2_moe": "softmax",
    "qwen3_moe": "softmax",
    "qwen3_next": "softmax",
    "gpt_oss": "softmax",
    "deepseek_v3": "sigmoid",
}
every_mixture = pytest.mark.parametrize("case", list(MIXTURES), indirect=True)


def routed(case: Case) -> dict[int, Any]:
    """What the eager twin's routers return, by layer, from plain hooks."""
    seen: dict[int, Any] = {}
    handles = []
    for index, layer in enumerate(case.stacks[0].layers):
        if layer.router is not None:
            keep = lambda _module, _args, output, index=index: seen.__setitem__(index, output)  # noqa: E731
            handles.append(case.twin.get_submodule(layer.router).register_forward_hook(keep))
    try:
        case.ask()
    finally:
        for handle in handles:
            handle.remove()
    return seen


@every_mixture
def test_probabilities_equal_those_of_the_routers_own_logits(case: Case) -> None:
    rule = MIXTURES[case.name]
    layers = [index for index, layer in enumerate(case.stacks[0].layers) if layer.routing]
    assert layers == [index for index, layer in enumerate(case.stacks[0].layers) if layer.router]
    assert {case.stacks[0].layers[index].routing for index in layers} == {rule}
    try:
        logits = case.ask(output_router_logits=True).router_logits
    except (TypeError, AttributeError):  # its forward has no such argument; the routers themselves are asked
        logits = [output[0] for output in routed(case).values()]
    assert len(logits) == len(layers)
    trace = case.trace()
    for index, scores in zip(layers, logits, strict=True):
        scores = scores.reshape(1, len(IDS), -1)
        expected = scores.softmax(-1) if rule == "softmax" else 1 / (1 + (-scores).exp())
        found = trace[f"layers.{index}.router.probs"]
        equal(found, expected, f"layer {index}")
        if rule == "softmax":
            equal(found.sum(-1), torch.ones(1, len(IDS)), "the probabilities' sum")


@every_mixture
def test_the_chosen_experts_are_those_that_ran(case: Case) -> None:
    trace = case.trace()
    for index, (_, weights, chosen) in routed(case).items():
        experts = trace.experts(index)
        assert experts.shape == (1, len(IDS), weights.shape[-1])
        assert torch.equal(experts[0].sort(-1).values, chosen.reshape(len(IDS), -1).sort(-1).values)


def test_a_correction_of_the_choice_is_part_of_it() -> None:
    from tests.families.cases import case

    one = case("deepseek_v3")
    trace = one.trace()
    likeliest = trace["layers.1.router.probs"].topk(2).indices.sort(-1).values
    assert not torch.equal(trace.experts(1).sort(-1).values, likeliest)


@every_mixture
def test_texts_of_a_batch_stay_apart(case: Case) -> None:
    layer = next(index for index, layer in enumerate(case.stacks[0].layers) if layer.routing)
    both = case.model.trace([IDS, IDS[::-1]], record=[f"layers.{layer}.router.probs"])
    assert both.sites()[0] == f"layers.{layer}.router.probs"
    for number, ids in enumerate((IDS, IDS[::-1])):
        alone = case.model.trace(ids)
        equal(both[f"layers.{layer}.router.probs"][[number]], alone[f"layers.{layer}.router.probs"], str(number))
        assert torch.equal(both.experts(layer)[[number]], alone.experts(layer))


def test_what_is_no_mixture_is_refused_with_the_reason() -> None:
    from tests.families.cases import case

    with pytest.raises(explorer.Refused, match=r"layer 0 is no mixture"):
        case("llama").trace()["layers.0.router.probs"]
    with pytest.raises(explorer.Refused, match=r"layer 1 is no mixture"):
        case("qwen3_moe").trace().experts(1)
    with pytest.raises(explorer.Refused, match=r"layers\.0\.router\.probs was not recorded"):
        case("mixtral").trace(record=["layers.1.router.probs"]).experts(0)
    with pytest.raises(explorer.Refused, match="can be read but not edited"):
        case("mixtral").trace(edits=[explorer.Ablate("layers.0.router.probs")])


SCORES = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 3.0, -2.0, 1.0]])


def chosen_by(scores: Tensor, k: int, rule: str, renormalise: bool, scale: float = 1.0) -> mixtures.Routing:
    probability = scores.softmax(-1) if rule == "softmax" else scores.sigmoid()
    weights, chosen = probability.topk(k, dim=-1)
    weights = weights / weights.sum(-1, keepdim=True) if renormalise else weights
    return mixtures.Routing(scores, weights * scale, chosen)


@pytest.mark.parametrize("rule", ["softmax", "sigmoid"])
@pytest.mark.parametrize("renormalise", [True, False])
def test_the_rule_is_told_by_the_weights(rule: str, renormalise: bool) -> None:
    assert mixtures.rule(chosen_by(SCORES, 2, rule, renormalise, scale=2.5)) == rule
    assert mixtures.rule(chosen_by(SCORES, 4, rule, renormalise)) == rule


def test_a_rule_that_cannot_be_told_is_not_claimed() -> None:
    # One renormalised expert always weighs one, by any rule.
    assert mixtures.rule(chosen_by(SCORES, 1, "softmax", True)) == ""
    assert mixtures.rule(chosen_by(SCORES, 1, "softmax", False)) == "softmax"
    assert mixtures.rule(mixtures.Routing(SCORES, SCORES[:, :2], torch.tensor([[0, 1], [0, 1]]))) == ""
    assert mixtures.rule(chosen_by(torch.zeros(2, 4), 2, "softmax", True)) == ""
    assert mixtures.read((SCORES, SCORES[:, :2])) is None
    assert mixtures.read(SCORES) is None


def test_a_router_that_runs_twice_in_a_pass_is_not_claimed() -> None:
    output = (SCORES, *(getattr(chosen_by(SCORES, 2, "softmax", True), name) for name in ("weights", "chosen")))
    assert mixtures.rules({"gate": output}, ["gate"]) == {"gate": "softmax"}
    assert mixtures.rules({"gate": output}, ["gate", "gate"]) == {"gate": ""}
