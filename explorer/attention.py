"""Attention after the fact: scores and patterns from the queries, keys and mask that one call was given.

A pattern is computed for the heads and query rows somebody looks at, when they look. Memory therefore grows
with the number of tokens and not with its square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """What one attention module was given in one pass, held by reference.

    Attributes:
        query: (batch, head, query, width), after rotary embedding.
        key: (batch, key-value head, key, width), after rotary embedding, not repeated for grouped queries.
        value: (batch, key-value head, key, value width).
        z: (batch, query, head, value width), what the heads give before the output projection.
        mask: True (or 0.0) where a key may be seen, False (or the dtype's minimum) where not; broadcastable
            to (batch, head, query, key). None where `causal` says it all or nothing is hidden.
        scaling: factor on the dot products.
        causal: whether a missing mask means that later keys are hidden.
        softcap: c in tanh(score / c) * c, or None (Gemma 2).
        sinks: (head,) learned logits of a column that takes weight and is dropped, or None (gpt-oss).
        bias: added to the scores, broadcastable to (batch, head, query, key), or None (T5).
        sparse: whether the kernel chose keys by a rule of its own, so that no pattern can be computed.
        window: how far back the family told its kernel to look, or None; the mask is what counts.
        changed_scores: (batch, head, query, key), the scores an edit made, in place of the computed ones.
        changed_pattern: (batch, head, query, key), the pattern an edit made, in place of the computed one.
        since: (query,), the first key that each query sees of those up to its own, where a text was read piece by
            piece and a window hides the older ones. None where they are all seen, or `mask` tells.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    z: Tensor
    mask: Tensor | None
    scaling: float
    causal: bool
    softcap: float | None = None
    sinks: Tensor | None = None
    bias: Tensor | None = None
    sparse: bool = False
    window: int | None = None
    changed_scores: Tensor | None = None
    changed_pattern: Tensor | None = None
    since: Tensor | None = None

    def replaced(self, **changes: Any) -> AttentionCall:
        """The same call with other values."""
        return replace(self, **changes)

    @property
    def heads(self) -> int:
        return self.query.shape[1]

    @property
    def queries(self) -> int:
        return self.query.shape[2]

    @property
    def keys(self) -> int:
        return self.key.shape[2]

    def of_text(self, index: int) -> AttentionCall:
        """The call as if it had been given one text of its batch."""

        def one(values: Tensor | None) -> Tensor | None:
            return values if values is None or values.shape[0] == 1 else values[index : index + 1]

        return self.replaced(
            query=self.query[index : index + 1],
            key=self.key[index : index + 1],
            value=self.value[index : index + 1],
            z=self.z[index : index + 1],
            mask=one(self.mask),
            bias=one(self.bias),
            changed_scores=one(self.changed_scores),
            changed_pattern=one(self.changed_pattern),
        )

    def reach(self, queries: Sequence[int]) -> int:
        """How many of the first keys some rows see at most; the weights of all later ones are exactly 0."""
        changed = self.changed_scores is not None or self.changed_pattern is not None
        if changed or self.mask is not None or not self.causal or self.queries == 1:
            return self.keys
        return max(queries) + 1 + self.keys - self.queries

    def seen(self, queries: Sequence[int]) -> Tensor:
        """(query, 2) int32 on the CPU: the first key that a row of the first text may see, and the one after the last.

        Of a mask that hides keys in between, or not the same ones from all heads, the outermost count.
        """
        rows = torch.as_tensor(list(queries), dtype=torch.long)
        first = torch.zeros(len(rows), dtype=torch.int32)
        last = torch.full((len(rows),), self.keys, dtype=torch.int32)
        if self.changed_scores is not None or self.changed_pattern is not None:
            return torch.stack([first, last], dim=1)
        if self.mask is not None:
            mask = self.mask[0].flatten(end_dim=-3)[..., : self.keys]
            seen = (mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min).any(dim=0).cpu()
            seen = seen.expand(self.queries, self.keys)[rows].int()
            none = ~seen.any(dim=1)
            first = seen.argmax(dim=1).int()
            last = (self.keys - seen.flip(1).argmax(dim=1)).int().masked_fill(none, 0)
        elif self.causal and self.queries > 1:
            last = (rows + 1 + self.keys - self.queries).int()
        if self.since is not None:
            first = torch.maximum(first, self.since.cpu()[rows].int())
        return torch.stack([first, last], dim=1)

    def scores(self, heads: Sequence[int], queries: Sequence[int]) -> Tensor:
        """The softmax's input, (batch, head, query, key): scaled, softcapped, biased, hidden keys at -inf."""
        raw, hidden = self._scores(heads, queries, self.keys)
        return raw if hidden is None else raw.masked_fill(hidden, -torch.inf)

    def pattern(self, heads: Sequence[int], queries: Sequence[int], keys: int | None = None) -> Tensor:
        """The attention weights, (batch, head, query, key), by the rule of transformers' eager maths.

        The softmax runs in float32 and is cast back to the queries' dtype. Hidden keys get the dtype's
        minimum and not -inf, so a row that may see nothing (left padding) is uniform, as it is there.
        With learned sinks a row sums to less than one; nothing is renormalised.

        Args:
            heads: which heads.
            queries: which rows.
            keys: leave out the keys after so many, no fewer than `reach(queries)`; None keeps all.
        """
        keys = self.keys if keys is None else keys
        if self.changed_pattern is not None:
            return self.changed_pattern[:, list(heads)][:, :, list(queries), :keys]
        scores, hidden = self._scores(heads, queries, keys)
        if hidden is not None:
            scores.masked_fill_(hidden, torch.finfo(scores.dtype).min)
        own = self.changed_scores is None and not scores.requires_grad
        if own and self.sinks is None and scores.dtype == torch.float32:
            return torch.softmax(scores, dim=-1, out=scores)  # without a copy, which costs as much as the exponentials
        if self.sinks is None:
            return torch.softmax(scores, dim=-1, dtype=torch.float32).to(self.query.dtype)
        sink = self.sinks[list(heads)].reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1).to(scores.dtype)
        weights = torch.softmax(torch.cat([scores, sink], dim=-1), dim=-1, dtype=torch.float32)
        return weights[..., :-1].to(self.query.dtype)

    def _scores(self, heads: Sequence[int], queries: Sequence[int], keys: int) -> tuple[Tensor, Tensor | None]:
        if self.changed_scores is not None:
            changed = self.changed_scores[:, list(heads)][:, :, list(queries), :keys]
            return changed, changed == -torch.inf
        device = self.query.device
        head_index = torch.as_tensor(list(heads), dtype=torch.long, device=device)
        row_index = torch.as_tensor(list(queries), dtype=torch.long, device=device)
        # The scores are a tensor of this call alone, so what follows works in place: at thousands of tokens each
        # copy would cost as much as the product.
        scores = self._products(list(heads), list(queries), keys).mul_(self.scaling)
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        if self.bias is not None:
            scores = scores.add_(_chosen(self.bias, head_index, row_index)[..., :keys])
        hidden: Tensor | None = None
        if self.mask is not None:
            mask = _chosen(self.mask, head_index, row_index)[..., :keys]
            if mask.dtype == torch.bool:
                hidden = ~mask
            else:  # a float mask is added; its own minimum means "hidden"
                hidden = mask <= torch.finfo(mask.dtype).min / 2
                scores = scores.add_(mask.masked_fill(hidden, 0.0).to(scores.dtype))
        elif self.causal and self.queries > 1:
            first = self.keys - self.queries
            hidden = torch.arange(keys, device=device)[None, :] > (row_index[:, None] + first)
        if self.since is not None:
            older = torch.arange(keys, device=device)[None, :] < self.since[row_index][:, None]
            hidden = older if hidden is None else hidden | older
        return scores, hidden

    def _products(self, heads: list[int], rows: list[int], keys: int) -> Tensor:
        """Queries times keys, (batch, head, query, key), without repeating keys that several heads share."""
        batch, _, _, width = self.query.shape
        shared = self.key.shape[1]
        group = self.heads // shared
        query = _taken(_taken(self.query, heads, 1), rows, 2)
        key = self.key.narrow(2, 0, keys)
        if heads == list(range(self.heads)):
            together = query.reshape(batch, shared, group * len(rows), width)
            return torch.matmul(together, key.transpose(2, 3)).reshape(batch, self.heads, len(rows), keys)
        return torch.matmul(query, _taken(key, [head // group for head in heads], 1).transpose(2, 3))


def joined(pieces: Sequence[AttentionCall]) -> AttentionCall:
    """One call for several that a module made in a row, one for each image or window; none sees another's keys.

    Raises:
        ValueError: they are not pieces of one sequence that is seen in both directions without a mask.
    """
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    for piece in pieces:
        plain = piece.mask is None and piece.bias is None and not piece.sparse and piece.changed_pattern is None
        if not plain or (piece.causal and piece.queries > 1) or piece.queries != piece.keys:
            raise ValueError("a module attended several times in one call, in a way that is not read")
    size = [piece.queries for piece in pieces]
    owner = torch.repeat_interleave(torch.arange(len(size)), torch.tensor(size)).to(first.query.device)
    return first.replaced(
        query=torch.cat([piece.query for piece in pieces], dim=2),
        key=torch.cat([piece.key for piece in pieces], dim=2),
        value=torch.cat([piece.value for piece in pieces], dim=2),
        z=torch.cat([piece.z for piece in pieces], dim=1),
        mask=(owner[:, None] == owner[None, :])[None, None],
        causal=False,
    )


def _taken(values: Tensor, index: list[int], axis: int) -> Tensor:
    """Picks along one axis; a view where the index is a run, since a copy of long keys costs more than the rest."""
    if index == list(range(index[0], index[0] + len(index))):
        return values.narrow(axis, index[0], len(index))
    return values.index_select(axis, torch.tensor(index, device=values.device))


def _chosen(values: Tensor, heads: Tensor, rows: Tensor) -> Tensor:
    """Picks heads and query rows of something that is broadcast along either axis."""
    if values.shape[1] > 1:
        values = values[:, heads]
    if values.shape[2] > 1:
        values = values[:, :, rows]
    return values


def additive_mask(mask: Tensor | None, query: Tensor, key: Tensor, causal: bool) -> Tensor | None:
    """The mask as eager attention wants it: a float to add, with the dtype's minimum where hidden."""
    if mask is not None and mask.dtype != torch.bool:
        return mask
    if mask is None:
        if not causal or query.shape[2] == 1:
            return None
        rows, keys = query.shape[2], key.shape[2]
        mask = torch.ones(rows, keys, dtype=torch.bool, device=query.device).tril(keys - rows)[None, None]
    zero = torch.zeros((), dtype=query.dtype, device=query.device)
    return torch.where(mask, zero, torch.finfo(query.dtype).min)
