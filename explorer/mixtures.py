"""Mixtures: which experts a router chooses, and with what probability.

A router returns its scores for all experts, the experts it chose, and the weights it gives them. How scores become
probabilities (a softmax over all experts, or a sigmoid for each) is told by arithmetic: the weights must be the
chosen experts' probabilities, up to one factor for each position (renormalising) or for all (scaling). Where
neither rule fits, or both do, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# Of the largest ratio between a weight and its probability; rounding in the weights' own dtype comes on top.
_TOLERANCE = 1e-4
_RULES = ("softmax", "sigmoid")


@dataclass(frozen=True)
class Routing:
    """What a router returned in one pass, batch and position as one axis.

    Attributes:
        scores: (token, expert), before the rule.
        weights: (token, k), what the chosen experts' outputs are multiplied with.
        chosen: (token, k), the experts, in the router's own order.
    """

    scores: Tensor
    weights: Tensor
    chosen: Tensor


def routers(model: nn.Module) -> list[str]:
    """Paths of the modules whose output transformers itself calls router logits."""
    classes: set[Any] = set()
    for module in model.modules():
        named = (getattr(module, "_can_record_outputs", None) or {}).get("router_logits", ())
        for recorder in named if isinstance(named, list | tuple) else [named]:
            classes.add(getattr(recorder, "target_class", recorder))
    return [path for path, module in model.named_modules() if type(module) in classes]


def read(output: Any) -> Routing | None:
    """What a router's output says; None where it does not hold scores, weights and chosen experts."""
    if not isinstance(output, tuple | list):
        return None
    flat = [value.reshape(-1, value.shape[-1]) for value in output if isinstance(value, Tensor) and value.dim() > 1]
    chosen = next((value for value in flat if not value.is_floating_point() and value.dtype != torch.bool), None)
    floating = [value for value in flat if value.is_floating_point()]
    if chosen is None or len(floating) != 2 or floating[1].shape != chosen.shape:
        return None
    scores, weights = floating
    if scores.shape[0] != chosen.shape[0] or int(chosen.max()) >= scores.shape[1]:
        return None
    return Routing(scores.detach(), weights.detach(), chosen.detach().long())


def rule(routing: Routing) -> str:
    """ "softmax" or "sigmoid", whichever the weights show; empty where they show neither or both."""
    fits = [name for name in _RULES if _fits(routing, probabilities(routing, name))]
    return fits[0] if len(fits) == 1 else ""


def rules(outputs: dict[str, Any], called: Iterable[str]) -> dict[str, str]:
    """The rule of each router by path, from one pass; empty where it cannot be told.

    Args:
        outputs: what each router returned.
        called: the path of every module call in the pass; a router that is called twice keeps only its last answer.
    """
    times = list(called)
    found = {}
    for path, output in outputs.items():
        routing = read(output) if times.count(path) == 1 else None
        found[path] = "" if routing is None else rule(routing)
    return found


def probabilities(routing: Routing, name: str) -> Tensor:
    """(token, expert) by a rule: softmax rows sum to one, each sigmoid stands for itself."""
    scores = routing.scores.float()
    return torch.softmax(scores, dim=-1) if name == "softmax" else torch.sigmoid(scores)


def _fits(routing: Routing, probability: Tensor) -> bool:
    """Whether the weights are the chosen probabilities, times one factor for each token or for all."""
    weights = routing.weights.float()
    ratio = weights / probability.gather(1, routing.chosen)
    if not bool(torch.isfinite(ratio).all()):
        return False
    if ratio.shape[1] == 1:  # one expert agrees with itself by any rule, so all tokens must agree
        ratio = ratio.T
    spread = ratio.amax(dim=1) - ratio.amin(dim=1)
    tolerance = max(_TOLERANCE, 8 * torch.finfo(routing.weights.dtype).eps)
    return bool((spread <= tolerance * ratio.abs().max()).all())
