"""Which parts a logit came from: what each attention and MLP added, read along the direction of a token.

The stream before the final norm is a sum: the embeddings, and what every layer's attentions and MLP added. With the
norm held at the scale it really had, norm and head are linear in that sum, so a logit is a sum of the parts' shares
(direct logit attribution; Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"). What the norm and
the head do is measured on them, not read from their class; where they are not linear it is refused.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from explorer.anatomy import Place, Stack
from explorer.attribution import token_id
from explorer.errors import Refused
from explorer.lens import checked_stack, head_of, kept_rows, lens_logits, read_tokens
from explorer.tokens import Token, labels

if TYPE_CHECKING:
    import pandas as pd

    from explorer.trace import Trace

# How far out the head is asked whether it is linear, in lengths of the normed stream.
_FAR = 64
_Part = tuple[str, int | None, int | None, Tensor]


@dataclass(frozen=True, eq=False)
class LogitAttribution:
    """A logit, taken apart.

    Attributes:
        target: the token whose logit it is.
        against: the token whose logit is subtracted, or None.
        position: after which position.
        frame: part, layer, head, contribution; in the order of the pass. "bias" is what norm and head add by
            themselves; "edits" what edits put into the stream.
        difference: the logit, minus that of `against`.
        remainder: difference minus the sum of the contributions: rounding.
    """

    target: Token
    against: Token | None
    position: int
    frame: pd.DataFrame
    difference: float
    remainder: float

    def __repr__(self) -> str:
        against = "" if self.against is None else f" against {self.against.text!r}"
        return (
            f"LogitAttribution({self.target.text!r}{against} after position {self.position}: {self.difference:.4g} "
            f"in {len(self.frame)} parts, remainder {self.remainder:.2g})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.frame._repr_html_()}"


def logit_attribution(
    trace: Trace, target: str | int, against: str | int | None = None, *, position: int = -1, heads: bool = False
) -> LogitAttribution:
    """Splits a logit, or the difference of two, among the parts that were added to the residual stream.

    Args:
        trace: of one text.
        target: a token id, or text that is exactly one token.
        against: another token, for "why this and not that".
        position: after which position, counted from the end if negative.
        heads: split each attention among its heads; what its bias adds is then a row of its own without a head.

    Raises:
        Refused: the model's parts do not simply add up to its logits; the sentence says why. Or an argument is not
            one of those above.
    """
    import pandas as pd

    model = trace.model
    stack = checked_stack(trace)
    norm = _additive(trace, stack)
    count = len(read_tokens(trace))
    if isinstance(position, bool) or not isinstance(position, int) or not -count <= position < count:
        raise Refused(f"position={position!r} is out of range: allowed are {-count} to {count - 1}.")
    position %= count
    ids = [token_id(model, target, "target")]
    if against is not None:
        ids.append(token_id(model, against, "against"))
        if ids[0] == ids[1]:
            raise Refused("against is the same token as target, so there is no difference to explain.")
    last = len(stack.layers) - 1
    _, (row,) = kept_rows(trace, [position], count)
    stored = trace[f"{stack.prefix}layers.{last}.resid_post"][:1, row : row + 1]
    stream = stored.to(model.device, model.dtype)
    parts = _parts(trace, stack, row, heads)
    rest = stream[0, 0].double() - torch.stack([part[3] for part in parts]).sum(dim=0)
    if rest.abs().max() > _tolerance(stored) * stream.abs().max():
        if not trace.edits:
            raise Refused(f"The parts of {model.name} do not add up to its residual stream, so a logit has no shares.")
        parts.append(("edits", None, None, rest))
    with head_of(trace, stack) as head, torch.no_grad():
        scale = _frozen(norm, stream, trace)
        constant, direction = _direction(head, norm, stream, ids, trace)
    rows = [(part, layer, number, float(scale(value) @ direction)) for part, layer, number, value in parts]
    rows.append(("bias", None, None, constant))
    logits = lens_logits(trace, last, [position])[0, 0].double()
    difference = float(_picked(logits, ids))
    frame = pd.DataFrame(rows, columns=["part", "layer", "head", "contribution"])
    frame = frame.astype({"layer": "Int64", "head": "Int64"})
    tokens = labels(model.tokenizer, ids)
    remainder = difference - float(frame["contribution"].sum())
    return LogitAttribution(tokens[0], tokens[1] if len(tokens) > 1 else None, position, frame, difference, remainder)


def _additive(trace: Trace, stack: Stack) -> nn.Module:
    """The final norm, where everything below it adds up."""
    name = trace.model.name
    if stack.post_norm:
        raise Refused(
            f"{name} has norms inside its residual stream (post-norm), which rescale all that was added before; a "
            "logit is then no sum of the layers' parts."
        )
    if not stack.linked:
        raise Refused(f"{name} changes the stream between its layers, so a logit is no sum of the layers' parts.")
    for index, layer in enumerate(stack.layers):
        if layer.attn_out is None or layer.mlp_out is None:
            why = layer.missing or "what it adds could not be told apart"
            raise Refused(f"layer {index} of {name} cannot be split into attention and MLP: {why}.")
    if stack.final_norm is None:
        raise Refused(f"{name} has no final norm that could be located, so its logits cannot be split.")
    return trace.model.hf.get_submodule(stack.final_norm)


def _parts(trace: Trace, stack: Stack, row: int, heads: bool) -> list[_Part]:
    def value(site: str) -> Tensor:
        return trace[f"{stack.prefix}{site}"][0, row].to(trace.model.device).double()

    parts: list[_Part] = [("embed", None, None, value("layers.0.resid_pre"))]
    for index, layer in enumerate(stack.layers):
        for kind, attention, place in (
            ("attn", layer.attn, layer.attn_out),
            ("cross_attn", layer.cross_attn, layer.cross_attn_out),
        ):
            if place is None:  # cross-attention, in all but decoders that read an encoder
                continue
            added = value(f"layers.{index}.{kind}_out")
            if heads and attention is not None and attention.projection is not None:
                parts += _heads(trace, stack, index, kind, place, row, added)
            else:
                parts.append((f"{kind}_out", index, None, added))
        parts.append(("mlp_out", index, None, value(f"layers.{index}.mlp_out")))
    return parts


def _heads(trace: Trace, stack: Stack, index: int, kind: str, place: Place, row: int, added: Tensor) -> list[_Part]:
    """What each head of an attention adds, and last what its bias adds."""
    site = f"{stack.prefix}layers.{index}.{kind}.out"
    each = trace.head_out(index, stack=stack.name, kind=kind)[0, row].double() * place.factor
    whole = trace[site][0, row].to(each.device).double() * place.factor
    if (whole - added).abs().max() > _tolerance(trace[f"{stack.prefix}layers.0.resid_pre"]) * added.abs().max():
        raise Refused(
            f"heads=True: layer {index} of {trace.model.name} changes what its heads gave (a norm or gate) before "
            "adding it to the stream, so an attention is no sum of its heads; leave heads out."
        )
    found: list[_Part] = [(f"{kind}_out", index, head, value) for head, value in enumerate(each)]
    return [*found, (f"{kind}_out", index, None, added - each.sum(dim=0))]


def _frozen(norm: nn.Module, stream: Tensor, trace: Trace) -> Callable[[Tensor], Tensor]:
    """The norm at the scale it has for `stream`, as a linear map (width,) -> (width,), its bias left out."""
    width = stream.shape[-1]
    probe = torch.ones(width, device=stream.device, dtype=stream.dtype)
    probe[1::2] = -1
    if width % 2:  # its mean must be 0
        probe[-1] = 0

    def normed(value: Tensor) -> Tensor:
        result: Tensor = norm(value.to(stream.dtype).reshape(1, 1, -1))
        return result.double().flatten()

    bias = normed(torch.zeros_like(probe))
    weight = (normed(probe) - bias) * probe
    if width % 2:
        rolled = probe.roll(1)
        weight[-1] = ((normed(rolled) - bias) * rolled)[-1]
    raised = normed(probe + 1)
    centred = bool((raised - normed(probe)).abs().max() < 1e-2 * raised.abs().max())

    def middle(value: Tensor) -> Tensor:
        value = value.double()
        return value - value.mean() if centred else value

    real, shape = normed(stream) - bias, weight * middle(stream.flatten())
    factor = (real @ shape) / (shape @ shape)
    if (real - factor * shape).abs().max() > _tolerance(stream) * real.abs().max():
        raise Refused(f"The final norm of {trace.model.name} is not linear at a fixed scale, so logits have no shares.")
    return lambda value: factor * weight * middle(value)


def _direction(
    head: Callable[[Tensor], Tensor], norm: nn.Module, stream: Tensor, ids: list[int], trace: Trace
) -> tuple[float, Tensor]:
    """What the head gives without any stream, and how it weighs each channel of the normed stream."""
    normed = norm(stream)
    with torch.enable_grad():
        inputs = normed.detach().requires_grad_()
        number = _picked(head(inputs)[0, 0].double(), ids)
        (gradient,) = torch.autograd.grad(number, inputs)
    bias = norm(torch.zeros_like(stream))
    empty, full, far = (head(bias + share * (normed - bias))[0, 0].double() for share in (0, 1, _FAR))
    # A cap bends only large logits, so it shows in all of them, far out.
    straight = _FAR * (full - empty)
    if not (far - empty - straight).abs().max() <= _tolerance(stream) * straight.abs().max():
        raise Refused(
            f"The head of {trace.model.name} bends its logits (a softcap), so they are no sum of the layers' parts; "
            "trace.lens() reads each layer through the whole head."
        )
    return float(_picked(empty, ids)), gradient.double().flatten()


def _picked(logits: Tensor, ids: list[int]) -> Tensor:
    return logits[ids[0]] - (logits[ids[1]] if len(ids) > 1 else 0.0)


def _tolerance(value: Tensor) -> float:
    """How far sums may be from exact, in the precision that the model computes in."""
    return 1e-3 if torch.finfo(value.dtype).bits > 16 else 3e-2
