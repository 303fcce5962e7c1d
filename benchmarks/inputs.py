"""Fresh inputs of an exact length: no measurement sees the same text twice."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

# The sample's vocabulary writes a leading space as this letter.
_WORD = re.compile("\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}[a-z]{3,9}")
_TRIES = 50


def random_ids(vocabulary: int, tokens: int, seed: object) -> list[int]:
    """`tokens` token ids, each as likely as any other."""
    draw = random.Random(repr(seed))
    return [draw.randrange(vocabulary) for _ in range(tokens)]


def random_text(tokenizer: Any, tokens: int, seed: object) -> str:
    """Words that the sample's tokenizer reads as exactly `tokens` tokens.

    Raises:
        RuntimeError: this tokenizer has no words of one token each.
    """
    draw = random.Random(repr(seed))
    words: Sequence[int] = sorted(id_ for piece, id_ in tokenizer.get_vocab().items() if _WORD.fullmatch(piece))
    for _ in range(_TRIES if words else 0):
        text = str(tokenizer.decode(draw.choices(words, k=tokens)))
        if len(tokenizer(text)["input_ids"]) == tokens:
            return text
    raise RuntimeError(f"tokenizer={type(tokenizer).__name__} gave no text of exactly {tokens} tokens.")
