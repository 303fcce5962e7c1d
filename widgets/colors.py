"""The colours of data: the same tables on the screen and on paper.

Every table starts from one of matplotlib's own, Blues for what is large and Oranges for what speaks against,
and changes three things in the OKLCh space: the hue is turned to that of the panels' accent, the lightness is
spread evenly between the surface and the table's end, and the colourfulness fades towards the surface, so that
nothing looks like nothing.

`python -m widgets.colors` writes the tables for the browser. In matplotlib they have the names of `NAMES` as
soon as `register` ran; matplotlib's own defaults stay as they are.

The conversions to and from OKLab are those of Björn Ottosson, "A perceptual color space for image processing"
(2020).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 256
"""Entries of a table: as many as a byte has values."""

SURFACE = {"light": "#ffffff", "dark": "#1a1e25"}
"""What lies under the data. The tables' zero is exactly this colour."""

NAMES = ("explorer_weight", "explorer_weight_dark", "explorer_signed", "explorer_signed_dark")
"""Weights and probabilities from 0 to 1, and signed values from -1 (orange, against) to 1 (blue, for)."""

GENERATED = Path(__file__).parent / "frontend" / "src" / "shared" / "colors.generated.ts"

# Matplotlib's table -> the hue it is turned to (degrees in OKLCh: the panels' accent and warning colours) and
# how much more colourful it gets. Its blues are dull beside the accent; its oranges are not.
_SIDES = {"Blues": (262.0, 1.2), "Oranges": (58.0, 0.85)}

# Lightness in OKLab at the far end. A weight of 1 is as strong as it gets; signed colours lie under text, so
# they stop where the words on them can still be read.
_WEIGHT_END = {"light": 0.28, "dark": 0.93}
_SIGNED_END = {"light": 0.70, "dark": 0.68}


# Lightness in OKLab from which on colours are as colourful as they get; nearer to the surface they fade in.
_FULL_COLOUR = {"light": 0.96, "dark": 0.62}

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _oklab(rgb: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """OKLab of sRGB colours, both shaped (n, 3); sRGB from 0 to 1."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    found: NDArray[np.float64] = np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T
    return found


def _srgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB of OKLab colours, both shaped (n, 3); outside 0 to 1 where a screen cannot show the colour."""
    linear = (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_LMS).T
    curved = 1.055 * np.sign(linear) * np.abs(linear) ** (1 / 2.4) - 0.055
    return np.where(np.abs(linear) <= 0.0031308, 12.92 * linear, curved)


def _hex(colour: str) -> NDArray[np.float64]:
    return np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]])


def _in_gamut(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB of OKLab colours; where a screen cannot show one, the most colourful of its lightness and hue."""
    low, high = np.zeros(len(lab)), np.ones(len(lab))
    for _ in range(24):
        middle = (low + high) / 2
        rgb = _srgb(lab * np.stack([np.ones_like(middle), middle, middle], axis=1))
        fits = ((rgb >= -1e-6) & (rgb <= 1 + 1e-6)).all(axis=1)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return np.clip(_srgb(lab * np.stack([np.ones_like(low), low, low], axis=1)), 0.0, 1.0)


def _ramp(source: str, theme: str, end: float, size: int) -> NDArray[np.float64]:
    """One side of a table: from the surface to lightness `end`, shaped (size, 3), sRGB.

    Args:
        source: The matplotlib colormap whose colourfulness is used at each lightness.
        theme: "light" or "dark".
        end: OKLab lightness of the last entry.
        size: Number of entries.
    """
    from matplotlib import colormaps

    along = np.linspace(0.0, 1.0, size)
    surface = _oklab(_hex(SURFACE[theme]))[0]
    light = surface[0] + (end - surface[0]) * along
    known = _oklab(colormaps[source](np.linspace(0.0, 1.0, SIZE))[:, :3])[::-1]
    chroma = np.interp(light, known[:, 0], np.hypot(known[:, 1], known[:, 2]))
    hue, more = _SIDES[source]
    fade = np.minimum(1.0, (light - surface[0]) / (_FULL_COLOUR[theme] - surface[0]))
    chroma = chroma * more * fade
    angle = np.deg2rad(hue)
    own = np.stack([light, chroma * np.cos(angle), chroma * np.sin(angle)], axis=1)
    # The surface may have a tint of its own; it fades out as the data's colour comes in.
    own[:, 1:] += (1 - fade)[:, None] * surface[1:]
    return _in_gamut(own)


def _weight(theme: str) -> NDArray[np.float64]:
    return _ramp("Blues", theme, _WEIGHT_END[theme], SIZE)


def _signed(theme: str) -> NDArray[np.float64]:
    # Both middle entries are the surface, so that zero is nothing from either side.
    against = _ramp("Oranges", theme, _SIGNED_END[theme], SIZE // 2)
    favour = _ramp("Blues", theme, _SIGNED_END[theme], SIZE // 2)
    return np.concatenate([against[::-1], favour])


def table(name: str) -> NDArray[np.uint8]:
    """The colours of one table as bytes, shaped (256, 3).

    Args:
        name: One of `NAMES`.

    Raises:
        ValueError: `name` is no table of ours.
    """
    if name not in NAMES:
        raise ValueError(f"name is {name!r}; the tables are {', '.join(NAMES)}")
    theme = "dark" if name.endswith("_dark") else "light"
    values = _signed(theme) if name.startswith("explorer_signed") else _weight(theme)
    return np.round(values * 255).astype(np.uint8)


def register() -> None:
    """Makes the tables known to matplotlib under `NAMES`; its defaults stay. Doing it again changes nothing."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    for name in NAMES:
        if name not in colormaps:
            colormaps.register(ListedColormap(table(name) / 255, name=name))


# Steps from one colour to the next are small, and few differ: a letter a step is a third of what the bytes take, and
# every widget carries them. Letters begin where no quote and no backslash follows.
_LETTER = ord("0")
_LEAST = -5


def _packed(colours: NDArray[np.uint8]) -> str:
    """The first colour in hex, the steps that occur in three letters each, and a letter for each step that is taken."""
    taken = [tuple(step) for step in np.diff(colours.astype(int), axis=0).tolist()]
    known = sorted(set(taken))
    steps = "".join(chr(_LETTER + part - _LEAST) for step in known for part in step)
    return f"{bytes(colours[0]).hex()} {steps} {''.join(chr(_LETTER + known.index(step)) for step in taken)}"


def typescript() -> str:
    """The tables as a TypeScript module: 256 colours each, as steps from one to the next."""
    lines = [
        "// Written by `python -m widgets.colors`; change the tables there.",
        "",
        '/** The first of 256 colours in hex, the steps that occur (red, green, blue; "0" is -5), and those taken. */',
        "export const TABLES = {",
    ]
    for name in NAMES:
        text = _packed(table(name))
        pieces = [text[start : start + 100] for start in range(0, len(text), 100)]
        lines.append(f"  {name.removeprefix('explorer_')}:")
        lines.extend(f'    "{piece}" +' for piece in pieces[:-1])
        lines.append(f'    "{pieces[-1]}",')
    lines.extend(["} as const;", ""])
    return "\n".join(lines)


if __name__ == "__main__":
    GENERATED.write_text(typescript(), encoding="utf-8")
