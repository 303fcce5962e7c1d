"""Edits act where they are told to, are seen by what comes later, and leave the model as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from explorer.edits import Ablate, Apply, Patch, Steer
from tests.conftest import snapshot
from tests.families.cases import Attention, Case, equal
from tests.families.configs import FAMILIES, UNLISTED
from tests.families.test_sums import ADDED, has, layer_sum

every_family = pytest.mark.parametrize("case", [*FAMILIES, *UNLISTED], indirect=True)
STREAM = ("resid_pre", *ADDED, "resid_mid", "resid_post")


def without_head(case: Case, one: Attention, head: int) -> Tensor:
    """The eager twin's answer when a plain hook zeroes one head before the output projection."""
    turn = -1

    def zero(_module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal turn
        turn += 1
        given = args[0].clone()
        width = given.shape[-1] // one.heads.heads
        if turn == one.heads.call:
            given[..., head * width : (head + 1) * width] = 0
        return (given, *args[1:])

    last: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: Any, _args: Any, output: Any) -> None:
            last[name] = output if isinstance(output, Tensor) else output[0]

        return hook

    assert one.heads.projection is not None
    handles = [case.twin.get_submodule(one.heads.projection).register_forward_pre_hook(zero)]
    ends = {stack.name: case.twin.get_submodule(stack.layers[-1].path) for stack in case.stacks}
    handles += [end.register_forward_hook(keep(name)) for name, end in ends.items()]
    try:
        output = case.ask()
    finally:
        for handle in handles:
            handle.remove()
    if case.model.anatomy.vocabulary is not None:
        return output.logits  # type: ignore[no-any-return]
    return torch.cat([last[stack.name].flatten() for stack in case.stacks])


@every_family
def test_an_ablated_head_is_gone(case: Case) -> None:
    for one in case.attentions():
        site = f"{one.prefix}z"
        once = case.trace(edits=[Ablate(site, heads=[1])])
        assert (once[site][:, :, 1] == 0).all()
        equal(once[site][:, :, 0], case.plain[site][:, :, 0], f"head 0 of {site}")
        assert (once[f"{one.prefix}head_out"][:, :, 1] == 0).all()
        twice = case.trace(edits=[Ablate(site, heads=[1]), Ablate(site, heads=1)])
        assert torch.equal(case.answer(once), case.answer(twice))
        assert not torch.allclose(case.answer(once), case.answer(case.plain), atol=1e-5), site
        equal(case.answer(once), without_head(case, one, 1), site)


@every_family
def test_steering_is_seen_by_everything_later(case: Case) -> None:
    for stack in case.stacks:
        vector = torch.arange(stack.width).float().sin()
        for part in STREAM:
            # the middle layer, so that what is before and after can both be looked at
            prefix = f"{stack.prefix}layers.1."
            site = prefix + part
            if not has(case, site):
                continue
            steered = case.trace(edits=[Steer(site, vector, 0.5)])
            equal(steered[site], case.plain[site] + 0.5 * vector, site)
            before = f"{stack.prefix}layers.0.resid_pre"
            assert torch.equal(steered[before], case.plain[before])
            after = f"{stack.prefix}layers.{len(stack.layers) - 1}.resid_post"
            assert not torch.allclose(steered[after], case.plain[after], atol=1e-5), site
            changes = not torch.allclose(case.answer(steered), case.answer(case.plain), atol=1e-5)
            assert changes, site
            post_norm = any(layer.post_norm for layer in stack.layers)
            if has(case, f"{prefix}mlp_out") and part != "resid_post" and not post_norm:
                # An edit of the stream between two parts is part of neither.
                sum_ = steered[site] + steered[f"{prefix}mlp_out"] if part == "resid_mid" else None
                sum_ = layer_sum(case, steered, prefix) if sum_ is None else sum_
                equal(sum_, steered[f"{prefix}resid_post"], f"sum after {site}")


@every_family
def test_a_patch_from_the_trace_itself_changes_nothing(case: Case) -> None:
    parts = [*STREAM, *(f"{kind}.{part}" for kind in ("attn", "cross_attn") for part in ("q", "k", "v", "z", "out"))]
    sites = [site for site in case.model.sites() if site.split("layers.")[-1].partition(".")[2] in parts]
    sites += [site for site in case.model.sites() if site.endswith(("embed", "final_norm"))]
    sites += [f"{one.prefix}pattern" for one in case.attentions() if one.heads.how == "interface"]
    same = case.trace(edits=[Patch(site, case.plain) for site in sites])
    equal(case.answer(same), case.answer(case.plain), "all sites at once")
    for site in sites:
        equal(same[site], case.plain[site], site)


@every_family
def test_a_patch_from_another_text_is_read_back_and_goes_on(case: Case) -> None:
    if not case.family.text:
        other = case.model.trace(images=case.given["images"].flip(-1))
    else:
        other = case.model.trace(**{**case.given, "inputs": case.given["inputs"][::-1]})
    stack = case.model.anatomy.stack
    for index in range(len(stack.layers)):
        site = f"{stack.prefix}layers.{index}.resid_post"
        patched = case.trace(edits=[Patch(site, other)])
        assert torch.equal(patched[site], other[site])
        # What reads only the stream goes on as in the other text; position biases and masks come from elsewhere.
        if stack.linked and index + 1 < len(stack.layers):
            assert torch.equal(patched[f"{stack.prefix}layers.{index + 1}.resid_pre"], other[site])


@every_family
def test_an_error_inside_a_pass_leaves_the_model_as_it_was(case: Case) -> None:
    def fail(_value: Tensor) -> Tensor:
        raise ArithmeticError("made by the test")

    stack = case.model.anatomy.stack
    sites = [f"{stack.prefix}layers.1.resid_post", *(f"{one.prefix}z" for one in case.attentions()[-1:])]
    for site in sites:
        before = snapshot(case.hf)
        with pytest.raises(ArithmeticError, match="made by the test"):
            case.trace(edits=[Apply(site, fail)])
        assert snapshot(case.hf) == before
    assert torch.equal(case.answer(case.trace()), case.answer(case.trace()))
