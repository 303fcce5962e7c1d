"""Attention as short passes show it: which modules compute it, and with what.

A pass through the recording function shows which modules call it; its output must equal the plain pass's. Families
that do not call it are asked for their weights in the ordinary way, and the modules that return them are looked for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import explorer.attending  # noqa: F401 - registers the attention function
from explorer import discovery
from explorer.attention import AttentionCall, joined
from explorer.discovery import Call
from explorer.plans import Plan
from explorer.probing import agree, answer, lengths
from explorer.recording import recording


class Seen:
    """Attention as the passes showed it, by module path, one entry for each call in a pass.

    Attributes:
        interface: what the recording function was given.
        replay: the weights that a module returned.
        routing: the rule of each router, by its path.
    """

    def __init__(self) -> None:
        self.interface: dict[str, list[AttentionCall]] = {}
        self.replay: dict[str, list[Tensor]] = {}
        self.routing: dict[str, str] = {}


def attention_in(model: Any, inputs: dict[str, Tensor], plain: Tensor, calls: list[Call]) -> tuple[Seen, str]:
    """What a model's attention showed, and why there is nothing of it.

    Args:
        model: the transformers model.
        inputs: of the plain pass.
        plain: its answer.
        calls: its calls.
    """
    seen = Seen()
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


def _replayed(model: Any, inputs: dict[str, Tensor], plain: Tensor, seen: Seen) -> tuple[Seen, str]:
    """Asks for weights in the ordinary way, which leaves nothing behind in families that build them in `forward`."""
    name = type(model).__name__
    if any(getattr(module, "_can_record_outputs", None) for module in model.modules()):
        return seen, f"{name} makes no attention call that can be recorded"
    watched = discovery.watching(model, lengths(inputs))
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
