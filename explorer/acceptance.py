"""What cannot be looked into, told from the object alone, before anything is run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from explorer.errors import Refused


def check_plain(model: Any) -> None:
    """Refuses wrapped and compiled models, and those whose weights were never loaded.

    A compiled module runs code that was made before our hooks were there; a wrapper for several devices runs copies
    of the model that hooks do not belong to. Either would record something else than what is computed.

    Raises:
        Refused: the sentence says what to attach instead.
    """
    if not isinstance(model, nn.Module):
        return
    for path, module in model.named_modules():
        at = f" at {path}" if path else ""
        if "_orig_mod" in module._modules:
            advice = "attach what was compiled (compiled._orig_mod)" if not path else "load the model without it"
            raise Refused(f"model is compiled by torch.compile{at}, so hooks would not see what it computes; {advice}.")
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            raise Refused(
                f"model is wrapped in {type(module).__name__}{at}, which runs copies of it; attach the model inside "
                "(wrapped.module)."
            )
        if getattr(module, "_compiled_call_impl", None) is not None:
            raise Refused(
                f"model was compiled in place by {path or 'model'}.compile(), so hooks would not see what it computes; "
                "load it again without compiling."
            )
        if getattr(module, "_hf_hook", None) is None and any(
            p.is_meta for p in module._parameters.values() if p is not None
        ):
            raise Refused(
                f"model has weights on the meta device{at} that were never loaded; load it with from_pretrained, or "
                "with a device map that says where the weights are kept."
            )


def execution_device(model: nn.Module) -> torch.device:
    """Where inputs go: the device of the first weights, or the one that offloaded weights are brought to."""
    first = next(model.parameters()).device
    if first.type != "meta":
        return first
    for module in model.modules():
        place = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if place is not None:
            return torch.device(place)
    return first


def own_hooks(model: nn.Module) -> list[str]:
    """The modules that somebody else's hooks stand on, such as "model.layers.0 (1 forward)"."""
    found = []
    for path, module in model.named_modules():
        counts = {
            "forward": len(module._forward_hooks),
            "before forward": len(module._forward_pre_hooks),
            "backward": len(module._backward_hooks) + len(module._backward_pre_hooks),
        }
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        if told:
            found.append(f"{path or 'the model'} ({told})")
    return found
