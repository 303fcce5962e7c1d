"""The self-check: what the engine says about a model against plain transformers, on this machine.

The reference is always a plain pass with bare hooks, the module's own eager maths, or an identity that follows from
what a site means. Nothing asks the model for `output_attentions` or `output_hidden_states`, because transformers
leaves hooks of its own behind for them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from explorer import finite
from explorer.acceptance import own_hooks
from explorer.anatomy import Heads, Stack
from explorer.check_inputs import given_to
from explorer.edits import Ablate, Patch
from explorer.errors import Refused
from explorer.findings import Check, Measured
from explorer.inputs import prepare
from explorer.measures import (
    attentions,
    difference,
    measure_attention,
    measure_heads,
    measure_stream,
    norms_of,
    tolerance_of,
)
from explorer.memory import free_bytes
from explorer.model import Model
from explorer.passes import plain, recorded
from explorer.placement import places
from explorer.precision import compare
from explorer.trace import Trace

# Modules with hooks of the user that a check names.
_HOOKS = 6


def check(model: Model, inputs: Any = None, *, exact: bool = False) -> Check:
    """Compares what the engine says about a model with plain transformers; see `Model.check`."""
    if exact:
        model = _in_float64(model)
    found = Measured()
    given = given_to(model, inputs)
    arguments = prepare(model, **given).arguments
    tolerance = tolerance_of(model)
    norms = [path for stack in model.anatomy.stacks for path in norms_of(model, stack)]
    alone = plain(model, arguments, norms=norms)
    try:
        seen = recorded(model, given)
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        found.compare("recorded pass", "", tolerance, _raise, error)
        return _result(model, found)
    place, why = finite.verdict(seen.trace, seen.answer)
    found.compare("numbers are finite", place, 0.0, _finite, why)
    hooks = own_hooks(model.hf)
    if hooks:
        shown = ", ".join(hooks[:_HOOKS]) + (f" and {len(hooks) - _HOOKS} more" if len(hooks) > _HOOKS else "")
        found.remark("hooks that were there", "", f"kept, and part of what is compared: {shown}")
    what = "logits" if model.anatomy.vocabulary is not None else "output"
    found.compare(f"{what} = plain pass", "", tolerance, difference, seen.answer, alone.answer)
    for stack in model.anatomy.stacks:
        layers = range(len(stack.layers))
        measure_attention(found, model, seen, stack, layers)
        measure_heads(found, model, seen.trace, stack, layers)
        measure_stream(found, model, seen.trace, stack, layers, alone.norms)
        if stack.final_norm is not None:
            site = f"{stack.prefix}final_norm"
            found.compare("final_norm of resid_post", site, tolerance, _final, model, seen.trace, stack)
        _check_edits(found, model, given, stack)
    _check_padding(found, model, given)
    compare(found, model, arguments, free_bytes)
    if model.anatomy.missing:
        found.remark("not located", "", model.anatomy.missing)
    return _result(model, found)


def _result(model: Model, found: Measured) -> Check:
    return Check(model.name, str(model.dtype).removeprefix("torch."), found.rows())


def _raise(error: BaseException) -> float:
    raise error


def _finite(why: str) -> float:
    if why:
        raise ArithmeticError(why)
    return 0.0


def _final(model: Model, trace: Trace, stack: Stack) -> float:
    assert stack.final_norm is not None
    norm = model.hf.get_submodule(stack.final_norm)
    last = trace[f"{stack.prefix}layers.{len(stack.layers) - 1}.resid_post"]
    with model.lock, torch.no_grad(), model.evaluating():
        return difference(trace[f"{stack.prefix}final_norm"], norm(last))


def _check_edits(found: Measured, model: Model, given: Mapping[str, Any], stack: Stack) -> None:
    having = [entry for entry in attentions(stack, range(len(stack.layers))) if entry[3].projection is not None]
    if having:
        found.compare("z reaches attn_out", f"{having[0][0]}.z", tolerance_of(model), _confined, model, given, stack)
        prefix, _, _, heads = having[len(having) // 2]
        if heads.gated:
            found.remark("ablated head = plain hook", f"{prefix}.z", "not compared: z is changed before its projection")
        else:
            found.compare(
                "ablated head = plain hook", f"{prefix}.z", tolerance_of(model), _ablated, model, given, prefix, heads
            )
    middle = (len(stack.layers) - 1) // 2
    site = f"{stack.prefix}layers.{middle}.resid_post"
    if not stack.linked:
        found.remark("patched stream = other trace", site, "not compared: more than the stream reaches its layers")
    else:
        found.compare("patched stream = other trace", site, tolerance_of(model), _patched, model, given, stack, middle)


def _ablated(model: Model, given: Mapping[str, Any], prefix: str, heads: Heads) -> float:
    head = heads.heads - 1
    edited = recorded(model, given, [Ablate(f"{prefix}.z", heads=[head])])
    return difference(edited.answer, plain(model, prepare(model, **given).arguments, without=(heads, head)).answer)


def _confined(model: Model, given: Mapping[str, Any], stack: Stack) -> float:
    """With z set to something at the first position and to zero elsewhere, only that position may get something.

    What attention adds elsewhere is then one and the same (the projection's bias, if any), whatever the text. A
    wrong projection or a wrong place for what is added does not have this property.
    """
    probed = [
        (prefix, index, kind)
        for prefix, index, kind, heads in attentions(stack, range(len(stack.layers)))
        if heads.projection is not None
        and getattr(stack.layers[index], "attn_out" if kind == "attn" else "cross_attn_out") is not None
    ]
    usual = recorded(model, given).trace
    edits = []
    for prefix, *_ in probed:
        z = torch.zeros_like(usual[f"{prefix}.z"])
        z[:, 0] = usual[f"{prefix}.z"].abs().mean() + 1.0
        edits.append(Patch(f"{prefix}.z", z))
    if not edits:
        return 0.0
    trace = recorded(model, given, edits).trace
    worst = 0.0
    for _, index, kind in probed:
        added = trace[f"{stack.prefix}layers.{index}.{kind}_out"]
        first, rest = added[:, :1], added[:, 1:]
        if difference(first, rest[:, :1]) < 0.01:
            raise ValueError(f"{kind}_out of layer {index} does not depend on z")
        # Compared at the size of what one position's z gives: elsewhere there may be nothing but rounding.
        spread = (rest - rest[:, :1]).abs().amax() / first.abs().amax().clamp(min=1e-30)
        worst = max(worst, float(spread))
    return worst


def _patched(model: Model, given: Mapping[str, Any], stack: Stack, middle: int) -> float:
    """The middle layer's output from another text: everything after it must be that text's."""
    other = recorded(model, _other(given, stack))
    site = f"{stack.prefix}layers.{middle}.resid_post"
    edited = recorded(model, given, [Patch(site, other.trace)])
    after = [f"{stack.prefix}layers.{index}.resid_post" for index in range(middle, len(stack.layers))]
    if stack.final_norm is not None:
        after.append(f"{stack.prefix}final_norm")
    worst = max(difference(edited.trace[address], other.trace[address]) for address in after)
    decides = model.anatomy.vocabulary is not None and stack is model.anatomy.stack
    return max(worst, difference(edited.answer, other.answer)) if decides else worst


def _other(given: Mapping[str, Any], stack: Stack) -> dict[str, Any]:
    """Other inputs of the same shape; for a decoder the encoder keeps reading the same."""
    other = dict(given)
    if isinstance(other.get("images"), Mapping):  # inside the text, whose places for them stay where they are
        if stack.name.startswith("vision"):
            pixels = other["images"]["pixel_values"]
            return {**other, "images": {**other["images"], "pixel_values": pixels.flip(-1)}}
        return {**other, "inputs": [[*row[:-3], *reversed(row[-3:])] for row in other["inputs"]]}
    name = "decoder" if "decoder" in given and stack.name == "decoder" else "inputs"
    if other[name] is not None:
        other[name] = [row[-1:] + row[:-1] for row in other[name]]
    if "images" in other:
        other["images"] = other["images"].flip(-1)
    return other


def _check_padding(found: Measured, model: Model, given: Mapping[str, Any]) -> None:
    """The same comparisons where a mask really hides something: two texts of unequal length."""
    if given["inputs"] is None or not model.accepts("attention_mask") or isinstance(given.get("images"), Mapping):
        return
    ids = given["inputs"][0]
    if len(ids) < 4:
        return
    two = dict(given, inputs=[ids, ids[:-3]])
    if "decoder" in given:
        two["decoder"] = [given["decoder"][0]] * 2
    if "images" in given:
        two["images"] = given["images"][:1].repeat(2, 1, 1, 1)
    try:
        arguments = prepare(model, **two).arguments
    except Refused as refused:
        found.remark("padded", "", str(refused))
        return
    alone = plain(model, arguments)
    seen = recorded(model, two)
    lengths = [len(ids)] * 2 if "decoder" in given else [len(ids), len(ids) - 3]
    found.compare("padded: output = plain pass", "", tolerance_of(model), _real, lengths, seen.answer, alone.answer)
    for stack in model.anatomy.stacks:
        inside = Measured()
        measure_attention(inside, model, seen, stack, range(len(stack.layers)))
        for row in inside.rows():
            found.add(replace(row, what=f"padded: {row.what}"))


def _real(lengths: list[int], value: Tensor, expected: Tensor) -> float:
    """What is answered at padding means nothing."""
    if expected.dim() != 3:
        return difference(value, expected)
    return max(difference(value[row, :end], expected[row, :end]) for row, end in enumerate(lengths))


def _in_float64(model: Model) -> Model:
    """A deep copy in double precision, with the same anatomy.

    Raises:
        Refused: there is not enough memory for it, or its weights cannot be converted.
    """
    if getattr(model.hf, "is_quantized", False):
        raise Refused("exact=True needs weights that can be held in float64; these are quantised.")
    if places(model.hf):
        raise Refused(f"exact=True needs all weights in one place; these are on {', '.join(places(model.hf))}.")
    parameters = list(model.hf.parameters())
    needed = int(sum(p.numel() for p in parameters) * 8 * 1.1) + max(p.numel() for p in parameters) * 8
    device = torch.device("cpu") if model.device.type == "mps" else model.device  # which has no float64
    free = free_bytes(device)
    if free is not None and needed > free:
        raise Refused(
            f"exact=True needs a copy of {model.name} in float64, about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB "
            "are free. Check without exact=True, or a smaller model of the same family."
        )
    with model.lock:
        copied: Any = copy.deepcopy(model.hf)
    copied = copied.to(device=device, dtype=torch.float64)
    if hasattr(copied, "set_experts_implementation"):
        copied.set_experts_implementation("eager")  # the fast kernels for experts have no float64
    try:
        exact = Model(copied, model.tokenizer, model.name)
    except (RuntimeError, TypeError) as error:
        raise Refused(f"exact=True: {model.name} does not run in float64 here: {error}") from error
    exact.anatomy = model.anatomy
    return exact
