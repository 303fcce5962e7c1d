"""Edits: values that say how a pass is changed.

An edit names a site and what happens there, for chosen heads, positions and neurons. It is immutable and
comparable, travels as JSON (its tensors beside), and acts wherever passes run: in a trace, in every step of a
generation, in attribution. Several edits act in the order in which they are given; one that fires nowhere is an
error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from explorer._regions import (
    Indices,
    Span,
    broadcast,
    check_growing,
    checked_source,
    described,
    equal,
    first_key,
    from_source,
    indices,
    is_pattern,
    is_scores,
    is_weights,
    number,
    position_axis,
    region,
    shown_value,
)
from explorer.errors import Refused

_WHOLE_TEXT = Span()


@dataclass(frozen=True, eq=False, kw_only=True)
class Edit:
    """What all edits share.

    Attributes:
        site: an address; wildcards (`layers.*.attn.z`) name several sites.
        heads: head indices, None for all; only for sites with heads. Keys and values have key-value heads.
        positions: positions of the whole text, None for all; for patterns and scores these are queries.
        neurons: indices along the last axis, None for all; for patterns and scores these are keys, so that
            `positions=5, neurons=2` is what position 5 takes from position 2. Rows of a changed pattern are not
            renormalised; a change of scores goes through the softmax, and keys that the mask hides stay hidden.
        experts: experts of a mixture, None for all; only at `router.weights`, what each expert's result is multiplied
            with (0 where it is not chosen). The router's choice stays, other weights are not renormalised, and an
            expert that is not chosen runs where an edit gives it weight. An edit fires where there is weight before
            or after it.
    """

    kinds: ClassVar[dict[str, type[Edit]]] = {}

    site: str
    heads: Indices = None
    positions: Indices = None
    neurons: Indices = None
    experts: Indices = None

    def __init_subclass__(cls) -> None:
        Edit.kinds[cls.__name__] = cls

    def __post_init__(self) -> None:
        if not isinstance(self.site, str) or not self.site:
            raise Refused(f"site={self.site!r} is not an address; model.sites() lists what there is.")
        for name in ("heads", "positions", "neurons", "experts"):
            object.__setattr__(self, name, indices(name, getattr(self, name), self.site))

    def value(self, before: Tensor, site: str, span: Span) -> Tensor:
        """What takes the place of `before` at a site, for all of it; the chosen region is cut out afterwards."""
        raise TypeError(f"{type(self).__name__} does not say what it does")

    def check_generation(self) -> None:
        """Raises `Refused` where the edit needs the whole text at once."""

    @property
    def keeps_zeros(self) -> bool:
        """Whether a weight of 0 stays 0, so that keys which a sliding cache has dropped need no edit."""
        return False

    def change(self, before: Tensor, site: str, span: Span = _WHOLE_TEXT) -> Tensor:
        """The site's value with the edit done, in the same layout: (batch, position, [head,] width) or a pattern.

        It is `before` itself where the pass holds nothing of what the edit names.

        Raises:
            Refused: an index is out of range or the edit gives another shape, dtype or device.
        """
        mask = region(self, before, site, span)
        if is_pattern(site) and first_key(before, span) and not self.keeps_zeros:
            raise Refused(
                f"{self!r} may give weight to keys that the sliding cache of this layer has dropped at {site}; use "
                "Scale or Ablate by zero there, or trace the whole text."
            )
        if mask is not None and not mask.any():
            return before
        after = self.value(before, site, span)
        wanted = (before.shape, before.dtype, before.device)
        if not isinstance(after, Tensor) or (after.shape, after.dtype, after.device) != wanted:
            raise Refused(f"{self!r} gives {described(after)} at {site}, where {described(before)} is needed.")
        after = after if mask is None else torch.where(mask, after, before)
        if is_weights(site):
            weighed = (before != 0) | (after != 0)
            if not (weighed if mask is None else weighed & mask).any():
                return before
        return after

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.site, self.heads, self.positions, self.neurons, self.experts))

    def __repr__(self) -> str:
        shown = [
            f"{f.name}={shown_value(getattr(self, f.name))}"
            for f in fields(self)
            if f.name != "site" and not equal(getattr(self, f.name), f.default)
        ]
        return f"{type(self).__name__}({', '.join([repr(self.site), *shown])})"


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
        _fill(self, site, (heads, positions, neurons, experts), by=by)
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
        _fill(self, site, (heads, positions, neurons, experts), factor=number("factor", factor))

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
        _fill(self, site, (heads, positions, neurons, experts), source=source)
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
        _fill(
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
        _fill(self, site, (heads, positions, neurons, experts), function=function)

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


def _fill(edit: Edit, site: str, chosen: tuple[Any, Any, Any, Any], **own: Any) -> None:
    values = {"site": site, **dict(zip(("heads", "positions", "neurons", "experts"), chosen, strict=True)), **own}
    for name, value in values.items():
        object.__setattr__(edit, name, value)
    edit.__post_init__()
