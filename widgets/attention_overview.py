"""What the attention panel says of all heads at once, and which of them a selection can be of."""

from __future__ import annotations

import contextlib
from typing import Any

from explorer import Refused, Tokens, Trace
from explorer.anatomy import Layer, Stack
from explorer.note import Note
from explorer.one_image import images_apart
from explorer.overview import Overview
from explorer.sites import heads_of
from widgets import wire
from widgets.selection import KINDS, Selection


def all_heads_seen(
    trace: Trace, stack: Stack, kind: str, seen: Overview, prompt: Tokens, notes: list[str]
) -> dict[str, Any]:
    """The picture of all heads, as the browser's `AttentionView`, without its number and the choices.

    Args:
        trace: what is shown.
        stack: the stack that `seen` is of.
        kind: and the kind of attention.
        seen: the heads' thumbnails.
        prompt: the tokens, or the patches of an image, that stand in the prompt's place.
        notes: what the reader should know of them.
    """
    if seen.not_recorded:
        sentence = f"The attention of these layers was not recorded: {', '.join(map(str, seen.not_recorded))}."
        notes = [*notes, Note("not_recorded", sentence, layers=list(seen.not_recorded))]
    for layer in seen.not_numbers:
        sentence = f"Layer {layer} has attention weights that are not numbers; heads that hold some are hatched."
        notes = [*notes, Note("nan_weights", sentence, layer=layer)]
    first = next(layer for layer, heads in enumerate(seen.heads) if heads)
    where = trace.attention(first, stack=stack.name, kind=kind)
    decoding = bool(trace.decoder) and stack.name == "decoder"
    attentions = [heads_of(layer, kind) for layer in stack.layers]
    return {
        "tokens": wire.tokens(prompt),
        "decoder_tokens": wire.tokens(trace.decoder[0]) if decoding else None,
        "keys_from": "decoder" if decoding and kind == "attn" else "prompt",
        "notes": notes,
        "stack": stack.name,
        "kind": kind,
        "site": f"{stack.prefix}layers.{{}}.{kind}.z",
        "layers": len(stack.layers),
        "heads": max(seen.heads),
        "heads_per_layer": list(seen.heads),
        "absent": [_absence(layer, kind, index in seen.not_recorded) for index, layer in enumerate(stack.layers)],
        "windows": [None if heads is None else heads.window for heads in attentions],
        "sinks": [heads is not None and heads.sinks for heads in attentions],
        "queries": where.queries,
        "keys": where.keys,
        "positions": len(prompt),
        "grid": wire.array(seen.weights),
        "grid_max_error": seen.max_error,
        "not_numbers": [list(head) for head in seen.heads_not_numbers],
        "queries_sampled": len(seen.queries) if seen.sampled else None,
    }


def choices(trace: Trace) -> list[tuple[str, str]]:
    """The stacks and kinds of attention that the trace has weights of."""
    sites = set(trace.sites())
    return [
        (stack.name, kind)
        for stack in trace.anatomy.stacks
        for kind in KINDS
        if any(f"{stack.prefix}layers.{layer}.{kind}.pattern" in sites for layer in range(len(stack.layers)))
    ]


def _absence(layer: Layer, kind: str, not_recorded: bool) -> str:
    """Why a layer shows no weights; empty where it does."""
    if not_recorded:
        return "it was not recorded"
    if heads_of(layer, kind) is not None:
        return ""
    if layer.recurrent:
        return "recurrent, no softmax attention"
    return dict(layer.lost).get(kind) or layer.missing or "no softmax attention"


def fitting(chosen: Selection, seen: Overview, queries: int, keys: int) -> Selection:
    """The selection without what this picture does not have."""
    there = [layer for layer, heads in enumerate(seen.heads) if heads]
    layer, heads, query, key = chosen.layer, chosen.heads, chosen.query, chosen.key
    if any(at is not None and at >= count for at, count in ((query, queries), (key, keys))):
        query = key = None
    if layer is not None and layer not in there:
        layer, heads = there[0], (0,)
    if layer is not None and heads is not None:
        heads = tuple(head for head in heads if head < seen.heads[layer]) or (0,)
    return Selection(layer, heads, query, key, chosen.stack, chosen.kind)


def images_of(trace: Trace) -> int:
    """How many images a pass read."""
    if "pixel_values" not in trace.given:
        return 0
    with contextlib.suppress(Refused):  # how they are arranged is not known
        return len(trace.patch_grids())
    count = 1
    for stack in trace.anatomy.stacks:
        with contextlib.suppress(Refused):  # nothing of it was recorded
            count = max(count, images_apart(trace, stack))
    return count
