"""Steering vectors: the direction from one kind of text to another, as a model holds it at one site.

The mean of what a site holds after the texts of one list, minus that after the texts of another. Added to later
passes (`Steer`) it moves them towards the first kind: activation addition (Turner et al. 2023, one pair of prompts)
and contrastive activation addition (Rimsky et al. 2023, many pairs).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from explorer import sites as addresses
from explorer.control import report
from explorer.errors import Refused

if TYPE_CHECKING:
    from explorer.model import Model


def steering_vector(
    model: Model, positive: str | Sequence[str], negative: str | Sequence[str], site: str, *, position: int = -1
) -> Tensor:
    """The mean difference of a site's value between two lists of texts.

    Each text is a pass of its own in which nothing but the site is kept, so padding plays no part and memory does
    not grow with the lists.

    Args:
        model: any model that reads text.
        positive: texts of the kind to move towards, or one text.
        negative: texts of the kind to move away from. The lists may differ in length; contrasting pairs, alike but
            for the one thing, leave the least of anything else in the difference.
        site: an address with positions, such as `layers.12.resid_post` or `layers.3.attn.z`; no wildcards.
        position: which position of each text, counted from its end if negative; -1 is the last token.

    Returns:
        (width,) for the residual stream and what is like it, (head, width) for q, k, v and z; in the model's dtype,
        averaged in float32. Give it to `Steer` at the same site.

    Raises:
        Refused: a list is empty, the site has no positions or does not exist, or a text has no such position.
        TypeError: a list holds something else than texts.
    """
    found = addresses.parse(site, model.anatomy)
    if found.part.endswith((".pattern", ".scores")) or found.part == "logits":
        raise Refused(
            f"site={site!r} holds no value that could be added to a position; use one of the residual stream."
        )
    if isinstance(position, bool) or not isinstance(position, int):
        raise Refused(f"position={position!r} is not a whole number; -1 is the last token.")
    kinds = [_texts("positive", positive), _texts("negative", negative)]
    total, done = sum(map(len, kinds)), 0
    means = []
    for texts in kinds:
        values = []
        for text in texts:
            report(done / total, "steering vector")
            values.append(_value(model, text, site, position))
            done += 1
        means.append(torch.stack(values).mean(dim=0))
    return (means[0] - means[1]).to(model.dtype)


def _texts(name: str, texts: str | Sequence[str]) -> list[str]:
    listed = [texts] if isinstance(texts, str) else list(texts)
    for text in listed:
        if not isinstance(text, str):
            raise TypeError(f"{name} holds a {type(text).__name__}; texts are needed.")
    if not listed:
        raise Refused(f"{name} is empty; give at least one text.")
    return listed


def _value(model: Model, text: str, site: str, position: int) -> Tensor:
    value = model.trace(text, record=[site])[site][0].float()
    if not -len(value) <= position < len(value):
        raise Refused(
            f"position={position} is out of range: {text!r} has {len(value)} tokens, so allowed are "
            f"{-len(value)} to {len(value) - 1}."
        )
    return value[position]
