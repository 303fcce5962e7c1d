"""The matrix that a linear module really applies, whatever form its weights are kept in.

It is measured: the module itself is run on the unit vectors. Packed weights, adapters and weights that wait on the
CPU or on disk are thereby all treated alike, and no format is re-implemented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explorer import adapters, quantising
from explorer.acceptance import execution_device
from explorer.adapters import AS_IT_IS, Adapter
from explorer.errors import Refused

if TYPE_CHECKING:
    from explorer.model import Model


@dataclass(frozen=True, eq=False)
class Weight:
    """A linear module's matrix.

    Attributes:
        path: of the module.
        tensor: (output, input), a copy on the module's device.
        form: "as stored", or what was done to it, such as "dequantised from int8, adapter second".
    """

    path: str
    tensor: Tensor
    form: str

    def __repr__(self) -> str:
        return f"Weight({self.path}, {tuple(self.tensor.shape)}, {self.form})"


def weight(model: Model, path: str, adapter: Adapter = AS_IT_IS) -> Weight:
    """The matrix a linear module applies; see `Model.weight`."""
    try:
        module: Any = model.hf.get_submodule(path)
    except AttributeError:
        raise Refused(f"path={path!r} is no module of {model.name}; model.hf.named_modules() lists them.") from None
    core: Any = adapters.wrapped(module)
    if not isinstance(core, torch.nn.Linear):
        raise Refused(f"path={path!r} is a {type(core).__name__}; only linear modules have one matrix.")
    with model.lock, torch.no_grad(), model.evaluating(), adapters.using(model.hf, adapter) as adapted:
        unit = torch.eye(core.in_features, dtype=model.dtype, device=execution_device(core))
        bias = module(torch.zeros_like(unit[:1]))
        measured = (module(unit) - bias).T.contiguous()
        words = []
        bits = quantising.bits(core.weight)
        if bits is not None:
            words.append(f"dequantised from int{bits}")
        on = [name for name in adapted.names if module is not core and name in adapters.held(module)]
        words += [f"adapter {name}" for name in on]
        if not words and core.weight.device.type != "meta":
            measured = core.weight.detach().clone()  # the probe would round it where there is a bias
    return Weight(path, measured, ", ".join(words) or "as stored")
