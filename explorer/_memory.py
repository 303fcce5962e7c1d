"""Giving memory back to the system.

glibc keeps freed memory in its heap for whoever asks next. A pass over a long text frees hundreds of megabytes
between the tensors that a trace keeps; they would stay with the process, mostly in holes that nothing fits into.
Tried with the sample: a trace of 4,096 tokens held 1.9 times its own bytes before this, and 1.0 times after it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.inputs import Inputs
    from explorer.model import Model

# Bytes of one activation in all layers from which on holes are looked for. Passes that reach it take a second and
# more, and giving back takes milliseconds; in shorter ones the holes are small and the next pass uses them.
_LARGE = 32_000_000


def is_large(model: Model, given: Inputs) -> bool:
    """Whether a pass leaves holes in the heap that are worth giving back; never on an accelerator."""
    if model.device.type != "cpu":
        return False
    positions = len(given.lengths) * max(given.lengths, default=0)
    widths = sum(len(stack.layers) * stack.width for stack in model.anatomy.stacks)
    return positions * widths * model.dtype.itemsize >= _LARGE


def give_back() -> None:
    """Returns the heap's free pages to the system; does nothing where the C library is not glibc."""
    trim = _trim()
    if trim is not None and not sys.is_finalizing():
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """glibc's `malloc_trim`, or None. Other Python threads go on while it runs: ctypes releases the lock."""
    try:
        function = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or a system that has none under that name
        return None
    function.argtypes, function.restype = [ctypes.c_size_t], ctypes.c_int
    return function
