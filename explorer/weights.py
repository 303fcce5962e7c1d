"""A model's weights and classes, looked over once when it is opened."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from explorer.errors import Refused

# Where transformers puts modules that it fetched or copied from a model's own folder.
_FOREIGN = "transformers_modules."


def check_finite(hf: nn.Module, name: str) -> None:
    """Refuses a model with weights that are not numbers, and names the first.

    Args:
        hf: the model; weights that are not there yet (offloaded) or not floating point are passed over.
        name: what the reader called it.

    Raises:
        Refused: a weight is NaN.
    """
    with torch.no_grad():
        bad = [path for path, weight in hf.named_parameters() if _has_nan(weight)]
    if bad:
        others = f" and {len(bad) - 1:,} more weights" if len(bad) > 1 else ""
        raise Refused(
            f"{name} has weights that are not numbers: {bad[0]} holds NaN{others}. The file is damaged or was saved "
            "from a failed training; fetch it again, or open it with check=False to look into it."
        )


def foreign_code(*parts: Any) -> tuple[str, ...]:
    """Names the classes among a model and its tokenizer whose code came with the model."""
    names = [type(part).__name__ for part in parts if type(part).__module__.startswith(_FOREIGN)]
    return (f"runs its own code ({', '.join(names)})",) if names else ()


def _has_nan(weight: torch.Tensor) -> bool:
    if weight.is_meta or not weight.is_floating_point() or weight.numel() == 0:
        return False
    try:
        low, _ = torch.aminmax(weight.detach())  # one reading, nothing allocated; NaN wins over every number
    except (NotImplementedError, RuntimeError):  # packed types have no order
        return False
    return bool(torch.isnan(low))
