"""One attention of one text, whose weights are computed a few query rows at a time.

The whole of a long text's weights need not fit in memory, and what later positions hide from a row is not computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from explorer.attention import AttentionCall
from explorer.control import checkpoint
from explorer.errors import Refused

# Weights at a time: few enough for a processor's cache, enough that starting the work costs little beside it.
_AT_ONCE = 1_500_000


class AttentionRows:
    """The weights of one attention in one text, padding left out.

    Attributes:
        texts: how many texts (or images) the batch holds.
        heads: how many heads there are.
        queries: how many query rows.
        keys: how many keys.
        sinks: whether learned sinks take weight, so that rows sum to less than one.
        causal: whether a row sees no key after its own, so that `reach` grows with the row.
    """

    def __init__(
        self, source: AttentionCall | Tensor, text: int, queries: list[int] | None, keys: list[int] | None
    ) -> None:
        """Reads one text of a batch.

        Args:
            source: the recorded call; or the weights (batch, head, query, key), where a family gives nothing else.
            text: which of the batch.
            queries: how many rows of each text are no padding; None where there is none.
            keys: how many keys.

        Raises:
            Refused: there is no such text.
        """
        weights = source if isinstance(source, Tensor) else source.query
        self.texts = weights.shape[0]
        if isinstance(text, bool) or not isinstance(text, int) or not 0 <= text < self.texts:
            raise Refused(f"text={text!r} is out of range: this pass read {self.texts} (0 to {self.texts - 1}).")
        self._source = source[text] if isinstance(source, Tensor) else source.of_text(text)
        shape = source.shape[2:] if isinstance(source, Tensor) else (source.queries, source.keys)
        self.heads = weights.shape[1]
        self.queries = shape[0] if queries is None else min(shape[0], queries[text])
        self.keys = shape[1] if keys is None else min(shape[1], keys[text])
        self.sinks = isinstance(source, AttentionCall) and source.sinks is not None
        self.causal = self.reach([0]) < self.keys

    def reach(self, queries: Sequence[int]) -> int:
        """How many of the first keys some rows see at most; the weights of all later ones are exactly 0."""
        if isinstance(self._source, Tensor):
            return self.keys
        return min(self.keys, self._source.reach(queries))

    def seen(self) -> Tensor:
        """(query, 2) int32: the first key that each row may see, and the one after the last.

        What lies outside is hidden by the model's rule and no small weight; all keys, where the family tells no rule.
        """
        every = torch.tensor([[0, self.keys]], dtype=torch.int32).repeat(self.queries, 1)
        if isinstance(self._source, Tensor):
            return every
        return self._source.seen(range(self.queries)).clamp(max=self.keys)

    def weights(self, heads: Sequence[int], queries: Sequence[int], keys: int | None = None) -> Tensor:
        """(head, query, key), in the model's dtype.

        Args:
            heads: which heads.
            queries: which rows.
            keys: leave out the keys after so many, no fewer than `reach(queries)`; None keeps all.
        """
        keys = self.keys if keys is None else keys
        if isinstance(self._source, Tensor):
            return self._source[list(heads)][:, list(queries), :keys]
        with torch.no_grad():
            # padding comes last, and is hidden; what is left out of the softmax is what weighs nothing
            seen = self._source.keys if self._source.mask is not None else keys
            return self._source.pattern(heads, queries, max(seen, keys))[0, ..., :keys]

    def blocks(self, heads: Sequence[int], queries: Sequence[int], step: int = 1) -> Iterator[tuple[int, Tensor]]:
        """The weights of some rows in their order, block after block: (first row's index in `queries`, weights).

        Weights are (head, query, key) with as many of the first keys as any row of the block sees.

        Args:
            heads: which heads.
            queries: which rows, ascending.
            step: a block ends after a multiple of so many rows, but for the last.
        """
        for start, chosen in in_blocks(queries, len(heads) * self.keys, self.causal, step):
            yield start, self.weights(heads, chosen, self.reach(chosen))


def in_blocks(queries: Sequence[int], each: int, causal: bool, step: int = 1) -> Iterator[tuple[int, Sequence[int]]]:
    """Rows in blocks whose weights are worth computing at once: (first row's index, the block's rows).

    Args:
        queries: the rows, ascending.
        each: how many weights a row has.
        causal: whether later rows see more keys; of fewer rows at a time, less is computed that is hidden.
        step: a block ends after a multiple of so many rows, but for the last.

    Raises:
        Cancelled: the work was superseded.
    """
    rows = max(1, _AT_ONCE // each // step) * step
    if causal:
        rows = min(rows, max(1, -(-len(queries) // 4) // step) * step)
    for start in range(0, len(queries), rows):
        checkpoint()
        yield start, queries[start : start + rows]
