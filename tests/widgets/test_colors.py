"""The colour tables: readable by everybody, and the same on the screen and on paper."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from widgets import colors

HALF = colors.SIZE // 2

# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency" (2009),
# deuteranopia at full severity, applied to linear sRGB.
_DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)


def _linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of linear sRGB, both shaped (n, 3); independent of the space the tables are made in."""
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def _seen(name: str, *, deuteranopia: bool = False) -> np.ndarray:
    linear = _linear(colors.table(name) / 255)
    if deuteranopia:
        linear = np.clip(linear @ _DEUTERANOPIA.T, 0, 1)
    return _lab(linear)


def _surface(name: str) -> np.ndarray:
    return np.round(np.array(to_rgb(colors.SURFACE["dark" if name.endswith("_dark") else "light"])) * 255)


@pytest.mark.parametrize("name", colors.NAMES)
def test_zero_is_exactly_the_surface(name: str) -> None:
    table = colors.table(name)
    zeros = [HALF - 1, HALF] if "signed" in name else [0]
    for zero in zeros:
        np.testing.assert_array_equal(table[zero], _surface(name))


@pytest.mark.parametrize("deuteranopia", [False, True])
@pytest.mark.parametrize("name", colors.NAMES)
def test_lightness_only_ever_moves_away_from_the_surface(name: str, deuteranopia: bool) -> None:
    lightness = _seen(name, deuteranopia=deuteranopia)[:, 0]
    sides = [lightness] if "weight" in name else [lightness[:HALF][::-1], lightness[HALF:]]
    for side in sides:
        steps = np.diff(side) * (1 if name.endswith("_dark") else -1)
        # Colours have 256 steps a channel: single entries may wobble by less than anybody can see.
        assert steps.min() > -0.3
        assert np.diff(side[::8]).min() * np.diff(side[::8]).max() > 0
        assert abs(side[-1] - side[0]) > 25


@pytest.mark.parametrize("deuteranopia", [False, True])
@pytest.mark.parametrize("name", [name for name in colors.NAMES if "signed" in name])
def test_for_and_against_are_told_apart(name: str, deuteranopia: bool) -> None:
    seen = _seen(name, deuteranopia=deuteranopia)
    against, favour = seen[:HALF][::-1], seen[HALF:]
    distance = np.linalg.norm(against - favour, axis=1)
    # A difference of 2.3 is just noticed; from an eighth of the scale on it must be plain, and grow with the value.
    assert distance[HALF // 8 :].min() > 5
    assert distance[HALF // 2 :].min() > 20
    assert distance[-1] > 45


@pytest.mark.parametrize("name", [name for name in colors.NAMES if "signed" in name])
def test_both_signs_weigh_the_same(name: str) -> None:
    lightness = _seen(name)[:, 0]
    assert np.abs(lightness[:HALF][::-1] - lightness[HALF:]).max() < 6


@pytest.mark.parametrize("name", colors.NAMES)
def test_equal_steps_look_equal(name: str) -> None:
    seen = _seen(name)[:: 256 // 16]
    steps = np.linalg.norm(np.diff(seen, axis=0), axis=1)
    assert steps.min() > 2.3


def test_the_browser_has_the_same_tables() -> None:
    assert colors.GENERATED.read_text(encoding="utf-8") == colors.typescript(), "run python -m widgets.colors"


def test_matplotlib_knows_the_tables_and_keeps_its_defaults() -> None:
    before = dict(mpl.rcParams)
    colors.register()
    colors.register()
    for name in colors.NAMES:
        listed = mpl.colormaps[name]
        drawn = np.round(listed(np.arange(colors.SIZE))[:, :3] * 255)
        np.testing.assert_array_equal(drawn, colors.table(name))
    assert dict(mpl.rcParams) == before


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(ValueError, match="'viridis'; the tables are explorer_weight"):
        colors.table("viridis")
