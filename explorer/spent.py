"""What is said where memory ran out in the middle of a pass, and how what it held is let go."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from explorer.errors import ExplorerError

# What a reader can do about it.
LESS = (
    "Keep fewer layers, fewer positions or a narrower dtype, such as record=explorer.Record(layers=[0, 1], "
    "dtype='float16'), or give a shorter text or fewer texts."
)
# What torch's allocators say.
_SPENT = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


class NotEnoughMemory(ExplorerError, torch.OutOfMemoryError):  # noqa: N818 - reads as what happened
    """Memory ran out in the middle of a pass; the model is as it was, and what the pass held was let go."""


@contextmanager
def in_words() -> Iterator[None]:
    """Says in a sentence that memory ran out inside the block, and lets go of what it held there.

    Raises:
        NotEnoughMemory: memory ran out.
    """
    try:
        yield
    except NotEnoughMemory:
        raise
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not any(s in text.lower() for s in _SPENT):
            raise
        # The frames of the pass hold its tensors, and a notebook keeps the last error for as long as it lasts.
        traceback.clear_frames(error.__traceback__)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        first = text.splitlines()[0] if text else type(error).__name__
        raise NotEnoughMemory(f"Memory ran out in the middle of a pass ({first}). {LESS}") from None
