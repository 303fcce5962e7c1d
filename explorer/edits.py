"""Edits: values that say how a pass is changed.

An edit names a site and what happens there, for chosen heads, positions and neurons. It is immutable and
comparable, travels as JSON (its tensors beside), and acts wherever passes run: in a trace, in every step of a
generation, in attribution. Several edits act in the order in which they are given; one that fires nowhere is an
error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from explorer._edit import Edit, fill
from explorer._regions import (
    Span,
    broadcast,
    check_growing,
    checked_source,
    from_source,
    is_scores,
    number,
    position_axis,
)
from explorer.errors import Refused

__all__ = ["Ablate", "Apply", "Edit", "Patch", "Scale", "Steer", "checked_edits"]


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Ablate(Edit):
    """Takes something out.

    Attributes:
        by: what stands in its place: "zero", in scores the one that gives no weight (-inf), so that the other keys
            share it (attention knockout, Geva et al. 2023); "mean", the mean over the positions of this pass; a
            tensor, such as a mean over a reference set; or a trace of another text of the same length (resampling).
    """

    by: Any = "zero"

    def __init__(
        self,
        site: str,
        *,
        heads: Any = None,
        positions: Any = None,
        neurons: Any = None,
        experts: Any = None,
        by: Any = "zero",
    ):
        fill(self, site, (heads, positions, neurons, experts), by=by)
        if not isinstance(by, str):
            object.__setattr__(self, "by", checked_source(by, "by", self.site, "'zero', 'mean', "))
        elif by not in ("zero", "mean"):
            raise Refused(f"by={by!r} is not 'zero', 'mean', a tensor or a trace.")

    def value(self, before: Tensor, site: str, span: Span) -> Tensor:
        if isinstance(self.by, str):
            if self.by == "zero":
                return torch.full_like(before, -torch.inf if is_scores(site) else 0.0)
            if is_scores(site):
                raise Refused(f"by='mean' has no meaning at {site}, where later keys are hidden (-inf).")
            return before.mean(dim=position_axis(site), keepdim=True).expand_as(before)
        return from_source(self.by, before, site, span, self.positions, "by")

    def check_generation(self) -> None:
        if isinstance(self.by, str) and self.by == "mean":
            raise Refused("by='mean' needs the whole text at once; in generation give a tensor with the mean instead.")
        if not isinstance(self.by, str):
            check_growing(self, self.by, "by")

    @property
    def keeps_zeros(self) -> bool:
        return isinstance(self.by, str) and self.by == "zero"


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Scale(Edit):
    """Multiplies by a number."""

    factor: float = 1.0

    def __init__(
        self,
        site: str,
        factor: float,
        *,
        heads: Any = None,
        positions: Any = None,
        neurons: Any = None,
        experts: Any = None,
    ):
        fill(self, site, (heads, positions, neurons, experts), factor=number("factor", factor))

    def value(self, before: Tensor, site: str, span: Span) -> Tensor:
        return before * self.factor

    @property
    def keeps_zeros(self) -> bool:
        return True


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Patch(Edit):
    """Puts values from elsewhere in.

    Attributes:
        source: a trace that recorded the same site, or a tensor that broadcasts to the site's shape. It has as many
            positions as the pass, or one for all; with `positions`, at least as many as these need, and position p
            gets the value of its position p.
    """

    source: Any = None

    def __init__(
        self,
        site: str,
        source: Any,
        *,
        heads: Any = None,
        positions: Any = None,
        neurons: Any = None,
        experts: Any = None,
    ):
        fill(self, site, (heads, positions, neurons, experts), source=source)
        object.__setattr__(self, "source", checked_source(source, "source", self.site))

    def value(self, before: Tensor, site: str, span: Span) -> Tensor:
        return from_source(self.source, before, site, span, self.positions, "source")

    def check_generation(self) -> None:
        check_growing(self, self.source, "source")


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Steer(Edit):
    """Adds a direction.

    Attributes:
        vector: (width,) or anything that broadcasts to the site.
        strength: how much of it.
        relative: whether `strength` is a share of the norm that the value has at each position, the vector then
            being brought to length one.
    """

    vector: Any = None
    strength: float = 1.0
    relative: bool = False

    def __init__(
        self,
        site: str,
        vector: Tensor,
        strength: float = 1.0,
        positions: Any = None,
        *,
        heads: Any = None,
        neurons: Any = None,
        experts: Any = None,
        relative: bool = False,
    ):
        if not isinstance(vector, Tensor):
            raise TypeError(f"vector is a {type(vector).__name__}; a tensor is needed.")
        if not isinstance(relative, bool):
            raise TypeError(f"relative={relative!r} is a {type(relative).__name__}; True or False is needed.")
        fill(
            self,
            site,
            (heads, positions, neurons, experts),
            vector=vector.detach().clone(),
            strength=number("strength", strength),
            relative=relative,
        )

    def value(self, before: Tensor, site: str, span: Span) -> Tensor:
        vector: Tensor = self.vector.to(before)
        direction = broadcast(vector, before, site, "vector")
        if self.relative and is_scores(site):
            raise Refused(f"relative=True has no meaning at {site}, where hidden keys (-inf) leave no norm.")
        if not self.relative:
            return before + direction * self.strength
        length = direction.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(before.dtype).tiny)
        norms: Tensor = before.norm(dim=-1, keepdim=True)
        steered: Tensor = before + self.strength * norms * direction / length
        return steered


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Apply(Edit):
    """Does whatever a function says: it is given the site's value and returns one of the same shape.

    The one edit that does not travel as JSON.
    """

    function: Callable[[Tensor], Tensor] = field(default=lambda value: value)

    def __init__(
        self,
        site: str,
        function: Callable[[Tensor], Tensor],
        *,
        heads: Any = None,
        positions: Any = None,
        neurons: Any = None,
        experts: Any = None,
    ):
        if not callable(function):
            raise TypeError(f"function is a {type(function).__name__}; something to call is needed.")
        fill(self, site, (heads, positions, neurons, experts), function=function)

    def value(self, before: Tensor, site: str, span: Span) -> Tensor:
        after: Tensor = self.function(before.clone())
        return after


def checked_edits(edits: Any) -> tuple[Edit, ...]:
    """Edits from one edit or a sequence of them.

    Raises:
        TypeError: something else is given or is among them.
    """
    if edits is None or isinstance(edits, str | Tensor):
        raise TypeError(f"edits is a {type(edits).__name__}; one edit or a list of them is needed.")
    listed = (edits,) if isinstance(edits, Edit) else tuple(edits)
    for edit in listed:
        if not isinstance(edit, Edit):
            raise TypeError(f"edits holds a {type(edit).__name__}; Ablate, Scale, Patch, Steer and Apply are edits.")
    return listed
