"""Which module is which part: found by looking at one short pass, never by a model's name.

A two-token pass shows which modules really send their attention through the registered function, with how many
heads, and which of them sit in one run of layers. What does not show up is refused later with the reason.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from explorer.recording import Recording, evaluating, recording

# Two correct kernels may differ by rounding; a mask or scale that got lost changes logits by far more.
_TOLERANCE = 0.02


@dataclass(frozen=True)
class Stack:
    """A run of like layers.

    Attributes:
        path: module path of the list that holds the layers.
        layers: how many there are.
        heads: query heads of each layer; 0 where a layer has no softmax attention that can be recorded.
        kv_heads: key-value heads of each layer.
        head_width: width of one head's queries and keys.
        causal: whether later positions are hidden from earlier ones.
        attention: module path of each layer's attention, None where there is none.
    """

    path: str
    layers: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    head_width: int
    causal: bool
    attention: tuple[str | None, ...]


@dataclass(frozen=True)
class Anatomy:
    """What a model is made of.

    Attributes:
        family: the architecture's name in transformers, such as "llama".
        stack: its run of layers, or None where it could not be located.
        width: of the residual stream, or None where the config does not say.
        vocabulary: number of logits, or None where the model has no vocabulary head.
        context: longest input in tokens, or None where the config sets no limit.
        parameters: number of weights.
        backbone: module path of the part below the vocabulary head, or None where there is no head.
        missing: why layers or attention could not be located; empty where all was.
    """

    family: str
    stack: Stack | None
    width: int | None
    vocabulary: int | None
    context: int | None
    parameters: int
    backbone: str | None
    missing: str

    @property
    def routes_attention(self) -> bool:
        """Whether attention can be recorded."""
        return self.stack is not None and any(self.stack.heads)

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
        if self.stack is not None:
            heads = sorted(set(self.stack.heads))
            kv_heads = sorted(set(self.stack.kv_heads))
            facts.append(("layers", self.stack.layers))
            facts.append(("heads", "/".join(map(str, heads))))
            facts.append(("key-value heads", "/".join(map(str, kv_heads))))
            facts.append(("head width", self.stack.head_width))
            facts.append(("attention", "causal" if self.stack.causal else "bidirectional"))
        facts.append(("width", self.width or "unknown"))
        facts.append(("vocabulary", self.vocabulary or "no vocabulary head"))
        facts.append(("context", self.context or "no fixed limit"))
        facts.append(("parameters", f"{self.parameters:,}"))
        if self.missing:
            facts.append(("not available", self.missing))
        return facts


def examine(model: nn.Module) -> Anatomy:
    """Looks at a transformers model with two short passes, and leaves it as it was."""
    config: Any = model.config
    text_config = config.get_text_config()
    head = model.get_output_embeddings()  # type: ignore[operator]
    stack, backbone, missing = _locate(model, text_config)
    return Anatomy(
        family=str(config.model_type),
        stack=stack,
        width=getattr(text_config, "hidden_size", None),
        vocabulary=None if head is None else int(text_config.vocab_size),
        context=getattr(text_config, "max_position_embeddings", None),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        backbone=None if head is None else backbone,
        missing=missing,
    )


def _locate(model: Any, text_config: Any) -> tuple[Stack | None, str | None, str]:
    """The stack, the backbone and why one of them is missing."""
    if getattr(model.config, "is_encoder_decoder", False):
        return None, None, "encoder-decoder models have two stacks; models with one stack are read"
    if getattr(model, "main_input_name", "input_ids") != "input_ids":
        return None, None, f"its input is {model.main_input_name}; models that read token ids are read"
    # Models below the model, outermost first: the first one that is called is what the head stands on.
    below = [path for path, module in model.named_modules() if path and isinstance(module, PreTrainedModel)]
    device = model.get_input_embeddings().weight.device
    ids = torch.tensor([[0, min(1, text_config.vocab_size - 1)]], device=device)
    # The two passes draw no random numbers and keep no graph: nothing of them remains.
    with torch.no_grad():
        with evaluating(model):
            plain = model(input_ids=ids)[0]
        with recording(model, attention=True, watched=below) as seen:
            routed = model(input_ids=ids)[0]
    backbone = next((path for path in below if path in seen.outputs), None)
    if not seen.attention:
        why = f"{type(model).__name__} does not send its attention through transformers' interface"
        return None, backbone, why
    if not _agree(plain, routed):
        return None, backbone, "its output changes when its attention is recorded, so nothing is recorded"
    stack, missing = _stack(model, seen)
    return stack, backbone, missing


def _agree(plain: Tensor, routed: Tensor) -> bool:
    difference = (plain - routed).float().abs().max()
    return bool(difference <= _TOLERANCE * plain.float().abs().max().clamp(min=1e-6))


def _stack(model: nn.Module, seen: Recording) -> tuple[Stack | None, str]:
    if any(len(calls) > 1 for calls in seen.attention.values()):
        return None, "its layers share one attention module, which is called several times"
    lists = {path for path, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    places: dict[str, dict[int, str]] = {}
    for path in seen.attention:
        # The outermost list: inner ones hold parts of one layer (experts, sub-layers).
        found = [match for match in re.finditer(r"\.(\d+)(?=\.)", path) if path[: match.start()] in lists]
        if not found:
            return None, f"its attention module {path} is in no list of layers"
        place = places.setdefault(path[: found[0].start()], {})
        if int(found[0].group(1)) in place:
            return None, f"layer {found[0].group(1)} of {path[: found[0].start()]} has several attention modules"
        place[int(found[0].group(1))] = path
    if len(places) != 1:
        return None, f"it has {len(places)} stacks ({', '.join(sorted(places))}); models with one stack are read"
    ((path, attention),) = places.items()
    layers = len(model.get_submodule(path))  # type: ignore[arg-type]
    calls = {index: seen.attention[module][0] for index, module in attention.items()}
    first = next(iter(calls.values()))
    return Stack(
        path=path,
        layers=layers,
        heads=tuple(calls[index].heads if index in calls else 0 for index in range(layers)),
        kv_heads=tuple(calls[index].key.shape[1] if index in calls else 0 for index in range(layers)),
        head_width=first.query.shape[-1],
        causal=first.causal,
        attention=tuple(attention.get(index) for index in range(layers)),
    ), ""
