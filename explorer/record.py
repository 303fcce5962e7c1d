"""What a trace keeps: which sites, layers and positions, and on which device and in which dtype."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.utils.generic import ModelOutput

from explorer.anatomy import Anatomy
from explorer.attention import AttentionCall
from explorer.errors import Refused
from explorer.hidden_states import hidden_state
from explorer.planning import chosen_sites
from explorer.plans import Plan, Recording
from explorer.sites import Site, checked_indices

if TYPE_CHECKING:
    from explorer.inputs import Inputs


@dataclass(frozen=True)
class Record:
    """What a trace keeps, for `model.trace(..., record=)`.

    Attributes:
        sites: addresses with wildcards, such as "layers.*.mlp.neurons"; None for the sites a trace keeps anyway.
        layers: keep only these layers, of every stack. Sites of a whole stack (`embed`, `final_norm`) stay.
        positions: keep copies of these positions alone, so that the rest is freed; a slice may count from the end.
            Logits can then be read for these positions, and `trace.positions` says which they are. Attention
            (queries, keys, values, patterns, z and what follows from them) and `router.probs` are not kept with it: a
            pattern needs the keys of every position. Ask for those in a trace of their own.
        device: move what is kept there at once, such as "cpu".
        dtype: keep it in this floating dtype, such as "float16". Patterns are computed from what is kept, so a
            narrower dtype rounds them.
    """

    sites: str | Sequence[str] | None = None
    _: KW_ONLY
    layers: int | Sequence[int] | None = None
    positions: int | Sequence[int] | slice | None = field(default=None, hash=False)
    device: torch.device | str | None = None
    dtype: torch.dtype | str | None = None

    def __post_init__(self) -> None:
        if self.sites is not None:
            names = (self.sites,) if isinstance(self.sites, str) else tuple(self.sites)
            if not all(isinstance(name, str) for name in names):
                raise Refused(f"sites={self.sites!r} must be an address or a list of addresses.")
            object.__setattr__(self, "sites", names)
        for name in ("layers", "positions"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, slice):
                object.__setattr__(self, name, _indices(name, value))
        if isinstance(self.layers, slice):
            raise Refused(f"layers={self.layers!r} is a slice; name the layers as an int or a list of ints.")
        if self.device is not None:
            object.__setattr__(self, "device", _device(self.device))
        if self.dtype is not None:
            object.__setattr__(self, "dtype", _dtype(self.dtype))

    @property
    def narrows(self) -> bool:
        """Whether what is kept is another tensor than the one that was computed."""
        return self.positions is not None or self.device is not None or self.dtype is not None


def resolved(
    record: Record | str | Sequence[str] | None, anatomy: Anatomy, given: Inputs
) -> tuple[list[str] | None, Keeper | None]:
    """The addresses to keep (None for the default), and how they are kept (None as they are).

    Raises:
        Refused: a layer, position or site does not exist, or they cannot be combined.
    """
    if not isinstance(record, Record):
        return ([record] if isinstance(record, str) else None if record is None else list(record)), None
    keeper = Keeper(record, anatomy, given) if record.narrows else None
    if record.layers is None and record.positions is None:
        return None if record.sites is None else list(record.sites), keeper
    kept = chosen_sites(anatomy, record.sites)
    if record.layers is not None:
        deepest = max((len(stack.layers) for stack in anatomy.stacks), default=0)
        layers = checked_indices("layers", record.layers, deepest)
        kept = [site for site in kept if site.layer is None or site.layer in layers]
    if record.positions is not None:
        named = set(record.sites or ())
        for site in kept:
            if not _has_rows(site) and site.address in named:
                raise Refused(
                    f"positions={record.positions!r} cannot be combined with site {site.address!r}, which needs every "
                    "position; record it in a trace of its own."
                )
        kept = [site for site in kept if _has_rows(site)]
    if not kept:
        raise Refused(f"record={record!r} keeps nothing: no site is left of those it names.")
    return [site.address for site in kept], keeper


class Keeper:
    """Narrows and moves what a pass records, as it is recorded.

    Attributes:
        positions: which positions are kept, in order; None for all.
    """

    def __init__(self, record: Record, anatomy: Anatomy, given: Inputs) -> None:
        self._record = record
        self._texts = max(1, len(given.lengths))
        self._backbone = anatomy.backbone
        self._whole: frozenset[str] = frozenset()
        self.positions: tuple[int, ...] | None = None
        if record.positions is None:
            return
        if len(anatomy.stacks) != 1:
            raise Refused(f"positions={record.positions!r} is for models with one stack of layers; read all of them.")
        if len({*given.lengths}) > 1:
            raise Refused(f"positions={record.positions!r} needs texts of one length; these have {given.lengths}.")
        if given.lengths:  # an image's positions are counted when they are seen
            self._choose(given.lengths[0])

    @property
    def device(self) -> torch.device | None:
        """Where it is kept; None for where it was computed."""
        return None if self._record.device is None else torch.device(self._record.device)

    def itemsize(self, computed: int) -> int:
        """Bytes of one number that is kept, of those that it is computed in."""
        return self._record.dtype.itemsize if isinstance(self._record.dtype, torch.dtype) else computed

    def into(self, plan: Plan, whole: Iterable[str]) -> Plan:
        """The plan, keeping what it keeps in this way.

        Args:
            plan: the plan.
            whole: sites that the pass itself still needs as they are; `finish` narrows them.
        """
        self._whole = frozenset(whole)
        return replace(plan, narrow=self._hidden, narrow_call=self._call)

    def finish(self, seen: Recording) -> None:
        """Narrows what had to stay whole during the pass."""
        for site in self._whole & set(seen.hidden):
            seen.hidden[site] = self._rows(seen.hidden[site])
        output = None if self._backbone is None else seen.outputs.get(self._backbone)
        if output is not None and self._record.positions is not None:
            # On its device and in its dtype: the model's own head reads it when logits are asked for.
            state = self._picked(hidden_state(output))
            kept = type(output)(**{next(iter(output)): state}) if isinstance(output, ModelOutput) else (state,)
            seen.outputs[self._backbone or ""] = kept

    def _hidden(self, site: str, value: Tensor) -> Tensor:
        return value if site in self._whole else self._rows(value)

    def _rows(self, value: Tensor) -> Tensor:
        return self._moved(value if self._record.positions is None else self._picked(value))

    def _picked(self, value: Tensor) -> Tensor:
        value = value.reshape(self._texts, -1, value.shape[-1])  # some modules see batch and position as one axis
        chosen = torch.tensor(self._choose(value.shape[1]), device=value.device)
        return value.detach().index_select(1, chosen)

    def _choose(self, count: int) -> tuple[int, ...]:
        if self.positions is None:
            self.positions = tuple(checked_indices("positions", self._record.positions, count))
        return self.positions

    def _call(self, _prefix: str, call: AttentionCall) -> AttentionCall:
        names = ("query", "key", "value", "z", "mask", "sinks", "bias", "changed_scores", "changed_pattern")
        moved = {name: self._moved(value) for name in names if (value := getattr(call, name)) is not None}
        return call.replaced(**moved)

    def _moved(self, value: Tensor) -> Tensor:
        dtype: Any = self._record.dtype if value.is_floating_point() else None
        return value.to(device=self._record.device or value.device, dtype=dtype or value.dtype)


def _has_rows(site: Site) -> bool:
    """Whether a site has one row for each position that means something alone."""
    return (site.kind is None or site.part in ("attn.out", "cross_attn.out")) and site.part != "router.probs"


def _indices(name: str, value: Any) -> tuple[int, ...]:
    indices = (value,) if isinstance(value, int) else tuple(value) if isinstance(value, Iterable) else (value,)
    for index in indices:
        if isinstance(index, bool) or not isinstance(index, int):
            raise Refused(f"{name}={value!r} holds {index!r}; name them as ints.")
    if len({*indices}) != len(indices) or not indices:
        raise Refused(f"{name}={value!r} must name at least one, and each once.")
    return indices


def _device(value: torch.device | str) -> torch.device:
    try:
        return torch.device(value)
    except (RuntimeError, TypeError) as error:
        raise Refused(f"device={value!r} is not a device torch knows; give one such as 'cpu' or 'cuda:0'.") from error


def _dtype(value: torch.dtype | str) -> torch.dtype:
    dtype = getattr(torch, value, None) if isinstance(value, str) else value
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise Refused(f"dtype={value!r} is no floating dtype; give one such as 'float16' or torch.bfloat16.")
    return dtype
