"""Edits of what heads add to the stream, against the eager twin with its output projections changed by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer import Ablate, Patch, Scale, Steer
from tests.families.cases import Attention, Case, case, equal
from tests.families.configs import FAMILIES, UNLISTED
from tests.families.test_edits import without_head

every_family = pytest.mark.parametrize("case", [*FAMILIES, *UNLISTED], indirect=True)


def with_result(found: Case, one: Attention, added: Tensor) -> Tensor:
    """The twin's answer with (1, position, width) added to the result of one output projection."""
    turn = -1

    def add(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        nonlocal turn
        turn += 1
        return output + added.reshape(output.shape) if turn == one.heads.call else output

    last: dict[str, Tensor] = {}

    def keep(stack: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            last[stack] = output if isinstance(output, Tensor) else output[0]

        return hook

    assert one.heads.projection is not None
    handles = [found.twin.get_submodule(one.heads.projection).register_forward_hook(add)]
    ends = {stack.name: found.twin.get_submodule(stack.layers[-1].path) for stack in found.stacks}
    handles += [end.register_forward_hook(keep(stack)) for stack, end in ends.items()]
    try:
        output = found.ask()
    finally:
        for handle in handles:
            handle.remove()
    if found.model.anatomy.vocabulary is not None:
        return output.logits  # type: ignore[no-any-return]
    return torch.cat([last[stack.name].flatten() for stack in found.stacks])


@every_family
def test_what_heads_add_is_changed_in_the_stream(case: Case) -> None:
    attentions = case.attentions()
    for one in attentions:
        site = f"{one.prefix}head_out"
        if site not in case.model.sites():
            continue
        before = case.plain[site]
        nothing = torch.zeros_like(before)
        vector = torch.linspace(-1, 1, before.shape[-1])
        steered, scaled, patched = nothing.clone(), nothing.clone(), nothing.clone()
        steered[:, :, 0] = 0.5 * vector
        scaled[:, [1, 3], :, 4:9] = -3.0 * before[:, [1, 3], :, 4:9]
        patched[:, 2, 1] = vector - before[:, 2, 1]
        for edit, added in (
            (Steer(site, vector, 0.5, heads=0), steered),
            (Scale(site, -2.0, positions=[1, 3], neurons=range(4, 9)), scaled),
            (Patch(site, vector, heads=1, positions=2), patched),
        ):
            edited = case.trace(edits=edit)
            equal(edited[site], before + added, repr(edit))
            equal(edited[f"{one.prefix}out"], case.plain[f"{one.prefix}out"] + added.sum(2), repr(edit))
            equal(case.answer(edited), with_result(case, one, added.sum(2)), repr(edit))
            assert torch.equal(edited[f"{one.prefix}z"], case.plain[f"{one.prefix}z"])
        gone = case.trace(edits=Ablate(site, heads=[1]))
        assert gone.fired == (1,)
        assert (gone[site][:, :, 1] == 0).all()
        equal(case.answer(gone), without_head(case, one, 1), site)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gptj", "qwen3_next", "bart", "t5", "albert"])
def test_heads_are_patched_from_another_text_and_edits_of_z_come_first(name: str) -> None:
    found = case(name)
    other = found.model.trace(**{**found.given, "inputs": found.given["inputs"][::-1]})
    for one in found.attentions():
        z, site = f"{one.prefix}z", f"{one.prefix}head_out"
        patched = found.trace(edits=Patch(site, other, heads=[0, 2]))
        expected = found.plain[site]
        expected[:, :, [0, 2]] = other[site][:, :, [0, 2]]
        equal(patched[site], expected, site)
        there_and_back = found.trace(edits=[Scale(site, 2.0, heads=1), Scale(z, 0.5, heads=1)])
        equal(found.answer(there_and_back), found.answer(found.plain), site)
        equal(there_and_back[site], found.plain[site], site)
        alone = found.trace(edits=Ablate(site, heads=1), record=[f"{one.prefix}out"])
        assert site not in alone.sites()
        equal(alone[f"{one.prefix}out"], found.trace(edits=Ablate(z, heads=1))[f"{one.prefix}out"], site)
