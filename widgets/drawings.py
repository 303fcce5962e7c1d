"""What panels look like on paper. Each drawing takes plain numbers and the words beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray

from widgets.paper import ACCENT, CUT, INK, MUTED, SIZE, Paper, Scale, bare, colormap

# Up to so many tokens each has its label and its cells are vector shapes; beyond, the map is an image of its own cells.
_CELLS = 80
_ROW = 0.165  # inches of one bar with its label
_NONE = "#f1f3f6"  # under the hatching
_LABELS = 24  # along an axis of a long text


def token_map(
    width: float,
    values: NDArray[np.floating],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    scale: Scale | None = None,
) -> Paper:
    """A number for each pair of tokens, such as what rows attend to; hatched where there is none."""
    scale = scale or Scale()
    height, across = values.shape
    figure = Paper(width, width * (height / across if height < across else 1) + width * 0.04 + (height < across) * 0.6)
    axes = bare(figure.add_subplot())
    colours: dict[str, Any] = {"cmap": scale.colours, "norm": scale.norm}
    if max(height, across) <= _CELLS:
        edges = [np.arange(count + 1) - 0.5 for count in (across, height)]
        # Hairlines between the cells, not seams: some viewers let the paper shine through where shapes meet.
        axes.pcolormesh(*edges, values, **colours, edgecolors="face", linewidth=0.1)
        none = np.ma.masked_where(~np.isnan(values), np.ones(values.shape))
        if none.count():
            axes.pcolor(*edges, none, cmap=ListedColormap([_NONE]), hatch="/////", edgecolor=CUT, linewidth=0)
    else:
        axes.imshow(np.where(np.isnan(values), 1.0, np.nan), cmap=ListedColormap([CUT]), interpolation="none")
        axes.imshow(values, **colours, interpolation="none")
    axes.set_aspect("equal")
    axes.set(xlim=(-0.5, across - 0.5), ylim=(height - 0.5, -0.5))
    for axis, tokens, turn in ((axes.xaxis, columns, 90), (axes.yaxis, rows, 0)):
        places = range(0, len(tokens), -(-len(tokens) // _labels_in(width, len(tokens))))
        figure.labels(axis, places, [tokens[place] for place in places], rotation=turn)
    axes.xaxis.tick_top()
    figure.title(title)
    scale.legend(figure, axes)
    return figure


def all_heads(width: float, grid: NDArray[np.floating], title: str) -> Paper:
    """All heads as thumbnails; `grid` is (layers, heads, rows, columns), rows of heads below each other."""
    layers, heads, rows, cols = grid.shape
    gap = max(1, rows // 10)
    whole = np.full((heads * (rows + gap) - gap, layers * (cols + gap) - gap), np.nan)
    for layer in range(layers):
        for head in range(heads):
            top, left = head * (rows + gap), layer * (cols + gap)
            whole[top : top + rows, left : left + cols] = grid[layer, head]
    figure = Paper(width, width * whole.shape[0] / whole.shape[1] + 0.75)
    axes = bare(figure.add_subplot())
    colours = colormap("explorer_weight", bad="#ffffff00")
    axes.imshow(whole, cmap=colours, vmin=0, vmax=1, interpolation="none")
    for axis, count, size, name in ((axes.xaxis, layers, cols, "layer"), (axes.yaxis, heads, rows, "head")):
        step = -(-count // (_LABELS if width > 4 else _LABELS // 2))
        places = range(0, count, step)
        figure.labels(axis, [place * (size + gap) + (size - 1) / 2 for place in places], map(str, places))
        figure.write(axis.set_label_text(name, fontsize=SIZE, color=MUTED))
    figure.title(title)
    Scale().legend(figure, axes)
    return figure


def signed_bars(width: float, scores: Sequence[float], tokens: Sequence[str], title: str) -> Paper:
    """Scores of tokens, in the order of the text: against to the left, for to the right."""
    figure = Paper(width, _ROW * len(scores) + 0.75)
    axes = bare(figure.add_subplot())
    limit = max(map(abs, scores), default=0.0) or 1.0
    colours = colormap("explorer_signed")((np.asarray(scores) / limit + 1) / 2)
    places = np.arange(len(scores))
    axes.barh(places, scores, height=0.78, color=colours, edgecolor=INK, linewidth=0.3)
    axes.axvline(0, color=MUTED, linewidth=0.5)
    axes.set(xlim=(-1.22 * limit, 1.22 * limit), ylim=(len(scores) - 0.4, -0.6))
    for place, score in zip(places, scores, strict=True):
        side = 1 if score >= 0 else -1
        text = axes.annotate(
            f"{score:+.3g}".replace("-", "−"),
            (score, place),
            (3 * side, 0),
            textcoords="offset points",
            va="center",
            ha="left" if side > 0 else "right",
            fontsize=SIZE - 1,
            color=MUTED,
        )
        figure.write(text)
    figure.labels(axes.yaxis, places, tokens)
    figure.write(axes.xaxis.set_label_text("against  ←  score in logits  →  for", fontsize=SIZE, color=MUTED))
    figure.title(title)
    return figure


def share_bars(
    width: float, before: Sequence[float], after: Sequence[float], tokens: Sequence[str], title: str
) -> Paper:
    """Probabilities of next tokens: what was cut is a grey bar as long as it was before."""
    figure = Paper(width, _ROW * len(before) + 0.75)
    axes = bare(figure.add_subplot())
    places = np.arange(len(before))
    cut = np.asarray(after) == 0
    axes.barh(places, np.where(cut, before, after), height=0.72, color=np.where(cut, CUT, ACCENT))
    most = max([*before, *after], default=1.0)
    axes.set(xlim=(0, most * 1.25), ylim=(len(before) - 0.4, -0.6))
    for place, (was, now) in enumerate(zip(before, after, strict=True)):
        words = f"{was:.3g}, cut" if now == 0 else f"{now:.3g}"
        place_of = (was if now == 0 else now, place)
        note = axes.annotate(
            words, place_of, (3, 0), textcoords="offset points", va="center", fontsize=SIZE - 1, color=MUTED
        )
        figure.write(note)
    figure.labels(axes.yaxis, places, tokens)
    figure.write(axes.xaxis.set_label_text("probability", fontsize=SIZE, color=MUTED))
    figure.title(title)
    return figure


def _labels_in(width: float, count: int) -> int:
    return min(count, max(4, int(width * 4.5)))
