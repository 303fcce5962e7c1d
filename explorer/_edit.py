"""What all edits share: where they act, and being values that can be compared, shown and checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from explorer._regions import (
    Indices,
    Span,
    described,
    equal,
    first_key,
    indices,
    is_pattern,
    is_weights,
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


def fill(edit: Edit, site: str, chosen: tuple[Any, Any, Any, Any], **own: Any) -> None:
    """Sets the fields of an edit that is being made: where it acts, chosen as (heads, positions, neurons, experts)."""
    values = {"site": site, **dict(zip(("heads", "positions", "neurons", "experts"), chosen, strict=True)), **own}
    for name, value in values.items():
        object.__setattr__(edit, name, value)
    edit.__post_init__()
