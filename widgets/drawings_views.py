"""What the views inside the attention panel look like on paper. Each drawing takes plain numbers and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from numpy.typing import NDArray

from widgets.paper import ACCENT, BAD, CUT, INK, MUTED, SIZE, Paper, Scale, bare, colormap, number

Numbers = NDArray[np.floating[Any]]

# The same as on the screen: six hues that the usual kinds of colour blindness keep apart, and dashes, in points.
HUES = ("#0b62c4", "#c2410c", "#00795c", "#9c3d96", "#7a5c00", "#475569")
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2.5), (1.2, 1.8), (5, 1.8, 1.2, 1.8))
_BROKEN = (0.6, 2.4)
# Inches: the side of a head's cell at most; of a line of tokens; the tallest figure, which is a page.
_CELL, _ROW, _TALLEST = 0.28, 0.15, 9.0
# Inches that the number of a head or layer takes.
_NUMBER = 0.17


def measures_map(width: float, values: Numbers, kept: NDArray[np.bool_], title: str, scale: Scale) -> Paper:
    """A number of each head; `values` and `kept` are (layer, head).

    Heads that are not kept are a small square, those without a number (NaN) a cross. Infinity stands where a layer has
    no such head; nothing is drawn there.
    """
    layers, heads = values.shape
    cell = min(_CELL, (width - 0.4) / layers)
    figure = Paper(width, heads * cell + 1.0)
    axes = bare(figure.add_subplot())
    there = ~np.isinf(values)
    edges = (np.arange(layers + 1) - 0.5, np.arange(heads + 1) - 0.5)
    lines = {"edgecolors": "white", "linewidth": min(1.0, cell * 6)}
    shown = np.where(there & kept, values, np.nan).T
    axes.pcolormesh(*edges, shown, cmap=scale.colours, norm=scale.norm, **lines)
    left = np.argwhere(there & ~kept & ~np.isnan(values))
    axes.scatter(left[:, 0], left[:, 1], marker="s", s=(cell * 18) ** 2, color=CUT, linewidths=0)
    _cross_out(axes, [(layer, head) for layer, head in np.argwhere(np.isnan(values))])
    axes.set(xlim=(-0.5, layers - 0.5), ylim=(heads - 0.5, -0.5))
    axes.set_aspect("equal", anchor="W")
    for axis, count, name in ((axes.xaxis, layers, "layer"), (axes.yaxis, heads, "head")):
        places = range(0, count, max(1, int(-(-_NUMBER // cell))))
        figure.labels(axis, places, map(str, places))
        figure.write(axis.set_label_text(name, fontsize=SIZE, color=MUTED))
    figure.title(title)
    scale.legend(figure, axes)
    return figure


@dataclass(frozen=True, eq=False)
class Between:
    """Lines between tokens, the strongest first.

    Attributes:
        head: (line,), the place of a line's head among those that are drawn.
        query: (line,), the row of the left column where it begins.
        key: (line,), the row of the right column where it ends.
        weight: (line,), 0 to 1; NaN is drawn dotted.
    """

    head: NDArray[np.integer[Any]]
    query: NDArray[np.integer[Any]]
    key: NDArray[np.integer[Any]]
    weight: Numbers

    def taken(self, places: NDArray[np.integer[Any]]) -> Between:
        """Some of the lines."""
        return Between(self.head[places], self.query[places], self.key[places], self.weight[places])


def lines_between(
    width: float,
    lines: Between,
    heads: Sequence[int],
    queries: Sequence[str],
    keys: Sequence[str],
    title: str,
    pinned: tuple[str, int] | None = None,
) -> Paper:
    """Two columns of tokens with a line for each weight: thicker and stronger is more.

    Args:
        width: of the figure, inches.
        lines: what is drawn.
        heads: what the drawn heads are called.
        queries: the tokens that attend.
        keys: those that are attended to.
        title: above it.
        pinned: the "query" or "key" whose lines alone these are: numbers stand at their other ends.
    """
    count = max(len(queries), len(keys))
    figure = Paper(width, min(_TALLEST, _ROW * count + 1.1))
    axes = bare(figure.add_subplot())
    apart = min(0.18, 0.8 / max(1, len(heads)))  # lines of several heads between the same tokens lie side by side
    order = np.arange(len(lines.weight))[::-1]  # the strongest is drawn last
    shift = (lines.head[order] - (len(heads) - 1) / 2) * apart
    weight = lines.weight[order]
    known = np.isfinite(weight)
    strength = np.where(known, np.clip(np.nan_to_num(weight), 0.0, 1.0), 0.0)
    pitch = (figure.get_figheight() - 1.1) / count
    widths = np.where(known, 0.5 + 1.75 * strength, 1.1) * np.clip(pitch / _ROW, 0.25, 1.0)
    alphas = np.where(known, np.clip(np.sqrt(strength), 0.1, 1.0), 1.0)
    colours = [(HUES[head % len(HUES)], alpha) for head, alpha in zip(lines.head[order], alphas, strict=True)]
    # Matplotlib's dashes grow with the line; these are so many points on every line.
    dashes = [
        (0.0, tuple(part / wide for part in (DASHES[head % len(DASHES)] if number else _BROKEN)) or None)
        for head, wide, number in zip(lines.head[order], widths, known, strict=True)
    ]
    bend = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
    paths = [
        Path([(0, start), (0.4, start), (0.6, end), (1, end)], bend)
        for start, end in zip(lines.query[order] + shift, lines.key[order] + shift, strict=True)
    ]
    axes.add_collection(
        PathCollection(paths, facecolors="none", edgecolors=colours, linewidths=widths, linestyles=dashes),
        autolim=False,
    )
    axes.set(xlim=(0, 1), ylim=(count - 0.5, -0.5), xticks=[])
    other = bare(axes.twinx())
    other.set(ylim=axes.get_ylim())
    numbers = _numbers_at_ends(lines, len(heads), pinned)
    step = -(-count // max(1, int((figure.get_figheight() - 1.0) / 0.12)))
    for axis, side, tokens in ((axes.yaxis, "query", queries), (other.yaxis, "key", keys)):
        wanted = {*range(0, len(tokens), step), *numbers.get(side, ())}
        if pinned is not None and pinned[0] == side:
            wanted = {place for place in wanted if abs(place - pinned[1]) >= step} | {pinned[1]}
        places = sorted(wanted)
        said = numbers.get(side, {})
        shown = [_beside(tokens[place], said.get(place, ""), side) for place in places]
        figure.labels(axis, places, shown)
        for place, label in zip(places, axis.get_ticklabels(), strict=True):
            label.set_color(ACCENT if pinned == (side, place) else INK)
    for at, side, words in ((0.0, "right", "attends"), (1.0, "left", "is attended to")):
        offset = (-3 if side == "right" else 3, 4)
        heading = axes.annotate(
            words, (at, 1), offset, xycoords="axes fraction", textcoords="offset points", ha=side, va="bottom"
        )
        heading.set(fontsize=SIZE - 1, color=MUTED)
        figure.write(heading)
    figure.title(title)
    if len(heads) > 1:
        _heads_legend(figure, axes, heads, width)
    return figure


def _numbers_at_ends(lines: Between, heads: int, pinned: tuple[str, int] | None) -> dict[str, dict[int, str]]:
    """What is written beside the tokens at the other ends of a pinned token's lines: its weight, head by head."""
    if pinned is None:
        return {}
    side, ends = ("key", lines.key) if pinned[0] == "query" else ("query", lines.query)
    found: dict[int, dict[int, float]] = {}
    for head, end, weight in zip(lines.head, ends, lines.weight, strict=True):
        found.setdefault(int(end), {})[int(head)] = float(weight)
    return {
        side: {
            end: " · ".join(number(weights[head]) if head in weights else "–" for head in range(heads))
            for end, weights in found.items()
        }
    }


def _beside(token: str, said: str, side: str) -> str:
    if not said:
        return token
    return f"{token}   {said}" if side == "key" else f"{said}   {token}"


def _heads_legend(figure: Paper, axes: Axes, heads: Sequence[int], width: float) -> None:
    keys = [
        Line2D([], [], color=HUES[at % len(HUES)], linewidth=1.6, linestyle=(0, _on_and_off(at)), label=f"head {head}")
        for at, head in enumerate(heads)
    ]
    columns = max(1, min(len(heads), int((width - 0.5) / 0.8)))
    legend = axes.legend(
        handles=keys,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        ncols=columns,
        frameon=False,
        fontsize=SIZE,
        handlelength=3.2,
    )
    figure.set_figheight(figure.get_figheight() + -(-len(heads) // columns) * 0.16)
    for text in legend.get_texts():
        figure.write(text)
        text.set_color(INK)


def _on_and_off(place: int) -> Any:
    return tuple(part / 1.6 for part in DASHES[place % len(DASHES)]) or None


def product_bars(width: float, query: Numbers, key: Numbers, product: Numbers, title: str) -> Paper:
    """Query, key and their product in each dimension of a head, each row in colours of its own range."""
    figure = Paper(width, 2.7)
    rows = figure.subplots(3, 1, sharex=True)
    places = np.arange(len(query))
    for axes, values, name in zip(rows, (query, key, product), ("query", "key", "query × key"), strict=True):
        bare(axes)
        limit = float(np.abs(np.nan_to_num(values)).max(initial=0.0)) or 1.0
        colours = colormap("explorer_signed")((np.nan_to_num(values) / limit + 1) / 2)
        axes.bar(places, values, width=0.9, color=colours, edgecolor=MUTED, linewidth=0.15)
        axes.axhline(0, color=MUTED, linewidth=0.4)
        axes.set(xlim=(-0.7, len(places) - 0.3), ylim=(-1.05 * limit, 1.05 * limit))
        axes.set_yticks([-limit, limit], labels=[number(-limit, 3), number(limit, 3)])
        figure.write(axes.set_ylabel(name, fontsize=SIZE, color=INK, rotation=0, ha="right", va="center"))
        for label in axes.get_yticklabels():
            label.set_fontsize(SIZE - 1)
            figure.write(label)
    figure.labels(rows[-1].xaxis, range(0, len(places), -(-len(places) // 8)), map(str, _every(len(places), 8)))
    figure.write(rows[-1].set_xlabel("dimension of the head", fontsize=SIZE, color=MUTED))
    figure.align_ylabels(rows)
    figure.title(title)
    return figure


def _every(count: int, most: int) -> range:
    return range(0, count, -(-count // most))


def laid_over(
    width: float,
    image: NDArray[np.uint8],
    maps: Sequence[tuple[str, Numbers]],
    asked: tuple[int, int] | None,
    title: str,
    scale: Scale,
) -> Paper:
    """An image as it is, and under the weights of its patches.

    Args:
        width: of the figure, inches.
        image: (row, column, 3): red, green and blue.
        maps: what is laid over it: words, and weights on the grid of patches, (row, column).
        asked: the patch that attends, by row and column of the grid; None where it is none.
        title: above it.
        scale: of all weights.
    """
    count = len(maps) + 1
    rows = -(-count // (2 if width < 4 else 4))
    columns = -(-count // rows)
    side = min(width / columns, 3.0)
    figure = Paper(width, rows * (side * image.shape[0] / image.shape[1] + 0.2) + 0.8)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    high, wide = maps[0][1].shape
    extent = (0.0, float(wide), float(high), 0.0)
    # Pale and without colours of its own, so that the weights' colours are all that is seen.
    grey = image @ np.array([0.2126, 0.7152, 0.0722])
    pale = (255 - 0.3 * (255 - grey)).round().astype(np.uint8)
    for axes, (words, weights) in zip(grid, [("as the model was given it", None), *maps], strict=False):
        bare(axes).set(xticks=[], yticks=[])
        if weights is None:
            axes.imshow(image, extent=extent, interpolation="antialiased")
        else:
            axes.imshow(pale, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="antialiased")
            axes.pcolormesh(np.arange(wide + 1), np.arange(high + 1), weights, cmap=clear(scale), norm=scale.norm)
            broken = np.argwhere(~np.isfinite(weights))
            _cross_out(axes, [(column + 0.5, row + 0.5) for row, column in broken])
        if asked is not None:
            axes.add_patch(Rectangle(asked[::-1], 1, 1, fill=False, edgecolor=ACCENT, linewidth=1.4, clip_on=False))
        axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", anchor="W")
        figure.write(axes.set_xlabel(words, fontsize=SIZE, color=MUTED, loc="left"))
    for axes in grid[count:]:
        axes.set_visible(False)
    figure.title(title)
    scale.legend(figure, list(grid))
    return figure


def clear(scale: Scale) -> Any:
    """The colours of a scale, each as the most transparent one that looks the same on white paper."""
    opaque = scale.colours(np.arange(scale.colours.N))[:, :3]
    alpha = 1 - opaque.min(axis=1, keepdims=True)
    colours = np.divide(opaque - (1 - alpha), alpha, out=np.ones_like(opaque), where=alpha > 0)
    return ListedColormap(np.clip(np.hstack([colours, alpha]), 0, 1), name="clear").with_extremes(bad="#ffffff00")


def _cross_out(axes: Axes, places: Sequence[tuple[float, float]]) -> None:
    """Marks cells whose number is none, by their middles."""
    if places:
        across, down = zip(*places, strict=True)
        axes.scatter(across, down, marker="x", s=10, color=BAD, linewidths=0.7)
