"""The parts of a layer: which of the modules that ran inside it is its attention, its MLP, its router.

What a module is called plays no role. A part is what adds up to the layer's output, what was seen to attend, or what
received what such a part gave.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from explorer import discovery
from explorer.anatomy import Heads, Layer, Place
from explorer.attention_seen import Seen
from explorer.discovery import Call
from explorer.experts import experts_of
from explorer.probing import AGREEMENT


def layer_of(model: nn.Module, call: Call, calls: list[Call], seen: Seen) -> Layer:
    """A layer with its parts, from its call and all calls of the pass."""
    inside = [other for other in calls if call.holds(other)]
    added = discovery.additions(call, calls)
    attentions = [(other, heads) for other in inside if (heads := _heads(other, calls, inside, seen)) is not None]
    roles = _roles(added or [], [other for other, _ in attentions])
    mlp = roles.get("mlp")
    router = next((other.path for other in inside if other.path in seen.routing), None)
    middle = roles.get("attn")
    parallel = added is not None and len(added) > 1 and added[0].seen is None
    by_role = dict(zip(("attn", "cross_attn"), [heads for _, heads in attentions], strict=False))
    missing = "" if added is not None else "in some layers the parts do not add up to the layer's output"
    return Layer(
        path=call.path,
        call=_turn(call, calls),
        attn=by_role.get("attn"),
        cross_attn=by_role.get("cross_attn"),
        attn_out=_place(middle, calls),
        cross_attn_out=_place(roles.get("cross_attn"), calls),
        mlp_out=_place(mlp, calls),
        mid=None if parallel else _mid(added or [], calls),
        neurons=_neurons(mlp, inside, calls) if router is None else None,
        router=router,
        post_norm=any(addition.norm is not None for addition in added or []),
        routing="" if router is None else seen.routing[router],
        experts=_experts(model, inside, calls),
        missing=missing,
    )


def _roles(added: list[discovery.Addition], attentions: list[Call]) -> dict[str, discovery.Addition]:
    """Which addition is whose: those with an attention before them, then the rest."""
    names: list[str] = []
    if len(added) == 3 and len(attentions) == 2:
        names = ["attn", "cross_attn", "mlp"]
    elif len(added) == 2:
        # A parallel block may call its MLP first.
        first_is_mlp = bool(attentions) and not any(a.start < added[0].call.end for a in attentions)
        names = ["mlp", "attn"] if first_is_mlp else ["attn", "mlp"]
    elif len(added) == 1 and any(added[0].call.holds(a) for a in attentions):
        names = ["attn"]
    return dict(zip(names, added, strict=False))


def _turn(call: Call, calls: list[Call]) -> int:
    return sum(other.path == call.path and other.start < call.start for other in calls)


def _place(addition: discovery.Addition | None, calls: list[Call]) -> Place | None:
    if addition is None:
        return None
    call = addition.call
    return Place(call.path, "out", _turn(call, calls), addition.factor, call.overwritten)


def _mid(added: list[discovery.Addition], calls: list[Call]) -> Place | None:
    """Where the stream between the last two additions is seen; after its norm where one stands in the stream."""
    if len(added) < 2:
        return None
    last = added[-2]
    if last.norm is not None:
        return Place(last.norm.path, "out", _turn(last.norm, calls))
    if last.seen is None:
        return None
    return Place(last.seen.path, "in" if last.received else "out", _turn(last.seen, calls))


def _neurons(mlp: discovery.Addition | None, inside: list[Call], calls: list[Call]) -> Place | None:
    """What the last projection before the MLP's output receives."""
    if mlp is None:
        return None
    leaves = [call for call in inside if call.leaf and call.end <= mlp.call.end and call.given is not None]
    return Place(leaves[-1].path, "in", _turn(leaves[-1], calls)) if leaves else None


def _experts(model: nn.Module, inside: list[Call], calls: list[Call]) -> Place | None:
    """Where a layer's experts receive their weights; None where no module, or more than one, is shown to hold them."""
    found = [
        Place(call.path, "in", _turn(call, calls), experts=count)
        for call in inside
        if call.received is not None and (count := experts_of(model.get_submodule(call.path), call))
    ]
    return found[0] if len(found) == 1 else None


def _heads(call: Call, calls: list[Call], inside: list[Call], seen: Seen) -> Heads | None:
    turn = _turn(call, calls)
    if call.path in seen.interface and turn < len(seen.interface[call.path]):
        one = seen.interface[call.path][turn]
        flat = one.z.reshape(*one.z.shape[:2], -1)
        projection, gated = _projection(call, inside, flat, known=True)
        return Heads(
            path=call.path,
            call=turn,
            how="interface",
            heads=one.heads,
            kv_heads=one.key.shape[1],
            head_width=one.query.shape[-1],
            value_width=one.z.shape[-1],
            causal=one.causal,
            projection=projection,
            gated=gated,
            sinks=one.sinks is not None,
            softcap=one.softcap,
            window=one.window,
        )
    if call.path in seen.replay and turn < len(seen.replay[call.path]):
        weights = seen.replay[call.path][turn]
        projection, _ = _projection(call, inside, call.gave, known=False)
        given = next((c.given for c in inside if c.path == projection), None)
        width = 0 if given is None else given.shape[-1] // weights.shape[1]
        later = torch.ones_like(weights, dtype=torch.bool).triu(1)
        return Heads(
            path=call.path,
            call=turn,
            how="replay",
            heads=weights.shape[1],
            kv_heads=weights.shape[1],
            head_width=width,
            value_width=width,
            causal=not bool(weights[later].any()),
            projection=projection,
        )
    return None


def _projection(attention: Call, inside: list[Call], z: Tensor | None, known: bool) -> tuple[str | None, bool]:
    """The output projection: what receives z; else the last one, which receives z behind a gate."""
    for call in inside:
        if call.leaf and call.end > attention.start and discovery.close(call.given, z):
            return call.path, False
    own = [call for call in inside if call.leaf and attention.holds(call)]
    if not own or own[-1].given is None:
        return None, False
    # Where only weights are known, z is what the last projection receives; else a gate must stand between the two.
    gated = discovery.close(own[-1].gave, attention.gave) and _is_gated(z, own[-1].given)
    return (own[-1].path, True) if gated or not known else (None, False)


def _is_gated(z: Tensor | None, given: Tensor | None) -> bool:
    """Whether a gate leaves of each entry of z something between nothing and all."""
    if z is None or given is None or given.shape != z.shape:
        return False
    share = given.float() / z.float()
    return bool(((share >= -AGREEMENT) & (share <= 1 + AGREEMENT)).all())
