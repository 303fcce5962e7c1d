"""Sentences about how a text was tokenised that a reader would not expect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from explorer._pieces import Piece
from explorer._visible import visible

_NAMED = 5  # how many different things one sentence lists before it only counts


def surrogates(replaced: int) -> list[str]:
    """About halves of characters in the text."""
    if not replaced:
        return []
    what = "A lone surrogate (half of a character) was" if replaced == 1 else f"{replaced:,} lone surrogates were"
    return [f"{what} replaced by \ufffd: no tokenizer takes it."]


def beginning(tokenizer: Any, ids: Sequence[int], adds: bool, typed: Sequence[bool]) -> list[str]:
    """About a beginning-of-text token that stands there twice, or is missing though the tokenizer adds it.

    Args:
        tokenizer: the tokenizer.
        ids: all ids.
        adds: whether the tokenizer puts the token there by itself.
        typed: per id, whether it comes from the text.
    """
    bos = tokenizer.bos_token_id
    if bos is None or not ids:
        return []
    name = visible(str(tokenizer.bos_token))
    if list(ids[:2]) == [bos, bos]:
        if typed[0]:
            return [f"There are two {name} at the beginning; a model is trained with one."]
        return [
            f"There are two {name} at the beginning: the tokenizer adds one and the text has one already. "
            "Remove it from the text, or pass add_special_tokens=False."
        ]
    if adds and ids[0] != bos:
        return [f"There is no {name} at the beginning, which this tokenizer adds by itself."]
    return []


def typed_specials(tokenizer: Any, pieces: Sequence[Piece], ids: Sequence[int], typed: Sequence[bool]) -> list[str]:
    """About special tokens that were made from what was typed."""
    names = [
        visible(piece.name)
        for piece, id, here in zip(pieces, ids, typed, strict=True)
        if here and piece.name is not None and id != tokenizer.unk_token_id
    ]
    if not names:
        return []
    return [
        f"{_listing(names)} in the text was read as a special token; "
        "split_special_tokens=True reads it as plain characters."
    ]


def unknown(tokenizer: Any, ids: Sequence[int], typed: Sequence[bool]) -> list[str]:
    """About text that the vocabulary cannot express."""
    unk = tokenizer.unk_token_id
    count = sum(here and id == unk for id, here in zip(ids, typed, strict=True)) if unk is not None else 0
    if not count:
        return []
    pieces = "One piece is" if count == 1 else f"{count:,} pieces are"
    return [f"{pieces} not in the vocabulary: the model sees {visible(str(tokenizer.unk_token))} there."]


def dropped(characters: str) -> list[str]:
    """About characters that the model does not get to see, or not all of their bytes."""
    if not characters:
        return []
    return [
        f"The tokenizer drops {_listing([visible(c) for c in characters])}: the model does not see it, or not whole."
    ]


def _listing(things: Sequence[str]) -> str:
    different = list(dict.fromkeys(things))
    more = f" and {len(different) - _NAMED:,} more" if len(different) > _NAMED else ""
    return ", ".join(different[:_NAMED]) + more
