"""Two rows of tokens of one text, side by side by the characters they cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.errors import Refused
from explorer.text_units import Block, blocks

if TYPE_CHECKING:
    from explorer.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Aligned:
    """The shortest runs of tokens that cover the same characters on both sides.

    Attributes:
        a: positions in the first row; empty where it has nothing there, as where only the other has a special token.
        b: positions in the second row.
        text: the characters; empty for tokens that nothing in the text stands for.
    """

    a: range
    b: range
    text: str


def align(a: Tokens, b: Tokens) -> list[Aligned]:
    """Puts the tokens of the same text from two tokenizers side by side.

    Every token of either row is in exactly one group, in order. A boundary between two groups is one that both
    tokenizers make; where a group has one token on each side, both cut out the same characters.

    Raises:
        Refused: the texts differ, or where tokens stand in their text cannot be told.
    """
    if a.text != b.text:
        at = next(
            (i for i, (x, y) in enumerate(zip(a.text, b.text, strict=False)) if x != y), min(map(len, (a.text, b.text)))
        )
        raise Refused(
            f"These are tokens of two different texts: they differ from character {at} on. Read both from one."
        )
    left, right = blocks(a), blocks(b)
    groups: list[Aligned] = []
    i = j = 0
    while i < len(left) or j < len(right):
        added = (int(i < len(left) and left[i].begin is None), int(j < len(right) and right[j].begin is None))
        if any(added):  # two special tokens side by side stand for each other
            groups.append(Aligned(_run(left, i, i + added[0]), _run(right, j, j + added[1]), ""))
            i, j = i + added[0], j + added[1]
            continue
        begins = [_place(row[k]) for row, k in ((left, i), (right, j)) if k < len(row)]
        begin, end = min(begins)
        first, second = i, j
        taken = True
        while taken:
            taken = False
            while i < len(left) and _within(left[i], begin, end):
                end, i, taken = max(end, _place(left[i])[1]), i + 1, True
            while j < len(right) and _within(right[j], begin, end):
                end, j, taken = max(end, _place(right[j])[1]), j + 1, True
        groups.append(Aligned(_run(left, first, i), _run(right, second, j), a.text[begin:end]))
    return groups


def _place(block: Block) -> tuple[int, int]:
    return (block.begin or 0, block.end or 0)


def _within(block: Block, begin: int, end: int) -> bool:
    """Whether a block shares characters with `begin` to `end`, or, where both are empty, their place."""
    if block.begin is None or block.end is None:
        return False
    return block.begin < end or (begin == end == block.begin == block.end)


def _run(row: list[Block], begin: int, end: int) -> range:
    """The tokens of some neighbouring blocks; an empty range where the next ones would stand."""
    if begin < end:
        return range(row[begin].positions.start, row[end - 1].positions.stop)
    at = row[begin].positions.start if begin < len(row) else (row[-1].positions.stop if row else 0)
    return range(at, at)
