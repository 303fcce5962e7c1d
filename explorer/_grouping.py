"""Which pieces of a text belong together, and what was typed where they stand.

A *span* is a half-open range of token indices. Every token is in exactly one span, in order.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from explorer._pieces import Piece

Span = tuple[int, int]
Offsets = Sequence[tuple[int, int]]  # per token: begin and end in the typed text, in code points


def join_bytes(pieces: Sequence[Piece]) -> list[Span]:
    """Spans of pieces that only together spell whole characters.

    A piece is joined to the next one exactly when it ends inside a character that the next one goes on with, so a
    piece holding the end of one character and the start of another links both. Special tokens stand alone.
    """
    spans: list[Span] = []
    begin = 0
    while begin < len(pieces):
        end = begin + 1
        unfinished = _unfinished(b"", pieces[begin])
        while unfinished and end < len(pieces) and _goes_on(unfinished, pieces[end]):
            unfinished = _unfinished(unfinished, pieces[end])
            end += 1
        spans.append((begin, end))
        begin = end
    return spans


def join_offsets(spans: Sequence[Span], pieces: Sequence[Piece], offsets: Offsets) -> list[Span]:
    """Joins neighbouring spans that stand for the same typed characters (the f and i of a typed ligature ﬁ).

    A piece that is only white space is never joined: tokenizers give the space they put in front of a word the
    place of that word's first character.
    """
    joined: list[Span] = []
    for begin, end in spans:
        if joined:
            before = joined[-1]
            overlap = min(o[0] for o in offsets[begin:end]) < max(o[1] for o in offsets[before[0] : before[1]])
            if overlap and all(_is_word(pieces[b:e]) for b, e in (before, (begin, end))):
                joined[-1] = (before[0], end)
                continue
        joined.append((begin, end))
    return joined


def typed_texts(
    source: str, pieces: Sequence[Piece], spans: Sequence[Span], offsets: Offsets, typed: Sequence[bool]
) -> tuple[list[str], str]:
    """The characters of `source` that each span stands for, and the visible ones no span stands for.

    Args:
        source: the typed text.
        pieces: one per token.
        spans: which tokens belong together.
        offsets: one per token.
        typed: per token, whether it comes from the text (False: the tokenizer added it, as with [CLS]).
    """
    texts: list[str] = []
    dropped: list[str] = []
    covered = 0
    begins = [min(o[0] for o in offsets[begin:end]) for begin, end in spans]
    limits = _next_begins(begins, [typed[begin] for begin, _ in spans], len(source))
    for (first, last), begin, limit in zip(spans, begins, limits, strict=True):
        name = pieces[first].name
        if not typed[first]:
            texts.append(name or "")
            continue
        end = max(o[1] for o in offsets[first:last])
        while end < limit and unicodedata.combining(source[end]):  # an accent that the tokenizer stripped
            end += 1
        gap, here = source[covered:begin], source[begin:end]
        dropped.append("".join(gap.split()))
        covered = max(covered, end)
        texts.append(_typed(spelt(pieces[first:last]), gap, here) if name is None else _named(name, here))
    dropped.append("".join(source[covered:].split()))
    return texts, "".join(dropped)


def spelt(pieces: Sequence[Piece]) -> str:
    """What pieces spell on their own; bytes that are no character are left out."""
    return b"".join(piece.data for piece in pieces).decode("utf-8", "ignore")


def _typed(spelling: str, gap: str, here: str) -> str:
    """What to show for a span that spells `spelling`, stands at `here` and follows the unclaimed `gap`."""
    if not here:  # white space whose offsets the tokenizer trimmed away
        return spelling
    if not spelling.strip():  # white space: as typed, or the space that the tokenizer put in front
        return here if here.isspace() else spelling
    if here[0].isspace() or not any(char.isspace() for char in gap):
        return here
    return (spelling[: len(spelling) - len(spelling.lstrip())] or " ") + here


def _named(name: str, here: str) -> str:
    """A special token made from text: its name, and what was typed where that is something else."""
    here = here.strip(" ")
    return name if not here or here == name else f"{name}: {here}"


def _next_begins(begins: Sequence[int], typed: Sequence[bool], length: int) -> list[int]:
    """For each span, where the next span that comes from the text begins."""
    limits: list[int] = []
    limit = length
    for begin, here in zip(reversed(begins), reversed(typed), strict=True):
        limits.append(limit)
        limit = begin if here else limit
    return limits[::-1]


def _is_word(pieces: Sequence[Piece]) -> bool:
    return pieces[0].name is None and bool(spelt(pieces).strip())


def _unfinished(before: bytes, piece: Piece) -> bytes:
    """The bytes at the end of `before` + `piece` that begin a character without finishing it; at most three."""
    if piece.name is not None or (not before and piece.data[-1:].isascii()):
        return b""
    tail = (before + piece.data)[-3:]
    for start in range(len(tail)):
        if _begins_character(tail[start:]):
            return tail[start:]
    return b""


def _goes_on(unfinished: bytes, piece: Piece) -> bool:
    """Whether `piece` goes on with the character that `unfinished` begins."""
    if piece.name is not None or not piece.data:
        return False
    longer = unfinished + piece.data[:1]
    try:
        longer.decode("utf-8")
    except UnicodeDecodeError:
        return _begins_character(longer)
    return True


def _begins_character(data: bytes) -> bool:
    """Whether `data` is the beginning of one character and not all of it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start == 0 and error.reason == "unexpected end of data"
    return False
