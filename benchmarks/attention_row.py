"""A row of the attention table, and what a browser adds to it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.attention_tools import CHOICE, Tool
from benchmarks.limited import resident, watched
from benchmarks.painting import PaintError, changed, painter
from benchmarks.table import size

_EMPTY = "empty.html"
_CHANGES, _CHANGES_S = 5, 10.0
# A page that is painted fast is painted again: its seconds vary most.
_PAINTS, _PAINTS_S = 3, 5.0

COLUMNS = (
    *("tokens", "tool", "first picture shows", "in Python, s", "painted, s", "other head in Python, ms"),
    *("other head painted, ms", "sent", "memory, Python", "memory, browser", "saved page"),
)


@dataclass
class Row:
    """What was found of one tool at one length, each cell as it is printed."""

    tokens: str
    tool: str
    shows: str = ""
    python: str = ""
    painted: str = ""
    choice_python: str = ""
    choice_painted: str = ""
    sent: str = ""
    memory: str = ""
    browser: str = ""
    page: str = ""

    def cells(self) -> list[str]:
        """In the order of `COLUMNS`."""
        return [getattr(self, one.name) for one in fields(self)]


@dataclass
class Painted:
    """What a browser took for a page.

    Attributes:
        seconds: to the picture, each time.
        choices: seconds until another layer or head was painted.
        growth: bytes of resident memory at the highest, above those of a browser with an empty page.
        reason: why there is no picture, or not each time; else empty.
        choice_reason: why there are no choices.
    """

    seconds: list[float] = field(default_factory=list)
    choices: list[float] = field(default_factory=list)
    growth: int = 0
    reason: str = ""
    choice_reason: str = ""


def paint(
    root: Path,
    page: str,
    picture: str,
    *,
    tool: Tool | None = None,
    scripts: Mapping[str, str] | None = None,
    patience: float,
    most: float,
) -> Painted:
    """Paints a page in a browser of its own, and asks it for other heads.

    Args:
        root: the folder that is served.
        page: path of the page below it.
        picture: JavaScript that is true as soon as the picture is on the page.
        tool: whose page it is and how it is asked; None where it is asked for nothing.
        scripts: as `Painter.painted` takes them.
        patience: seconds for the picture, and for each choice.
        most: bytes of resident memory for the browser.
    """
    (root / _EMPTY).write_text("<!doctype html>", "utf-8")
    found, before = Painted(), 0
    with watched(_browser, most) as watch:
        try:
            with painter(root) as browser:
                with browser.painted(_EMPTY, "true"):
                    before = resident(_browser)
                while len(found.seconds) < _PAINTS and sum(found.seconds) < _PAINTS_S:
                    with browser.painted(page, picture, scripts, patience) as (shown, seconds):
                        found.seconds.append(seconds)
                        if tool is not None and len(found.seconds) == 1:
                            _choose(shown, tool, patience, found)
        except PaintError as error:
            found.reason = _reason(str(error), patience)
    if watch.over:
        found.reason = f"out of memory: more than {size(most)}"
    found.growth = max(0, watch.highest - before)
    return found


def _choose(shown: object, tool: Tool, patience: float, found: Painted) -> None:
    """Asks for one layer or head after the other, none twice and never for what is there."""
    wanted = random.Random(tool.name).sample(range(1, tool.choices), _CHANGES)
    try:
        for choice in map(str, wanted):
            if sum(found.choices) < _CHANGES_S:
                act, done = (words.replace(CHOICE, choice) for words in (tool.act, tool.done))
                found.choices.append(changed(shown, act, done, patience))
    except PaintError as error:
        if not found.choices:
            found.choice_reason = _reason(str(error), patience)


def _reason(said: str, patience: float) -> str:
    """What a table says where Playwright says that it waited in vain."""
    if "Timeout" not in said:
        return f"failed: {said}"
    fault = said.partition("; ")[2]  # what the page's own script raised
    return f"did not finish in {patience:.0f} s" + (f": {fault.splitlines()[0]}" if fault else "")


def _browser() -> list[psutil.Process]:
    """The browser that this process started through Playwright's driver."""
    drivers = psutil.Process().children()
    return [process for driver in drivers for process in driver.children(recursive=True)]
