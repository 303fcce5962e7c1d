"""Where the residual stream draws from, over depth: attention rollout and attention flow.

After Abnar and Zuidema 2020 ("Quantifying Attention Flow in Transformers"). Each layer mixes positions by the matrix
0.5 x (the average of its heads' weights) + 0.5 x (identity), the identity standing for the residual stream; each of its
rows is divided by its sum, which is 1 already unless learned sinks or an edit took weight. Rollout multiplies these
matrices. Flow takes them as capacities of a network of pipes, from a position after a layer to each input token, and
asks how much could pass at most. Both look at attention weights alone: values, norms and MLPs are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explorer.anatomy import Stack
from explorer.control import report
from explorer.errors import Refused
from explorer.note import Note
from explorer.sites import checked_indices, checked_layer, chosen_stack

if TYPE_CHECKING:
    from explorer.trace import Trace

# A network has a pipe for each weight of each layer; longer texts would take minutes for a single position.
FLOW_TOKENS = 64
_ROLLING = Note("rolling_out", "rollout")
_FLOWING = Note("finding_flow", "flow")
# Capacities are whole numbers, so that the maximum is found exactly: multiples of 2**-40, rounded down.
_UNIT = 2**40


def attention_rollout(
    trace: Trace,
    *,
    layer: int | None = None,
    queries: Sequence[int] | slice | int | None = None,
    stack: str | None = None,
    text: int = 0,
) -> Tensor:
    """How much each position after a layer draws from each input token, when weights are multiplied over depth.

    Args:
        trace: what was recorded, self-attention of all layers up to `layer` in it.
        layer: after which layer; the last by default.
        queries: which positions; all by default. Of a long text a few cost much less than all.
        stack: which stack, where the model has several; the decoder or text stack by default.
        text: which text of the batch, or which image.

    Returns:
        (query, key) in float64 on the CPU; rows sum to 1.

    Raises:
        Refused: a layer has no weights, or draws from elsewhere (cross-attention), or an index is out of range.
        Cancelled: the work was superseded.
    """
    last = _checked(trace, layer, stack)
    count = trace.attention(last, stack=stack, text=text).queries
    chosen = checked_indices("queries", queries, count)
    found = torch.zeros(len(chosen), count, dtype=torch.double)
    found[torch.arange(len(chosen)), torch.tensor(chosen)] = 1.0
    for index in range(last, -1, -1):
        below = torch.zeros_like(found)
        for start, mixing in _mixing(trace, index, stack, text):
            below[:, : mixing.shape[1]] += found[:, start : start + len(mixing)] @ mixing
        found = below
        report((last - index + 1) / (last + 1), _ROLLING)
    return found


def attention_flow(
    trace: Trace,
    *,
    layer: int | None = None,
    queries: Sequence[int] | slice | int = -1,
    stack: str | None = None,
    text: int = 0,
) -> Tensor:
    """How much could flow at most from each input token to a position after a layer, through weights as capacities.

    Each pair of a position and an input token is a maximum of its own: a row does not sum to 1. Up to 64 tokens; one
    position of 64 tokens over 30 layers takes seconds, which `report` tells and cancelling ends.

    Args:
        trace: what was recorded, self-attention of all layers up to `layer` in it.
        layer: after which layer; the last by default.
        queries: which positions; the last by default (-1 is the only negative one).
        stack: which stack, where the model has several; the decoder or text stack by default.
        text: which text of the batch, or which image.

    Returns:
        (query, key) in float64 on the CPU, each from 0 to 1; exact to a billionth.

    Raises:
        Refused: the text has more than 64 tokens, a layer has no weights, or draws from elsewhere (cross-attention),
            or an index is out of range.
        Cancelled: the work was superseded.
    """
    last = _checked(trace, layer, stack)
    count = trace.attention(last, stack=stack, text=text).queries
    if count > FLOW_TOKENS:
        raise Refused(
            f"attention flow is computed for up to {FLOW_TOKENS} tokens, and this text has {count}; shorten it, or "
            "use attention_rollout, which reads any length."
        )
    chosen = checked_indices("queries", count - 1 if queries == -1 else queries, count)
    layers = [torch.cat([_wide(one, count) for _, one in _mixing(trace, at, stack, text)]) for at in range(last + 1)]
    return max_flows(layers, chosen)


def max_flows(layers: Sequence[Tensor], sources: Sequence[int]) -> Tensor:
    """Maximum flows through layers of pipes, (source, key) in float64.

    Args:
        layers: of each layer, the first first, (query, key) capacities from a position after it to one before it.
        sources: positions after the last layer.

    Raises:
        Cancelled: the work was superseded.
    """
    import networkx
    from networkx.algorithms.flow import build_residual_network, shortest_augmenting_path

    count = layers[0].shape[1]
    whole = [(capacities.double() * _UNIT).floor().long() for capacities in layers]
    found = torch.zeros(len(sources), count, dtype=torch.double)
    for row, source in enumerate(sources):
        # Without what no path from the source reaches: in a causal model all later positions, at every depth.
        pipes: Any = networkx.DiGraph()
        reached = [source]
        for depth in range(len(layers) - 1, -1, -1):
            for query in reached:
                for key in whole[depth][query].nonzero()[:, 0].tolist():
                    pipes.add_edge((depth + 1, query), (depth, key), capacity=int(whole[depth][query, key]))
            reached = whole[depth][reached].sum(dim=0).nonzero()[:, 0].tolist()
        network = build_residual_network(pipes, "capacity")
        start = (len(layers), source)
        for key in range(count):
            if key in reached:
                # In these networks ten times as fast as the usual algorithms: nearly every path is a shortest one.
                solved = shortest_augmenting_path(pipes, start, (0, key), residual=network, value_only=True)
                found[row, key] = solved.graph["flow_value"] / _UNIT
            report((row * count + key + 1) / found.numel(), _FLOWING)
    return found


def _mixing(trace: Trace, layer: int, stack: str | None, text: int) -> Iterator[tuple[int, Tensor]]:
    """A layer's mixing matrix in blocks of rows: (first row, (query, key) in float64), keys as far as they are seen."""
    where = trace.attention(layer, stack=stack, text=text)
    for start, weights in where.blocks(range(where.heads), range(where.queries)):
        average = 0.5 * weights.float().mean(dim=0).cpu().double()
        rows = torch.arange(len(average))
        average[rows, start + rows] += 0.5
        yield start, average / average.sum(dim=1, keepdim=True)


def _wide(rows: Tensor, count: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, count - rows.shape[1]))


def _checked(trace: Trace, layer: int | None, stack: str | None) -> int:
    """The layer that is meant, where positions draw from nothing but positions by weights up to it."""
    found: Stack = chosen_stack(stack, trace.anatomy)
    last = len(found.layers) - 1 if layer is None else checked_layer(layer, len(found.layers))
    for index, one in enumerate(found.layers[: last + 1]):
        if one.cross_attn is not None:
            raise Refused(
                f"layer {index} draws from the encoder as well, so its positions are no mixture of its own inputs; "
                "choose the encoder's stack."
            )
        if one.attn is None:
            how = "carries a state from position to position" if one.recurrent else "has no attention that can be read"
            raise Refused(f"layer {index} {how}, so there are no weights to follow through it.")
    return last
