"""Characters and words of a text, and which tokens make them up.

A *character* is what a reader sees as one: an extended grapheme cluster of Unicode's UAX #29, so that an emoji family
with its joiners or a letter with its accents is one. A *word* is what UAX #29's word boundaries cut, read from the
tables of the `regex` package, with two additions:

* one space before a word belongs to the word, as tokenizers write it;
* UAX #29 has no dictionary. It makes every Chinese character and every hiragana a word of its own and a run of
  katakana one word. In Thai, Lao, Khmer, Burmese and whatever else is written without spaces and needs a dictionary
  (Line_Break property SA), it would cut inside words; there a run of letters is kept whole instead, which is a
  phrase, never part of a word.

A token that reaches over a boundary joins what it touches, so each token is in exactly one unit: scores that are summed
by unit keep their sum.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import regex

from explorer.errors import Refused

if TYPE_CHECKING:
    from explorer.tokens import Token, Tokens

By = Literal["character", "word"]
BY: tuple[By, ...] = ("character", "word")

_CHARACTER = regex.compile(r"\X")
# Without one of these no two code points make one character.
_JOINING = regex.compile(r"[^\p{Grapheme_Cluster_Break=Other}\p{Grapheme_Cluster_Break=Control}\n]")
_WORD_BOUNDARY = regex.compile(r"(?w)\b")
_UNSPACED = regex.compile(r"\p{Line_Break=SA}+")
_Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Unit:
    """One character or word with the tokens that make it up; or more of them, where a token holds several.

    Attributes:
        text: what was typed there; the token's own text where nothing was.
        positions: the tokens, one behind the other.
        begin: where it begins in the text, in code points; None where nothing was typed.
        end: where it ends.
    """

    text: str
    positions: range
    begin: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class Block:
    """Tokens that cannot be told apart in the text: the pieces of a character, or places that overlap."""

    positions: range
    begin: int | None
    end: int | None


def boundaries(text: str, by: By) -> list[int]:
    """Where the characters or words of `text` begin and end, in code points; from 0 to its length."""
    if by == "character":
        return [0, *(match.end() for match in _CHARACTER.finditer(text))]
    found = {match.start() for match in _WORD_BOUNDARY.finditer(text)}
    for run in _UNSPACED.finditer(text):
        found.difference_update(range(run.start() + 1, run.end()))
    for place in list(found):
        if 0 < place < len(text) and text[place - 1] == " " and place - 1 in found and not text[place].isspace():
            found.discard(place)
    return sorted(found | {0, len(text)})


def has_clusters(text: str) -> bool:
    """Whether a character of `text` may be more than one code point; far sooner told than the boundaries."""
    return _JOINING.search(text) is not None


def blocks(tokens: Tokens) -> list[Block]:
    """The tokens in runs that are shown as one, or whose places overlap, in the order of the text.

    Raises:
        Refused: where the tokens stand in their text cannot be told.
    """
    places = tokens.places
    if places is None:
        raise Refused(
            "Where these tokens stand in their text is not known, so they form no characters or words: their tokenizer "
            "gives no offsets, or the file they come from was saved without."
        )
    found: list[Block] = []
    covered = 0  # where what has been placed so far ends
    for group in _groups(tokens):
        first, last_place = places[group.start], places[group.stop - 1]
        if first is None or last_place is None:
            found.append(Block(group, None, None))
            continue
        begin, end = first[0], last_place[1]
        start = group.start
        while begin < covered and found:  # as in a ligature, or where a tokenizer places pieces out of order
            last = found.pop()
            start = last.positions.start
            if last.begin is not None and last.end is not None:
                begin, end = min(begin, last.begin), max(end, last.end)
                covered = next((b.end for b in reversed(found) if b.end is not None), 0)
        found.append(Block(range(start, group.stop), begin, end))
        covered = max(covered, end)
    return found


def units(tokens: Tokens, by: By) -> list[Unit]:
    """The tokens, those that share a character or word together; every token is in exactly one unit, in order.

    Args:
        tokens: the tokens of a text.
        by: "character" or "word".

    Raises:
        Refused: `by` is something else, or where the tokens stand in their text cannot be told.
    """
    if by not in BY:
        raise Refused(f"by={by!r} is not one of {', '.join(BY)}.")
    cuts = boundaries(tokens.text, by)
    found: list[Unit] = []
    for block in blocks(tokens):
        last = found[-1] if found else None
        if last is None or _apart(cuts, last, block):
            found.append(_unit(tokens, block.positions, block.begin, block.end))
        else:
            positions = range(last.positions.start, block.positions.stop)
            end = max(last.end or 0, block.end or 0)
            found[-1] = _unit(tokens, positions, last.begin, end)
    return found


def _apart(cuts: Sequence[int], last: Unit, block: Block) -> bool:
    """Whether a character or word ends between two; what nothing in the text stands for is always on its own."""
    if last.begin is None or last.end is None or block.begin is None or block.end is None:
        return True
    cut = bisect_left(cuts, last.end)
    return cut < len(cuts) and cuts[cut] <= block.begin


def _groups(tokens: Sequence[Token]) -> list[range]:
    found: list[range] = []
    begin = 0
    while begin < len(tokens):
        end = begin + tokens[begin].parts
        found.append(range(begin, end))
        begin = end
    return found


def _unit(tokens: Tokens, positions: range, begin: int | None, end: int | None) -> Unit:
    text = "" if begin is None else tokens.text[begin:end]
    return Unit(text or tokens[positions.start].text, positions, begin, end)
