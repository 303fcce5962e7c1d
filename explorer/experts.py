"""What a mixture's experts receive: which of them run for each token, and what their results are multiplied with.

Families keep a layer's experts in one module, which is given the hidden state, the experts chosen for each token and
their weights, and returns the sum of weight times expert. That it does so is shown by running it again: its result
must be linear in the weights, whatever the order and the number of the chosen experts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from explorer.discovery import Call, close


@dataclass(frozen=True)
class Given:
    """What experts receive, batch and position as one axis.

    Attributes:
        chosen: (token, k), the experts that run.
        weights: (token, k), what their results are multiplied with.
    """

    chosen: Tensor
    weights: Tensor

    def table(self, count: int) -> Tensor:
        """(token, expert): each expert's weight, 0 where it is not chosen."""
        empty = self.weights.new_zeros(len(self.weights), count)
        return empty.scatter(1, self.chosen.long(), self.weights)

    def with_table(self, table: Tensor) -> Given:
        """The same choice with the weights of a table; others run where it gives weight to experts not chosen."""
        chosen = self.chosen.long()
        if not table.scatter(1, chosen, 0.0).any():
            return Given(self.chosen, table.gather(1, chosen))
        most = int((table != 0).sum(dim=1).max())
        # Where a token has fewer, the rest run with a weight of 0.
        chosen = table.detach().abs().topk(most, dim=1).indices
        return Given(chosen.to(self.chosen.dtype), table.gather(1, chosen))


def received(args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Given | None:
    """The choice among what a module receives: whole numbers, and weights of the same shape; None without them."""
    tables = [value for value in (*args, *keywords.values()) if isinstance(value, Tensor) and value.dim() == 2]
    whole = [value for value in tables if value.dtype in (torch.int32, torch.int64)]
    floating = [value for value in tables if value.is_floating_point()]
    pairs = [Given(one, other) for one in whole for other in floating if one.shape == other.shape]
    return pairs[0] if len(pairs) == 1 else None


def replaced(
    args: tuple[Any, ...], keywords: Mapping[str, Any], old: Given, new: Given
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a module receives, with another choice."""

    def swap(value: Any) -> Any:
        return new.chosen if value is old.chosen else new.weights if value is old.weights else value

    return tuple(swap(value) for value in args), {name: swap(value) for name, value in keywords.items()}


def experts_of(module: nn.Module, call: Call) -> int:
    """How many experts a module holds, from its call in a plain pass; 0 where it is not shown to be their sum."""
    if call.received is None:
        return 0
    args, keywords = call.received
    given = received(args, keywords)
    count = _count(module)
    if given is None or not count or not bool(((given.chosen >= 0) & (given.chosen < count)).all()):
        return 0
    if not torch.equal(given.table(count).gather(1, given.chosen.long()), given.weights):
        return 0  # an expert is chosen twice
    # Two parts of the weights, uneven and of both signs: what squares or squashes them does not add up.
    uneven = torch.linspace(-1.5, 2.5, given.weights.numel(), device=given.weights.device)
    part = given.weights * uneven.reshape(given.weights.shape).to(given.weights.dtype)
    last = given.chosen[:, -1:]
    wider = Given(
        torch.cat([given.chosen, last], 1), torch.cat([given.weights - part, torch.zeros_like(part[:, :1])], 1)
    )
    backwards = Given(given.chosen.flip(1), part.flip(1))
    with torch.no_grad():
        try:
            whole, one, other = (_run(module, args, keywords, given, new) for new in (given, backwards, wider))
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            return 0
    same = isinstance(whole, Tensor) and isinstance(one, Tensor) and isinstance(other, Tensor)
    return count if same and close(one + other, whole) and not close(one, whole) else 0


def _run(module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any], old: Given, new: Given) -> Any:
    args, keywords = replaced(args, keywords, old, new)
    return module(*args, **keywords)


def _count(module: nn.Module) -> int:
    """How many experts: the first axis that all of a module's stacked matrices share."""
    counts = {parameter.shape[0] for parameter in module.parameters() if parameter.dim() == 3}
    return counts.pop() if len(counts) == 1 else 0
