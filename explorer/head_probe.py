"""Random tokens that are said twice: the text that shows which heads look for repetitions.

After Olsson et al. 2022 ("In-context Learning and Induction Heads"), who measure heads on repeated random tokens, where
nothing but the repetition itself tells what comes next.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from explorer.adapters import AS_IT_IS, Adapter
from explorer.errors import Refused
from explorer.head_measures import head_measures

if TYPE_CHECKING:
    import pandas as pd

    from explorer.edits import Edit
    from explorer.model import Model

TEXTS = 4
TOKENS = 50


def repeated_tokens(model: Model, *, texts: int = TEXTS, tokens: int = TOKENS, seed: int = 0) -> list[list[int]]:
    """Ids of texts that hold the same random tokens twice, after the first special token that the tokenizer adds.

    No token of a half is there twice, and none is special, so each of the second half has one earlier occurrence.

    Args:
        model: whose vocabulary they are drawn from, all ids alike.
        texts: how many texts.
        tokens: how many tokens each half has; fewer where the model's context or vocabulary allows no more.
        seed: of the draw; the random state of the process is not touched.

    Raises:
        Refused: the model reads no tokens, or not two halves of two tokens.
    """
    vocabulary = model.vocabulary
    if vocabulary < 1:
        raise Refused(f"{model.name} reads no token ids, so it cannot be given repeated tokens.")
    start, named = _specials(model)
    drawn = [id for id in range(vocabulary) if id not in named]
    room = len(drawn) if model.context is None else (model.context - len(start)) // 2
    length = min(tokens, len(drawn), room)
    if length < 2:
        raise Refused(f"{model.name} cannot read two tokens twice: its context is {model.context}.")
    choose = random.Random(seed)
    halves = [choose.sample(drawn, length) for _ in range(texts)]
    return [[*start, *half, *half] for half in halves]


def probe_measures(
    model: Model,
    *,
    stack: str | None = None,
    kind: str = "attn",
    edits: Edit | Sequence[Edit] = (),
    adapter: Adapter = AS_IT_IS,
) -> pd.DataFrame:
    """Every head's measures on repeated random tokens; see `Model.head_measures`."""
    ids = repeated_tokens(model)
    more: dict[str, Any] = {}
    if getattr(model.hf.config, "is_encoder_decoder", False):
        more["decoder"] = ids
    sites = [f"*layers.*.{kind}.pattern"]
    return head_measures(model.trace(ids, record=sites, edits=edits, adapter=adapter, **more), stack=stack, kind=kind)


def _specials(model: Model) -> tuple[list[int], set[int]]:
    """What a text begins with, and the ids that are no text: special, added or unknown to the tokenizer."""
    tokenizer, config = model.tokenizer, model.hf.config.get_text_config()
    if tokenizer is None:
        names = ("pad_token_id", "bos_token_id", "eos_token_id", "image_token_id", "image_token_index")
        found = [getattr(owner, name, None) for owner in (config, model.hf.config) for name in names]
        return [], {one for one in found if isinstance(one, int)}
    added = model.read("a").ids
    special = {*tokenizer.all_special_ids, *getattr(tokenizer, "added_tokens_decoder", {})}
    start = [added[0]] if added[0] in special else []
    return start, special | set(range(len(tokenizer), model.vocabulary))
