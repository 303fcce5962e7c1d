"""What each layer already knows: the residual stream read by the model's own head, and the head's answer taken apart.

The logit lens (nostalgebraist 2020) asks what the model would say if a layer were its last. Nothing is re-implemented
for it: the model itself is run with every layer answering with the stored stream, so its final norm, projections,
scales and softcaps are its own.

Direct logit attribution splits a logit among the parts that were added to the stream. The final norm is held at the
scale it really had, which makes it linear; what it and the head do is measured on them and shown to be linear, or
refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explorer.anatomy import Stack
from explorer.control import checkpoint
from explorer.errors import Refused
from explorer.finite import check_answer
from explorer.hidden_states import hidden_state, with_state
from explorer.plans import Plan
from explorer.probing import agree
from explorer.recording import answering, recording
from explorer.sites import checked_indices, checked_layer, matching
from explorer.tokens import Tokens, labels

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import Model
    from explorer.trace import Trace

# Rows of logits made at a time: a vocabulary is wide.
_ROWS = 256
# Positions of the short pass that shows what layers return and that the last one's stream gives the answer.
_SHORT = 4


def lens_logits(trace: Trace, layer: int, positions: Sequence[int] | slice | int | None = None) -> Tensor:
    """What the model would say after each position if `layer` were its last: (batch, position, vocabulary).

    Raises:
        Refused: the model has no vocabulary head over this stack, or an index is out of range.
    """
    stack = checked_stack(trace)
    index = checked_layer(layer, len(stack.layers))
    stream = trace[f"{stack.prefix}layers.{index}.resid_post"]
    _, rows = kept_rows(trace, positions, stream.shape[1])
    with _short(trace, stack) as outputs:
        return _read(trace, stack, outputs, stream[:, rows])


def lens(
    trace: Trace,
    *,
    layers: Sequence[int] | slice | int | None = None,
    positions: Sequence[int] | slice | int | None = None,
    k: int = 5,
) -> pd.DataFrame:
    """The likeliest next tokens by layer and position: layer, position, rank, id, token, probability.

    Args:
        trace: of one text.
        layers: which layers' `resid_post`; all by default.
        positions: after which positions; all by default.
        k: how many tokens of each.

    Raises:
        Refused: the model has no vocabulary head over its layers, the trace holds several texts, or a number is out
            of range.
        Cancelled: the work was superseded.
    """
    import pandas as pd

    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise Refused(f"k={k!r} is not a whole number from 1.")
    stack = checked_stack(trace)
    count = len(read_tokens(trace))
    depth = checked_indices("layers", layers, len(stack.layers))
    chosen, where = kept_rows(trace, positions, count)
    rows: list[tuple[int, int, int, int, float]] = []
    with _short(trace, stack) as outputs:
        for layer in depth:
            stream = trace[f"{stack.prefix}layers.{layer}.resid_post"]
            for first in range(0, len(chosen), _ROWS):
                checkpoint()
                part = chosen[first : first + _ROWS]
                logits = _read(trace, stack, outputs, stream[:, where[first : first + _ROWS]])[0].float()
                check_answer(trace, logits)
                best = logits.softmax(dim=-1).topk(min(k, logits.shape[-1]), dim=-1)
                for position, ids, shares in zip(part, best.indices.tolist(), best.values.tolist(), strict=True):
                    ranked = enumerate(zip(ids, shares, strict=True), start=1)
                    rows += [(layer, position, rank, id, share) for rank, (id, share) in ranked]
    ids = sorted({row[3] for row in rows})
    texts = dict(zip(ids, (token.text for token in labels(trace.model.tokenizer, ids)), strict=True))
    frame = pd.DataFrame(rows, columns=["layer", "position", "rank", "id", "probability"])
    frame.insert(4, "token", [texts[id] for id in frame["id"]])
    return frame


def checked_stack(trace: Trace) -> Stack:
    """The stack that the model's vocabulary head reads.

    Raises:
        Refused: there is none, or the trace was changed after it.
    """
    model = trace.model
    if model.anatomy.vocabulary is None:
        raise Refused(f"{model.name} has no vocabulary head, so its layers cannot be read as tokens.")
    stack = model.anatomy.stack
    # Of two stacks the head reads the decoder; without one a backbone shows that it reads all that lies below it.
    decodes = _decodes(model)
    if stack is None or (stack.name != "decoder" if decodes else model.anatomy.backbone is None):
        raise Refused(
            f"{model.name} has no single run of layers below its vocabulary head, so its layers cannot be read as "
            f"tokens{': ' + model.anatomy.missing if model.anatomy.missing else ''}."
        )
    for edit in trace.edits:
        if any(site.part == "final_norm" for site in matching(edit.site, model.anatomy)):
            raise Refused(f"{edit!r} changes this pass after its layers; the lens would leave it out.")
    return stack


def read_tokens(trace: Trace) -> Tokens:
    """The tokens whose next ones the model says: the text's, or the decoder's where there is one.

    Raises:
        Refused: the trace holds several texts.
    """
    tokens = trace.tokens
    return trace.decoder[0] if trace.decoder else tokens


def kept_rows(trace: Trace, positions: Sequence[int] | slice | int | None, count: int) -> tuple[list[int], list[int]]:
    """The positions that are meant, and the rows that hold them in a trace that may have kept some only.

    Raises:
        Refused: a position is out of range or was not kept.
    """
    if trace.positions is None:
        chosen = checked_indices("positions", positions, count)
        return chosen, chosen
    kept = list(trace.positions)
    chosen = kept if positions is None else checked_indices("positions", positions, len(trace))
    for position in chosen:
        if position not in kept:
            raise Refused(f"position {position} was not kept; this trace holds {kept}.")
    return chosen, [kept.index(position) for position in chosen]


@contextmanager
def _short(trace: Trace, stack: Stack) -> Iterator[Mapping[str, Any]]:
    """The model locked and in evaluation mode; yields what each of its layers returns for one token.

    Families return a tensor, a tuple or an output class from a layer; stand-ins must answer in the same form.

    Raises:
        Refused: stand-ins that give the last layer's stream do not give the model's answer.
    """
    model = trace.model
    paths = list(dict.fromkeys(layer.path for layer in stack.layers))
    # Other ids than those the stand-ins are run with, so that anything that passes the layers by shows.
    ids = (model.vocabulary // 2 + 3 * torch.arange(_SHORT, device=model.device)) % model.vocabulary
    with trace.as_it_ran(), torch.no_grad():
        with recording(model.hf, Plan(outputs=paths)) as seen:
            answer = model.run(**_given(model, ids[None]))
        outputs = {path: seen.outputs[path] for path in paths}
        with model.evaluating():
            assert answer is not None  # there is a vocabulary head
            last = hidden_state(outputs[stack.layers[-1].path])
            last = last if last.dim() == 3 else last.reshape(1, -1, last.shape[-1])
            if last.shape[1] != _SHORT or not agree(answer[:, -1:], _read(trace, stack, outputs, last)[:, -1:]):
                raise Refused(
                    f"More than its last layer's stream reaches the vocabulary head of {model.name}, so its layers "
                    "cannot be read as tokens."
                )
            yield outputs


def _read(trace: Trace, stack: Stack, outputs: Mapping[str, Any], stream: Tensor, norm: Tensor | None = None) -> Tensor:
    """The model's answer where every layer gives `stream` (and its final norm gives `norm`, where one is given)."""
    hf = trace.model.hf
    options: dict[str, Any] = {"use_cache": False} if trace.model.accepts("use_cache") else {}
    if trace.model.accepts("logits_to_keep"):
        options["logits_to_keep"] = 0
    stream = stream.to(hidden_state(next(iter(outputs.values()))))  # it may have been kept elsewhere, or narrower
    with ExitStack() as stubs:
        for path, output in outputs.items():
            stubs.enter_context(answering(hf.get_submodule(path), with_state(output, stream)))
        if norm is not None:
            assert stack.final_norm is not None  # or nothing would be asked of it
            stubs.enter_context(answering(hf.get_submodule(stack.final_norm), norm))
        ids = torch.zeros(stream.shape[:2], dtype=torch.long, device=trace.model.device)
        logits: Tensor = hf(**_given(trace.model, ids), **options).logits
    if logits.shape[:2] != stream.shape[:2]:
        raise Refused(
            f"{trace.model.name} gives logits {tuple(logits.shape)} for a stream of {tuple(stream.shape)}: not one row "
            "for each position, so its layers cannot be read as tokens."
        )
    return logits


def _given(model: Model, ids: Tensor) -> dict[str, Tensor]:
    """What the layers that are read see; an encoder is given one id of each text, since nothing of it is read."""
    return {"input_ids": ids[:, :1], "decoder_input_ids": ids} if _decodes(model) else {"input_ids": ids}


def _decodes(model: Model) -> bool:
    return bool(getattr(model.hf.config, "is_encoder_decoder", False))


@contextmanager
def head_of(trace: Trace, stack: Stack) -> Iterator[Any]:
    """What the model does after its final norm, as a function (batch, position, width) -> logits."""
    with _short(trace, stack) as outputs:

        def head(normed: Tensor) -> Tensor:
            blank = torch.zeros(*normed.shape[:2], stack.width, device=normed.device, dtype=normed.dtype)
            return _read(trace, stack, outputs, blank, normed)

        yield head
