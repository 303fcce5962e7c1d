"""A model's origin opens the same model again."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

import explorer
from explorer import origins
from explorer.loading import load
from tests.conftest import tiny, weights
from tests.model.test_forms import folder

pytestmark = pytest.mark.model


def again(model: explorer.Model) -> explorer.Model:
    made: explorer.Model = eval(model.origin, {"explorer": explorer})
    return made


def test_the_sample_is_opened_again(sample: explorer.Model) -> None:
    assert sample.origin == "explorer.load()"
    assert weights(again(sample).hf) == weights(sample.hf)
    named = explorer.load("minilm", dtype=torch.bfloat16)
    assert named.origin == 'explorer.load("minilm", dtype="bfloat16")'
    assert weights(again(named).hf) == weights(named.hf)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"dtype": "bfloat16", "attention": "eager", "check": False},
        {"task": "embedding", "device": torch.device("cpu")},
        {"quantize": "int8"},
        {"device": {"": "cpu"}},
        {"adapter": True},
    ],
    ids=lambda given: "-".join(given) or "plain",
)
def test_what_was_given_is_given_again(given: dict[str, Any], tmp_path: Path) -> None:
    hf = tiny("llama")
    path = folder(tmp_path / 'it\'s "one" 模型', hf)
    if given.get("adapter"):
        adapted = peft.get_peft_model(tiny("llama"), peft.LoraConfig(r=2, target_modules=["q_proj"]))
        adapted.save_pretrained(tmp_path / "lora")
        given = {"adapter": {"mine": tmp_path / "lora", "other": tmp_path / "lora"}}
    model = explorer.load(path, **given)
    other = again(model)
    assert other.origin == model.origin
    assert repr(other) == repr(model)
    assert other.hf.config._attn_implementation == model.hf.config._attn_implementation
    ids = torch.tensor([[3, 1, 4]])
    assert torch.equal(other.trace(ids)["layers.1.resid_post"], model.trace(ids)["layers.1.resid_post"])


def test_only_what_was_given_is_written() -> None:
    nothing = {name: one.default for name, one in inspect.signature(load).parameters.items()}
    assert origins.call(load, nothing) == "explorer.load()"
    given = {**nothing, "source": "a/b", "revision": "abc", "trust_remote_code": True, "device": {"model": 0}}
    assert origins.call(load, given) == (
        'explorer.load("a/b", revision="abc", device={"model": 0}, trust_remote_code=True)'
    )


def test_a_model_in_memory_says_so() -> None:
    assert explorer.attach(tiny("llama")).origin == "explorer.attach(hf_model, tokenizer)"
