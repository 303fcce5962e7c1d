"""A text on paper, its tokens coloured by what one of them attends to or is attended to by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from explorer import Refused
from widgets.paper import ACCENT, INK, MUTED, SIZE, Paper, Scale, bare

MOST_TOKENS = 2000
"""More would be many pages."""

_LINE = 0.2  # inches from line to line
_PAD = 0.02  # between a token and the end of its colour
_MARGIN = 0.0833  # what the layout keeps free at both sides together


def coloured_text(
    width: float,
    tokens: Sequence[str],
    weights: NDArray[np.floating[Any]],
    asked: int | None,
    title: str,
    scale: Scale,
) -> Paper:
    """The tokens as a text that wraps, each on the colour of its weight.

    Args:
        width: of the figure, inches.
        tokens: as a reader knows them.
        weights: of each; NaN for none, such as a token that is not seen: it stands there in grey, without a colour.
        asked: the token that attends or is attended to; it is framed. None where it is none of these.
        title: above it.
        scale: of the colours.

    Raises:
        Refused: it would be many pages.
    """
    if len(tokens) > MOST_TOKENS:
        raise Refused(
            f"A figure of the text holds at most {MOST_TOKENS} tokens, and this one has {len(tokens)}; take the map "
            "with what='head', or the numbers with panel.frame."
        )
    paper = Paper(width, 1.0)
    words = [paper.shown(token) for token in tokens]
    known: dict[str, float] = {}
    for word in words:
        if word not in known:
            known[word] = paper.measure(word) + 2 * _PAD
    sizes = [known[word] for word in words]
    places = _wrapped(words, sizes, width - _MARGIN)
    lines = 1 + max((line for line, _ in places), default=0)
    paper.set_figheight(lines * _LINE + 0.75)
    axes = bare(paper.add_subplot())
    axes.set_box_aspect(lines * _LINE / (width - _MARGIN))
    axes.set_anchor("W")
    axes.set(xlim=(0, width - _MARGIN), ylim=(lines, 0), xticks=[], yticks=[])
    boxes = [
        [(left, line + 0.1), (left + size, line + 0.1), (left + size, line + 0.92), (left, line + 0.92)]
        for (line, left), size in zip(places, sizes, strict=True)
    ]
    coloured = PolyCollection(boxes, cmap=scale.colours.with_extremes(bad="#ffffff00"), norm=scale.norm, linewidths=0)
    coloured.set_array(np.ma.masked_invalid(weights))
    axes.add_collection(coloured, autolim=False)
    inks = _inks(scale, weights)
    for word, (line, left), ink in zip(words, places, inks, strict=True):
        text = axes.text(left + _PAD, line + 0.52, word, fontsize=SIZE, color=ink, va="center_baseline")
        paper.write(text)
    if asked is not None:
        (line, left), size = places[asked], sizes[asked]
        frame = Rectangle((left, line + 0.1), size, 0.82, fill=False, edgecolor=ACCENT, linewidth=1.2, clip_on=False)
        axes.add_patch(frame)
    paper.title(title)
    scale.legend(paper, axes)
    return paper


def _wrapped(words: Sequence[str], sizes: Sequence[float], room: float) -> list[tuple[int, float]]:
    """Line and left end of each token; a word of several tokens stays together where it fits in a line."""
    places: list[tuple[int, float]] = []
    line, left = 0, 0.0
    at = 0
    while at < len(words):
        end = at + 1
        while end < len(words) and _continues(words[end - 1], words[end]):
            end += 1
        whole = sum(sizes[at:end])
        end = end if whole <= room else at + 1
        if left > 0 and left + sum(sizes[at:end]) > room:
            line, left = line + 1, 0.0
        for size in sizes[at:end]:
            places.append((line, left))
            left += size
        if words[end - 1].endswith("⏎"):
            line, left = line + 1, 0.0
        at = end
    return places


def _continues(word: str, after: str) -> bool:
    """Whether a token goes on with the word of the one before; scripts without blanks break anywhere."""
    return word[-1:].isalnum() and after[:1].isascii() and after[:1].isalnum()


def _inks(scale: Scale, weights: NDArray[np.floating[Any]]) -> list[str]:
    """Black or white, whichever can be read on a token's colour; grey without one."""
    table = scale.colours(scale.norm(np.nan_to_num(weights)))[:, :3]
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    light = linear @ np.array([0.2126, 0.7152, 0.0722])
    inks = np.where(light > 0.19, INK, "#ffffff")
    return [str(ink) for ink in np.where(np.isfinite(weights), inks, MUTED)]
