"""Whose adapter is whose: every wrapper is found, a person's own switches count, whole blocks may be replaced."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

import explorer
from explorer import adapters
from tests.conftest import snapshot, tiny

IDS = torch.tensor([[3, 1, 4, 1, 5, 9]])
CONFIGS = {
    "lora": peft.LoraConfig(r=4, target_modules=["q_proj", "o_proj", "down_proj"]),
    "block": peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["mlp"]),
    "attention": peft.LoraConfig(r=2, target_modules=["down_proj"], modules_to_save=["self_attn"]),
    "tokens": peft.LoraConfig(r=2, target_modules=["v_proj"], trainable_token_indices=[3, 5]),
    "other": peft.LoraConfig(r=2, target_modules=["v_proj", "down_proj"]),
}


def _wrapped(*names: str) -> Any:
    """PEFT's own model with several adapters, the first of which is on."""
    first, *others = names
    model = peft.get_peft_model(tiny("llama"), copy.deepcopy(CONFIGS[first]), adapter_name=first)
    for name in others:
        model.add_adapter(name, copy.deepcopy(CONFIGS[name]))
    for number, (key, parameter) in enumerate(model.named_parameters()):
        if any(f".{name}" in key for name in names):
            torch.manual_seed(number)
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.mark.parametrize("names", [("lora", "other"), ("block", "lora"), ("lora", "block"), ("tokens", "lora")])
def test_every_wrapper_is_found_and_what_it_holds_is_told(names: tuple[str, ...]) -> None:
    hf = _wrapped(*names).get_base_model()
    found = adapters.all_wrappers(hf)
    assert {id(module) for module in found} == {id(module) for module in hf.modules() if adapters._wraps(module)}
    assert len({id(module) for module in found}) == len(found)
    paths = {id(module): path for path, module in hf.named_modules()}
    for at, module in enumerate(found):
        assert not any(paths[id(later)] + "." in paths[id(module)] for later in found[at + 1 :]), "outer ones first"
        for name in (*names, "nobody"):
            assert adapters.holds(module, name) == (name in adapters.held(module))


def test_a_pass_keeps_the_adapter_that_its_owner_switches_later() -> None:
    wrapped = _wrapped("lora", "other")
    expected = {name: _logits(wrapped, name) for name in ("lora", "other")}
    wrapped.set_adapter("lora")
    model = explorer.attach(wrapped)
    trace = model.trace(IDS)
    assert trace.adapters == ("lora",)
    wrapped.set_adapter("other")
    before = snapshot(model.hf)
    torch.testing.assert_close(trace.logits, expected["lora"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(trace.head_out(1).sum(2), trace["layers.1.attn.out"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(trace.lens_logits(2), expected["lora"], rtol=1e-4, atol=1e-4)
    assert wrapped.active_adapter == "other"
    assert snapshot(model.hf) == before
    torch.testing.assert_close(model.trace(IDS).logits, expected["other"], rtol=1e-5, atol=1e-5)
    with wrapped.disable_adapter():
        plain = model.trace(IDS)
        assert plain.adapters == ()
        torch.testing.assert_close(trace.lens_logits(2), expected["lora"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plain.logits, tiny("llama")(input_ids=IDS).logits)


def test_a_whole_block_that_an_adapter_replaces(tmp_path: Path) -> None:
    name = "block"
    wrapped = _wrapped(name)
    wrapped.save_pretrained(tmp_path, selected_adapters=[name])
    expected, plain = _logits(wrapped, name), tiny("llama")(input_ids=IDS).logits
    for model in (explorer.attach(wrapped), explorer.attach(tiny("llama"))):
        if not model.adapters:
            model.add_adapter(tmp_path / name, name)
        assert torch.equal(model.trace(IDS, adapter=None).logits, plain)
        trace = model.trace(IDS, adapter=name)
        torch.testing.assert_close(trace.logits, expected, rtol=1e-5, atol=1e-5)
        whole = trace["layers.0.resid_pre"] + sum(
            trace[f"layers.{layer}.{part}"] for layer in range(3) for part in ("attn_out", "mlp_out")
        )
        torch.testing.assert_close(whole, trace["layers.2.resid_post"], rtol=1e-4, atol=1e-5)


def test_a_whole_attention_that_an_adapter_replaces_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    wrapped = _wrapped("attention")
    wrapped.save_pretrained(tmp_path, selected_adapters=["attention"])
    expected, plain = _logits(wrapped, "attention"), tiny("llama")(input_ids=IDS).logits
    model = explorer.attach(tiny("llama"))
    earlier = model.trace(IDS)
    kept = earlier["layers.1.resid_post"]
    model.add_adapter(tmp_path / "attention", "attention")
    assert torch.equal(model.trace(IDS, adapter=None).logits, plain)
    trace = model.trace(IDS, adapter="attention")
    torch.testing.assert_close(trace.logits, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(earlier["layers.1.resid_post"], kept)
    whole = trace["layers.0.resid_pre"] + sum(
        trace[f"layers.{layer}.{part}"] for layer in range(3) for part in ("attn_out", "mlp_out")
    )
    torch.testing.assert_close(whole, trace["layers.2.resid_post"], rtol=1e-4, atol=1e-5)


def _logits(wrapped: Any, name: str) -> torch.Tensor:
    wrapped.set_adapter(name)
    with torch.no_grad():
        logits: torch.Tensor = wrapped(input_ids=IDS).logits
    return logits
