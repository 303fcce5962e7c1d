"""What one pass over a text that grows reads: which of its rows are new, and which older keys they saw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from explorer.attention import AttentionCall
from explorer.errors import Refused

INSTEAD = "trace the finished text instead: model.trace([*generation.prompt.ids, *generation.ids[:-1]])"


class Reading:
    """What one pass reads.

    Attributes:
        ids: of all positions after it.
        fed: how many of them it is given.
        new: how many of them were not recorded before.
        masks: (identity of a mask, keys) -> the mask, the first position each query sees, and whether any is hidden.
        windowed: prefixes of attentions that hid older keys.
    """

    def __init__(self, ids: list[int], fed: int, new: int) -> None:
        self.ids = ids
        self.fed = fed
        self.new = new
        self.masks: dict[tuple[int, int], tuple[Tensor | None, Tensor, bool]] = {}
        self.windowed: set[str] = set()

    def new_rows(self, name: str, value: Any, axis: int = -2) -> Tensor:
        """The last rows of something that has one for each position the pass was given."""
        if not isinstance(value, Tensor) or value.dim() < 2 or value.shape[axis] != self.fed:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise Refused(
                f"{name} has no row for each of the {self.fed} positions a step reads ({shape}), so steps "
                f"cannot be joined; record other sites, or {INSTEAD}."
            )
        return value.narrow(axis, self.fed - self.new, self.new)

    def since(self, prefix: str, call: AttentionCall) -> Tensor:
        """The first position each query saw; what cannot be said in this way is refused."""
        start = len(self.ids) - call.keys
        known = self.masks.get((id(call.mask), call.keys))
        if known is None:
            first = first_seen(call)
            if first is None:
                raise Refused(f"{prefix} hides keys by a rule that is no window, so steps cannot be joined; {INSTEAD}.")
            known = call.mask, first + start, bool(first.any()) or start > 0
            self.masks[id(call.mask), call.keys] = known  # holds the mask, so that its id stays its own
        if known[2]:
            self.windowed.add(prefix)
        return known[1]


def first_seen(call: AttentionCall) -> Tensor | None:
    """(query,) the first key each query sees, where it sees all from there to its own; None where it does not."""
    queries, keys, device = call.queries, call.keys, call.query.device
    mask = call.mask
    if mask is None:
        return torch.zeros(queries, dtype=torch.long, device=device) if call.causal or queries == 1 else None
    mask = mask[..., :keys].expand(-1, -1, queries, -1)
    if mask.dtype != torch.bool:
        hidden = mask <= torch.finfo(mask.dtype).min / 2
        if bool(mask.masked_fill(hidden, 0.0).any()):
            return None
        mask = ~hidden
    visible = mask[0, 0]
    first = visible.to(torch.uint8).argmax(dim=-1)
    index = torch.arange(keys, device=device)
    own = torch.arange(keys - queries, keys, device=device)
    window = (index >= first[:, None]) & (index <= own[:, None])
    return first if bool((mask == window).all()) else None
