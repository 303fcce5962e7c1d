"""Edits of single experts: their weights changed as told, against plain models whose experts are changed by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import explorer
from explorer import Ablate, Apply, Patch, Refused, Scale, Steer
from explorer.discovery import Call
from explorer.experts import experts_of
from tests.families.cases import IDS, Case, case, equal
from tests.families.configs import FAMILIES
from tests.families.test_mixtures import MIXTURES, routed

every_mixture = pytest.mark.parametrize("case", list(MIXTURES), indirect=True)
OTHER = IDS[::-1]


def mixed(found: Case) -> list[int]:
    return [index for index, layer in enumerate(found.stacks[0].layers) if layer.router is not None]


def experts_at(hf: Any, found: Case, layer: int) -> nn.Module:
    place = found.stacks[0].layers[layer].experts
    assert place is not None
    return hf.get_submodule(place.path)  # type: ignore[no-any-return]


def by_hand(found: Case, layer: int, change: Callable[[Tensor], Tensor], ids: list[int] = IDS) -> Tensor:
    """The twin's logits where a layer's experts are run one by one and summed with a changed table of weights."""
    module = experts_at(found.twin, found, layer)
    router = found.twin.get_submodule(found.stacks[0].layers[layer].router)
    seen: dict[str, Any] = {}

    def keep(_module: nn.Module, _args: Any, output: Any) -> None:
        seen["chosen"], seen["weights"] = output[2], output[1]

    def instead(_module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if "busy" in seen:
            return None
        seen["busy"] = True
        state, count = args[0], found.model.anatomy.experts
        table = torch.zeros(len(state), count, dtype=seen["weights"].dtype)
        for token in range(len(state)):
            for expert, weight in zip(seen["chosen"][token].tolist(), seen["weights"][token], strict=True):
                table[token, expert] = weight
        table = change(table)
        each = [module(state, torch.full((len(state), 1), e), torch.ones(len(state), 1)) for e in range(count)]
        return sum(table[:, [e]] * value for e, value in enumerate(each))  # type: ignore[return-value]

    handles = [router.register_forward_hook(keep), module.register_forward_hook(instead)]
    try:
        return found.ask(ids).logits  # type: ignore[no-any-return]
    finally:
        for handle in handles:
            handle.remove()


@every_mixture
def test_the_weights_are_what_the_experts_received(case: Case) -> None:
    trace = case.trace()
    for index, (_, weights, chosen) in routed(case).items():
        table = trace[f"layers.{index}.router.weights"]
        expected = torch.zeros(len(IDS), case.model.anatomy.experts)
        for token in range(len(IDS)):
            expected[token, chosen[token]] = weights[token].float()
        equal(table, expected[None], f"layer {index}")
        assert ((table[0] != 0).sum(-1) == weights.shape[-1]).all()
    assert mixed(case) == [index for index, layer in enumerate(case.stacks[0].layers) if layer.experts is not None]


@every_mixture
@pytest.mark.parametrize("factor", [0.0, -1.5])
def test_an_expert_scaled_is_its_last_projection_scaled(case: Case, factor: float) -> None:
    trace = case.trace()
    for layer in mixed(case):
        site = f"layers.{layer}.router.weights"
        expert = int(trace.experts(layer)[0, 3, 0])
        twin = copy.deepcopy(case.twin)
        module: Any = experts_at(twin, case, layer)
        with torch.no_grad():
            module.down_proj[expert] *= factor
            if hasattr(module, "down_proj_bias"):
                module.down_proj_bias[expert] *= factor
        edit = Scale(site, factor, experts=expert) if factor else Ablate(site, experts=[expert])
        edited = case.trace(edits=edit)
        assert edited.fired == (1,)
        equal(edited.logits, case.ask_of(twin).logits, site)
        assert not torch.allclose(edited.logits, trace.logits, atol=1e-5)
        # The choice and the other weights stay; the probabilities come before the edit.
        expected = trace[site]
        expected[..., expert] *= factor
        assert torch.equal(edited[site], expected)
        assert torch.equal(edited.experts(layer), trace.experts(layer))
        assert torch.equal(edited[f"layers.{layer}.router.probs"], trace[f"layers.{layer}.router.probs"])


@every_mixture
def test_every_edit_of_the_weights_is_the_sum_with_those_weights(case: Case) -> None:
    layer = mixed(case)[-1]
    site = f"layers.{layer}.router.weights"
    count = case.model.anatomy.experts
    plain, other = case.trace(), case.model.trace(OTHER)
    vector = torch.linspace(-1, 1, count)
    idle = next(e for e in range(count) if not bool((plain.experts(layer)[0, 2] == e).any()))
    two = plain.experts(layer)[0, 0].tolist()

    def at(rows: Any, columns: Any, new: Any) -> Callable[[Tensor], Tensor]:
        def change(table: Tensor) -> Tensor:
            after = table.clone()
            after[rows, columns] = new if isinstance(new, float) else new(table)[rows, columns]
            return after

        return change

    every = slice(None)
    for edit, change in (
        (Ablate(site, positions=[1, 4]), at([1, 4], every, 0.0)),
        (Ablate(site, by="mean"), lambda t: t.mean(0, keepdim=True).expand_as(t)),
        (Ablate(site, by=other, experts=two), at(every, two, lambda _: other[site][0])),
        (Patch(site, other), lambda _: other[site][0]),
        (Patch(site, torch.tensor(0.7), experts=idle, positions=2), at(2, idle, 0.7)),
        (Patch(site, other, experts=range(count), positions=[5]), at(5, every, lambda _: other[site][0])),
        (Steer(site, vector, 0.5), lambda t: t + 0.5 * vector),
        (Apply(site, lambda t: t**2), lambda t: t**2),
    ):
        edited = case.trace(edits=edit)
        equal(edited[site][0], change(plain[site][0]), repr(edit))
        equal(edited.logits, by_hand(case, layer, change), repr(edit))
        assert not torch.allclose(edited.logits, plain.logits, atol=1e-5), edit


@every_mixture
def test_a_patch_from_the_trace_itself_changes_nothing_and_no_bit(case: Case) -> None:
    plain = case.trace()
    edited = case.trace(edits=[Patch("layers.*.router.weights", plain)])
    assert edited.fired == (len(mixed(case)),)
    assert torch.equal(edited.logits, plain.logits)


def test_texts_of_a_batch_and_kept_positions_stay_apart() -> None:
    found = case("qwen2_moe")
    site = "layers.1.router.weights"
    edit = Scale(site, 0.5, positions=[1])
    both = found.model.trace([IDS, OTHER], edits=edit)
    for number, ids in enumerate((IDS, OTHER)):
        alone = found.model.trace(ids, edits=edit)
        equal(both[site][[number]], alone[site], str(number))
        equal(both.logits[[number]], alone.logits, str(number))
    kept = found.trace(edits=edit, record=explorer.Record([site], positions=[1, 5]))
    assert torch.equal(kept[site], found.trace(edits=edit)[site][:, [1, 5]])


def test_an_expert_that_nobody_chose_is_said_to_be_one() -> None:
    found = case("mixtral")
    trace = found.model.trace(IDS[:1])
    idle = next(e for e in range(5) if not bool((trace.experts(0) == e).any()))
    for edit in (Ablate("layers.0.router.weights", experts=idle), Scale("layers.0.router.weights", 2.0, experts=idle)):
        with pytest.raises(
            Refused, match=rf"experts=\({idle},\).*fired nowhere in this pass: the experts .* no weight"
        ):
            found.model.trace(IDS[:1], edits=edit)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (Ablate("layers.0.router.weights", experts=5), "experts=.*out of range at layers.0.router.weights: .* 0 to 4"),
        (Ablate("layers.0.router.weights", neurons=1), "neurons=.*no meaning at layers.0.router.weights.*experts="),
        (Ablate("layers.0.router.weights", heads=1), "heads=.*no meaning at layers.0.router.weights"),
        (Ablate("layers.0.mlp_out", experts=1), "experts=.*no meaning at layers.0.mlp_out; router.weights"),
        (Ablate("layers.0.router.probs"), "can be read but not edited. Edit layers.0.router.weights instead"),
        (Patch("layers.0.router.weights", torch.zeros(4)), r"source has the shape \(4,\).*layers.0.router.weights"),
        (Patch("layers.0.router.weights", torch.zeros(3, 5)), "3 positions and this pass has 8"),
    ],
)
def test_what_cannot_be_done_to_experts_is_refused(edit: Any, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        case("mixtral").trace(edits=edit)


def test_layers_without_experts_say_so() -> None:
    for name, layer in (("llama", 0), ("qwen3_moe", 1)):
        with pytest.raises(Refused, match=rf"layer {layer} is no mixture"):
            case(name).trace(edits=Ablate(f"layers.{layer}.router.weights", experts=0))


class Squared(nn.Module):
    """Experts whose weights do not multiply what they give."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.matrices = nn.Parameter(torch.linspace(-1, 1, 3 * 4 * 4).reshape(3, 4, 4))
        self.power = power

    def forward(self, state: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        each = torch.einsum("tw,tkwv->tkv", state, self.matrices[chosen])
        return (each * (weights.abs() ** self.power * weights.sign()).unsqueeze(-1)).sum(1)


@pytest.mark.parametrize(("power", "experts"), [(1.0, 3), (2.0, 0), (0.5, 0)])
def test_weights_that_do_not_multiply_are_not_claimed(power: float, experts: int) -> None:
    state = torch.linspace(-1, 1, 8).reshape(2, 4)
    chosen, weights = torch.tensor([[0, 2], [2, 1]]), torch.tensor([[0.7, 0.3], [0.6, 0.4]])
    call = Call("experts", 0, received=((state, chosen, weights), {}))
    assert experts_of(Squared(power), call) == experts
    assert experts_of(Squared(power), Call("experts", 0, received=((state, chosen), {}))) == 0
    twice = ((state, torch.tensor([[0, 0], [2, 1]]), weights), {})
    assert experts_of(Squared(power), Call("experts", 0, received=twice)) == 0


def test_a_mixture_whose_experts_are_weighed_before_they_run_is_read_and_not_edited() -> None:
    hf: Any = FAMILIES["mixtral"].build()
    for layer in hf.model.layers:
        experts = layer.mlp.experts

        def weighed(state: Tensor, chosen: Tensor, weights: Tensor, own: Any = experts.forward) -> Any:
            return sum(
                own(state * weights[:, [slot]], chosen[:, [slot]], torch.ones_like(weights[:, [slot]]))
                for slot in range(chosen.shape[1])
            )

        experts.forward = weighed
    model = explorer.attach(hf)
    assert "layers.0.router.probs" in model.sites()
    assert "layers.0.router.weights" not in model.sites()
    with pytest.raises(Refused, match="no module was shown to give the sum of its experts"):
        model.trace(IDS, edits=Ablate("layers.0.router.weights", experts=0))
