"""Edits: values that say how a pass is changed.

An edit names a site and what happens there, for chosen heads, positions and neurons. It is immutable and
comparable, travels as JSON (its tensors beside), and acts wherever passes run: in a trace, in every step of a
generation, in attribution. Several edits act in the order in which they are given; one that fires nowhere is an
error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from explorer.errors import Refused

if TYPE_CHECKING:
    pass

Indices = tuple[int, ...] | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Edit:
    """What all edits share.

    Attributes:
        site: an address; wildcards (`layers.*.attn.z`) name several sites.
        heads: head indices, None for all; only for sites with heads.
        positions: positions of the whole text, None for all; for patterns these are queries.
        neurons: indices along the last axis, None for all; for patterns these are keys.
    """

    kinds: ClassVar[dict[str, type[Edit]]] = {}

    site: str
    heads: Sequence[int] | int | None = None
    positions: Sequence[int] | int | None = None
    neurons: Sequence[int] | int | None = None

    def __init_subclass__(cls) -> None:
        Edit.kinds[cls.__name__] = cls

    def __post_init__(self) -> None:
        if not isinstance(self.site, str) or not self.site:
            raise Refused(f"site={self.site!r} is not an address; model.sites() lists what there is.")
        for name in ("heads", "positions", "neurons"):
            object.__setattr__(self, name, _indices(name, getattr(self, name), self.site))

    def value(self, before: Tensor, site: str) -> Tensor:
        """What takes the place of `before` at a site, for all of it; the chosen region is cut out afterwards."""
        raise TypeError(f"{type(self).__name__} does not say what it does")

    def check_generation(self) -> None:
        """Raises `Refused` where the edit needs the whole text at once."""

    def change(self, before: Tensor, site: str, offset: int) -> Tensor:
        """The site's value with the edit done, in the same layout: (batch, position, [head,] width) or a pattern.

        Raises:
            Refused: an index is out of range or the edit gives another shape.
        """
        after = self.value(before, site)
        if not isinstance(after, Tensor) or after.shape != before.shape or after.device != before.device:
            raise Refused(f"{self!r} gives {_described(after)} at {site}, where {_described(before)} is needed.")
        mask = self._region(before, site, offset)
        after = after.to(before.dtype)
        return after if mask is None else torch.where(mask, after, before)

    def _region(self, before: Tensor, site: str, offset: int) -> Tensor | None:
        pattern = site.endswith(".pattern")
        axes = {"heads": 1, "positions": 2, "neurons": 3} if pattern else {"positions": 1, "neurons": before.dim() - 1}
        if not pattern and before.dim() == 4:
            axes["heads"] = 2
        mask: Tensor | None = None
        for name, axis in axes.items():
            chosen = getattr(self, name)
            if chosen is None:
                continue
            size = before.shape[axis]
            shift = offset if name == "positions" else 0
            if shift == 0 and max(chosen) >= size:
                raise Refused(f"{name}={chosen} is out of range at {site}: allowed are 0 to {size - 1}.")
            here = torch.zeros(size, dtype=torch.bool, device=before.device)
            inside = [index - shift for index in chosen if 0 <= index - shift < size]
            here[inside] = True
            shape = [1] * before.dim()
            shape[axis] = size
            mask = here.view(shape) if mask is None else mask & here.view(shape)
        if self.heads is not None and "heads" not in axes:
            raise Refused(f"heads={self.heads} has no meaning at {site}, which is not split into heads.")
        return mask

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.site, self.heads, self.positions, self.neurons))

    def __repr__(self) -> str:
        shown = [
            f"{f.name}={_shown(getattr(self, f.name))}"
            for f in fields(self)
            if f.name != "site" and not _equal(getattr(self, f.name), f.default)
        ]
        return f"{type(self).__name__}({', '.join([repr(self.site), *shown])})"


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Ablate(Edit):
    """Takes something out.

    Attributes:
        by: what stands in its place: "zero"; "mean", the mean over the positions of this pass; a tensor, such as a
            mean over a reference set; or a trace of another text of the same length (resampling).
    """

    by: Any = "zero"

    def __init__(self, site: str, *, heads: Any = None, positions: Any = None, neurons: Any = None, by: Any = "zero"):
        _fill(self, site, heads, positions, neurons, by=by)
        if isinstance(by, str) and by not in ("zero", "mean"):
            raise Refused(f"by={by!r} is not 'zero', 'mean', a tensor or a trace.")

    def value(self, before: Tensor, site: str) -> Tensor:
        if isinstance(self.by, str):
            if self.by == "zero":
                return torch.zeros_like(before)
            axis = 2 if site.endswith(".pattern") else 1
            return before.mean(dim=axis, keepdim=True).expand_as(before)
        return _from_source(self.by, before, site, "by")

    def check_generation(self) -> None:
        if isinstance(self.by, str) and self.by == "mean":
            raise Refused("by='mean' needs the whole text at once; in generation give a tensor with the mean instead.")


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Scale(Edit):
    """Multiplies by a number."""

    factor: float = 1.0

    def __init__(self, site: str, factor: float, *, heads: Any = None, positions: Any = None, neurons: Any = None):
        _fill(self, site, heads, positions, neurons, factor=_number("factor", factor))

    def value(self, before: Tensor, site: str) -> Tensor:
        return before * self.factor


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Patch(Edit):
    """Puts values from elsewhere in.

    Attributes:
        source: a trace that recorded the same site (of a text of the same length, unless `positions` are given),
            or a tensor that broadcasts to the site's shape.
    """

    source: Any = None

    def __init__(self, site: str, source: Any, *, heads: Any = None, positions: Any = None, neurons: Any = None):
        _fill(self, site, heads, positions, neurons, source=source)

    def value(self, before: Tensor, site: str) -> Tensor:
        return _from_source(self.source, before, site, "source")


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
        relative: bool = False,
    ):
        if not isinstance(vector, Tensor):
            raise TypeError(f"vector is a {type(vector).__name__}; a tensor is needed.")
        _fill(
            self,
            site,
            heads,
            positions,
            neurons,
            vector=vector.detach().clone(),
            strength=_number("strength", strength),
            relative=bool(relative),
        )

    def value(self, before: Tensor, site: str) -> Tensor:
        vector: Tensor = self.vector.to(before)
        direction = _broadcast(vector, before, site, "vector")
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
    ):
        if not callable(function):
            raise TypeError(f"function is a {type(function).__name__}; something to call is needed.")
        _fill(self, site, heads, positions, neurons, function=function)

    def value(self, before: Tensor, site: str) -> Tensor:
        after: Tensor = self.function(before.clone())
        return after


def checked_edits(edits: Any) -> tuple[Edit, ...]:
    """Edits from one edit or a sequence of them.

    Raises:
        TypeError: something else is among them.
    """
    listed = (edits,) if isinstance(edits, Edit) else tuple(edits)
    for edit in listed:
        if not isinstance(edit, Edit):
            raise TypeError(f"edits holds a {type(edit).__name__}; Ablate, Scale, Patch, Steer and Apply are edits.")
    return listed


def to_json(edits: Sequence[Edit]) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Edits as plain values, and the tensors they refer to by name.

    Raises:
        Refused: an edit holds a function, which does not travel; or a trace, whose values must be given as a tensor.
    """
    tensors: dict[str, Tensor] = {}
    listed = []
    for edit in edits:
        plain: dict[str, Any] = {"kind": type(edit).__name__}
        for f in fields(edit):
            value = getattr(edit, f.name)
            if isinstance(value, Tensor):
                name = f"tensor{len(tensors)}"
                tensors[name] = value
                value = {"tensor": name}
            elif not isinstance(value, str | int | float | tuple | None):
                raise Refused(f"{edit!r} holds a {type(value).__name__} in {f.name}, which does not travel as JSON.")
            plain[f.name] = list(value) if isinstance(value, tuple) else value
        listed.append(plain)
    return listed, tensors


def from_json(listed: Sequence[Mapping[str, Any]], tensors: Mapping[str, Tensor]) -> tuple[Edit, ...]:
    """The edits that `to_json` gave.

    Raises:
        Refused: a kind or a tensor is unknown.
    """
    found = []
    for plain in listed:
        values = dict(plain)
        kind = Edit.kinds.get(str(values.pop("kind", None)))
        if kind is None or kind is Apply:
            raise Refused(f"kind={plain.get('kind')!r} is not an edit; known are {', '.join(sorted(Edit.kinds))}.")
        for name, value in values.items():
            if isinstance(value, Mapping):
                if value.get("tensor") not in tensors:
                    raise Refused(f"{name} refers to {dict(value)!r}, which is not among the tensors.")
                values[name] = tensors[value["tensor"]]
        found.append(kind(**values))
    return tuple(found)


def _fill(edit: Edit, site: str, heads: Any, positions: Any, neurons: Any, **own: Any) -> None:
    values = {"site": site, "heads": heads, "positions": positions, "neurons": neurons, **own}
    for name, value in values.items():
        object.__setattr__(edit, name, value)
    edit.__post_init__()


def _indices(name: str, chosen: Any, site: str) -> Indices:
    if chosen is None:
        return None
    indices = (chosen,) if isinstance(chosen, int) else tuple(chosen)
    for index in indices:
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise Refused(f"{name}={chosen!r} of an edit at {site} holds {index!r}; use whole numbers from 0.")
    if not indices or len(set(indices)) < len(indices):
        raise Refused(f"{name}={chosen!r} of an edit at {site} must hold one or more different indices.")
    return indices


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not torch.isfinite(torch.tensor(value)):
        raise Refused(f"{name}={value!r} is not a finite number.")
    return float(value)


def _from_source(source: Any, before: Tensor, site: str, name: str) -> Tensor:
    from explorer.trace import Trace

    if isinstance(source, Trace):
        values = source[site].to(before)
        axis = 2 if site.endswith(".pattern") else 1
        if values.shape[axis] != before.shape[axis]:
            raise Refused(
                f"{name} is a trace of {values.shape[axis]} positions and this pass has {before.shape[axis]}; "
                "patching needs texts of the same length. Give a tensor for other lengths."
            )
        return _broadcast(values, before, site, name)
    if isinstance(source, Tensor):
        return _broadcast(source.detach().to(before), before, site, name)
    raise TypeError(f"{name} is a {type(source).__name__}; a trace or a tensor is needed.")


def _broadcast(values: Tensor, before: Tensor, site: str, name: str) -> Tensor:
    try:
        return values.expand_as(before)
    except RuntimeError:
        raise Refused(
            f"{name} has the shape {tuple(values.shape)}, which does not fit {site}: {tuple(before.shape)}."
        ) from None


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype} on {value.device}"
    return f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    return f"tensor{tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)
    return bool(one == other)
