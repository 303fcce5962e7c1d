"""Weights in 8 or 4 bits: which library holds them, and what a model says about it.

Only the weights are rounded, never what flows between them. Projections stay linear, so the heads' parts still sum to
what attention adds, and gradients pass through. "int8" is torchao's, one scale for each output channel; "int4" is
bitsandbytes' 4-bit normal float (Dettmers et al. 2023), one scale for each 64 weights. bitsandbytes' own 8-bit form
rounds activations as well, so it is not offered.
"""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import torch
from torch import nn

from explorer.errors import Refused

_LIBRARIES = {"int8": "torchao", "int4": "bitsandbytes"}


def options(quantize: str | None, dtype: torch.dtype | str, config: Any) -> dict[str, Any]:
    """What transformers' `from_pretrained` is told, empty for weights as they are.

    Raises:
        Refused: `quantize` is not one of the two, its library is not installed, or the weights are quantised already.
    """
    if quantize is None:
        return {}
    if quantize not in _LIBRARIES:
        raise Refused(f"quantize={quantize!r} is not 'int8' or 'int4'; leave it out for the weights as they are.")
    if (kind := stored_kind(config)) is not None:
        raise Refused(f"quantize={quantize!r}: these weights are quantised with {kind!r} already; leave it out.")
    library = _LIBRARIES[quantize]
    if importlib.util.find_spec(library) is None:
        raise Refused(
            f"quantize={quantize!r} needs {library}, which is not installed; "
            "`pip install 'explorer-notebook[quantised]'` brings it."
        )
    if quantize == "int8":
        from torchao.quantization import Int8WeightOnlyConfig
        from transformers import TorchAoConfig

        return {"quantization_config": TorchAoConfig(Int8WeightOnlyConfig(version=2))}
    from transformers import BitsAndBytesConfig

    computed = dtype if isinstance(dtype, torch.dtype) else getattr(config, "dtype", None) or torch.float32
    described: Any = BitsAndBytesConfig
    four_bits = described(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=computed)
    return {"quantization_config": four_bits}


def stored_kind(config: Any) -> str | None:
    """How a model's file is quantised, such as "gptq"; None where it is not."""
    found = getattr(config, "quantization_config", None)
    if found is None:
        return None
    method = found.get("quant_method") if isinstance(found, dict) else getattr(found, "quant_method", None)
    return str(getattr(method, "value", method) or "a kind without a name")


def check_known(kind: str | None, name: str) -> None:
    """Refuses a kind that transformers passes over, leaving the weights it misses random."""
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    if kind is not None and kind not in AUTO_QUANTIZATION_CONFIG_MAPPING and kind != "bitsandbytes":
        raise Refused(
            f"source={name!r} is quantised with {kind!r}, which this transformers does not know; "
            "open the original model, or one quantised in another way."
        )


def would_round(hf: nn.Module) -> frozenset[str]:
    """The names of the weights that 8 or 4 bits round, of a model that is not rounded yet."""
    from transformers.quantizers.base import get_keys_to_not_convert
    from transformers.quantizers.quantizers_utils import should_convert_module

    kept = [*get_keys_to_not_convert(hf), *(getattr(hf, "_keep_in_fp32_modules", None) or ())]
    return frozenset(
        f"{path}.weight"
        for path, module in hf.named_modules()
        if isinstance(module, nn.Linear) and should_convert_module(path, kept)
    )


def size(entries: int, rows: int, kind: str | None, itemsize: float) -> float:
    """The bytes that a weight takes in a form.

    Args:
        entries: of the weight.
        rows: its output channels.
        kind: "int8", "int4" or None.
        itemsize: bytes of an entry that is not rounded, and of each channel's scale.
    """
    if kind == "int8":
        return entries + rows * itemsize
    if kind == "int4":
        return entries / 2 + entries / 64 * 4  # float32 scales
    return entries * itemsize


def settled(hf: nn.Module) -> None:
    """Makes 4-bit layers compute in the model's dtype, in one way, whether or not gradients are asked for.

    On processors with bfloat16 instructions bitsandbytes otherwise repacks the weights in the first pass and rounds
    what flows through them to bfloat16: the heads' parts would no longer sum to the whole.
    """
    module: Any
    for module in hf.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def bits(weight: object) -> int | None:
    """8 or 4 for a quantised weight, None for any other."""
    if getattr(weight, "quant_state", None) is not None:
        return 4
    data = getattr(weight, "qdata", None)
    return 8 if isinstance(data, torch.Tensor) and data.dtype == torch.int8 else None


def described(hf: nn.Module) -> str:
    """Such as "int8 (79% of the weights)"; empty for a model whose weights are as they are."""
    rounded: dict[str, int] = {}
    for weight in hf.parameters():
        width = bits(weight)
        if width is not None:
            rounded[f"int{width}"] = rounded.get(f"int{width}", 0) + _entries(weight)
    total = count(hf) if rounded else 1
    return " and ".join(f"{name} ({share / total:.0%} of the weights)" for name, share in rounded.items())


def count(hf: nn.Module) -> int:
    """How many weights a model has, packed ones counted one by one."""
    return sum(_entries(weight) for weight in hf.parameters())


def _entries(weight: torch.Tensor) -> int:
    packed: Any = getattr(weight, "quant_state", None)
    return weight.numel() if packed is None else math.prod(packed.shape)


def check_something_was(hf: nn.Module, quantize: str, title: str) -> None:
    """Raises `Refused` where no weight could be rounded."""
    if not described(hf):
        raise Refused(
            f"quantize={quantize!r} would change nothing: {title} ({type(hf).__name__}) keeps its weights in no linear "
            "layers that can be quantised; leave it out."
        )
