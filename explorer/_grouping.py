"""Which pieces of a text belong together, and what was typed where they stand.

A *span* is a half-open range of token indices. Every token is in exactly one span, in order.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Sequence

from explorer._pieces import Piece
from explorer._utf8 import goes_on, is_whole, unfinished_end
from explorer.text_units import boundaries, has_clusters

Span = tuple[int, int]
Place = tuple[int, int]  # begin and end in a text, in code points
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
        unfinished = pieces[begin].unfinished
        while unfinished and end < len(pieces) and goes_on(unfinished, pieces[end].data):
            unfinished = unfinished_end(unfinished + pieces[end].data)
            end += 1
        spans.append((begin, end))
        begin = end
    return spans


def join_characters(
    spans: Sequence[Span], pieces: Sequence[Piece], places: Sequence[Place | None] | None, text: str
) -> list[Span]:
    """Joins neighbouring spans that stand inside one character as a reader sees it (see `explorer.text_units`).

    The two letters of a flag are joined, the people of a family, a letter and the accent after it. Special tokens and
    what nothing in the text stands for stay alone.

    Args:
        spans: which tokens belong together so far.
        pieces: one per token.
        places: one per span, in `text`; None where they are not known: nothing is joined then.
        text: what the places are in.
    """
    if places is None or not has_clusters(text):
        return list(spans)
    cuts = boundaries(text, "character")
    joined: list[Span] = []
    end = None  # of the last span, in the text; None where nothing may be joined to it
    for span, place in zip(spans, places, strict=True):
        here = None if pieces[span[0]].name is not None or place is None or place[0] == place[1] else place
        if here is not None and end is not None and cuts[bisect_left(cuts, end)] > here[0]:
            joined[-1] = (joined[-1][0], span[1])
        else:
            joined.append(span)
        end = None if here is None else max(here[1], end or 0)
    return joined


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


def without_trimmed_letters(
    source: str, pieces: Sequence[Piece], spans: Sequence[Span], offsets: Offsets
) -> list[tuple[int, int]]:
    """Offsets with the letter that byte-level tokenizers trim from a word after a special token.

    They take the space that they put in front of the word for a typed one, and its place off the word's.
    """
    mended = list(offsets)
    covered = 0
    for first, last in spans:
        begin, end = min(o[0] for o in offsets[first:last]), max(o[1] for o in offsets[first:last])
        word = spelt(pieces[first:last]).removeprefix(" ")
        if covered < begin and len(word) == end - begin + 1 and source[begin - 1 : end] == word:
            mended[first] = (begin - 1, mended[first][1])
        covered = max(covered, end)
    return mended


def typed_texts(
    source: str, pieces: Sequence[Piece], spans: Sequence[Span], offsets: Offsets, typed: Sequence[bool]
) -> tuple[list[str | None], list[Place | None], str]:
    """The characters of `source` that each span stands for, where they stand, and those that the tokenizer removed.

    None stands for a span that has to be shown as what it spells: bytes that are no character, because the
    tokenizer lacks an entry for the others, or something that was not typed.

    Args:
        source: the typed text.
        pieces: one per token.
        spans: which tokens belong together.
        offsets: one per token.
        typed: per token, whether it comes from the text (False: the tokenizer added it, as with [CLS]).
    """
    texts: list[str | None] = []
    places: list[Place | None] = []
    uncovered: list[str] = []
    covered = 0
    begins = [min(o[0] for o in offsets[begin:end]) for begin, end in spans]
    limits = _next_begins(begins, [typed[begin] for begin, _ in spans], len(source))
    for (first, last), begin, limit in zip(spans, begins, limits, strict=True):
        name = pieces[first].name
        if not typed[first]:
            texts.append(name or "")
            places.append(None)
            continue
        end = max(o[1] for o in offsets[first:last])
        while end < limit and unicodedata.combining(source[end]):  # an accent that the tokenizer stripped
            end += 1
        group = pieces[first:last]
        gap, here = source[covered:begin], source[begin:end]
        if not here and name is None and (space := spelt(group)) and space.isspace():
            # Offsets of white space may be trimmed away: it is what stands before that place, or else after it.
            ahead = source[begin : begin + len(space)]
            if gap.isspace():
                gap, here, begin = "", gap, covered
            elif not gap and (ahead == space or (ahead.isspace() and space != " ")):
                here, end = ahead, begin + len(space)
        uncovered.append(gap)
        spaced = name is None and _leads(spelt(group), gap, here)
        start = begin - (len(gap) - len(gap.rstrip())) if spaced else begin
        if name is None and spelt(group).isspace() and (not here.isspace() or begin < covered):
            start = end = max(begin, covered)  # a space that the tokenizer put there
        places.append((start, max(begin, end)))
        covered = max(covered, end)
        if name is not None:
            texts.append(_named(name, here))
        elif here and is_whole(b"".join(piece.data for piece in group)):
            texts.append(_typed(spelt(group), gap, here))
        else:
            uncovered.append(here)
            texts.append(None)
    uncovered.append(source[covered:])
    # Some tokenizers place a piece beside what it stands for; a character that is spelt somewhere was not removed.
    known = set(spelt(pieces))
    return texts, places, "".join(char for gap in uncovered for char in gap if not (char.isspace() or char in known))


def spelt(pieces: Sequence[Piece]) -> str:
    """What pieces spell on their own; bytes that are no character are left out."""
    return b"".join(piece.data for piece in pieces).decode("utf-8", "ignore")


def _typed(spelling: str, gap: str, here: str) -> str:
    """What to show for a span that spells `spelling`, stands `here` and follows the `gap` that no piece stands for."""
    if not spelling.strip():  # white space: as typed, or the space that the tokenizer put in front
        return here if here.isspace() else spelling
    if not _leads(spelling, gap, here):
        return here
    return (spelling[: len(spelling) - len(spelling.lstrip())] or " ") + here


def _leads(spelling: str, gap: str, here: str) -> bool:
    """Whether white space in the `gap` before a word is shown as the word's leading space."""
    return bool(spelling.strip() and here) and not here[0].isspace() and any(char.isspace() for char in gap)


def spelt_places(
    pieces: Sequence[Piece], spans: Sequence[Span], typed: Sequence[bool], ahead: int = 0
) -> list[Place | None]:
    """Where each span stands in the text that the pieces spell; None for what was not typed.

    Args:
        pieces: one per token.
        spans: which tokens belong together.
        typed: per token, whether it comes from the text.
        ahead: characters that the pieces spell before the text begins.
    """
    places: list[Place | None] = []
    at = -ahead
    for begin, end in spans:
        if not typed[begin]:
            places.append(None)
            continue
        if end - begin == 1:
            letters = pieces[begin].letters
        else:
            letters = len(b"".join(piece.data for piece in pieces[begin:end]).decode("utf-8", "replace"))
        start, at = at, at + letters
        places.append((max(0, start), max(0, at)))
    return places


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
