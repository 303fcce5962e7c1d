"""Edits of attention scores, against the eager twin with something added to its mask."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer import Ablate, Apply, Patch, Refused, Scale, Steer
from tests.families.cases import IDS, Attention, Case, case, equal
from tests.families.configs import FAMILIES, UNLISTED

every_family = pytest.mark.parametrize("case", [*FAMILIES, *UNLISTED], indirect=True)


def with_mask(found: Case, one: Attention, added: Tensor) -> Tensor:
    """The twin's answer with (1, head, query, key) added to the scores of one attention, through its mask."""
    turn = -1
    module = found.twin.get_submodule(one.heads.path)
    name = next(name for name in ("attention_mask", "mask") if name in inspect.signature(module.forward).parameters)

    def add(_module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        nonlocal turn
        turn += 1
        if turn != one.heads.call:
            return None
        bound = inspect.signature(module.forward).bind(*args, **keywords)
        mask = bound.arguments.get(name, bound.arguments.get("kwargs", {}).get(name))
        mask = torch.zeros(()) if mask is None else mask
        bound.arguments[name] = (mask + added).clamp(min=torch.finfo(added.dtype).min)
        return bound.args, bound.kwargs

    last: dict[str, Tensor] = {}

    def keep(stack: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            last[stack] = output if isinstance(output, Tensor) else output[0]

        return hook

    handles = [module.register_forward_pre_hook(add, with_kwargs=True)]
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
def test_changed_scores_go_through_the_softmax(case: Case) -> None:
    for one in case.attentions():
        if one.heads.how != "interface":
            with pytest.raises(Refused, match="but not its queries"):
                case.trace(edits=Ablate(f"{one.prefix}scores"))
            continue
        site = f"{one.prefix}scores"
        before = case.plain[site]
        keys = before.shape[-1]
        nothing = torch.zeros_like(before)
        out, moved, scaled = nothing.clone(), nothing.clone(), nothing.clone()
        out[:, 1, [3, 4], 3] = torch.finfo(before.dtype).min
        direction = torch.linspace(-2, 2, keys)
        moved[:, 0] = direction
        scaled[:, 2, 4] = -1.5 * before[:, 2, 4].nan_to_num(neginf=0.0)
        for edit, added in (
            (Ablate(site, heads=[1], positions=[3, 4], neurons=[3]), out),
            (Steer(site, direction, 1.0, heads=0), moved),
            (Scale(site, -0.5, heads=2, positions=4), scaled),
            (Patch(site, torch.tensor(-torch.inf), heads=1, positions=[3, 4], neurons=[3]), out),
        ):
            edited = case.trace(edits=edit, record=["*"])
            expected = before + added
            expected[expected < -1e30] = -torch.inf
            equal(edited[site], expected, repr(edit))
            sums = edited[f"{one.prefix}pattern"].sum(-1)
            assert (sums <= 1 + 1e-5).all()
            equal(case.answer(edited), with_mask(case, one, added), repr(edit))
            assert not torch.equal(edited[f"{one.prefix}z"], case.plain[f"{one.prefix}z"]), edit
        knocked = case.trace(edits=Ablate(site, heads=[1], positions=[3, 4], neurons=[3]), record=["*"])
        assert (knocked[f"{one.prefix}pattern"][:, 1, [3, 4], 3] == 0).all()


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_oss", "t5"])
def test_scores_of_another_text_give_its_pattern_and_hidden_keys_stay_hidden(name: str) -> None:
    found = case(name)
    other = found.model.trace(**{**found.given, "inputs": IDS[::-1]}, record=["*"])
    for one in found.attentions():
        patched = found.trace(edits=Patch(f"{one.prefix}scores", other), record=["*"])
        equal(patched[f"{one.prefix}pattern"], other[f"{one.prefix}pattern"], one.prefix)
        hidden = found.plain[f"{one.prefix}scores"] == -torch.inf
        for change in (torch.zeros_like, torch.exp):
            bare: Callable[[Tensor], Tensor] = change
            edited = found.trace(edits=Apply(f"{one.prefix}scores", bare), record=["*"])
            assert torch.equal(edited[f"{one.prefix}scores"] == -torch.inf, hidden)
        assert (edited[f"{one.prefix}pattern"][hidden] == 0).all()


def test_an_edit_of_scores_comes_before_one_of_the_pattern() -> None:
    found = case("llama")
    prefix = "layers.1.attn."
    edits = [Scale(f"{prefix}pattern", 0.5), Scale(f"{prefix}scores", 2.0)]
    edited = found.trace(edits=edits)
    equal(edited[f"{prefix}pattern"], found.trace(edits=edits[1])[f"{prefix}pattern"] * 0.5, "halved after the softmax")


def test_what_cannot_be_done_to_scores_is_refused() -> None:
    found = case("llama")
    site = "layers.1.attn.scores"
    for edit, sentence in (
        (Ablate(site, neurons=0), r"layers\.1\.attn\.scores: the edits leave head 0 no key .* row 0"),
        (Ablate(site, by="mean"), rf"by='mean' has no meaning at {site}"),
        (Steer(site, torch.ones(8), 1.0, relative=True), rf"relative=True has no meaning at {site}"),
        (Ablate(site, neurons=9), f"neurons=.*out of range at {site}"),
        (Patch(site, torch.zeros(3)), f"source has the shape .*{site}"),
    ):
        with pytest.raises(Refused, match=sentence):
            found.trace(edits=edit)
    # A learned sink takes what no key gets.
    sinks = case("gpt_oss").trace(edits=Ablate("layers.1.attn.scores", heads=1, positions=0), record=["*"])
    assert (sinks["layers.1.attn.pattern"][0, 1, 0] == 0).all()
