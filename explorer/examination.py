"""Examining a model: two short passes, and what they show about its parts.

The first pass is plain; its calls show the layers and what adds up in them. The second goes through the recording
attention function; it shows which modules really call it, and its output must equal the first one's. Families that
do not call it are asked once for their weights in the ordinary way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

import explorer.attending  # noqa: F401 - registers the attention function
from explorer import discovery, finite, mixtures, pictures, recurrence
from explorer.anatomy import Anatomy, Heads, Layer, Place, Stack
from explorer.attention import AttentionCall, joined
from explorer.discovery import Call, Run
from explorer.experts import experts_of
from explorer.probing import AGREEMENT, POSITIONS, agree, answer, probe
from explorer.recording import Plan, recording

# What models raise that ask for more than ids and images, or for other ones.
_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def examine(model: Any) -> Anatomy:
    """Looks at a transformers model with short passes, and leaves it as it was."""
    config = model.config
    text_config = config.get_text_config()
    head = model.get_output_embeddings()
    below = [path for path, module in model.named_modules() if path and isinstance(module, PreTrainedModel)]
    inputs, missing = probe(model)
    stacks: tuple[Stack, ...] = ()
    backbone = None
    calls: list[Call] = []
    routed: dict[str, Any] = {}
    plain: Tensor | None = None
    if not missing:
        try:
            inputs, (plain, calls, routed) = _first_pass(model, inputs)
        except torch.OutOfMemoryError:
            raise
        except _FAILURES as error:
            missing = f"a short pass to look at its parts failed ({type(error).__name__}: {error})"
    if plain is not None and finite.no_answer(plain):
        # Nothing can be compared with NaN, so no part of it could be shown to be what it seems.
        missing = f"its numbers are not finite from {finite.first_bad_call(calls)} on; {finite.cause(model)}"
    elif plain is not None:
        if not getattr(config, "is_encoder_decoder", False):
            backbone = next((call.path for call in calls if call.path in below), None)
        seen, missing = _attention(model, inputs, plain, calls)
        seen.routing = mixtures.rules(routed, [call.path for call in calls])
        stacks, unclear = _stacks(model, calls, seen)
        unseen = pictures.example(model)[1]
        unclear = "; ".join(text for text in (unclear, unseen) if text)
        stacks = tuple(recurrence.marked(stack, model) for stack in stacks)
        missing = missing or unclear
    return Anatomy(
        family=str(config.model_type),
        stacks=stacks,
        vocabulary=None if head is None else int(text_config.vocab_size),
        context=_limit(getattr(text_config, "max_position_embeddings", None)),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        experts=_first(text_config, "num_local_experts", "num_experts", "n_routed_experts"),
        window=_first(text_config, "sliding_window"),
        softcap=_first(text_config, "attn_logit_softcapping"),
        logit_softcap=_first(text_config, "final_logit_softcapping"),
        backbone=None if head is None else backbone,
        missing=missing,
    )


_Pass = tuple[Tensor, list[Call], dict[str, Any]]


def _first_pass(model: Any, inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], _Pass]:
    """What was read, and of it the plain answer, every module's call, and what the routers returned.

    Where a pass with an image inside the text fails, text alone is read.
    """
    try:
        return inputs, _watched(model, inputs)
    except torch.OutOfMemoryError:
        raise
    except _FAILURES as error:
        if pictures.example(model)[0] is None:
            raise
        pictures.unread(model, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
    inputs, _ = probe(model)
    return inputs, _watched(model, inputs)


def _watched(model: Any, inputs: dict[str, Tensor]) -> _Pass:
    watched = discovery.watching(model, _lengths(inputs))
    with torch.no_grad(), recording(model, Plan(outputs=mixtures.routers(model))) as record, watched as calls:
        plain = answer(model(**inputs))
    return plain, calls, dict(record.outputs)


def _lengths(inputs: dict[str, Tensor]) -> set[int]:
    """How many positions texts have, and images whose patches lie on one axis."""
    patches = {inputs["pixel_values"].shape[0]} if "image_grid_thw" in inputs else set()
    return {POSITIONS} | patches | ({inputs["input_ids"].shape[1]} if "input_ids" in inputs else set())


def _limit(positions: Any) -> int | None:
    """The longest input; some configs write -1 where there is no limit."""
    return positions if isinstance(positions, int) and positions > 0 else None


def _first(config: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(config, name, None))), None)


class _Seen:
    """Attention as the passes showed it, by module path, one entry for each call in a pass."""

    def __init__(self) -> None:
        self.interface: dict[str, list[AttentionCall]] = {}
        self.replay: dict[str, list[Tensor]] = {}
        self.routing: dict[str, str] = {}


def _attention(model: Any, inputs: dict[str, Tensor], plain: Tensor, calls: list[Call]) -> tuple[_Seen, str]:
    seen = _Seen()
    with torch.no_grad(), recording(model, Plan(attention="recorded")) as record:
        try:
            routed = answer(model(**inputs))
        except (AttributeError, KeyError, TypeError, ValueError):
            # Families outside the interface may look the setting up in a table or use the mask it makes.
            record.attention.clear()
    if record.attention and not agree(plain, routed):
        return seen, "its output changes when its attention is recorded, so attention is not recorded"
    seen.interface = {path: _whole(found, path, calls) for path, found in record.attention.items()}
    if record.attention:
        return seen, ""
    return _replayed(model, inputs, plain, seen)


def _whole(found: list[AttentionCall], path: str, calls: list[Call]) -> list[AttentionCall]:
    """One attention call for each call of its module, which may attend to images or windows one after the other."""
    times = sum(call.path == path for call in calls)
    if not times or len(found) % times:
        return found
    size = len(found) // times
    return [joined(found[first : first + size]) for first in range(0, len(found), size)]


def _replayed(model: Any, inputs: dict[str, Tensor], plain: Tensor, seen: _Seen) -> tuple[_Seen, str]:
    """Asks for weights in the ordinary way, which leaves nothing behind in families that build them in `forward`."""
    name = type(model).__name__
    if any(getattr(module, "_can_record_outputs", None) for module in model.modules()):
        return seen, f"{name} makes no attention call that can be recorded"
    watched = discovery.watching(model, _lengths(inputs))
    with torch.no_grad(), recording(model, Plan(attention="eager")), watched as asked:
        try:
            output = model(**inputs, output_attentions=True)
        except (TypeError, ValueError) as error:
            return seen, f"{name} gives no attention weights: {error}"
    if not agree(plain, answer(output)):
        # Falcon with ALiBi scales its biases in one of the two and not in the other.
        kernel = getattr(model.config, "_attn_implementation", None)
        return seen, (
            f"{name} gives other numbers with eager attention than with {kernel}, which it runs with, so its attention "
            "is not recorded; loaded with attn_implementation='eager' it can be"
        )
    weights = [w for key in ("attentions", "encoder_attentions") for w in output.get(key) or () if w is not None]
    patterns = [w for w in weights if discovery.is_pattern(w)]
    if not patterns:
        return seen, f"{name} has no softmax attention"
    for call in asked:
        inner = not any(other is not call and call.holds(other) and other.weights is not None for other in asked)
        if call.weights is not None and inner and any(discovery.close(call.weights, w) for w in patterns):
            seen.replay.setdefault(call.path, []).append(call.weights)
    return seen, "" if seen.replay else f"{name} gives attention weights that no single module returns"


def _stacks(model: nn.Module, calls: list[Call], seen: _Seen) -> tuple[tuple[Stack, ...], str]:
    found = discovery.runs(model, calls)
    if not found:
        return (), "no run of layers could be located"
    if any(call.given is not None and call.given.shape[:2] == (POSITIONS, 1) for run in found for call in run.calls):
        return (), "its layers hold positions before texts, (position, batch, width), which is not read"
    names = _names(found, model)
    stacks = tuple(_stack(model, run, name, calls, seen) for run, name in zip(found, names, strict=True))
    notes = sorted({layer.missing for stack in stacks for layer in stack.layers if layer.missing})
    return stacks, "; ".join(notes)


def _names(found: list[Run], model: nn.Module) -> list[str]:
    if len(found) == 1:
        return [""]
    names = []
    for run in found:
        parts = run.path.replace("_model", "").split(".")
        known = [name for name in ("encoder", "decoder", "text", "vision") if name in parts]
        towers = [name for name in known if name in ("text", "vision")]
        tower = [one] if (one := _tower(run.path, model)) else towers
        names.append((tower or known or [run.path.replace(".", "_")])[-1])
    paths = {name: {run.path for run, other in zip(found, names, strict=True) if other == name} for name in names}
    names = [n if len(paths[n]) == 1 else run.path.replace(".", "_") for run, n in zip(found, names, strict=True)]
    # A tower that is called several times in a pass is a stack for each call.
    earlier = [names[:index].count(name) for index, name in enumerate(names)]
    return [f"{name}_{number + 1}" if number else name for name, number in zip(names, earlier, strict=True)]


def _tower(path: str, model: nn.Module) -> str:
    """Which of the config's two halves the modules around a run belong to, where images stand inside the text."""
    config: Any = model.config
    if pictures.image_token(config) is None:
        return ""
    while path:
        own = getattr(model.get_submodule(path), "config", None)
        if own is not None and own is not config:
            return "vision" if own is config.vision_config else "text" if own is config.get_text_config() else ""
        path = path.rpartition(".")[0]
    return ""


def _stack(model: nn.Module, run: Run, name: str, calls: list[Call], seen: _Seen) -> Stack:
    last = run.calls[-1]
    assert last.gave is not None  # a run's layers have both sides
    after = [call for call in calls if call.start > last.end and discovery.close(call.given, last.gave)]
    norm = next((call.path for call in after if _is_norm(call, last)), None)
    return Stack(
        name=name,
        path=run.path,
        layers=tuple(_layer(model, call, calls, seen) for call in run.calls),
        width=last.gave.shape[-1],
        linked=run.linked,
        final_norm=norm,
        flat=last.flat,
    )


def _is_norm(call: Call, last: Call) -> bool:
    assert last.gave is not None
    return call.gave is not None and call.gave.shape == last.gave.shape and not call.leaf and call.end == call.start + 1


def _layer(model: nn.Module, call: Call, calls: list[Call], seen: _Seen) -> Layer:
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


def _heads(call: Call, calls: list[Call], inside: list[Call], seen: _Seen) -> Heads | None:
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
