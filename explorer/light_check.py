"""The light self-check that runs when a model is opened: what does not hold is left out, or the model is refused."""

from __future__ import annotations

from dataclasses import replace

import torch

from explorer.anatomy import Anatomy, Layer, Place, Stack
from explorer.capability import Capabilities, capabilities_of
from explorer.check_inputs import given_to, spread
from explorer.errors import Refused
from explorer.findings import Finding, Measured
from explorer.inputs import prepare, reads_text
from explorer.measures import (
    ATTENTION,
    HEADS,
    SUMS,
    difference,
    measure_attention,
    measure_heads,
    measure_stream,
    norms_of,
    tolerance_of,
)
from explorer.model import Model
from explorer.passes import plain, recorded
from explorer.pictures import example

_POSITIONS = 4
_LAYERS = 2
# Sites are chosen by one digit in a wildcard.
_LAST = 8


def checked(model: Model) -> tuple[Anatomy, Capabilities]:
    """Runs the light check: a few layers and positions, one pass and the beginning of another.

    Returns:
        The anatomy without the parts that did not hold, and what is left.

    Raises:
        Refused: the model's stream or answer differs when it is recorded, so that nothing could be trusted.
    """
    anatomy = model.anatomy
    if not anatomy.stacks:
        return anatomy, capabilities_of(anatomy, checked=False)
    for row in _rows(model):
        if row.passed:
            continue
        why = row.note if row.error == float("inf") else f"it differs by {row.error:.1e}, more than {row.tolerance:.0e}"
        problem = f"left out after the self-check: {row.what} fails at {row.site}, {why}"
        kept = _without(anatomy, row, problem)
        if kept is None:
            raise Refused(
                f"{model.name} did not pass its self-check: {row.what} fails at {row.site}, {why}. Its numbers could "
                "not be trusted. With check=False it is opened all the same, unchecked; model.check() says more."
            )
        anatomy = replace(kept, missing="; ".join(text for text in (kept.missing, problem) if text))
    return anatomy, capabilities_of(anatomy, checked=True)


def _rows(model: Model) -> tuple[Finding, ...]:
    main = model.anatomy.stack
    assert main is not None  # there are stacks
    tolerance, found = tolerance_of(model), Measured()
    pictured = example(model.hf)[0] is not None
    given = given_to(model, [spread(model)[:_POSITIONS]] if reads_text(model.hf) and not pictured else None)
    chosen = {stack.name: _chosen(stack) for stack in model.anatomy.stacks}
    norms = [path for stack in model.anatomy.stacks for path in norms_of(model, stack)]
    last = max(chosen[main.name])
    site = f"{main.prefix}layers.{last}.resid_post"
    until = Place(main.layers[last].path, "out", main.layers[last].call)
    alone = plain(model, prepare(model, **given).arguments, norms=norms, until=until)
    record = [f"{stack.prefix}layers.[0-{max(chosen[stack.name])}].*" for stack in model.anatomy.stacks]
    try:
        seen = recorded(model, given, record=record)
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return (Finding("recorded pass", site, float("inf"), tolerance, False, f"{type(error).__name__}: {error}"),)
    found.compare("resid_post = plain pass", site, tolerance, lambda: difference(seen.trace[site], alone.answer))
    for stack in model.anatomy.stacks:
        layers = chosen[stack.name]
        measure_attention(found, model, seen, stack, layers)
        measure_heads(found, model, seen.trace, stack, layers[-1:])
        measure_stream(found, model, seen.trace, stack, layers, alone.norms)
    return found.rows()


def _chosen(stack: Stack) -> list[int]:
    """The first layers, and the first with an attention, where hybrids have it later."""
    layers = list(range(min(_LAYERS, len(stack.layers))))
    first = next((index for index, layer in enumerate(stack.layers) if layer.attn is not None), None)
    return [*layers, first] if first is not None and layers[-1] < first <= _LAST else layers


def _without(anatomy: Anatomy, row: Finding, why: str) -> Anatomy | None:
    """The anatomy less the part that did not hold, in the whole stack; None where nothing is left to trust."""
    prefix, _, rest = row.site.partition("layers.")
    kind = "cross_attn" if rest.partition(".")[2].startswith("cross_attn") else "attn"

    def reduced(layer: Layer) -> Layer:
        heads = layer.attn if kind == "attn" else layer.cross_attn
        if row.what in SUMS:
            lost = replace(layer, attn_out=None, cross_attn_out=None, mlp_out=None, mid=None, neurons=None)
            return replace(lost, lost=(*layer.lost, ("sums", why)))
        if heads is None:
            return layer
        whole = row.what in ATTENTION
        less = None if whole else replace(heads, projection=None)
        lost = replace(layer, attn=less) if kind == "attn" else replace(layer, cross_attn=less)
        return replace(lost, lost=(*layer.lost, (kind if whole else f"{kind}.heads", why)))

    if row.what not in (*ATTENTION, HEADS, *SUMS):
        return None
    stacks = [
        replace(stack, layers=tuple(map(reduced, stack.layers))) if stack.prefix == prefix else stack
        for stack in anatomy.stacks
    ]
    return replace(anatomy, stacks=tuple(stacks))
