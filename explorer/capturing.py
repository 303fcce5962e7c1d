"""Taking back what transformers leaves on a model whose own code asks for hidden states, as many image readers' does.

The first such pass puts a hook on every layer and leaves it there (`transformers.utils.output_capturing`); a look
inside a model must not be the one that does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from torch import nn

_FLAG = "_output_capturing_hooks_installed"
_SOURCE = "transformers.utils.output_capturing"


@contextmanager
def uncaptured(modules: Collection[nn.Module]) -> Iterator[None]:
    """Removes the hooks that transformers itself installs inside the block; those that were there stay."""
    flagged = {id(module) for module in modules if module.__dict__.get(_FLAG)}
    before = {id(module): set(module._forward_hooks) for module in modules if module._forward_hooks}
    try:
        yield
    finally:
        found = [module for module in modules if module.__dict__.get(_FLAG) and id(module) not in flagged]
        for module in found:
            delattr(module, _FLAG)
        for module in modules if found else ():
            new = set(module._forward_hooks) - before.get(id(module), set())
            for key in new:
                if getattr(module._forward_hooks[key], "__module__", "") == _SOURCE:
                    del module._forward_hooks[key]
                    for kept in (module._forward_hooks_with_kwargs, module._forward_hooks_always_called):
                        kept.pop(key, None)
