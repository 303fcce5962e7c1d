"""Sites: addresses of activations, such as `layers.3.attn.q`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from explorer.anatomy import Anatomy
from explorer.errors import Refused

RESIDUAL_PARTS = ("resid_pre", "resid_post")
ATTENTION_PARTS = ("attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern", "attn.z")
_ADDRESS = re.compile(r"layers\.(\d+)\.([a-z_.]+)")


@dataclass(frozen=True)
class Site:
    """One address, taken apart: the layer (None for sites of the whole stack) and the part."""

    layer: int | None
    part: str


def sites(anatomy: Anatomy) -> list[str]:
    """Every site this model has, in the order of the forward pass."""
    names: list[str] = []
    if anatomy.stack is not None:
        names.append("embed")
        for layer in range(anatomy.stack.layers):
            parts = [RESIDUAL_PARTS[0]]
            parts += ATTENTION_PARTS if anatomy.stack.heads[layer] else ()
            parts.append(RESIDUAL_PARTS[1])
            names += [f"layers.{layer}.{part}" for part in parts]
    if anatomy.vocabulary is not None:
        names.append("logits")
    return names


def parse(address: str, anatomy: Anatomy) -> Site:
    """Takes an address apart.

    Raises:
        Refused: this model has no such site; the sentence lists near ones and says why, where that is known.
    """
    known = sites(anatomy)
    if address not in known:
        near = difflib.get_close_matches(str(address), known, n=4, cutoff=0.5)
        advice = f" Near: {', '.join(near)}." if near else " model.sites() lists what there is."
        raise Refused(f"site={address!r} is not a site of this model{_reason(str(address), anatomy)}.{advice}")
    match = _ADDRESS.fullmatch(address)
    return Site(None, address) if match is None else Site(int(match.group(1)), match.group(2))


def _reason(address: str, anatomy: Anatomy) -> str:
    """Why a model lacks a site that others have."""
    if address == "logits":
        return ": it has no vocabulary head"
    if anatomy.missing:
        return f": {anatomy.missing}"
    match, stack = _ADDRESS.fullmatch(address), anatomy.stack
    if match is not None and match.group(2) in ATTENTION_PARTS and stack is not None:
        layer = int(match.group(1))
        if layer < stack.layers and not stack.heads[layer]:
            return f": layer {layer} has no softmax attention"
    return ""


def checked_layer(layer: int, count: int) -> int:
    """A layer index in range, as a plain int."""
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < count:
        raise Refused(f"layer={layer!r} is out of range: this model has layers 0 to {count - 1}.")
    return layer


def checked_indices(name: str, chosen: Sequence[int] | slice | int | None, count: int) -> list[int]:
    """Indices along one axis from None (all), one int, a slice or a list; negatives only in slices.

    Raises:
        Refused: one of them is no int or out of range, or none is left.
    """
    if chosen is None:
        return list(range(count))
    if isinstance(chosen, slice):
        indices = list(range(count))[chosen]
    else:
        indices = [chosen] if isinstance(chosen, int) else list(chosen)
    for index in indices:
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
            raise Refused(f"{name}={chosen!r} holds {index!r}; allowed are 0 to {count - 1}.")
    if not indices:
        raise Refused(f"{name}={chosen!r} chooses nothing; there are {count} (0 to {count - 1}).")
    return indices
