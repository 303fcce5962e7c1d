"""The comparisons of the self-check: a trace against the model's own modules, and against what sites mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from explorer.anatomy import Heads, Layer, Stack
from explorer.attending import eager_function
from explorer.attention import additive_mask, joined
from explorer.findings import Measured
from explorer.model import Model
from explorer.passes import Recorded
from explorer.sites import heads_of
from explorer.trace import Trace

# Relative error that rounding explains. A lost mask, a wrong scale or a wrong module is far above.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 6e-2}
# A factor on the way to the stream is found from the model's own numbers, in float32 at best.
FITTED = 1e-7
# Names of the comparisons that speak of one part only, which can be left out.
ATTENTION = ("weights sum to one", "weights = eager", "z = weights @ v")
HEADS = "heads sum to attn.out"
SUMS = ("parts sum to resid_post", "norms of the sums = resid_post")

# Families take their softmax in float32 whatever the model's dtype.
SOFTMAX = 2e-6


def tolerance_of(model: Model) -> float:
    """For numbers in the model's own dtype."""
    return TOLERANCE.get(model.dtype, max(TOLERANCE.values()))


def difference(value: Tensor, expected: Tensor, terms: Sequence[Tensor] = ()) -> float:
    """The largest difference, relative to the entry's size or its row's, so that outliers hide nothing.

    Args:
        value: what the engine says.
        expected: what it should be.
        terms: what a sum was made of; where large terms cancel, rounding is theirs.

    Raises:
        ValueError: the shapes differ.
    """
    if value.shape != expected.shape:
        raise ValueError(f"the shapes differ: {tuple(value.shape)} and {tuple(expected.shape)}")
    if not value.numel():
        return 0.0
    one, other = value.detach().cpu().double(), expected.detach().cpu().double()
    same = (one == other) | (one.isnan() & other.isnan())  # equal infinities too
    off = torch.where(same, 0.0, (one - other).abs())
    size = torch.where(other.isfinite(), other, 0.0).abs()
    if terms:
        size = torch.maximum(size, sum((term.detach().cpu().double().abs() for term in terms), torch.zeros_like(size)))
    row = size.square().mean(-1, keepdim=True).sqrt()
    scale = size + torch.maximum(row, 0.1 * row.median())
    return float((off / scale.clamp(min=1e-30)).max())


def absolute(value: Tensor, expected: Tensor) -> float:
    """The largest difference as it is, for attention weights."""
    if value.shape != expected.shape:
        raise ValueError(f"the shapes differ: {tuple(value.shape)} and {tuple(expected.shape)}")
    return float((value.detach().cpu().double() - expected.detach().cpu().double()).abs().max())


def attentions(stack: Stack, layers: Sequence[int]) -> Iterator[tuple[str, int, str, Heads]]:
    """Prefix, layer, kind and attention of each attention of some layers."""
    for index in layers:
        for kind in ("attn", "cross_attn"):
            heads = heads_of(stack.layers[index], kind)
            if heads is not None:
                yield f"{stack.prefix}layers.{index}.{kind}", index, kind, heads


def measure_attention(found: Measured, model: Model, seen: Recorded, stack: Stack, layers: Sequence[int]) -> None:
    """Weights against the module's own eager maths, and z against what weights and values give."""
    tolerance = max(tolerance_of(model), SOFTMAX)
    for prefix, index, kind, heads in attentions(stack, layers):
        if heads.how == "replay":
            note = "the weights are the module's own"
            found.compare(ATTENTION[0], f"{prefix}.pattern", tolerance, _rows, seen.trace, prefix, note=note)
            continue
        found.compare(ATTENTION[1], f"{prefix}.pattern", tolerance, _weights, model, seen, stack, index, kind)
        found.compare(ATTENTION[2], f"{prefix}.z", tolerance, _mixed, seen, stack, index, kind)


def _rows(trace: Trace, prefix: str) -> float:
    pattern = trace[f"{prefix}.pattern"].double()
    return float(torch.maximum((pattern.sum(-1) - 1.0).abs().max(), -pattern.min()))


def _weights(model: Model, seen: Recorded, stack: Stack, index: int, kind: str) -> float:
    heads = heads_of(stack.layers[index], kind)
    assert heads is not None  # it was chosen because there is one
    call = joined(seen.calls[f"{stack.prefix}layers.{index}.{kind}"])
    module = model.hf.get_submodule(heads.path)
    named = {"softcap": call.softcap, "s_aux": call.sinks, "position_bias": call.bias}
    more = {name: value for name, value in named.items() if value is not None}
    mask = additive_mask(call.mask, call.query, call.key, call.causal)
    with model.lock, torch.no_grad(), model.evaluating():
        _, weights = eager_function(module)(
            module, call.query, call.key, call.value, mask, dropout=0.0, scaling=call.scaling, **more
        )
    assert weights is not None  # eager maths always gives them
    return absolute(seen.trace.pattern(index, stack=stack.name, kind=kind), weights)


def _mixed(seen: Recorded, stack: Stack, index: int, kind: str) -> float:
    call = joined(seen.calls[f"{stack.prefix}layers.{index}.{kind}"])
    pattern = seen.trace.pattern(index, stack=stack.name, kind=kind)
    value = call.value.repeat_interleave(pattern.shape[1] // call.value.shape[1], dim=1)
    return difference(call.z, torch.matmul(pattern.to(value.dtype), value).transpose(1, 2))


def measure_heads(found: Measured, model: Model, trace: Trace, stack: Stack, layers: Sequence[int]) -> None:
    """The heads' parts and the projection's bias against what the projection gave."""
    for prefix, index, kind, heads in attentions(stack, layers):
        if heads.projection is not None:
            arguments = (model, trace, stack, prefix, index, kind)
            found.compare(HEADS, f"{prefix}.out", tolerance_of(model), _heads, *arguments)


def _heads(model: Model, trace: Trace, stack: Stack, prefix: str, index: int, kind: str) -> float:
    heads = heads_of(stack.layers[index], kind)
    assert heads is not None
    assert heads.projection is not None
    parts = trace.head_out(index, stack=stack.name, kind=kind)
    projection = model.hf.get_submodule(heads.projection)
    width = heads.heads * heads.value_width
    with model.lock, torch.no_grad(), model.evaluating():
        bias = projection(torch.zeros(1, 1, width, dtype=parts.dtype, device=parts.device))
    total = parts.double().sum(2) + bias if parts.device.type != "mps" else parts.sum(2) + bias
    return difference(total, trace[f"{prefix}.out"], [parts.abs().sum(2)])


def measure_stream(
    found: Measured, model: Model, trace: Trace, stack: Stack, layers: Sequence[int], norms: Sequence[Any]
) -> None:
    """What the layers add against what the residual stream became, and each layer's input against the last output."""
    tolerance = tolerance_of(model)
    for index in layers:
        layer, prefix = stack.layers[index], f"{stack.prefix}layers.{index}."
        places = (layer.attn_out, layer.cross_attn_out, layer.mlp_out)
        scaled = any(place is not None and place.factor != 1.0 for place in places)
        sums = max(tolerance, FITTED) if scaled else tolerance
        located = layer.attn_out is not None and layer.mlp_out is not None
        if located and layer.post_norm:
            found.compare(SUMS[1], f"{prefix}resid_post", sums, _normed, trace, prefix, layer, norms)
        elif located:
            found.compare(SUMS[0], f"{prefix}resid_post", sums, _summed, trace, prefix, layer)
        if stack.linked and index + 1 < len(stack.layers) and index + 1 in layers:
            follower = f"{stack.prefix}layers.{index + 1}.resid_pre"
            found.compare("resid_pre = resid_post before", follower, tolerance, _linked, trace, prefix, follower)


def _summed(trace: Trace, prefix: str, layer: Layer) -> float:
    terms = [trace[f"{prefix}resid_pre"], trace[f"{prefix}attn_out"]]
    if layer.cross_attn_out is not None:
        terms.append(trace[f"{prefix}cross_attn_out"])
    stream = torch.stack(terms).sum(0)
    middle = 0.0 if layer.mid is None else difference(trace[f"{prefix}resid_mid"], stream, terms)
    last = trace[f"{prefix}mlp_out"]
    return max(middle, difference(trace[f"{prefix}resid_post"], stream + last, [*terms, last]))


def _normed(trace: Trace, prefix: str, layer: Layer, norms: Sequence[tuple[Tensor, Tensor]]) -> float:
    """After each addition some norm received the sum; what it gave is the stream from there on."""
    stream, worst = trace[f"{prefix}resid_pre"], 0.0
    parts = ("attn_out", "cross_attn_out", "mlp_out")
    for part in parts:
        if getattr(layer, part) is None:
            continue
        total = stream + trace[prefix + part]
        like = [(given, gave) for given, gave in norms if given.numel() == total.numel()]
        off, stream = min(
            ((difference(given.reshape(total.shape), total), gave.reshape(total.shape)) for given, gave in like),
            key=lambda pair: pair[0],
        )
        worst = max(worst, off)
        if part != "mlp_out" and layer.mid is not None and (part == "cross_attn_out" or layer.cross_attn_out is None):
            worst = max(worst, difference(trace[f"{prefix}resid_mid"], stream))
    return max(worst, difference(trace[f"{prefix}resid_post"], stream))


def _linked(trace: Trace, prefix: str, follower: str) -> float:
    return difference(trace[follower], trace[f"{prefix}resid_post"])


def norms_of(model: Model, stack: Stack) -> list[str]:
    """Modules of post-norm layers that may be their norms: without parts and without a weight matrix."""
    inside = {
        path: module
        for layer in stack.layers
        if layer.post_norm
        for path, module in model.hf.named_modules()
        if path.startswith(f"{layer.path}.")
    }
    return [
        path
        for path, module in inside.items()
        if not list(module.children()) and getattr(getattr(module, "weight", None), "ndim", 0) == 1
    ]
