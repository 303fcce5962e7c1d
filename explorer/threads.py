"""How many of the processor's threads a short pass uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# Up to here a pass of a few tokens takes one thread a fraction of a second.
_SMALL = 1_000_000_000


@contextmanager
def one_thread(model: nn.Module) -> Iterator[None]:
    """Passes of a few tokens inside the block use one thread, where the model is small and on the CPU.

    Each multiplication of such a pass takes microseconds, and threads meet after every one. Where other processes keep
    the processor busy (a class on one server, a container with a quota), each meeting waits for its slowest thread:
    a pass of four tokens of the sample then took 3.9 s on two threads and 0.25 s on one.

    torch keeps the number for each thread of Python, so work in other threads is not slowed; only one that calls
    torch for the very first time meanwhile takes the number over.
    """
    usual = torch.get_num_threads()
    weights = list(model.parameters())
    small = sum(weight.numel() * weight.element_size() for weight in weights) <= _SMALL
    if usual == 1 or not small or any(weight.device.type != "cpu" for weight in weights):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
