"""Figures for paper: vector, of the width that was asked for, in fonts that have every character they show."""

from __future__ import annotations

import os
import textwrap
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from explorer import Refused
from widgets.colors import table

INK, MUTED, ACCENT, CUT, BAD = "#1c2430", "#586174", "#2a62d8", "#c3c8d0", "#9aa1ac"
SIZE = 7.0
"""Of the letters, in points: what journals ask for inside of figures."""

# In this order each character is looked for; whichever of them a machine has. Fonts of coloured pictures are not among
# them: matplotlib cannot put those into a vector file.
_FONTS = (
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "PingFang SC"),
    *("Hiragino Sans GB", "Heiti TC", "Microsoft YaHei", "SimHei", "Noto Sans CJK JP", "Yu Gothic", "Malgun Gothic"),
    *("Noto Sans", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Hebrew"),
    *("Arial Unicode MS", "Noto Emoji", "Symbola", "Noto Sans Symbols2", "Segoe UI Symbol", "Apple Symbols"),
)
# 42: fonts go in whole outlines that publishers take; Type 3 they refuse. SVG keeps text as text.
_SETTINGS: dict[Any, Any] = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "explorer"}
WIDTHS = (1.0, 20.0)
_MARGIN = 0.01
# From line to line, in sizes of the letters.
_SPACING = 1.25
# How far a logarithmic scale goes below its top, as on the screen.
_DECADES = 4


class Paper(Figure):
    """A figure that belongs to no window and no `pyplot`, and whose files hold fonts that can be embedded.

    Attributes:
        unseen: characters that no font of this machine has; they are written as code points.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), dpi=200, layout="constrained", facecolor="white")
        FigureCanvasAgg(self)
        self.unseen: set[str] = set()

    def savefig(self, fname: Any, **options: Any) -> None:
        """As matplotlib's, without the time of writing, so that the same picture gives the same file."""
        kind = str(options.get("format") or os.path.splitext(str(fname))[1][1:]).lower()  # noqa: PTH122 - or a buffer
        dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
        with rc_context(_SETTINGS):
            super().savefig(fname, **{**options, "metadata": {**dated, **options.get("metadata", {})}})

    def shown(self, text: str) -> str:
        """A text in which every character has a picture in the fonts that there are, a blank one too."""
        text = "␣" * len(text) if text.strip(" ") == "" else text
        known = _characters()
        missing = {character for character in text if ord(character) not in known and not _joins(character)}
        self.unseen |= missing
        kept = (_code(character) if character in missing else character for character in text if not _joins(character))
        return "".join(kept)

    def write(self, text: Text) -> Text:
        """Sets what all text of ours has: fonts, and dollars that are dollars."""
        text.set_fontfamily(_families())
        text.set_parse_math(False)
        return text

    def labels(self, axis: Any, places: Iterable[float], texts: Iterable[str], **more: Any) -> None:
        """Ticks with tokens as their labels."""
        axis.set_ticks(list(places), labels=[self.shown(text) for text in texts], fontsize=SIZE, color=INK, **more)
        for label in axis.get_ticklabels():
            self.write(label)

    def measure(self, text: str, size: float = SIZE) -> float:
        """How wide a text is, in inches, blanks at its ends included."""
        return self._extent(f"|{text}|", size) - self._extent("||", size)

    def _extent(self, text: str, size: float) -> float:
        canvas: Any = self.canvas
        drawn = Text(0, 0, text, fontsize=size, figure=self)
        return float(self.write(drawn).get_window_extent(canvas.get_renderer()).width / self.dpi)

    def title(self, text: str) -> None:
        """What is drawn, above everything; a second line makes the figure higher, and not the picture smaller."""
        lines = self._folded(self.shown(text), SIZE + 1)
        self.write(self.suptitle("\n".join(lines), fontsize=SIZE + 1, color=INK, x=_MARGIN, ha="left"))
        self._grow(len(lines) - 1, SIZE + 1)

    def _folded(self, text: str, size: float) -> list[str]:
        """A text in lines that fit."""
        room = float(self.get_figwidth()) * (1 - 3 * _MARGIN)
        letters = int(len(text) * min(1.0, room / max(self.measure(text, size), 0.01)))
        return textwrap.wrap(text, max(8, letters), break_on_hyphens=False)

    def _grow(self, lines: int, size: float) -> None:
        self.set_figheight(self.get_figheight() + lines * size * _SPACING / 72)

    def caption(self, text: str) -> None:
        """Lines below everything, which the figure grows by; they say too which characters could not be drawn."""
        if self.unseen:
            codes = " ".join(sorted(map(_code, self.unseen))[:8]) + (" …" if len(self.unseen) > 8 else "")
            text = (
                f"{text}\nNo font of this machine has {codes}: shown as code points." if text else f"No font: {codes}"
            )
        if text:
            lines = [line for part in text.split("\n") for line in self._folded(part, SIZE - 1)]
            self.write(self.supxlabel("\n".join(lines), fontsize=SIZE - 1, color=MUTED, x=_MARGIN, ha="left"))
            self._grow(len(lines), SIZE - 1)


@dataclass(frozen=True)
class Scale:
    """What the colours of a drawing mean.

    Attributes:
        name: of the numbers, with their unit.
        high: the number of the strongest colour.
        signed: whether numbers go from `-high` to `high`, and not from 0.
        logarithmic: whether colours follow the logarithm, down to a ten-thousandth of `high`.
    """

    name: str = "weight"
    high: float = 1.0
    signed: bool = False
    logarithmic: bool = False

    @property
    def norm(self) -> Normalize:
        """From numbers to places in the table of colours."""
        if self.logarithmic:
            return LogNorm(self.high / 10**_DECADES, self.high, clip=True)
        return Normalize(-self.high if self.signed else 0.0, self.high)

    @property
    def colours(self) -> Colormap:
        """The table of colours."""
        return colormap("explorer_signed" if self.signed else "explorer_weight", bad="#ffffff00")

    def legend(self, figure: Paper, axes: Any) -> None:
        """A bar below one or several axes that says it, with numbers at its ends."""
        norm = self.norm
        colours = ScalarMappable(norm, self.colours)
        bar = figure.colorbar(colours, ax=axes, location="bottom", shrink=0.3, aspect=28, pad=0.02, anchor=(0.0, 0.5))
        bar.outline.set_linewidth(0.4)
        low, high = float(norm.vmin or 0.0), float(norm.vmax or 0.0)
        bar.minorticks_off()
        bar.set_ticks([low, high], labels=[f"{'≤ ' * self.logarithmic}{number(low)}", number(high)])
        bar.ax.tick_params(length=0, labelsize=SIZE - 1, labelcolor=MUTED)
        figure.write(bar.ax.set_xlabel(self.name, fontsize=SIZE - 1, color=MUTED, loc="left"))
        for label in bar.ax.get_xticklabels():
            figure.write(label)


def number(value: float, digits: int = 2) -> str:
    """A number as it stands on paper, with a real minus."""
    return f"{value:.{digits}g}".replace("-", "−")


def colormap(name: str, bad: str = BAD) -> Colormap:
    """The panels' own colours, of `widgets.colors`; what is no number is grey, or as `bad` says."""
    return ListedColormap(table(name) / 255, name=name).with_extremes(bad=bad)


def bare(axes: Axes) -> Axes:
    """Axes without a frame."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=SIZE, labelcolor=MUTED)
    return axes


def checked_width(width: float) -> float:
    """A width in inches.

    Raises:
        Refused: it is none that a page has.
    """
    least, most = WIDTHS
    if isinstance(width, bool) or not isinstance(width, int | float) or not least <= width <= most:
        raise Refused(
            f"width={width!r} is no width of a figure; use inches from {least:g} to {most:g}, such as 3.3 for a column "
            "or 6.7 for a page."
        )
    return float(width)


def _code(character: str) -> str:
    return f"⟨U+{ord(character):04X}⟩"


def _joins(character: str) -> bool:
    """Whether it only says how its neighbours are drawn, such as a variation selector or a joiner."""
    return unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f"


@lru_cache(maxsize=1)
def _families() -> list[str]:
    there = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in _FONTS if name in there]


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    paths = [font_manager.findfont(name, fallback_to_default=False) for name in _families()]
    return frozenset(code for path in paths for code in FT2Font(path).get_charmap())
