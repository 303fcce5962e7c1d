"""Rows of one tensor that are made one after another, and come to lie in one tensor.

It grows by half when it is full, so that reading copies nothing and writing costs little more than the rows themselves.
"""

from __future__ import annotations

from torch import Tensor

_SPARE = 16


class Rows:
    """Rows that come one after another, in one tensor with room to grow. Rows that were written stay as they are."""

    def __init__(self, first: Tensor, axis: int, limit: int) -> None:
        self._buffer = first  # by reference, until there is more
        self._axis = axis
        self._limit = limit

    def write(self, start: int, new: Tensor) -> None:
        """Writes rows from `start` on; all before it have been written."""
        count = new.shape[self._axis]
        if self._buffer.shape[self._axis] < start + count:
            shape = list(new.shape)
            shape[self._axis] = min(self._limit, max(start + count + _SPARE, (start + count) * 3 // 2))
            grown = self._buffer.new_empty(shape)
            grown.narrow(self._axis, 0, start).copy_(self.view(start))
            self._buffer = grown
        self._buffer.narrow(self._axis, start, count).copy_(new)

    def view(self, length: int) -> Tensor:
        """The first rows, where they lie."""
        return self._buffer.narrow(self._axis, 0, length)
