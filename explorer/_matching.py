"""Where the pieces of a tokenizer without offsets stand in the text, found from what they spell.

Such tokenizers (those written in Python) may change the text before they cut it: lower case, accents taken off,
compatibility forms folded. Text and pieces are compared with all of that undone on both sides. Nothing is guessed:
where a piece does not follow on the one before it, there is no answer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from explorer._grouping import Place, Span, spelt
from explorer._pieces import Piece
from explorer._utf8 import is_whole


def matched(source: str, pieces: Sequence[Piece], spans: Sequence[Span], typed: Sequence[bool]) -> list[Place] | None:
    """Per token, begin and end in `source` of the span it belongs to; None where that cannot be told.

    Args:
        source: the typed text.
        pieces: one per token.
        spans: which tokens belong together.
        typed: per token, whether it comes from the text.
    """
    folded = [(letter, index) for index, char in enumerate(source) for letter in _folded(char)]
    letters = "".join(letter for letter, _ in folded)
    origin = [index for _, index in folded] + [len(source)]
    found: list[Place | None] = []
    cursor = 0
    unknown: list[int] = []  # spans since the last that was found; they share what stands between
    for number, (begin, end) in enumerate(spans):
        name = pieces[begin].name
        if not typed[begin]:
            found.append((origin[cursor], origin[cursor]))
            continue
        if name is None and not is_whole(b"".join(piece.data for piece in pieces[begin:end])):
            return None
        wanted = "".join(_folded(char) for char in (spelt(pieces[begin:end]) if name is None else name)).strip()
        if name is not None and not letters[cursor:].lstrip().startswith(wanted):
            unknown.append(number)
            found.append(None)
            continue
        if not wanted:  # white space, which takes its place from its neighbours
            found.append((origin[cursor], origin[cursor]))
            continue
        here = letters.find(wanted, cursor)
        skipped = letters[cursor : max(here, cursor)]
        if here < 0 or not (unknown or all(_may_be_dropped(letter) for letter in skipped)):
            return None
        _share(found, unknown, source, origin[cursor], origin[here])
        cursor = here + len(wanted)
        found.append((origin[here], origin[cursor - 1] + 1))
    _share(found, unknown, source, origin[cursor], len(source))
    return [place or (0, 0) for place, (begin, end) in zip(found, spans, strict=True) for _ in range(end - begin)]


def _share(found: list[Place | None], unknown: list[int], source: str, begin: int, end: int) -> None:
    """Places for unknown spans: the text between their neighbours; word by word where there are as many words."""
    words: list[Place] = []
    index = begin
    while index < end:
        if source[index].isspace():
            index += 1
            continue
        start = index
        while index < end and not source[index].isspace():
            index += 1
        if not all(_may_be_dropped(char) for char in source[start:index]):
            words.append((start, index))
    whole = (words[0][0], words[-1][1]) if words else (begin, begin)
    for turn, number in enumerate(unknown):
        found[number] = words[turn] if len(words) == len(unknown) else whole
    unknown.clear()


def _folded(char: str) -> str:
    """A character as every tokenizer would leave it: compatibility forms, accents and case undone."""
    if char.isspace():
        return " "
    parts = unicodedata.normalize("NFKD", char)
    return "".join(part for part in parts if not unicodedata.category(part).startswith("M")).casefold()


def _may_be_dropped(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf", "Cn", "Co", "Zl", "Zp")
