"""The cache of a prefix: what a pass that continues a trace is given of the positions before it.

Attention needs the keys and values of all positions in one piece, and traces hold them in the pieces in which they
were recorded. Joining them anew for every letter that is typed costs more than the letter (18 of 70 ms after 1,024
tokens of the sample, on two cores). So the traces of a chain share joined tensors: each pass copies where it differs
from the pass before, and writes what is new behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from explorer.attention import AttentionCall
from explorer.segments import rows_of

# Rows behind the text, so that a letter seldom moves it. Memory that is not written yet costs nothing on a CPU.
_ROOM = 256


class PrefixCache:
    """The joined keys and values of every layer, used by one pass after another. Hold the model's lock."""

    def __init__(self) -> None:
        self._layers: list[tuple[Joined, Joined]] = []

    def of(self, config: Any, layers: Sequence[Sequence[AttentionCall]]) -> DynamicCache:
        """A cache that holds a prefix, for one pass; the next one overwrites what the pass adds.

        Args:
            config: of the model.
            layers: per layer, the calls that recorded the prefix, in order.
        """
        cache = DynamicCache(config=config)
        while len(self._layers) < len(layers):
            self._layers.append((Joined(), Joined()))
        cache.layers[:] = [Taken(*joined, calls) for joined, calls in zip(self._layers, layers, strict=True)]
        return cache


class Joined:
    """Pieces along the positions in one tensor with room behind. Its rows are overwritten, unlike those of `Rows`."""

    def __init__(self) -> None:
        self._buffer: Tensor | None = None
        self._pieces: list[tuple[Tensor, int]] = []  # what its first rows are copies of, and the version of each

    def with_new(self, pieces: Sequence[Tensor], new: Tensor) -> Tensor:
        """The pieces and what comes after them, (..., position, width), until the next call.

        Only the pieces that are others than before are copied.
        """
        length = sum(map(rows_of, pieces))
        whole = length + rows_of(new)
        buffer, known = self._buffer, self._known(pieces)
        self._pieces = []  # whatever happens before the end
        shape = [*new.shape[:-2], whole, new.shape[-1]]
        if buffer is None or not _has_room(buffer, shape, new):
            shape[-2] += _ROOM
            with torch.inference_mode(False):  # a tensor that passes in any mode may write to
                buffer, known = new.new_empty(shape), 0
            self._buffer = buffer
        at = 0
        for piece in pieces:
            end = at + rows_of(piece)
            if end > known:
                begin = max(at, known)
                buffer.narrow(-2, begin, end - begin).copy_(piece.narrow(-2, begin - at, end - begin))
            at = end
        buffer.narrow(-2, length, whole - length).copy_(new)
        self._pieces = [(piece, version_of(piece)) for piece in pieces]
        return buffer.narrow(-2, 0, whole)

    def _known(self, pieces: Sequence[Tensor]) -> int:
        """How many of the first rows are there already."""
        rows = 0
        for (before, version), piece in zip(self._pieces, pieces, strict=False):
            same = before.data_ptr() == piece.data_ptr() and before.stride() == piece.stride()
            if not same or version != version_of(piece):
                break
            rows += min(rows_of(before), rows_of(piece))
            if rows_of(before) != rows_of(piece):
                break
        return rows


class Taken(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer of a cache whose earlier part is in pieces until the model adds to it."""

    def __init__(self, keys: Joined, values: Joined, calls: Sequence[AttentionCall]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(calls[0].key, calls[0].value)
        self._joined = (keys, values)
        self._calls: Sequence[AttentionCall] | None = calls

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if self._calls is None:
            return super().update(key_states, value_states, *args, **kwargs)
        calls, self._calls = self._calls, None
        keys, values = self._joined
        self.keys = keys.with_new([call.key for call in calls], key_states)
        self.values = values.with_new([call.value for call in calls], value_states)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        if self._calls is not None:
            return sum(call.keys for call in self._calls)
        return super().get_seq_length()


def _has_room(buffer: Tensor, shape: Sequence[int], new: Tensor) -> bool:
    like = buffer.dtype == new.dtype and buffer.device == new.device
    others = (*buffer.shape[:-2], buffer.shape[-1]) == (*shape[:-2], shape[-1])
    return like and others and buffer.shape[-2] >= shape[-2]


def version_of(tensor: Tensor) -> int:
    """How often a tensor was changed in place; 0 for an inference tensor, which has no count."""
    return 0 if tensor.is_inference() else tensor._version
