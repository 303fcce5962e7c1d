"""What heads move from key to query, against the weights of the output projections themselves."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

import explorer
from tests.conftest import tiny
from tests.families.cases import Case, case
from tests.families.configs import FAMILIES, UNLISTED

every_family = pytest.mark.parametrize("case", [*FAMILIES, *UNLISTED], indirect=True)


def matrix(module: Any) -> Tensor:
    """(input, output) of a linear module, read from its weight."""
    weight: Tensor = module.weight.detach().double()
    return weight if isinstance(module, Conv1D) else weight.T


def moved(trace: Any, one: Any, projection: Tensor) -> Tensor:
    """(batch, head, query, key, stream): weight x value x projection, the query's gate in it."""
    prefix, heads = one.prefix, one.heads
    pattern = trace[f"{prefix}pattern"].double()
    value = trace[f"{prefix}v"].double().repeat_interleave(heads.heads // heads.kv_heads, dim=2).transpose(1, 2)
    mixed = pattern[..., None] * value[:, :, None]  # (batch, head, query, key, value width)
    if heads.gated:
        given = trace._recording.hidden[f"{prefix}gated"].double()
        z = trace[f"{prefix}z"].double()
        mixed = mixed * (given.reshape(z.shape) / z).transpose(1, 2)[:, :, :, None]
    parts = projection.reshape(heads.heads, heads.value_width, -1)
    return torch.einsum("bhqkv,hvd->bhqkd", mixed, parts)


@every_family
def test_lengths_are_those_of_what_is_moved_and_sum_to_what_heads_add(case: Case) -> None:
    for one in case.attentions():
        where = {"stack": one.stack, "kind": one.kind}
        if one.heads.projection is None or one.heads.how == "replay":
            with pytest.raises(explorer.Refused):
                case.plain.norm_weighted(one.layer, **where)
            continue
        vectors = moved(case.plain, one, matrix(case.module(one.heads.projection)))
        lengths = case.plain.norm_weighted(one.layer, **where)
        torch.testing.assert_close(lengths.double(), vectors.norm(dim=-1), atol=2e-5, rtol=2e-4)
        added = case.plain[f"{one.prefix}head_out"].double()
        torch.testing.assert_close(vectors.sum(3).transpose(1, 2), added, atol=1e-4, rtol=1e-3)
        some = case.plain.norm_weighted(one.layer, heads=[2, 0], queries=[1, 0], **where)
        torch.testing.assert_close(some, lengths[:, [2, 0]][:, :, [1, 0]])


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3_next", "bert"])
def test_texts_of_a_batch_are_told_apart(name: str) -> None:
    found = case(name)
    one = found.attentions()[-1]
    texts = [found.given["inputs"], found.given["inputs"][::-1]]
    together = found.model.trace(texts)
    lengths = together.norm_weighted(one.layer)
    for index, text in enumerate(texts):
        alone = found.model.trace(text).norm_weighted(one.layer)
        torch.testing.assert_close(lengths[index : index + 1], alone, atol=2e-5, rtol=2e-4)


def test_half_precision_lengths_are_those_of_the_same_weights() -> None:
    hf = tiny("llama").to(torch.bfloat16)
    same = copy.deepcopy(hf).float()
    narrow = explorer.attach(hf).trace([5, 17, 3, 88]).norm_weighted(1)
    wide = explorer.attach(same).trace([5, 17, 3, 88]).norm_weighted(1)
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow, wide, atol=0.05 * float(wide.max()), rtol=0.05)


def test_an_adapter_of_its_pass_is_in_what_is_moved(tmp_path: Path) -> None:
    hf = tiny("llama")
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["v_proj", "o_proj"])
    adapted = peft.get_peft_model(copy.deepcopy(hf), config)
    for name, parameter in adapted.named_parameters():
        if "lora" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(tmp_path / "lora")
    merged = explorer.attach(adapted.merge_and_unload().eval()).trace([5, 17, 3, 88]).norm_weighted(1)
    model = explorer.attach(hf)
    model.add_adapter(tmp_path / "lora", "lora")
    beside = model.trace([5, 17, 3, 88], adapter="lora").norm_weighted(1)
    torch.testing.assert_close(beside, merged, atol=1e-4, rtol=1e-3)
    assert (beside - model.trace([5, 17, 3, 88]).norm_weighted(1)).abs().max() > 0.05


def test_edits_before_the_mixing_count_and_edits_after_it_are_refused() -> None:
    model = case("llama").model
    plain = model.trace([5, 17, 3, 88])
    doubled = model.trace([5, 17, 3, 88], edits=explorer.Scale("layers.1.attn.v", 2.0))
    torch.testing.assert_close(doubled.norm_weighted(1), 2 * plain.norm_weighted(1))
    for site in ("layers.1.attn.z", "layers.1.attn.head_out"):
        edited = model.trace([5, 17, 3, 88], edits=explorer.Ablate(site, heads=[0]))
        with pytest.raises(explorer.Refused, match="after they mixed the values"):
            edited.norm_weighted(1)
        assert edited.norm_weighted(2).shape == (1, 4, 4, 4)
