"""What a model is made of: stacks, layers, heads, and where each part's numbers can be seen.

The values here are found by `explorer.discovery` and `explorer.examination`; this module only holds and shows them.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Place:
    """Where a number passes: into or out of one call of a module.

    Attributes:
        path: the module's path.
        side: "in" for what it receives, "out" for what it returns.
        call: which call of the module in a pass, from 0; more than one where weights are shared across depth.
        factor: what the number is multiplied with before it is added to the residual stream.
        overwritten: whether the model changes the tensor in place later, so that it must be copied to be kept.
        experts: not the hidden state is meant but the weights of this many experts, as (token, expert); else 0.
    """

    path: str
    side: Literal["in", "out"]
    call: int = 0
    factor: float = 1.0
    overwritten: bool = False
    experts: int = 0


@dataclass(frozen=True)
class Heads:
    """One attention of one layer.

    Attributes:
        path: module path of the attention.
        call: which call of it in a pass.
        how: "interface" where queries, keys and masks are recorded as they pass through transformers' attention
            interface; "replay" where only the module's own eager maths gives its weights, which is run again on
            what it received.
        heads: query heads.
        kv_heads: key-value heads.
        head_width: width of one head's queries and keys.
        value_width: width of one head's values and z.
        causal: whether later positions are hidden.
        projection: the output projection's path, or None where it could not be located.
        gated: whether z is changed between attention and the output projection.
        sinks: whether each head has a learned sink that takes weight, so that rows of its pattern sum to less than one.
        softcap: c in tanh(score / c) * c, or None.
        window: how far back it looks, where the family tells its attention so, or None.
    """

    path: str
    call: int
    how: Literal["interface", "replay"]
    heads: int
    kv_heads: int
    head_width: int
    value_width: int
    causal: bool
    projection: str | None
    gated: bool = False
    sinks: bool = False
    softcap: float | None = None
    window: int | None = None


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        path: module path.
        call: which call of it in a pass.
        attn: its self-attention, None where it has no softmax attention that can be recorded.
        cross_attn: its cross-attention, or None.
        attn_out: what self-attention (or another token mixer) adds, or None where that could not be shown.
        cross_attn_out: what cross-attention adds, or None.
        mlp_out: what the MLP adds, or None.
        mid: the residual stream between attention and MLP, or None (parallel blocks have none).
        neurons: the MLP's hidden neurons, what its last projection receives, or None.
        router: path of the module that chooses experts, or None.
        routing: how its scores become probabilities, "softmax" or "sigmoid"; empty where that cannot be told.
        experts: where the experts of a mixture receive their weights, or None.
        post_norm: whether norms stand inside the residual stream, after each addition.
        missing: why a part could not be located.
        lost: what the self-check left out ("attn", "cross_attn", their ".heads", or "sums"), each with the reason.
        recurrent: whether it carries a state from position to position in place of attention.
    """

    path: str
    call: int
    attn: Heads | None
    cross_attn: Heads | None
    attn_out: Place | None
    cross_attn_out: Place | None
    mlp_out: Place | None
    mid: Place | None
    neurons: Place | None
    router: str | None
    post_norm: bool
    routing: str = ""
    experts: Place | None = None
    missing: str = ""
    lost: tuple[tuple[str, str], ...] = ()
    recurrent: bool = False


@dataclass(frozen=True)
class Stack:
    """A run of like layers.

    Attributes:
        name: "" where a model has one stack, else "encoder", "decoder", "text", "vision"; a second call of a tower in
            one pass is a stack of its own, "vision_2".
        path: module path of the list that holds the layers.
        layers: the layers, in order of depth.
        width: of the residual stream.
        linked: whether each layer receives exactly what the one before it gave.
        final_norm: path of the norm that follows the last layer, or None.
        flat: whether all images of a pass lie on one axis of positions, (position, width), read as one text's.
    """

    name: str
    path: str
    layers: tuple[Layer, ...]
    width: int
    linked: bool
    final_norm: str | None
    flat: bool = False

    @property
    def prefix(self) -> str:
        """What the stack's sites begin with."""
        return f"{self.name}." if self.name else ""

    @property
    def heads(self) -> tuple[int, ...]:
        """Query heads of each layer; 0 where it has no softmax attention that can be recorded."""
        return tuple(0 if layer.attn is None else layer.attn.heads for layer in self.layers)

    @property
    def causal(self) -> bool:
        """Whether later positions are hidden from earlier ones."""
        return any(layer.attn is not None and layer.attn.causal for layer in self.layers)

    @property
    def post_norm(self) -> bool:
        return any(layer.post_norm for layer in self.layers)

    @property
    def parallel(self) -> bool:
        """Whether attention and MLP read the same input and are added at once."""
        both = (layer for layer in self.layers if layer.attn_out is not None and layer.mlp_out is not None)
        return any(layer.mid is None for layer in both)


@dataclass(frozen=True)
class Anatomy:
    """What a model is made of.

    Attributes:
        family: the architecture's name in transformers, such as "llama".
        stacks: its runs of layers; empty where none could be located.
        vocabulary: number of logits, or None where the model has no vocabulary head.
        context: longest input in tokens, or None where the config sets no limit.
        parameters: number of weights.
        experts: experts of each mixture layer, or None.
        window: width of the sliding attention window where the config has one.
        softcap: cap on attention scores, or None.
        logit_softcap: cap on the vocabulary head's logits, or None.
        backbone: module path of the part below the vocabulary head, or None where there is no head.
        missing: why layers or attention could not be located; empty where all was.
    """

    family: str
    stacks: tuple[Stack, ...]
    vocabulary: int | None
    context: int | None
    parameters: int
    experts: int | None
    window: int | None
    softcap: float | None
    backbone: str | None
    missing: str
    logit_softcap: float | None = None

    @property
    def stack(self) -> Stack | None:
        """The stack whose output becomes the model's answer: the only one, or the decoder or text stack."""
        for name in ("decoder", "text"):
            for stack in self.stacks:
                if stack.name == name:
                    return stack
        return self.stacks[-1] if self.stacks else None

    @property
    def routes_attention(self) -> bool:
        """Whether any attention can be recorded."""
        return any(any(stack.heads) for stack in self.stacks)

    def __repr__(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in self._facts())
        return f"Anatomy({self.family}: {facts})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(str(value))}</td></tr>"
            for name, value in (("family", self.family), *self._facts())
        )
        return f"<table>{rows}</table>"

    def _facts(self) -> list[tuple[str, object]]:
        facts: list[tuple[str, object]] = []
        for stack in self.stacks:
            name = f"{stack.name} " if stack.name else ""
            attentions = [layer.attn for layer in stack.layers if layer.attn is not None]
            facts.append((f"{name}layers", len(stack.layers)))
            if attentions:
                facts.append((f"{name}heads", _each(attn.heads for attn in attentions)))
                facts.append((f"{name}key-value heads", _each(attn.kv_heads for attn in attentions)))
                facts.append((f"{name}head width", _each(attn.head_width for attn in attentions)))
                facts.append((f"{name}attention", "causal" if stack.causal else "bidirectional"))
            facts += [(f"{name}{what}", value) for what, value in _special(stack)]
            facts.append((f"{name}width", stack.width))
            blocks = "parallel" if stack.parallel else "sequential"
            facts.append((f"{name}blocks", f"{blocks}, {'post' if stack.post_norm else 'pre'}-norm"))
        facts += [(name, value) for name, value in self._optional() if value is not None]
        facts.append(("vocabulary", self.vocabulary or "no vocabulary head"))
        facts.append(("context", self.context or "no fixed limit"))
        facts.append(("parameters", f"{self.parameters:,}"))
        if self.missing:
            facts.append(("not available", self.missing))
        return facts

    def _optional(self) -> list[tuple[str, object]]:
        layers = [layer for stack in self.stacks for layer in stack.layers]
        mixtures = sum(layer.router is not None for layer in layers)
        told = any(heads.window is not None for layer in layers for heads in (layer.attn,) if heads is not None)
        return [
            ("experts", f"{self.experts} in {_share(mixtures, len(layers))}" if mixtures else self.experts),
            ("sliding window", None if told else self.window),  # where layers tell it, each stack says it
            ("attention softcap", self.softcap),
            ("logit softcap", self.logit_softcap),
        ]


def _special(stack: Stack) -> Iterable[tuple[str, object]]:
    """What a reader of a stack's patterns should know, each where there is any."""
    count = len(stack.layers)
    attentions = [layer.attn for layer in stack.layers if layer.attn is not None]
    sinks = sum(attn.sinks for attn in attentions)
    windows = [attn.window for attn in attentions if attn.window is not None]
    recurrent = sum(layer.recurrent for layer in stack.layers)
    silent = sum(layer.attn is None and not layer.recurrent for layer in stack.layers)
    if sinks:
        yield "attention sinks", f"learned, in {_share(sinks, count)}"
    if windows:
        yield "sliding window", f"{_each(windows)} in {_share(len(windows), count)}"
    if recurrent:
        yield "recurrent layers", recurrent
    if silent:
        yield "layers without recorded attention", silent


def _share(some: int, count: int) -> str:
    return f"all {count} layers" if some == count else f"{some} of {count} layers"


def _each(values: Iterable[int]) -> str:
    return "/".join(map(str, sorted(set(values))))
