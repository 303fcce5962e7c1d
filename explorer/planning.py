"""From what is asked (sites to keep, edits to make) to a plan for one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from explorer._regions import Span, is_weights
from explorer.anatomy import Anatomy, Heads, Layer, Place
from explorer.edits import Ablate, Edit
from explorer.errors import Refused
from explorer.head_outs import through_the_projection
from explorer.plans import Change, Plan
from explorer.recording import session
from explorer.sites import RESIDUAL, Site, every, heads_of, matching, place

# Kept unless something else is asked for. Not the neurons (several times the width) nor anything computed later.
_DEFAULT = {*RESIDUAL, "embed", "final_norm", "attn.out", "cross_attn.out", "attn.z", "cross_attn.z"}
_DEFAULT |= {"router.probs", "router.weights"}
_IN_ATTENTION = ("q", "k", "v", "scores", "pattern")


class Firings:
    """How often each edit of a pass acted."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self.edits = tuple(edits)
        self.counts = [0] * len(self.edits)

    def check(self, growing: bool = False) -> None:
        """Raises `Refused` when an edit acted nowhere; in a text that grows its time may be still to come."""
        for edit, count in zip(self.edits, self.counts, strict=True):
            later = edit.positions is not None or edit.neurons is not None or is_weights(edit.site)
            if not count and not (growing and later):
                why = ": the experts it names have no weight there" if is_weights(edit.site) else ""
                raise Refused(f"{edit!r} fired nowhere in this pass{why}, so it would have had no effect.")


def plan(
    anatomy: Anatomy,
    *,
    record: Iterable[str] | None,
    edits: Sequence[Edit] = (),
    firings: Firings | None = None,
    offset: int = 0,
    growing: bool = False,
    stops: Iterable[str] = (),
) -> Plan:
    """A plan for one pass.

    Args:
        anatomy: of the model.
        record: sites to keep, with wildcards; None for the default, an empty list for none.
        edits: what to change, in order.
        firings: counts how often each edit acts.
        offset: how many positions the model read before this pass (a cache holds them).
        growing: whether the text goes on after this pass, so that positions it does not reach are no mistake.
        stops: paths of modules before which cancelled work stops.

    Raises:
        Refused: a site does not exist or cannot be edited.
    """
    kept = chosen_sites(anatomy, record)
    attentions = dict(_attentions(anatomy))
    replayed = {prefix: heads for prefix, heads in attentions.items() if heads.how == "replay"}
    recorded = {prefix: heads for prefix, heads in attentions.items() if heads.how == "interface"}
    # The projection's result is seen at its module, and needs no attention call to be kept.
    inner = [site for site in kept if site.kind is not None and not site.part.endswith(".out")]
    wanted = {site.address.rpartition(".")[0] for site in inner}
    changes, in_heads = _changes(anatomy, edits, firings or Firings(edits), Span(offset, growing))
    touched = {site.rpartition(".")[0] for site in in_heads}
    needed = (wanted | touched) & set(recorded)
    return Plan(
        attention="recorded" if needed else "eager" if replayed and record != [] else "usual",
        attentions={(heads.path, heads.call): prefix for prefix, heads in recorded.items()},
        kept=frozenset(wanted & set(recorded)),
        places=dict(_places(kept, attentions)),
        replays={p: Place(heads.path, "in", heads.call) for p, heads in replayed.items() if p in wanted},
        outputs=[
            *(() if anatomy.backbone is None or record == [] else (anatomy.backbone,)),
            *(router for site in kept if site.part == "router.probs" and (router := site.place_of_layer.router)),
        ],
        pieces=[heads.path for heads in recorded.values() if not heads.causal] if needed else (),
        stops=stops,
        changes=changes,
        heads=in_heads,
        order=[site.address for site in every(anatomy)] if changes else (),
        rows=[layer.path for layer in layers_of(anatomy)] if changes else (),
    )


def chosen_sites(anatomy: Anatomy, record: Iterable[str] | None) -> list[Site]:
    """The sites that addresses with wildcards name, each once; those kept by default for None."""
    if record is not None:
        chosen: dict[str, Site] = {}
        for pattern in [record] if isinstance(record, str) else record:
            chosen |= {site.address: site for site in matching(pattern, anatomy)}
        return list(chosen.values())
    return [site for site in every(anatomy) if site.part in _DEFAULT]


def _attentions(anatomy: Anatomy) -> Iterable[tuple[str, Heads]]:
    """The prefix of each attention's sites, such as "layers.3.attn", and the attention."""
    for stack in anatomy.stacks:
        for index, layer in enumerate(stack.layers):
            for kind in ("attn", "cross_attn"):
                heads = heads_of(layer, kind)
                if heads is not None:
                    yield f"{stack.prefix}layers.{index}.{kind}", heads


def _places(kept: list[Site], attentions: dict[str, Heads]) -> Iterable[tuple[str, Place]]:
    for site in kept:
        where = place(site)
        if where is not None:
            yield site.address, where
    for prefix, heads in attentions.items():
        # What the projection really receives, where a gate stands between z and it.
        if heads.gated and heads.projection is not None and any(s.address.startswith(f"{prefix}.") for s in kept):
            yield f"{prefix}.gated", Place(heads.projection, "in", heads.call)


def _changes(
    anatomy: Anatomy, edits: Sequence[Edit], firings: Firings, span: Span
) -> tuple[dict[str, tuple[Place, Change]], dict[str, Change]]:
    """Changes at modules and changes inside attention calls, the edits of one site one after another."""
    at_modules: dict[str, tuple[Place, Change]] = {}
    in_heads: dict[str, Change] = {}
    by_site: dict[str, tuple[Site, list[int]]] = {}
    for number, edit in enumerate(edits):
        for site in matching(edit.site, anatomy):
            by_site.setdefault(site.address, (site, []))[1].append(number)
    for site in every(anatomy):  # a pass meets its sites in this order, whatever the order of the edits
        address = site.address
        if address not in by_site:
            continue
        numbers = by_site[address][1]
        change = _change(edits, numbers, firings, site, span)
        heads = site.heads
        part = site.part.rpartition(".")[2]
        if heads is not None and heads.how == "interface" and part in (*_IN_ATTENTION, "z"):
            in_heads[address] = change
            continue
        if part == "head_out":
            at_modules |= {name: (where, step) for name, where, step in through_the_projection(site, change)}
            continue
        at_modules[address] = _at_module(site, change)
    return at_modules, in_heads


def _change(edits: Sequence[Edit], numbers: list[int], firings: Firings, site: Site, span: Span) -> Change:
    heads = site.heads
    split = heads.heads if heads is not None and site.part.endswith(".z") and heads.how == "replay" else None

    def change(value: Tensor) -> Tensor:
        state, flat = value, value.shape
        if value.dim() == 2:  # some MLPs see texts and positions as one axis
            current = session()
            assert current is not None  # changes are made by a plan that is being carried out
            value = value.reshape(current.texts, -1, flat[-1])
        if split is not None:
            value = value.reshape(*flat[:2], split, -1)
        given = value
        for number in numbers:
            changed = edits[number].change(value, site.address, span)
            firings.counts[number] += changed is not value
            value = changed
        return state if value is given else value.reshape(flat)

    return change


def _at_module(site: Site, change: Change) -> tuple[Place, Change]:
    where = place(site)
    if site.part == "logits" or where is None:
        others = {"pattern": "z", "probs": "weights"}
        near = others.get(site.part.rpartition(".")[2])
        advice = f" Edit {site.address.rpartition('.')[0]}.{near} instead." if near else ""
        raise Refused(f"site={site.address!r} can be read but not edited.{advice}")
    if site.part != "resid_mid" or where.side == "out":
        return where, change
    return _through_the_addition(site, change)


def _through_the_addition(site: Site, change: Change) -> tuple[Place, Change]:
    """Changes a sum by changing what is added: a norm that sees the sum is beside the residual stream, not in it."""
    layer = site.place_of_layer
    addition = layer.cross_attn_out or layer.attn_out
    assert addition is not None  # or there would be no such site
    prefix = site.address.removesuffix("resid_mid")

    def at_addition(added: Tensor) -> Tensor:
        current = session()
        assert current is not None  # changes are made by a plan that is being carried out
        stream = current.recording.hidden[f"{prefix}resid_pre"]
        if layer.cross_attn_out is not None and layer.attn_out is not None:
            stream = stream + current.recording.hidden[f"{prefix}attn_out"] * layer.attn_out.factor
        return change(stream + added) - stream

    return addition, at_addition


def check_growing(anatomy: Anatomy, edits: Sequence[Edit], positions: int) -> None:
    """Refuses edits that cannot be done while a text grows to as many positions as are read at most."""
    plan(anatomy, record=[], edits=edits)  # refuses sites that there are not
    for edit in edits:
        edit.check_generation()
        if edit.positions is not None and min(edit.positions) >= positions:
            raise Refused(
                f"{edit!r} would never act: at most positions 0 to {positions - 1} are read, since the last token "
                "that is written is not read again."
            )


def check_padding(edits: Sequence[Edit], *texts: Sequence[Sequence[object]]) -> None:
    """Refuses edits that would take padding for text, where texts of one pass differ in length."""
    if all(len({len(text) for text in several}) < 2 for several in texts):
        return
    for edit in edits:
        if isinstance(edit, Ablate) and isinstance(edit.by, str) and edit.by == "mean":
            raise Refused(f"{edit!r} would average over the padding of the shorter texts; give texts of equal length.")


def needs_stream(edits: Sequence[Edit], anatomy: Anatomy) -> list[str]:
    """Sites that must be recorded for edits to act, such as the stream that a sum is made with."""
    found = [site for edit in edits for site in matching(edit.site, anatomy) if site.part == "resid_mid"]
    parts = {site.address: ["resid_pre", "attn_out"] if site.place_of_layer.attn_out else [] for site in found}
    return [address.removesuffix("resid_mid") + part for address, parts_ in parts.items() for part in parts_]


def layers_of(anatomy: Anatomy) -> list[Layer]:
    """All layers of all stacks."""
    return [layer for stack in anatomy.stacks for layer in stack.layers]
