"""Examining a model: two short passes, and what they show about its parts.

The first pass is plain; its calls show the layers and what adds up in them. The second goes through the recording
attention function; it shows which modules really call it, and its output must equal the first one's. Families that
do not call it are asked once for their weights in the ordinary way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from explorer import discovery, finite, mixtures, pictures, recurrence
from explorer.anatomy import Anatomy, Stack
from explorer.attention_seen import attention_in
from explorer.discovery import Call
from explorer.plans import Plan
from explorer.probing import answer, lengths, probe
from explorer.recording import recording
from explorer.stacks import stacks_of

# What models raise that ask for more than ids and images, or for other ones.
_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def examine(model: Any) -> Anatomy:
    """Looks at a transformers model with short passes, and leaves it as it was."""
    config = model.config
    text_config = config.get_text_config()
    head = model.get_output_embeddings()
    below = [path for path, module in model.named_modules() if path and isinstance(module, PreTrainedModel)]
    inputs, missing = probe(model)
    stacks: tuple[Stack, ...] = ()
    backbone = None
    calls: list[Call] = []
    routed: dict[str, Any] = {}
    plain: Tensor | None = None
    if not missing:
        try:
            inputs, (plain, calls, routed) = _first_pass(model, inputs)
        except torch.OutOfMemoryError:
            raise
        except _FAILURES as error:
            missing = f"a short pass to look at its parts failed ({type(error).__name__}: {error})"
    if plain is not None and finite.no_answer(plain):
        # Nothing can be compared with NaN, so no part of it could be shown to be what it seems.
        missing = f"its numbers are not finite from {finite.first_bad_call(calls)} on; {finite.cause(model)}"
    elif plain is not None:
        if not getattr(config, "is_encoder_decoder", False):
            backbone = next((call.path for call in calls if call.path in below), None)
        seen, missing = attention_in(model, inputs, plain, calls)
        seen.routing = mixtures.rules(routed, [call.path for call in calls])
        stacks, unclear = stacks_of(model, calls, seen)
        unseen = pictures.example(model)[1]
        unclear = "; ".join(text for text in (unclear, unseen) if text)
        stacks = tuple(recurrence.marked(stack, model) for stack in stacks)
        missing = missing or unclear
    return Anatomy(
        family=str(config.model_type),
        stacks=stacks,
        vocabulary=None if head is None else int(text_config.vocab_size),
        context=_limit(getattr(text_config, "max_position_embeddings", None)),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        experts=_first(text_config, "num_local_experts", "num_experts", "n_routed_experts"),
        window=_first(text_config, "sliding_window"),
        softcap=_first(text_config, "attn_logit_softcapping"),
        logit_softcap=_first(text_config, "final_logit_softcapping"),
        backbone=None if head is None else backbone,
        missing=missing,
    )


_Pass = tuple[Tensor, list[Call], dict[str, Any]]


def _first_pass(model: Any, inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], _Pass]:
    """What was read, and of it the plain answer, every module's call, and what the routers returned.

    Where a pass with an image inside the text fails, text alone is read.
    """
    try:
        return inputs, _watched(model, inputs)
    except torch.OutOfMemoryError:
        raise
    except _FAILURES as error:
        if pictures.example(model)[0] is None:
            raise
        pictures.unread(model, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
    inputs, _ = probe(model)
    return inputs, _watched(model, inputs)


def _watched(model: Any, inputs: dict[str, Tensor]) -> _Pass:
    watched = discovery.watching(model, lengths(inputs))
    with torch.no_grad(), recording(model, Plan(outputs=mixtures.routers(model))) as record, watched as calls:
        plain = answer(model(**inputs))
    return plain, calls, dict(record.outputs)


def _limit(positions: Any) -> int | None:
    """The longest input; some configs write -1 where there is no limit."""
    return positions if isinstance(positions, int) and positions > 0 else None


def _first(config: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(config, name, None))), None)
