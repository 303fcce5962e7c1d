"""Which positions of two token sequences stand for the same: by tokens, then by characters.

Equal tokens are matched first. What lies between two matches is compared by characters: where both sides spell the
same, its tokens form groups that begin and end at the same character; where they do not, equally many tokens are paired
in their order, and others form one group. Every position of either side is in exactly one group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Literal

from explorer.tokens import Token

How = Literal["same", "respelt", "replaced", "only first", "only second"]


@dataclass(frozen=True)
class Aligned:
    """A group of positions that stand for the same in two sequences.

    Attributes:
        first: positions in the first sequence, a run.
        second: positions in the second.
        how: "same" (one equal token), "respelt" (the same characters in other tokens), "replaced" (other text in the
            same place), "only first" or "only second".
        label: what a reader sees; both texts where they differ.
    """

    first: range
    second: range
    how: How
    label: str


def aligned(first: Sequence[Token], second: Sequence[Token]) -> tuple[Aligned, ...]:
    """The groups of two token sequences, in the order of both."""
    keys, others = _keys(first), _keys(second)
    found: list[Aligned] = []
    for tag, begin, end, start, stop in SequenceMatcher(None, keys, others, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs = zip(range(begin, end), range(start, stop), strict=True)
            found += [_group(first, second, range(a, a + 1), range(b, b + 1)) for a, b in pairs]
        else:
            found += _between(first, second, range(begin, end), range(start, stop))
    return tuple(found)


def _keys(tokens: Sequence[Token]) -> list[tuple[bool, str, int, int]]:
    """What makes two tokens equal; not their ids, which differ from model to model."""
    return [(token.kind == "special", token.text, token.part, token.parts) for token in tokens]


def _between(first: Sequence[Token], second: Sequence[Token], one: range, other: range) -> Iterator[Aligned]:
    """The groups of two runs without a token in common."""
    (text, ends), (written, stops) = _spelt(first, one), _spelt(second, other)
    cuts = [(one.start, other.start)]
    for start, there, size in SequenceMatcher(None, text, written, autojunk=False).get_matching_blocks():
        for offset in range(size + 1):
            at = (ends.get(start + offset), stops.get(there + offset))
            if at[0] is not None and at[1] is not None and size:
                cuts.append((at[0], at[1]))
    cuts.append((one.stop, other.stop))
    cuts = sorted(set(cuts))
    for (begin, start), (end, stop) in pairwise(cuts):
        mine, theirs = range(begin, end), range(start, stop)
        if not mine and not theirs:
            continue
        if len(mine) == len(theirs) and _spelt(first, mine)[0] != _spelt(second, theirs)[0]:
            for a, b in zip(mine, theirs, strict=True):
                yield _group(first, second, range(a, a + 1), range(b, b + 1))
        else:
            yield _group(first, second, mine, theirs)


def _spelt(tokens: Sequence[Token], run: range) -> tuple[str, dict[int, int]]:
    """What a run spells, and the position that begins at each character where a token ends or begins.

    Tokens that only together spell whole characters are not parted.
    """
    text, places = "", {0: run.start}
    for position in run:
        token = tokens[position]
        if token.part == 1 or position == run.start:
            text += token.text
        if position + 1 == run.stop or tokens[position + 1].part == 1:
            places[len(text)] = position + 1
    return text, places


def _group(first: Sequence[Token], second: Sequence[Token], one: range, other: range) -> Aligned:
    text, written = _spelt(first, one)[0], _spelt(second, other)[0]
    if not one:
        return Aligned(one, other, "only second", written)
    if not other:
        return Aligned(one, other, "only first", text)
    if text != written:
        return Aligned(one, other, "replaced", f"{text} → {written}")
    return Aligned(one, other, "same" if len(one) == len(other) == 1 else "respelt", text)
