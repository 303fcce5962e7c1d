"""Heads patched with what they did in the pinned text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from explorer import Patch, Refused, Tokens
from explorer.prompt_alignment import aligned
from explorer.sites import checked_indices, chosen_stack, heads_of

if TYPE_CHECKING:
    from widgets.exploration import Exploration


def patch_of_pinned(
    exploration: Exploration, layer: int, heads: Sequence[int] | None, stack: str | None, kind: str
) -> Patch:
    """The edit that gives some heads the output (`z`) that they had in the pinned text, under the pinned edits.

    Texts of the same length are patched position by position. Of texts that differ in length, those positions are
    patched whose tokens are equal or stand in each other's place; the others keep what they have.

    Args:
        exploration: with something pinned.
        layer: of the heads.
        heads: which heads; None for all of the layer.
        stack: which stack, where the model has several.
        kind: "attn" or "cross_attn".

    Raises:
        Refused: nothing is pinned, the model is not there, or no position of the two texts stands for the same.
        Cancelled: a newer request came.
    """
    pinned = exploration.pinned
    if pinned is None:
        raise Refused("Nothing is pinned, so there is nothing to patch from; pin a text first: exploration.pin().")
    model = exploration.source.model_for("passes")
    found = chosen_stack(stack, model.anatomy)
    (layer,) = checked_indices("layer", layer, len(found.layers))
    attention = heads_of(found.layers[layer], kind)
    if attention is None:
        raise Refused(f"layer {layer} has no {kind} whose heads could be patched.")
    chosen = checked_indices("heads", heads if heads is None else list(heads), attention.heads)
    site = f"{found.prefix}layers.{layer}.{kind}.z"
    state = pinned.state
    before = exploration.source.tokens(pinned.text, state["special_tokens"], state["literal"])
    decoder = exploration.source.decoder_tokens(state["decoder"])
    source = exploration.source.ran(before, pinned.edits, decoder=decoder, record=[site])
    if source.decoder and found.name == "decoder":
        theirs, own = source.decoder[0], exploration.trace().decoder[0]
    else:
        theirs, own = before, exploration.tokens
    values = source[site]
    if len(theirs) == len(own):
        return Patch(site, values, heads=chosen)
    pairs = matched(theirs, own)
    if not pairs:
        raise Refused(
            f"The pinned text has {len(theirs)} tokens and this one {len(own)}, and none stands for the same, so no "
            "position can be patched."
        )
    placed = torch.zeros(values.shape[0], len(own), *values.shape[2:], dtype=values.dtype, device=values.device)
    for there, here in pairs:
        placed[:, here] = values[:, there]
    return Patch(site, placed, heads=chosen, positions=[here for _, here in pairs])


def matched(theirs: Tokens, own: Tokens) -> list[tuple[int, int]]:
    """Pairs of positions that stand for the same: equal tokens, and single ones in each other's place."""
    groups = aligned(theirs, own)
    return [(group.first[0], group.second[0]) for group in groups if len(group.first) == 1 and len(group.second) == 1]
