"""Sites: addresses of activations, such as `layers.3.attn.q`, and which of them a model has."""

from __future__ import annotations

import difflib
import fnmatch
import re
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from explorer.anatomy import Anatomy, Heads, Layer, Place, Stack
from explorer.errors import Refused

RESIDUAL = ("resid_pre", "resid_mid", "resid_post", "attn_out", "cross_attn_out", "mlp_out")
# What an attention has where its queries and keys can be recorded, and where only its weights can be had.
_RECORDED = ("q", "k", "v", "scores", "pattern", "z", "head_out", "out")
_REPLAYED = ("pattern", "z", "head_out", "out")
# The order of a forward pass.
_ORDER = (
    "resid_pre",
    *(f"attn.{part}" for part in _RECORDED),
    "attn_out",
    *(f"cross_attn.{part}" for part in _RECORDED),
    "cross_attn_out",
    "resid_mid",
    "router.probs",
    "router.weights",
    "mlp.neurons",
    "mlp_out",
    "resid_post",
)
_SUMS = ("attn_out", "cross_attn_out", "resid_mid", "mlp_out", "mlp.neurons")
_ADDRESS = re.compile(r"(?:(?P<stack>\w+)\.)?(?:layers\.(?P<layer>\d+)\.)?(?P<part>[a-z_]+(?:\.[a-z_]+)?)")


@dataclass(frozen=True)
class Site:
    """One address, taken apart.

    Attributes:
        address: the whole of it.
        stack: the stack it belongs to; None for `logits`.
        layer: the layer's index, None for sites of the whole stack.
        part: the rest, such as "attn.q" or "resid_pre".
    """

    address: str
    stack: Stack | None
    layer: int | None
    part: str

    @property
    def kind(self) -> str | None:
        """ "attn" or "cross_attn" for parts of an attention, else None."""
        return self.part.split(".")[0] if "attn." in self.part else None

    @property
    def heads(self) -> Heads | None:
        """The attention the site is part of, or None."""
        return None if self.kind is None else heads_of(self.place_of_layer, self.kind)

    @property
    def place_of_layer(self) -> Layer:
        assert self.stack is not None
        assert self.layer is not None  # sites of a layer have both
        return self.stack.layers[self.layer]


def heads_of(layer: Layer, kind: str) -> Heads | None:
    """A layer's self- or cross-attention."""
    return layer.attn if kind == "attn" else layer.cross_attn


def sites(anatomy: Anatomy) -> list[str]:
    """Every site this model has, in the order of the forward pass."""
    return [site.address for site in every(anatomy)]


def every(anatomy: Anatomy) -> Collection[Site]:
    """The sites, taken apart, in the order of the forward pass."""
    return _table(anatomy).values()


# By identity: hashing an anatomy would walk all of its layers, and a site's stack is its own anatomy's.
_tables: dict[int, tuple[weakref.ref[Anatomy], Mapping[str, Site]]] = {}


def _table(anatomy: Anatomy) -> Mapping[str, Site]:
    """The sites by address, made once for each anatomy: every reading of a trace asks for them."""
    key = id(anatomy)
    alive, table = _tables.get(key, (None, {}))
    if alive is None or alive() is not anatomy:
        table = {site.address: site for site in _built(anatomy)}
        _tables[key] = (weakref.ref(anatomy, lambda gone: _forget(key, gone)), table)
    return table


def _forget(key: int, gone: weakref.ref[Anatomy]) -> None:
    if key in _tables and _tables[key][0] is gone:
        del _tables[key]


def _built(anatomy: Anatomy) -> Iterator[Site]:
    for stack in anatomy.stacks:
        yield Site(f"{stack.prefix}embed", stack, None, "embed")
        for index, layer in enumerate(stack.layers):
            available = set(_parts(layer))
            for part in _ORDER:
                if part in available:
                    yield Site(f"{stack.prefix}layers.{index}.{part}", stack, index, part)
        if stack.final_norm is not None:
            yield Site(f"{stack.prefix}final_norm", stack, None, "final_norm")
    if anatomy.vocabulary is not None:
        yield Site("logits", None, None, "logits")


def _parts(layer: Layer) -> Iterator[str]:
    yield "resid_pre"
    yield "resid_post"
    for kind in ("attn", "cross_attn"):
        heads = heads_of(layer, kind)
        if heads is not None:
            parts = _RECORDED if heads.how == "interface" else _REPLAYED
            without: set[str] = set()
            if heads.projection is None:  # where only weights are known, z is what the projection receives
                without = {"head_out", "out"} if heads.how == "interface" else {"head_out", "out", "z"}
            yield from (f"{kind}.{part}" for part in parts if part not in without)
    places = {"resid_mid": layer.mid, "attn_out": layer.attn_out, "cross_attn_out": layer.cross_attn_out}
    places |= {"mlp_out": layer.mlp_out, "mlp.neurons": layer.neurons, "router.weights": layer.experts}
    yield from (part for part, place in places.items() if place is not None)
    if layer.routing:
        yield "router.probs"


def place(site: Site) -> Place | None:
    """Where a residual-like site is seen; None for sites that come from attention or are computed."""
    stack = site.stack
    if stack is None:
        return None
    if site.layer is None:
        if site.part == "final_norm" and stack.final_norm is not None:
            return Place(stack.final_norm, "out")
        return Place(stack.layers[0].path, "in", stack.layers[0].call)
    layer = stack.layers[site.layer]
    if site.part in ("resid_pre", "resid_post"):
        return Place(layer.path, "in" if site.part == "resid_pre" else "out", layer.call)
    heads = site.heads
    if heads is not None and heads.projection is not None:
        if site.part.endswith(".out"):
            return Place(heads.projection, "out", heads.call)
        if site.part.endswith(".z") and heads.how == "replay":
            return Place(heads.projection, "in", heads.call)
        return None
    return {
        "resid_mid": layer.mid,
        "attn_out": layer.attn_out,
        "cross_attn_out": layer.cross_attn_out,
        "mlp_out": layer.mlp_out,
        "mlp.neurons": layer.neurons,
        "router.weights": layer.experts,
    }.get(site.part)


def parse(address: str, anatomy: Anatomy) -> Site:
    """Takes an address apart.

    Raises:
        Refused: this model has no such site; the sentence lists near ones and says why, where that is known.
    """
    site = _table(anatomy).get(address) if isinstance(address, str) else None
    if site is not None:
        return site
    near = difflib.get_close_matches(str(address), sites(anatomy), n=4, cutoff=0.5)
    advice = f" Near: {', '.join(near)}." if near else " model.sites() lists what there is."
    raise Refused(f"site={address!r} is not a site of this model{_reason(str(address), anatomy)}.{advice}")


def matching(pattern: str, anatomy: Anatomy) -> list[Site]:
    """The sites an address with wildcards (`*`, `?`) names.

    Raises:
        Refused: it names none.
    """
    if "*" not in pattern and "?" not in pattern:
        return [parse(pattern, anatomy)]
    found = [site for site in every(anatomy) if fnmatch.fnmatchcase(site.address, pattern)]
    if not found:
        raise Refused(f"site={pattern!r} matches no site of this model; model.sites() lists what there is.")
    return found


def _reason(address: str, anatomy: Anatomy) -> str:
    """Why a model lacks a site that others have."""
    if address == "logits":
        return ": it has no vocabulary head"
    match = _ADDRESS.fullmatch(address)
    if match is None or match["layer"] is None:
        return f": {anatomy.missing}" if anatomy.missing else ""
    for stack in anatomy.stacks:
        if stack.name == (match["stack"] or "") and int(match["layer"]) < len(stack.layers):
            layer = stack.layers[int(match["layer"])]
            if lost := loss(layer, match["part"]):
                return f": {lost}"
            if match["part"] == "resid_mid" and layer.attn_out is not None:
                return ": its blocks are parallel, so there is no residual stream between attention and MLP"
            if match["part"].startswith("attn.") and layer.attn is None:
                elsewhere = any(stack.heads) or not anatomy.missing
                if not elsewhere:
                    return f": {anatomy.missing}"
                what = ", it is recurrent" if layer.recurrent else " that could be seen"
                return f": layer {match['layer']} has no softmax attention{what}"
            if match["part"].startswith("attn.") and layer.attn is not None and layer.attn.how == "replay":
                return ": this family gives its attention weights, but not its queries, keys and values"
            if match["part"] == "router.probs":
                if layer.router is None:
                    return f": layer {match['layer']} is no mixture whose router could be located"
                return ": how its router's scores become probabilities cannot be told from what it returns"
            if match["part"] == "router.weights":
                if layer.router is None:
                    return f": layer {match['layer']} is no mixture whose router could be located"
                return ": no module was shown to give the sum of its experts, each times a weight that it receives"
            if match["part"] == "mlp.neurons" and layer.router is not None:
                return f": layer {match['layer']} is a mixture, its neurons live on the experts"
            if layer.missing:
                return f": {layer.missing}"
    return f": {anatomy.missing}" if anatomy.missing else ""


def loss(layer: Layer, part: str) -> str:
    """Why the self-check left a part of a layer out; empty where it did not."""
    lost = dict(layer.lost)
    kind, _, inner = part.partition(".")
    if part in _SUMS:
        return lost.get("sums", "")
    return lost.get(kind) or (lost.get(f"{kind}.heads", "") if inner in ("out", "head_out", "z") else "")


def chosen_stack(name: str | None, anatomy: Anatomy) -> Stack:
    """A stack by name; without a name the only one, or the one whose output becomes the answer.

    Raises:
        Refused: there is no such stack.
    """
    if name is None:
        if anatomy.stack is None:
            raise Refused(f"this model has no layers that could be located: {anatomy.missing}.")
        return anatomy.stack
    for stack in anatomy.stacks:
        if stack.name == name:
            return stack
    names = ", ".join(repr(stack.name) for stack in anatomy.stacks) or "none"
    raise Refused(f"stack={name!r} is not a stack of this model; it has {names}.")


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
