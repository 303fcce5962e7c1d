"""What a pass will need, told before it is run.

What a trace keeps is arithmetic: rows times width times bytes of every tensor that the plan names, each once where
several sites are one tensor. What the pass needs beside it for a moment is the largest of a few known tensors. Both
together are held against the memory that is free, and refused with an offer where it is too little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from explorer.anatomy import Anatomy, Heads, Layer, Place, Stack
from explorer.errors import Refused
from explorer.memory import free_bytes, written
from explorer.planning import layers_of
from explorer.sites import heads_of
from explorer.spent import LESS

if TYPE_CHECKING:
    from explorer.inputs import Inputs
    from explorer.model import Model
    from explorer.plans import Plan
    from explorer.record import Keeper

_Where = tuple[str, str, int]
# Below this nobody runs out, and asking the system would cost more than it tells.
SMALL = 64_000_000


@dataclass(frozen=True)
class Estimate:
    """What a pass will need, in bytes.

    Attributes:
        kept: by the trace, for as long as it lives.
        passing: for a moment, at most, beside what is kept.
    """

    kept: int
    passing: int


def estimate(model: Model, given: Inputs, plan: Plan, keeper: Keeper | None = None, taken: int = 0) -> Estimate:
    """What a pass will need. Images are not counted, since their positions are known only when they are seen.

    Args:
        model: the model.
        given: what the pass is given.
        plan: what it keeps.
        keeper: how it is kept, where that is not as it was computed.
        taken: how many positions are taken over from an earlier trace, which holds them already. Of these the cache
            alone is counted, which one pass makes for all that follow.
    """
    anatomy, size = model.anatomy, model.dtype.itemsize
    each = size if keeper is None else keeper.itemsize(size)
    kept = 0
    for stack in anatomy.stacks:
        rows = _rows(given, stack, taken)
        chosen = rows if keeper is None or keeper.positions is None else len(given.lengths) * len(keeper.positions)
        kept += sum(_widths(model, plan, stack, shared=keeper is None)) * chosen * each
        if anatomy.backbone in (*plan.outputs,) and stack is anatomy.stack and keeper is not None:
            kept += stack.width * chosen * size  # stays as it is: the model's own head reads it
        for prefix, heads in _attentions(stack):
            if prefix in (plan.kept or ()):
                others = _rows(given, anatomy.stacks[0]) if prefix.endswith("cross_attn") else rows
                widths = heads.head_width + heads.value_width
                kept += (rows * heads.heads + others * heads.kv_heads) * widths * each
            elif prefix in plan.replays:
                kept += rows * stack.width * size  # what the module received
    kept += _routers(model, plan, given, taken) * size
    if taken:
        kept += _cache(anatomy.stacks[0]) * _rows(given, anatomy.stacks[0]) * size
    return Estimate(kept, _passing(model, given, plan, taken))


def check(model: Model, given: Inputs, plan: Plan, keeper: Keeper | None = None, taken: int = 0) -> None:
    """Refuses a pass that needs more memory than is free; the arguments are those of `estimate`.

    Raises:
        Refused: the sentence says how much it is, how much is free, and what would need less.
    """
    needs = estimate(model, given, plan, keeper, taken)
    if needs.kept + needs.passing < SMALL:
        return
    place = model.device
    elsewhere = None if keeper is None else keeper.device
    if elsewhere is not None and elsewhere.type not in (place.type, "meta"):
        require(needs.kept, elsewhere, "This trace would keep")
        require(needs.passing, place, "This pass would need")
    else:
        require(needs.kept + needs.passing, place, "This trace would need")


def check_pattern(device: torch.device, dtype: torch.dtype, shape: Iterable[int]) -> None:
    """Refuses to compute attention weights that need more memory than is free.

    Raises:
        Refused: the sentence says how much it is, how much is free, and what would need less.
    """
    count = 1
    for length in shape:
        count *= length
    # Scores in the model's dtype, their softmax in float32, and what is returned.
    needed = count * (4 + (2 * dtype.itemsize if dtype.itemsize < 4 else dtype.itemsize))
    if needed >= SMALL:
        require(needed, device, "This pattern would need", "Ask for fewer heads= or fewer queries= at a time.")


def check_writing(model: Model, positions: int) -> None:
    """Refuses to write on where the cache of so many positions needs more memory than is free.

    Raises:
        Refused: the sentence says how much it is, how much is free, and what would need less.
    """
    stack = model.anatomy.stack
    if stack is None:
        return
    needed = _cache(stack) * positions * model.dtype.itemsize
    if needed >= SMALL:
        offer = "Use a shorter prompt or a smaller max_new_tokens."
        require(needed, model.device, f"The cache of {positions:,} tokens would need", offer)


def require(needed: int, device: torch.device, what: str, offer: str = LESS) -> None:
    """Refuses what needs more memory than is free on a device: "<what> about <needed>, and <free> are free on it".

    Raises:
        Refused: with the offer at the end of the sentence.
    """
    free = free_bytes(device)
    if free is not None and needed > free:
        raise Refused(f"{what} about {written(needed)}, and {written(free)} are free on {device}. {offer}")


def _rows(given: Inputs, stack: Stack, taken: int = 0) -> int:
    """Positions of all texts that a stack reads, padding included, without those that are taken over of each."""
    if stack.name == "vision":
        return 0
    texts = given.decoder if stack.name == "decoder" else given.tokens
    return len(texts) * (max((len(text) for text in texts), default=0) - taken)


def _cache(stack: Stack) -> int:
    """Numbers for each position in a cache of keys and values."""
    return sum(heads.kv_heads * (heads.head_width + heads.value_width) for _, heads in _attentions(stack))


def _widths(model: Model, plan: Plan, stack: Stack, shared: bool) -> Iterator[int]:
    """The width of each tensor with one row for each position that is kept of a stack.

    Args:
        model: the model.
        plan: what is kept.
        stack: of which stack.
        shared: whether sites that are one tensor keep it once; copies are made for each.
    """
    prefix = stack.prefix
    own = (f"{prefix}embed", f"{prefix}final_norm")
    named = [
        (place, site.endswith(".router.weights"))
        for site, place in plan.places.items()
        if site.startswith(f"{prefix}layers.") or site in own
    ]
    if shared and stack is model.anatomy.stack and model.anatomy.backbone in (*plan.outputs,) and stack.final_norm:
        named.append(
            (Place(stack.final_norm, "out"), False)
        )  # the backbone's output, for the logits of other positions
    same, seen = _same(stack), set[_Where]()
    for place, of_experts in named:
        where: _Where = (place.path, place.side, place.call)
        where = same.get(where, where)
        if shared and where in seen and not place.overwritten:
            continue
        seen.add(where)
        experts = model.anatomy.experts if of_experts else None
        yield experts or _width(model.hf.get_submodule(place.path), place, stack)


def _same(stack: Stack) -> dict[_Where, _Where]:
    """Places where the same tensor passes as at another one."""
    found: dict[_Where, _Where] = {}
    if stack.linked:
        for before, layer in pairwise(stack.layers):
            found[layer.path, "in", layer.call] = (before.path, "out", before.call)
    for layer in stack.layers:
        for heads in (layer.attn, layer.cross_attn):
            if heads is not None and heads.projection is not None:
                found[heads.path, "out", heads.call] = (heads.projection, "out", heads.call)
    return found


def _width(module: nn.Module, place: Place, stack: Stack) -> int:
    """The last axis of what passes there: what a projection receives may be wider than the stream."""
    weight: Any = getattr(module, "weight", None)
    if place.side == "in" and isinstance(weight, torch.Tensor) and weight.dim() == 2:
        received = getattr(module, "in_features", None)
        return int(received if received is not None else weight.shape[0])  # GPT-2's kin keep the weight transposed
    return stack.width


def _attentions(stack: Stack) -> Iterator[tuple[str, Heads]]:
    for index, layer in enumerate(stack.layers):
        for kind in ("attn", "cross_attn"):
            heads = heads_of(layer, kind)
            if heads is not None:
                yield f"{stack.prefix}layers.{index}.{kind}", heads


def _routers(model: Model, plan: Plan, given: Inputs, taken: int) -> int:
    """Numbers that routers give, of all layers that keep them: scores, and what was chosen."""
    experts = model.anatomy.experts or 0
    outputs = set(plan.outputs)
    return sum(
        _rows(given, stack, taken) * experts * 2
        for stack in model.anatomy.stacks
        for layer in stack.layers
        if layer.router in outputs
    )


def _passing(model: Model, given: Inputs, plan: Plan, taken: int) -> int:
    """The largest of what a pass makes and drops: the MLP's middle, logits of all positions, eager weights."""
    anatomy, size = model.anatomy, model.dtype.itemsize
    most = 0
    for stack in anatomy.stacks:
        rows = _rows(given, stack, taken)
        most = max(most, rows * _middle(model, stack.layers) * 3 * size)
        if _eager(anatomy, plan):
            heads = max((layer.attn.heads for layer in stack.layers if layer.attn is not None), default=0)
            length = _rows(given, stack) // max(1, len(given.lengths))
            most = max(most, rows * length * heads * (4 + 2 * size))
    late = model.accepts("logits_to_keep") and anatomy.backbone is not None
    if anatomy.vocabulary is not None and anatomy.stack is not None:
        rows = len(given.lengths) if late else _rows(given, anatomy.stack, taken)
        most = max(most, rows * anatomy.vocabulary * 2 * size)
    return most


def _middle(model: Model, layers: Iterable[Layer]) -> int:
    """The width of an MLP's hidden neurons; four times the stream's where they could not be located."""
    for layer in layers:
        if layer.neurons is not None:
            module = model.hf.get_submodule(layer.neurons.path)
            return _width(module, layer.neurons, model.anatomy.stacks[0])
    return 4 * max((stack.width for stack in model.anatomy.stacks), default=0)


def _eager(anatomy: Anatomy, plan: Plan) -> bool:
    """Whether a pass makes every head's weights, which families that give no others do."""
    replayed = any(layer.attn is not None and layer.attn.how == "replay" for layer in layers_of(anatomy))
    return replayed or anatomy.softcap is not None or plan.attention == "eager"
