"""Sentences about how a text was tokenised that a reader would not expect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from explorer._pieces import Piece
from explorer._visible import visible
from explorer.note import Note

_NAMED = 5  # how many different things one sentence lists before it only counts


def surrogates(replaced: int) -> list[Note]:
    """About halves of characters in the text."""
    if not replaced:
        return []
    what = "A lone surrogate (half of a character) was" if replaced == 1 else f"{replaced:,} lone surrogates were"
    return [Note("lone_surrogates", f"{what} replaced by \ufffd: no tokenizer takes it.", count=replaced)]


def beginning(tokenizer: Any, ids: Sequence[int], adds: bool, typed: Sequence[bool]) -> list[Note]:
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
            twice = f"There are two {name} at the beginning; a model is trained with one."
            return [Note("two_beginnings", twice, name=name)]
        added = (
            f"There are two {name} at the beginning: the tokenizer adds one and the text has one already. "
            "Remove it from the text, or pass add_special_tokens=False."
        )
        return [Note("added_beginning", added, name=name)]
    if adds and ids[0] != bos:
        missing = f"There is no {name} at the beginning, which this tokenizer adds by itself."
        return [Note("no_beginning", missing, name=name)]
    return []


def typed_specials(tokenizer: Any, pieces: Sequence[Piece], ids: Sequence[int], typed: Sequence[bool]) -> list[Note]:
    """About special tokens that were made from what was typed."""
    names = _special_names(tokenizer, pieces, ids, typed)
    if not names:
        return []
    listed, more = _listing(names)
    sentence = (
        f"{_in_words(listed, more)} in the text was read as a special token; literal=True reads it as plain characters."
    )
    return [Note("specials_in_text", sentence, names=listed, more=more)]


def literal_specials(
    tokenizer: Any, pieces: Sequence[Piece], ids: Sequence[int], typed: Sequence[bool], known: Sequence[str], text: str
) -> list[Note]:
    """About names of special tokens in a text that was to be read as plain characters.

    Args:
        tokenizer: the tokenizer.
        pieces: one per token.
        ids: all ids.
        typed: per id, whether it comes from the text.
        known: what the special tokens are called.
        text: the text.
    """
    notes = []
    still = list(dict.fromkeys(_special_names(tokenizer, pieces, ids, typed)))
    if still:
        listed, more = _listing(still)
        sentence = (
            f"{_in_words(listed, more)} in the text is a special token even with literal=True: this tokenizer's own "
            "rules make it from those characters."
        )
        notes.append(Note("specials_even_literally", sentence, names=listed, more=more))
    plain = [name for name in map(visible, filter(text.__contains__, filter(None, known))) if name not in still]
    if plain:
        listed, more = _listing(plain)
        sentence = (
            f"{_in_words(listed, more)} in the text was read as plain characters, as literal=True asks; "
            "the model sees no special token there."
        )
        notes.append(Note("specials_as_characters", sentence, names=listed, more=more))
    return notes


def _special_names(tokenizer: Any, pieces: Sequence[Piece], ids: Sequence[int], typed: Sequence[bool]) -> list[str]:
    return [
        visible(piece.name)
        for piece, id, here in zip(pieces, ids, typed, strict=True)
        if here and piece.name is not None and id != tokenizer.unk_token_id
    ]


def unknown(tokenizer: Any, ids: Sequence[int], typed: Sequence[bool]) -> list[Note]:
    """About text that the vocabulary cannot express."""
    unk = tokenizer.unk_token_id
    count = sum(here and id == unk for id, here in zip(ids, typed, strict=True)) if unk is not None else 0
    if not count:
        return []
    pieces = "One piece is" if count == 1 else f"{count:,} pieces are"
    name = visible(str(tokenizer.unk_token))
    sentence = f"{pieces} not in the vocabulary: the model sees {name} there."
    return [Note("unknown_pieces", sentence, count=count, name=name)]


def dropped(characters: str) -> list[Note]:
    """About characters that the model does not get to see, or not all of their bytes."""
    if not characters:
        return []
    listed, more = _listing([visible(character) for character in characters])
    sentence = f"The tokenizer drops {_in_words(listed, more)}: the model does not see it, or not whole."
    return [Note("dropped_characters", sentence, names=listed, more=more)]


def _listing(things: Sequence[str]) -> tuple[list[str], int]:
    """The first of the different things, and how many more there are."""
    different = list(dict.fromkeys(things))
    return different[:_NAMED], max(0, len(different) - _NAMED)


def _in_words(listed: Sequence[str], more: int) -> str:
    return ", ".join(listed) + (f" and {more:,} more" if more else "")
