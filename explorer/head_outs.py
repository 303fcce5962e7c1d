"""What each head adds through the output projection, and how a pass is changed there.

The projection is linear but for its bias, so its result is the sum of what it makes of each head's part alone. The
module itself is run on the parts, so quantised and adapted projections give their own numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from explorer.anatomy import Place
from explorer.plans import Change, Plan
from explorer.recording import session
from explorer.sites import Site


def head_outputs(projection: Callable[[Tensor], Any], given: Tensor, heads: Sequence[int], count: int) -> Tensor:
    """What each head adds: (batch, position, head, width), without the bias.

    Args:
        projection: the output projection.
        given: (batch, position, width), what it receives.
        heads: which heads.
        count: how many there are.
    """
    width = given.shape[-1] // count
    nothing = projection(torch.zeros_like(given[:1, :1]))
    parts = []
    for head in heads:
        alone = torch.zeros_like(given)
        alone[..., head * width : (head + 1) * width] = given[..., head * width : (head + 1) * width]
        parts.append(projection(alone) - nothing)
    return torch.stack(parts, dim=2)


def through_the_projection(site: Site, change: Change) -> list[tuple[str, Place, Change]]:
    """Changes what heads add by changing their sum, the projection's result.

    Args:
        site: the `head_out` of an attention.
        change: of (batch, position, head, width).

    Returns:
        The changes as (name, place, change): the first only looks at what the projection receives.
    """
    heads = site.heads
    assert heads is not None
    assert heads.projection is not None  # or there would be no such site
    path, count = heads.projection, heads.heads
    seen: list[Tensor] = []

    def look(given: Tensor) -> Tensor:
        seen[:] = [given]
        return given

    def at_result(result: Tensor) -> Tensor:
        current = session()
        assert current is not None  # changes are made by a plan that is being carried out
        given = seen.pop()
        if given.dim() == 2:  # texts and positions as one axis
            given = given.reshape(current.texts, -1, given.shape[-1])
        # Not the module's own call, whose hooks are running now.
        parts = head_outputs(current.modules[path].forward, given, range(count), count)
        changed = change(parts)
        if _kept(current.plan, site.address.rpartition(".")[0]):
            narrow = current.plan.narrow
            current.recording.hidden[site.address] = changed if narrow is None else narrow(site.address, changed)
        return result if changed is parts else result + (changed - parts).sum(dim=2).reshape(result.shape)

    return [
        (f"{site.address} given", Place(path, "in", heads.call), look),
        (site.address, Place(path, "out", heads.call), at_result),
    ]


def _kept(plan: Plan, prefix: str) -> bool:
    """Whether a pass keeps what these heads did; what they add after an edit cannot be computed from z."""
    return plan.kept is None or prefix in plan.kept or prefix in plan.replays or f"{prefix}.z" in plan.places
