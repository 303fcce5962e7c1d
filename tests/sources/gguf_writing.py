"""GGUF files of tiny models, written the way llama.cpp's converter writes them: with the `gguf` package itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

Change = Callable[[np.ndarray, Any, str], np.ndarray]


def _paired(weights: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp turns neighbouring pairs where transformers turns halves: rows change places."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def _llama(weights: np.ndarray, config: Any, name: str) -> np.ndarray:
    if "attn_q." in name:
        return _paired(weights, config.num_attention_heads)
    if "attn_k." in name:
        return _paired(weights, config.num_key_value_heads)
    return weights


def _one_more(weights: np.ndarray, config: Any, name: str) -> np.ndarray:
    return weights + 1 if "norm.weight" in name else weights


def _bloom(weights: np.ndarray, config: Any, name: str) -> np.ndarray:
    if "attn_qkv" not in name:
        return weights
    by_head = weights.reshape(config.n_head, 3, -1, *weights.shape[1:])
    return by_head.swapaxes(0, 1).reshape(weights.shape)


def _gpt2(weights: np.ndarray, config: Any, name: str) -> np.ndarray:
    turned = name.endswith(("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight"))
    return weights.T if turned else weights


def _mamba(weights: np.ndarray, config: Any, name: str) -> np.ndarray:
    if name.endswith("ssm_a"):
        return -np.exp(weights)
    return weights.squeeze(1) if "ssm_conv1d.weight" in name else weights


_CHANGES: dict[str, Change] = {
    "llama": _llama,
    "mistral": _llama,
    "gemma2": _one_more,
    "gemma3": _one_more,
    "nemotron": _one_more,
    "bloom": _bloom,
    "gpt2": _gpt2,
    "mamba": _mamba,
}
_ARCHITECTURES = {
    "mistral": "llama",
    "gemma3_text": "gemma3",
    "qwen2_moe": "qwen2moe",
    "qwen3_moe": "qwen3moe",
}

MERGES = ["t h", "Ġ th", "i n"]


def architecture_of(config: Any) -> str:
    """What GGUF files call a model's type."""
    return _ARCHITECTURES.get(config.model_type, config.model_type)


def tokens(count: int) -> list[str]:
    """A byte-level vocabulary of `count` tokens, the first three of them special; only `MERGES` are ever made."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    merged = [merge.replace(" ", "") for merge in MERGES]
    return ["<unk>", "<s>", "</s>", *letters, *merged, *(f"z{a}{b}" for a in letters for b in letters)][:count]


def write(
    hf: Any,
    file: Path,
    *,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    metadata: dict[str, Any] | None = None,
    pre: str = "gpt-2",
    extra: dict[str, np.ndarray] | None = None,
    without: str = "",
) -> Path:
    """Writes a model as a GGUF file.

    Args:
        hf: a tiny transformers model.
        file: where to.
        kind: how matrices are stored; vectors stay float32.
        metadata: keys under the architecture's prefix, to add or replace.
        pre: the name of the rule that splits text.
        extra: further tensors.
        without: leave out the tensors whose name contains this.
    """
    config, architecture = hf.config, architecture_of(hf.config)
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name("tiny")
    for key, value in {**described(config), **(metadata or {})}.items():
        _add(writer, f"{architecture}.{key}", value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens(config.vocab_size))
    writer.add_token_types([3, 3, 3] + [1] * (config.vocab_size - 3))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, weights in tensors(hf, architecture).items():
        if without and without in name:
            continue
        stored = kind if weights.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(weights), stored), raw_dtype=stored)
    for name, weights in (extra or {}).items():
        writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def tensors(hf: Any, architecture: str) -> dict[str, np.ndarray]:
    """A model's weights under GGUF's names, laid out as llama.cpp wants them."""
    kind = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, len(_layers(hf)))
    change = _CHANGES.get(hf.config.model_type.removesuffix("_text"), lambda weights, config, name: weights)
    found: dict[str, np.ndarray] = {}
    tied = getattr(hf.config, "tie_word_embeddings", False)
    for name, weight in hf.state_dict().items():
        weights = weight.detach().float().numpy()
        if tied and name.endswith("lm_head.weight"):
            continue
        if name.endswith("experts.gate_up_proj"):
            stem = names.get_name(name.removesuffix("gate_up_proj") + "gate_proj")
            assert stem is not None
            gate, up = np.split(weights, 2, axis=1)
            found[f"{stem}.weight"], found[f"{stem.replace('gate', 'up')}.weight"] = gate, up
            continue
        name = name.removeprefix("transformer.") if architecture == "bloom" else name  # its converter reads the body
        stem, ending = name.rsplit(".", 1) if name.endswith((".weight", ".bias")) else (name, "")
        ours = names.get_name(stem)
        assert ours is not None, f"gguf has no name for {name}"
        full = f"{ours}.{ending}" if ending else (ours if "ssm" in ours or "exps" not in ours else f"{ours}.weight")
        weights = weights.squeeze() if "ffn_gate_inp_shexp" in full else weights
        found[full] = change(weights, hf.config, full)
    return found


def _layers(hf: Any) -> Any:
    return max((m for m in hf.modules() if isinstance(m, torch.nn.ModuleList)), key=len)


def described(config: Any) -> dict[str, Any]:
    """The keys that llama.cpp's converter writes for a config."""
    text = config.get_text_config()
    heads = None if hasattr(text, "state_size") else text.num_attention_heads
    rope = getattr(text, "rope_parameters", None) or {}
    if any(isinstance(value, dict) for value in rope.values()):
        rope = rope["full_attention"]
    known: dict[str, Any] = {
        "block_count": text.num_hidden_layers,
        "context_length": getattr(text, "max_position_embeddings", None),
        "embedding_length": text.hidden_size,
        "feed_forward_length": 4 * text.hidden_size if config.model_type == "gpt2" else _inner(text),
        "attention.head_count": heads,
        "attention.head_count_kv": _key_heads(text),
        "rope.freq_base": rope.get("rope_theta"),
        "expert_count": getattr(text, "num_experts", None),
        "expert_used_count": getattr(text, "num_experts_per_tok", None),
        "expert_feed_forward_length": getattr(text, "moe_intermediate_size", None),
        "expert_shared_feed_forward_length": getattr(text, "shared_expert_intermediate_size", None),
        "ssm.conv_kernel": getattr(text, "conv_kernel", None),
        "ssm.state_size": getattr(text, "state_size", None),
        "ssm.inner_size": getattr(text, "intermediate_size", None) if hasattr(text, "state_size") else None,
        "ssm.time_step_rank": getattr(text, "time_step_rank", None),
        "attention.sliding_window": getattr(text, "sliding_window", None),
        "attn_logit_softcapping": getattr(text, "attn_logit_softcapping", None),
        "final_logit_softcapping": getattr(text, "final_logit_softcapping", None),
    }
    if heads and getattr(text, "head_dim", None):
        known["attention.key_length"] = known["attention.value_length"] = text.head_dim
    if heads and rope:
        width = getattr(text, "head_dim", None) or text.hidden_size // heads
        known["rope.dimension_count"] = int(width * rope.get("partial_rotary_factor", 1.0))
    for name in ("rms_norm_eps",):
        if hasattr(text, name):
            known["attention.layer_norm_rms_epsilon"] = getattr(text, name)
    for name in ("layer_norm_epsilon", "layer_norm_eps", "norm_eps", "norm_epsilon"):
        if hasattr(text, name):
            rms = "rms_" if config.model_type in ("mamba",) else ""
            known[f"attention.layer_norm_{rms}epsilon"] = getattr(text, name)
    return {key: value for key, value in known.items() if value is not None}


def _inner(config: Any) -> int | None:
    return getattr(config, "intermediate_size", None)


def _key_heads(config: Any) -> int | None:
    """What the converter writes for each family: nothing where heads have no groups, or all heads."""
    if config.model_type in ("gpt2", "mamba"):
        return None
    if config.model_type == "bloom":
        return int(config.n_head)
    return int(config.num_kv_heads if config.model_type == "falcon" else config.num_key_value_heads)


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, list(value))
