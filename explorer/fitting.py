"""Whether a model fits where it is to go, in the form it is to have; and the refusal that names ways in which it would.

How much of a model a form changes, and what a map of devices puts where, is counted on the model without data (torch's
"meta" device): the very modules that transformers will make, at no cost in memory.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from explorer import placement, quantising
from explorer.errors import Refused
from explorer.estimates import Estimate
from explorer.memory import free_bytes, written

# Besides the weights: buffers, the model's objects, the first pass.
_MARGIN = 1.05


@dataclass(frozen=True)
class Opening:
    """A way of opening a model.

    Attributes:
        dtype: of the weights; "auto" for the one they are stored in.
        device: one device, "auto", or a map from modules to devices.
        quantize: "int8", "int4" or None.
    """

    dtype: torch.dtype | str
    device: placement.Device
    quantize: str | None = None

    def __str__(self) -> str:
        form = "as stored" if isinstance(self.dtype, str) else f"in {str(self.dtype).removeprefix('torch.')}"
        return form if self.quantize is None else f"{form} with quantize={self.quantize!r}"

    def beside(self, other: Opening) -> str:
        """The arguments that make another way of opening into this one."""
        words = {
            "dtype": (str(self.dtype).removeprefix("torch."), str(other.dtype).removeprefix("torch.")),
            "quantize": (self.quantize, other.quantize),
            "device": (self.device, other.device),
        }
        return ", ".join(f"{name}={mine!r}" for name, (mine, theirs) in words.items() if mine != theirs)


@dataclass(frozen=True)
class Shape:
    """The weights of a model without their data, those that are shared once.

    Attributes:
        sizes: (entries, rows) by name.
        rounded: the names of those that few bits round.
    """

    sizes: Mapping[str, tuple[int, int]]
    rounded: frozenset[str]

    def bytes(self, opening: Opening, itemsize: float) -> dict[str, float]:
        """What each place takes; one place named "" unless there is a map."""
        found: dict[str, float] = {}
        for name, (entries, rows) in self.sizes.items():
            few = opening.quantize if name in self.rounded else None
            place = placement.of(name, opening.device) if isinstance(opening.device, Mapping) else ""
            found[place] = found.get(place, 0.0) + quantising.size(entries, rows, few, itemsize)
        return found


def shape_of(build: Callable[[Any], nn.Module], config: Any) -> Shape:
    """The shape of the model that a config describes.

    Args:
        build: makes the model; it is given a copy of the config.
        config: transformers' config.
    """
    with torch.device("meta"):
        hf = build(copy.deepcopy(config))
    sizes = {name: (weight.numel(), weight.shape[0] if weight.ndim else 1) for name, weight in hf.named_parameters()}
    return Shape(sizes, quantising.would_round(hf))


@dataclass(frozen=True)
class _Need:
    """What one place would take and has, in bytes."""

    place: str
    needed: int
    free: int

    @property
    def share(self) -> float:
        """How much of what is free it takes; it fits up to 1."""
        return self.needed / max(self.free, 1)


def check(
    name: str,
    estimate: Estimate,
    asked: Opening,
    shape: Callable[[], Shape | None] = lambda: None,
    *,
    quantisable: bool = False,
    free: Mapping[str, int] | None = None,
) -> None:
    """Refuses a model whose weights do not fit, before anything of them is read.

    Args:
        name: what the reader called it.
        estimate: what its weights are.
        asked: how it would be opened.
        shape: makes its shape, and is called only where that is needed; None where it cannot be told: few bits are
            then taken to round everything, and a map of devices is not checked.
        quantisable: whether few bits may be offered.
        free: bytes by device; measured by default.

    Raises:
        Refused: it takes more memory than is free there.
    """
    left = _free() if free is None else free
    made = functools.cache(shape)
    need = _tightest(estimate, asked, made, left)
    if need is None or need.share <= 1:
        return
    ways: list[str] = []
    for steps in _steps(asked, estimate, quantisable, several=set(left) > {"cpu"}):
        fits = False
        for way in steps:
            there = _tightest(estimate, way, made, left)
            if there is not None and there.share < 0.9 * need.share:  # one that saves less helps nobody
                fits |= there.share <= 1
                ways.append(f"{way.beside(asked)} takes {written(there.needed)}, {_words(there)}")
        if fits:
            break
    else:
        if asked.quantize is None:
            ways.append("device= with a map from modules to devices that leaves some on 'disk'")
    where = f" on {need.place}" if isinstance(asked.device, Mapping) else ""
    raise Refused(
        f"source={name!r} has {estimate.floats:,} weights and takes about {written(need.needed)} {asked}{where}; "
        f"{written(need.free)} are free on {need.place}. "
        f"Ways out: {'; or '.join([*ways, 'a smaller model of the same family'])}."
    )


def _words(need: _Need) -> str:
    return "which fits" if need.share <= 1 else "still too much"


def _steps(asked: Opening, estimate: Estimate, quantisable: bool, several: bool) -> Iterator[list[Opening]]:
    """Other ways of opening: those that change one thing, then the one that changes all."""
    shorter = estimate.bytes(torch.bfloat16) < estimate.bytes(asked.dtype)
    half = replace(asked, dtype=torch.bfloat16) if shorter else asked
    few = [kind for kind in ("int8", "int4") if quantisable and asked.quantize not in (kind, "int4")]
    spread = [replace(asked, device="auto")] if several and isinstance(asked.device, torch.device) else []
    one = [half, *(replace(asked, quantize=kind) for kind in few), *spread]
    yield one
    last = replace(half, quantize="int4" if few else asked.quantize, device="auto" if spread else asked.device)
    yield [] if last in one else [last]


def _tightest(
    estimate: Estimate, way: Opening, shape: Callable[[], Shape | None], free: Mapping[str, int]
) -> _Need | None:
    """The place that would be fullest; None where nothing can be told."""
    whole = estimate.bytes(way.dtype)
    itemsize = way.dtype.itemsize if isinstance(way.dtype, torch.dtype) else estimate.stored / max(estimate.floats, 1)
    parts = {"": 1.0}
    if way.quantize is not None or isinstance(way.device, Mapping):
        found = shape()
        if found is not None:
            full = sum(entries for entries, _ in found.sizes.values()) * itemsize
            parts = {place: size / full for place, size in found.bytes(way, itemsize).items()}
        elif isinstance(way.device, Mapping):
            return None
        else:
            parts = {"": quantising.size(1, 0, way.quantize, itemsize) / itemsize}
    needs = []
    for place, part in parts.items():
        if way.device == "auto":
            needs.append(_Need("all devices together", int(whole * part * _MARGIN), sum(free.values())))
        else:
            one = place or str(way.device)
            if one in free:  # what is left on disk is read from where it lies
                needs.append(_Need(one, int(whole * part * _MARGIN), free[one]))
    return max(needs, key=lambda need: need.share, default=None)


def _free() -> dict[str, int]:
    """What is free on each device that says so."""
    devices = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    found = {str(device): free_bytes(device) for device in [*devices, torch.device("cpu")]}
    return {device: size for device, size in found.items() if size is not None}
