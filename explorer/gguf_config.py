"""What a GGUF file says about the model and transformers does not read: without it the numbers would be wrong.

transformers fills what it does not read with the family's defaults, without a word. Here every key of the file is
either read, known to change nothing, or the file is refused.
"""

from __future__ import annotations

import math
from typing import Any

from explorer.errors import Refused
from explorer.gguf_header import Header

# llama.cpp's key: names in transformers' configs, the first that the config has.
_SAME = {
    "attention.key_length": ("head_dim",),
    "attention.layer_norm_epsilon": ("layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon"),
    "attention.sliding_window": ("sliding_window",),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "context_length": ("max_position_embeddings", "n_positions"),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
    "feed_forward_length": ("intermediate_size", "n_inner"),
    "final_logit_softcapping": ("final_logit_softcapping",),
    "ssm.time_step_rank": ("time_step_rank",),
}
_ROTARY = {
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_log_multiplier",
}
# Said by the weights' shapes as well, or of no meaning for the numbers.
_HARMLESS = {
    "attention.causal",
    "attention.value_length",
    "attention.group_norm_epsilon",
    "decoder_start_token_id",
    "tensor_data_layout",
    "use_parallel_residual",
    "vocab_size",
}
# These are read whole by transformers' newer way.
_READ_WHOLE = ("qwen35", "qwen35moe", "lfm2", "gpt-oss", "gpt_oss", "gemma4", "minimax-m2")
# llama.cpp scales queries of the largest Gemmas by width / heads (`LLM_TYPE_27B`), which it knows by their depth.
_LARGEST_GEMMA = {"gemma2": 46, "gemma3": 62}
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def complete(config: Any, header: Header) -> None:
    """Sets in a config what its GGUF file says and transformers did not read.

    Raises:
        Refused: the file says something about the model that cannot be expressed.
    """
    _set_special_tokens(config, header)
    if header.architecture in _READ_WHOLE:
        return
    _check_keys(config, header)
    for key, names in _SAME.items():
        value = header[key]
        if value is not None and not isinstance(value, list):
            _set(config, names, value)
    if any(tensor.name.endswith("attn_q.bias") for tensor in header.tensors):
        _set(config, ("attention_bias",), True)
    if header.architecture in _LARGEST_GEMMA:
        largest = config.num_hidden_layers == _LARGEST_GEMMA[header.architecture]
        width = config.hidden_size // config.num_attention_heads if largest else config.head_dim
        config.query_pre_attn_scalar = width
    _set_rotary(config, header)


def _set(config: Any, names: tuple[str, ...], value: Any) -> None:
    for name in names:
        if hasattr(config, name) and not isinstance(getattr(type(config), name, None), property):
            setattr(config, config.attribute_map.get(name, name), value)
            return


def _set_special_tokens(config: Any, header: Header) -> None:
    for name, key in (("bos_token_id", "bos"), ("eos_token_id", "eos")):
        value = header.metadata.get(f"tokenizer.ggml.{key}_token_id")
        if value is not None and header.architecture != "gemma4":  # its three ends are known to transformers
            setattr(config, name, value)
    padding = getattr(config, "pad_token_id", None)
    if padding is not None and padding >= config.vocab_size:  # another model's default
        config.pad_token_id = header.metadata.get("tokenizer.ggml.padding_token_id")


def _check_keys(config: Any, header: Header) -> None:
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING

    families: Any = GGUF_CONFIG_MAPPING
    read: dict[str, str | None] = families.get(config.model_type.removesuffix("_text"), {})
    known = {key for key, name in read.items() if name is not None} | set(_SAME) | _ROTARY | _HARMLESS
    if header["attention.head_count_kv"] == header["attention.head_count"]:  # plain heads, which need no telling
        known.add("attention.head_count_kv")
    unknown = [key for key in header.own_keys if key not in known and header[key] not in (0, 0.0, False, None)]
    if unknown:
        told = ", ".join(f"{header.architecture}.{key}={header[key]!r}" for key in unknown[:4])
        raise Refused(
            f"source={str(header.file)!r} says {told}, which transformers does not read from GGUF files: the numbers "
            "would be another model's. Open the original model instead."
        )


def _set_rotary(config: Any, header: Header) -> None:
    rotary = getattr(config, "rope_parameters", None)
    if not isinstance(rotary, dict):
        return
    by_layer = "full_attention" in rotary
    changed = dict(rotary["full_attention"] if by_layer else rotary)
    if header["rope.freq_base"] is not None:
        changed["rope_theta"] = header["rope.freq_base"]
    turned, width = header["rope.dimension_count"], _head_width(config)
    if turned is not None and turned != math.floor(width * changed.get("partial_rotary_factor", 1.0)):
        changed["partial_rotary_factor"] = turned / width
    changed.update(_scaling(header))
    config.rope_parameters = {**rotary, "full_attention": changed} if by_layer else changed


def _head_width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _scaling(header: Header) -> dict[str, Any]:
    """How the rotation is stretched for long texts."""
    kind = header["rope.scaling.type"] or "none"
    factors = header.floats("rope_freqs.weight")
    if factors is not None:
        return _llama3(header, factors)
    odd = header["rope.scaling.attn_factor"] not in (None, 1.0) or header["rope.scaling.yarn_log_multiplier"]
    if kind == "none":
        return {}
    if kind == "linear" and not odd:
        return {"rope_type": "linear", "factor": header["rope.scaling.factor"]}
    if kind == "yarn" and not odd and header["rope.scaling.original_context_length"]:
        given = {
            "rope_type": "yarn",
            "factor": header["rope.scaling.factor"],
            "original_max_position_embeddings": header["rope.scaling.original_context_length"],
            "beta_fast": header["rope.scaling.yarn_beta_fast"],
            "beta_slow": header["rope.scaling.yarn_beta_slow"],
        }
        return {key: value for key, value in given.items() if value is not None}
    raise Refused(
        f"source={str(header.file)!r} stretches its rotary positions in a way ({kind}) that cannot be read from a GGUF "
        "file; open the original model instead."
    )


def _llama3(header: Header, factors: list[float]) -> dict[str, Any]:
    """Llama 3.1's stretching, which a GGUF file gives as one factor a frequency; its settings are found again."""
    base, count = header["rope.freq_base"] or 10000.0, len(factors)
    settings: dict[str, Any] = {"rope_type": "llama3", "factor": max(factors), **_LLAMA3}
    low = _LLAMA3["original_max_position_embeddings"] / _LLAMA3["low_freq_factor"]
    high = _LLAMA3["original_max_position_embeddings"] / _LLAMA3["high_freq_factor"]
    for index, factor in enumerate(factors):
        wave = 2 * math.pi * base ** (index / count)
        if wave < high:
            expected = 1.0
        elif wave > low:
            expected = settings["factor"]
        else:
            smooth = (_LLAMA3["original_max_position_embeddings"] / wave - _LLAMA3["low_freq_factor"]) / (
                _LLAMA3["high_freq_factor"] - _LLAMA3["low_freq_factor"]
            )
            expected = 1 / ((1 - smooth) / settings["factor"] + smooth)
        if not math.isclose(factor, expected, rel_tol=1e-4):
            raise Refused(
                f"source={str(header.file)!r} stretches its rotary positions by factors of its own "
                f"({factor:.4g} at frequency {index}); open the original model instead."
            )
    return settings
