"""What a model can be asked for, as its anatomy says and the self-check proved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from explorer.anatomy import Anatomy, Stack
from explorer.errors import Refused
from explorer.note import Note


@dataclass(frozen=True)
class Capabilities:
    """What a model can be asked for.

    Attributes:
        attention: for each stack, by name: "recorded" (queries, keys, values and weights), "weights" (the weights
            alone), or "none".
        heads: whether any attention's output can be split into its heads.
        mixture: whether any layer chooses among experts.
        cross: whether any layer attends to another stack.
        logits: whether there is a vocabulary head.
        additive: whether the answer is a sum of what the layers add (pre-norm, all parts located).
        checked: whether this was proved on this machine, or only found.
        problems: what was left out, and why.
    """

    attention: tuple[tuple[str, Literal["recorded", "weights", "none"]], ...]
    heads: bool
    mixture: bool
    cross: bool
    logits: bool
    additive: bool
    checked: bool
    problems: tuple[str, ...] = ()


def capabilities_of(anatomy: Anatomy, *, checked: bool) -> Capabilities:
    """What an anatomy offers."""
    layers = [layer for stack in anatomy.stacks for layer in stack.layers]
    attentions = [heads for layer in layers for heads in (layer.attn, layer.cross_attn) if heads is not None]
    main = anatomy.stack
    return Capabilities(
        attention=tuple((stack.name, _attention(stack)) for stack in anatomy.stacks),
        heads=any(heads.projection is not None for heads in attentions),
        mixture=any(layer.router is not None for layer in layers),
        cross=any(layer.cross_attn is not None for layer in layers),
        logits=anatomy.vocabulary is not None,
        additive=main is not None
        and main.linked
        and not main.post_norm
        and all(layer.attn_out is not None and layer.mlp_out is not None for layer in main.layers),
        checked=checked,
        problems=tuple(anatomy.missing.split("; ")) if anatomy.missing else (),
    )


def _attention(stack: Stack) -> Literal["recorded", "weights", "none"]:
    ways = {layer.attn.how for layer in stack.layers if layer.attn is not None}
    return "recorded" if "interface" in ways else "weights" if ways else "none"


def require_next_token(name: str, anatomy: Anatomy) -> None:
    """Refuses models that do not predict a next token: those without a head, and those that read in both directions.

    Raises:
        Refused: it is one of these.
    """
    if anatomy.vocabulary is None:
        sentence = (
            f"{name} has no vocabulary head, so it predicts no next token. AttentionPanel shows where it attends."
        )
        raise Refused(Note("no_vocabulary", sentence, model=name))
    if anatomy.routes_attention and anatomy.stack is not None and not anatomy.stack.causal:
        sentence = (
            f"{name} reads in both directions, so it predicts no next token. AttentionPanel shows where it attends."
        )
        raise Refused(Note("both_directions", sentence, model=name))
