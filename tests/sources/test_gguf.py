"""GGUF files of tiny models, written as llama.cpp's converter writes them, against the models they were made of."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, FalconConfig, LlamaForCausalLM

import explorer
from explorer import cache
from explorer.cache_entries import entries
from explorer.gguf_header import read_header
from tests.conftest import tiny
from tests.sources.gguf_writing import write

_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_THETA = {"rope_parameters": {"rope_type": "default", "rope_theta": 50_000.0}}
# Settings that differ from each family's defaults, so that one which is not read from the file shows.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": _THETA,
    "mistral": {"sliding_window": None, **_THETA},
    "qwen2": _THETA,
    "qwen3": _THETA,
    "qwen2_moe": {**_EXPERTS, "shared_expert_intermediate_size": 24, **_THETA},
    "qwen3_moe": {**_EXPERTS, "norm_topk_prob": True, **_THETA},
    "gemma2": {"query_pre_attn_scalar": 8},
    "gemma3_text": {"query_pre_attn_scalar": 8, "sliding_window": 5},
    "phi3": {"sliding_window": 5, **_THETA},
    "bloom": {"n_layer": 3, "n_head": 4},
    "falcon": {"multi_query": True, "num_kv_heads": 1},
    "gpt2": {},
    "starcoder2": {"sliding_window": None, **_THETA},
    "stablelm": {"rope_parameters": {"rope_type": "default", "rope_theta": 50_000.0, "partial_rotary_factor": 0.5}},
    "nemotron": {"rope_parameters": {"rope_type": "default", "rope_theta": 50_000.0, "partial_rotary_factor": 0.5}},
    "mamba": {"state_size": 8, "time_step_rank": 4},
}
_VOCABULARY = 300
_IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6, 53, 58, 97, 93]])


def original(family: str) -> Any:
    """A tiny random model of a family."""
    if family != "falcon":
        return tiny(family, vocab_size=_VOCABULARY, **FAMILIES[family])
    sizes = {"vocab_size": _VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    torch.manual_seed(0)  # its head width cannot be set
    return AutoModelForCausalLM.from_config(FalconConfig(**sizes, **FAMILIES[family], initializer_range=0.2)).eval()


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(folder))
    return folder


def _logits(hf: Any) -> torch.Tensor:
    with torch.no_grad():
        logits = hf(_IDS).logits
    assert isinstance(logits, torch.Tensor)
    return logits


@pytest.mark.parametrize("family", FAMILIES)
def test_a_float32_file_gives_the_models_own_numbers(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hf = original(family)
    file = write(hf, tmp_path / "a model.gguf")
    model = explorer.load(file)
    # mamba's decay is stored as its exponential
    torch.testing.assert_close(_logits(model.hf), _logits(hf), atol=5e-6 if family == "mamba" else 0, rtol=0)
    assert type(model.hf) is (LlamaForCausalLM if family == "mistral" else type(hf))  # llama.cpp calls both llama
    assert model.name == "a model"
    assert "Converting" in capsys.readouterr().err
    again = explorer.load(file)
    assert torch.equal(_logits(again.hf), _logits(model.hf))
    assert "Converting" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q5_0", "Q4_1"])
def test_quantised_weights_are_what_the_gguf_package_makes_of_them(kind: str, tmp_path: Path) -> None:
    hf, stored = tiny("qwen2", vocab_size=_VOCABULARY, intermediate_size=64), gguf.GGMLQuantizationType[kind]
    model = explorer.load(write(hf, tmp_path / "model.gguf", kind=stored))
    for name, weight in hf.state_dict().items():
        expected = weight
        if weight.ndim > 1:
            expected = torch.from_numpy(gguf.dequantize(gguf.quantize(weight.numpy(), stored), stored))
        assert torch.equal(model.hf.state_dict()[name], expected), name
    assert model.dtype == torch.float32


def test_the_type_asked_for_is_the_type_that_is_kept(tmp_path: Path, cache_folder: Path) -> None:
    file = write(original("llama"), tmp_path / "model.gguf")
    assert explorer.load(file, dtype="bfloat16").dtype == torch.bfloat16
    assert explorer.load(file).dtype == torch.float32
    kept = sorted((cache_folder / "gguf").glob("model-*"))
    sizes = [(folder / "model.safetensors").stat().st_size for folder in kept]
    assert [("bfloat16" in folder.name, "float32" in folder.name) for folder in kept] == [(True, False), (False, True)]
    assert sizes[0] < 0.6 * sizes[1]


def test_where_a_converted_file_came_from_is_written_down(tmp_path: Path) -> None:
    file = write(original("llama"), tmp_path / "model.gguf")
    explorer.load(file)
    (entry,) = entries()
    origin = cache.origin(entry.folder)
    assert (entry.kind, entry.model) == ("gguf", "model")
    assert origin["file"] == str(file)
    assert origin["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_file_that_changed_is_converted_anew(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    first, second = original("llama"), original("qwen2")
    write(first, file)
    assert torch.equal(_logits(explorer.load(file).hf), _logits(first))
    write(second, file)
    assert torch.equal(_logits(explorer.load(file).hf), _logits(second))


def test_a_file_whose_size_and_time_are_as_they_were_is_not_read_again(tmp_path: Path) -> None:
    hf = original("llama")
    file = write(hf, tmp_path / "model.gguf")
    assert torch.equal(_logits(explorer.load(file).hf), _logits(hf))
    before = file.stat()
    with file.open("r+b") as opened:
        opened.write(bytes(100))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert torch.equal(_logits(explorer.load(file).hf), _logits(hf))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(explorer.Refused, match="does not begin with the letters GGUF"):
        explorer.load(file)


_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_theta": 500_000.0,
}
_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10_000.0}


@pytest.mark.parametrize(
    ("rotary", "keys"),
    [
        (
            {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0},
            {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0},
        ),
        (
            _YARN,
            {
                "rope.scaling.type": "yarn",
                "rope.scaling.factor": 4.0,
                "rope.scaling.original_context_length": 16,
            },
        ),
        (_LLAMA3, {}),
    ],
    ids=["linear", "yarn", "llama3"],
)
def test_stretched_positions_are_read(rotary: dict[str, Any], keys: dict[str, Any], tmp_path: Path) -> None:
    hf = tiny("llama", vocab_size=_VOCABULARY, rope_parameters=rotary)
    plain = tiny("llama", vocab_size=_VOCABULARY, rope_parameters={**_THETA["rope_parameters"]})
    extra = {}
    if rotary is _LLAMA3:  # the converter writes by how much each frequency is divided
        straight = 1 / (_LLAMA3["rope_theta"] ** (torch.arange(0, 8, 2) / 8))
        extra = {"rope_freqs.weight": (straight / hf.model.rotary_emb.inv_freq).numpy().astype(np.float32)}
    model = explorer.load(write(hf, tmp_path / "model.gguf", metadata=keys, extra=extra))
    assert not torch.allclose(_logits(hf), _logits(plain), atol=1e-3), "the stretching changes nothing here"
    torch.testing.assert_close(_logits(model.hf), _logits(hf), atol=1e-5, rtol=1e-5)


def test_positions_stretched_in_a_way_of_their_own_are_refused(tmp_path: Path) -> None:
    odd = {"rope_freqs.weight": np.array([1.0, 3.0, 2.0, 7.0], dtype=np.float32)}
    with pytest.raises(explorer.Refused, match="factors of its own"):
        explorer.load(write(original("llama"), tmp_path / "model.gguf", extra=odd))
    with pytest.raises(explorer.Refused, match="longrope"):
        explorer.load(write(original("llama"), tmp_path / "other.gguf", metadata={"rope.scaling.type": "longrope"}))


def test_a_setting_that_transformers_would_pass_over_is_refused(tmp_path: Path) -> None:
    file = write(original("llama"), tmp_path / "model.gguf", metadata={"logit_scale": 0.25})
    with pytest.raises(explorer.Refused, match=r"llama\.logit_scale=0\.25.*does not read"):
        explorer.load(file)


def test_weights_that_are_missing_or_left_over_are_refused(tmp_path: Path) -> None:
    with pytest.raises(explorer.Refused, match=r"lacks 1 of .*model\.layers\.1\.mlp\.up_proj\.weight"):
        explorer.load(write(original("llama"), tmp_path / "less.gguf", without="blk.1.ffn_up"))
    more = {"blk.0.attn_sinks.weight": np.zeros(4, dtype=np.float32)}
    with pytest.raises(explorer.Refused, match=r"has [\d,]+ weights and transformers' LlamaForCausalLM took"):
        explorer.load(write(original("llama"), tmp_path / "more.gguf", extra=more))


def test_an_architecture_that_transformers_does_not_read_is_refused_before_its_weights_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(file, "rwkv7")
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), dtype=np.float32))
    _finish(writer)
    with pytest.raises(explorer.Refused, match=r"'rwkv7', which transformers .* does not read .*llama"):
        explorer.load(file)
    assert "Converting" not in capsys.readouterr().err


def test_a_kind_of_quantisation_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    extra = {"blk.0.ffn_up.weight": np.zeros((48, 32), dtype=np.int32)}
    file = write(original("llama"), tmp_path / "model.gguf", extra=extra, without="blk.0.ffn_up")
    with pytest.raises(explorer.Refused, match=r"stored as I32 \(first in blk\.0\.ffn_up\.weight\)"):
        explorer.load(file)


@pytest.mark.parametrize("left", [0, 3, 20, 1000, -1])
def test_a_file_that_was_cut_short_is_refused(left: int, tmp_path: Path) -> None:
    file = write(original("llama"), tmp_path / "model.gguf")
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(explorer.Refused, match="etch"):
        explorer.load(file)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"PK\x03\x04" + bytes(1000))
    with pytest.raises(explorer.Refused, match="does not begin with the letters GGUF"):
        explorer.load(file)


def test_damaged_heads_are_refused_and_nothing_else_happens(tmp_path: Path) -> None:
    whole = write(original("llama"), tmp_path / "model.gguf").read_bytes()
    random, file = np.random.default_rng(0), tmp_path / "damaged.gguf"
    refused = 0
    for place in random.integers(4, 2500, size=60):
        damaged = bytearray(whole)
        damaged[place : place + 8] = bytes(random.integers(0, 256, size=8, dtype=np.uint8))
        file.write_bytes(damaged)
        try:
            header = read_header(file)
        except explorer.Refused:
            refused += 1
        else:
            assert header.tensors
    assert refused > 10


def test_more_than_the_memory_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    file = tmp_path / "large.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    width = 1 << 20
    writer.add_tensor_info("token_embd.weight", [width, width], np.dtype(np.float32), 4 * width * width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size + 64 + 4 * width * width)  # takes no room on the disk
    with pytest.raises(explorer.Refused, match=r"1,099,511,627,776 weights and takes about 4\.6 TB.*dtype='bfloat16'"):
        explorer.load(file)


def test_a_tokenizer_beside_the_file_is_compared_and_wins_where_they_differ(tmp_path: Path) -> None:
    folder = tmp_path / "with its tokenizer"
    folder.mkdir()
    file = write(original("llama"), folder / "model.gguf")
    rebuilt = explorer.load(file).tokenizer
    rebuilt.save_pretrained(folder)
    same = write(original("llama"), folder / "same.gguf", metadata={"context_length": 65})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert explorer.load(same).tokenizer("in the 1984").input_ids == rebuilt("in the 1984").input_ids
    pieces = pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=True)])
    rebuilt.backend_tokenizer.pre_tokenizer = pieces
    rebuilt.save_pretrained(folder)
    other = write(original("llama"), folder / "other.gguf", metadata={"context_length": 66})
    with pytest.warns(UserWarning, match=r"splits \d of 8 texts otherwise .*the original is used"):
        model = explorer.load(other)
    assert model.tokenizer("in the 1984").input_ids == rebuilt("in the 1984").input_ids
    with pytest.warns(UserWarning, match="the original is used"):  # said again when it comes from the cache
        explorer.load(other)


def test_a_rule_of_splitting_that_is_not_known_is_said(tmp_path: Path) -> None:
    file = write(original("llama"), tmp_path / "model.gguf", pre="a-new-rule")
    with pytest.warns(UserWarning, match="by the rule 'a-new-rule', which is not known"):
        explorer.load(file)


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
