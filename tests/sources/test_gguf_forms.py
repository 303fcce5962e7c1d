"""A GGUF file in few bits, with an adapter, with another kernel; and where it could not be kept, which those need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch

import explorer
from explorer import cache
from explorer.cache_entries import LIMIT_VARIABLE
from tests.conftest import tiny
from tests.sources.gguf_writing import write
from tests.sources.test_gguf import _IDS


def _original() -> Any:
    return tiny("llama", vocab_size=300, hidden_size=64, intermediate_size=64, head_dim=16)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "cache"))
    return write(_original(), tmp_path / "model.gguf")


@pytest.fixture
def lora(tmp_path: Path) -> tuple[Path, Any]:
    """An adapter's folder, and the model with it."""
    torch.manual_seed(1)
    adapted = peft.get_peft_model(_original(), peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(tmp_path / "lora")
    return tmp_path / "lora", adapted.eval()


@pytest.mark.parametrize(("kind", "step"), [("int8", 1 / 127), ("int4", 0.2)])
def test_a_converted_file_is_rounded_like_any_other(kind: str, step: float, file: Path) -> None:
    model, plain = explorer.load(file, quantize=kind), explorer.load(file)
    assert model.quantised.startswith(kind)
    path = "model.layers.1.mlp.up_proj"
    exact = plain.weight(path).tensor
    off = (model.weight(path).tensor - exact).abs().max()
    assert 0 < off <= step * exact.abs().max()  # half a step of the coarsest scale
    (row,) = [row for row in model.check(_IDS).rows if row.what == "difference to full precision"]
    largest = float((model.trace(_IDS).logits - plain.trace(_IDS).logits).abs().max())
    assert f"largest {largest:.3g}," in row.note


def test_a_converted_file_takes_an_adapter_and_a_kernel(file: Path, lora: tuple[Path, Any]) -> None:
    folder, adapted = lora
    model = explorer.load(file, adapter=folder, attention="eager")
    assert model.hf.config._attn_implementation == "eager"
    with torch.no_grad():
        torch.testing.assert_close(model.trace(_IDS).logits, adapted(_IDS).logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.trace(_IDS, adapter=None).logits, _original()(_IDS).logits, rtol=1e-4, atol=1e-4)


def test_a_file_that_could_not_be_kept_says_what_that_rules_out(
    file: Path, lora: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1k")
    with pytest.raises(explorer.Refused, match=r"quantize='int8' needs .* kept as safetensors.* not kept: .*1\.0 kB"):
        explorer.load(file, quantize="int8")
    with pytest.raises(explorer.Refused, match=r"attention='eager', device='auto' needs .*not kept"):
        explorer.load(file, attention="eager", device="auto")
    folder, adapted = lora
    with pytest.warns(UserWarning, match="not kept"):
        model = explorer.load(file, adapter=folder)
    with torch.no_grad():
        torch.testing.assert_close(model.trace(_IDS).logits, adapted(_IDS).logits, rtol=1e-4, atol=1e-4)
