"""What is added to the residual stream adds up: parts of a layer, layers of a stack, heads of an attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.families.cases import Case, equal
from tests.families.configs import FAMILIES, UNLISTED

every_family = pytest.mark.parametrize("case", [*FAMILIES, *UNLISTED], indirect=True)
ADDED = ("attn_out", "cross_attn_out", "mlp_out")
# Layers whose parts are not all shown: one mixer and no MLP, or a norm at the start of the stream.
ONE_MIXER = {"mamba", "mamba2"}
# Norms on the way in that explain why a stack's layers are not linked.
POST_NORM = {"openai-gpt", "opt, post-norm", "bart", "albert", "bert", "roberta", "xlm-roberta", "electra"}
POST_NORM |= {"electra, discriminator", "distilbert", "deberta", "deberta-v2", "ernie"}


def has(case: Case, site: str) -> bool:
    return site in case.model.sites()


def layer_sum(case: Case, trace: Any, prefix: str) -> Tensor:
    """The stream before a layer plus all its parts add."""
    total = trace[f"{prefix}resid_pre"]
    for part in ADDED:
        if has(case, prefix + part):
            total = total + trace[prefix + part]
    return total  # type: ignore[no-any-return]


def own_norms(case: Case, path: str, width: int) -> list[torch.nn.Module]:
    """The norms of a layer: modules with a weight of the stream's width and nothing else."""
    return [
        module
        for module in case.module(path).modules()
        if isinstance(weight := getattr(module, "weight", None), Tensor) and weight.shape == (width,)
    ]


@every_family
def test_each_layer_is_the_sum_of_its_parts(case: Case) -> None:
    assert {layer.post_norm for _, layer, _ in case.layers()} == {case.name in POST_NORM}
    for prefix, layer, stack in case.layers():
        if case.family.family in ONE_MIXER or (case.family.family == "rwkv" and prefix == "layers.0."):
            assert not has(case, f"{prefix}mlp_out")
            continue
        assert has(case, f"{prefix}attn_out"), prefix
        assert has(case, f"{prefix}mlp_out"), prefix
        assert has(case, f"{prefix}cross_attn_out") == (stack.name == "decoder"), prefix
        assert has(case, f"{prefix}resid_mid") != stack.parallel, prefix
        if not layer.post_norm:
            equal(layer_sum(case, case.plain, prefix), case.plain[f"{prefix}resid_post"], prefix)
            if has(case, f"{prefix}resid_mid"):
                sum_ = case.plain[f"{prefix}resid_mid"] + case.plain[f"{prefix}mlp_out"]
                equal(sum_, case.plain[f"{prefix}resid_post"], f"{prefix}resid_mid")
            continue
        norms = own_norms(case, layer.path, stack.width)
        before = case.plain[f"{prefix}resid_mid"] + case.plain[f"{prefix}mlp_out"]
        with torch.no_grad():
            ends = [norm(before) for norm in norms]
            after = case.plain[f"{prefix}resid_post"]
            assert sum(torch.allclose(end, after, atol=2e-4) for end in ends) == 1, f"{prefix}resid_post"
            if stack.name == "decoder" and case.family.seq2seq:
                continue  # two norms stand between; the sums above and below them are checked by the parts' own
            first = case.plain[f"{prefix}resid_pre"] + case.plain[f"{prefix}attn_out"]
            mids = [norm(first) for norm in norms]
            middle = case.plain[f"{prefix}resid_mid"]
            assert sum(torch.allclose(mid, middle, atol=2e-4) for mid in mids) == 1, f"{prefix}resid_mid"


@every_family
def test_a_stack_is_the_sum_of_its_layers(case: Case) -> None:
    for stack in case.stacks:
        # RWKV halves the stream every second layer.
        assert stack.linked == (case.family.family != "rwkv")
        if stack.post_norm or case.family.family in ONE_MIXER | {"rwkv"}:
            continue
        total = case.plain[f"{stack.prefix}embed"]
        for index in range(len(stack.layers)):
            for part in ADDED:
                if has(case, site := f"{stack.prefix}layers.{index}.{part}"):
                    total = total + case.plain[site]
        equal(total, case.plain[f"{stack.prefix}layers.{len(stack.layers) - 1}.resid_post"], stack.name)


@every_family
def test_the_heads_and_the_bias_sum_to_the_projection(case: Case) -> None:
    for one in case.attentions():
        assert one.heads.projection is not None
        bias = getattr(case.module(one.heads.projection), "bias", None)
        total = case.plain[f"{one.prefix}head_out"].sum(dim=2) + (0 if bias is None else bias.detach())
        equal(total, case.plain[f"{one.prefix}out"], one.prefix)
        two = case.plain.head_out(one.layer, heads=[2, 0], stack=one.stack, kind=one.kind)
        equal(two, case.plain[f"{one.prefix}head_out"][:, :, [2, 0]], one.prefix)


@every_family
def test_the_final_norm_is_of_the_last_layer(case: Case) -> None:
    for stack in case.stacks:
        if stack.final_norm is None:
            continue
        last = case.plain[f"{stack.prefix}layers.{len(stack.layers) - 1}.resid_post"]
        with torch.no_grad():
            equal(case.module(stack.final_norm)(last), case.plain[f"{stack.prefix}final_norm"], stack.name)
