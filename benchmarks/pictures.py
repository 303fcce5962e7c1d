"""Time and bytes to a first attention picture: our panel's and BertViz's head view, in turns on the same texts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import fresh
from benchmarks.measuring import Spread, spread
from benchmarks.painting import BERTVIZ_PICTURE, PANEL_PICTURE, Painter, PaintError, painter
from benchmarks.scripts import NoScripts, fetch
from benchmarks.table import Table, say, size

_LENGTHS = (16, 64, 256)
# From here on the head view's weights are gigabytes of Python numbers, and a browser needs as much again.
_HEAVY = 256
_HEAVY_BYTES = 9_000_000_000
_NOTE = """\
make: seconds in Python from a text to the bytes for the browser; the pass through the model is included on both
sides. bytes: the panel's state as JSON and buffers, and the head view's HTML; its three scripts from the web are
not counted. paint: seconds from navigation to the painted picture, in the page; {browser} is given both
pages by a server on this machine. Random words, the same for both."""


@dataclass(frozen=True)
class _Tool:
    """What one tool took for one length.

    Attributes:
        make: seconds in Python, or why there are none.
        sent: bytes that go to the browser, without our panel's code; None where nothing was made.
        code: bytes of that code.
        paint: seconds in the browser, or why there are none.
    """

    make: Spread | str
    sent: int | None
    code: int
    paint: Spread | str


def tables(quick: bool) -> Iterator[Table]:
    """One table for all lengths."""
    columns = ("tokens", "what", "AttentionPanel", "head_view", "head_view / AttentionPanel")
    rounds = 3 if quick else 7
    with ExitStack() as undo:
        root = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="explorer-benchmarks-")))
        browser = _had(lambda: undo.enter_context(painter(root)))
        scripts = _had(lambda: fetch(root))
        name = "a browser" if isinstance(browser, str) else f"Chromium {browser.version}"
        title = "First attention picture: AttentionPanel and BertViz's head_view"
        found = Table(title, _NOTE.format(browser=name), columns)
        found.note += "".join(f"\nNo paint: {reason}." for reason in (browser, scripts) if isinstance(reason, str))
        for tokens in _LENGTHS:
            refused = _refusal(quick) if tokens >= _HEAVY else None
            theirs = 0 if refused else (1 if tokens >= _HEAVY else rounds)
            say(f"pictures of {tokens} tokens, {rounds} of ours and {theirs} of BertViz's")
            folder = str(root / str(tokens))
            made = fresh.call("pages", "make", tokens=tokens, ours=rounds, theirs=theirs, folder=folder)
            ours = _painted(made["panel"], browser, {}, f"{tokens}/panel/index.html", PANEL_PICTURE)
            if refused:
                view = _Tool(refused, None, 0, "")
            else:
                view = _painted(made["bertviz"], browser, scripts, f"{tokens}/bertviz/index.html", BERTVIZ_PICTURE)
            _add(found, tokens, ours, view)
    yield found


def _had(get: Callable[[], Any]) -> Any:
    """What `get` gives, or why it could not be had."""
    try:
        return get()
    except (PaintError, NoScripts) as error:
        return str(error)


def _refusal(quick: bool) -> str | None:
    """Why the head view of a long text is not made, or None."""
    import psutil  # type: ignore[import-untyped]

    if quick:
        return "not run: takes minutes"
    free = psutil.virtual_memory().available
    return None if free >= _HEAVY_BYTES else f"not run: needs {size(_HEAVY_BYTES)}, {size(free)} are free"


def _painted(
    made: dict[str, Any], browser: Painter | str, scripts: dict[str, str] | str, page: str, picture: str
) -> _Tool:
    """Paints what one tool made as often as it was made."""
    rounds = len(made["seconds"])
    paint: Spread | str
    if isinstance(browser, str) or isinstance(scripts, str):
        paint = "not run"
    else:
        try:
            if rounds > 1:  # a browser's first page is slower; where a page takes minutes that no longer shows
                browser.first_paint(page, picture, scripts)
            paint = spread([browser.first_paint(page, picture, scripts) for _ in range(rounds)])
        except PaintError as error:
            say(f"{page}: {error}")
            paint = "no picture"
    return _Tool(spread(made["seconds"]), made["bytes"], made["code"], paint)


def _add(found: Table, tokens: int, ours: _Tool, theirs: _Tool) -> None:
    def row(what: str, cells: Sequence[str], values: Sequence[float | None]) -> None:
        panel, view = values
        ratio = view / panel if panel and view else None
        found.add(tokens, what, *cells, "" if ratio is None else f"{ratio:,.{0 if ratio >= 10 else 1}f}")

    def timed(what: str, spreads: Sequence[Spread | str]) -> list[float | None]:
        values = [None if isinstance(one, str) else one.median for one in spreads]
        row(what, [one if isinstance(one, str) else one.words() for one in spreads], values)
        return values

    def counted(what: str, counts: Sequence[int | None]) -> None:
        row(what, ["" if count is None else size(count) for count in counts], counts)

    make = timed("make, s", (ours.make, theirs.make))
    counted("bytes", (ours.sent, theirs.sent))
    counted("bytes, with the panel's code", ((ours.sent or 0) + ours.code, theirs.sent))
    paint = timed("paint, s", (ours.paint, theirs.paint))
    both = [one + other if one and other else None for one, other in zip(make, paint, strict=True)]
    row("make and paint, s", ["" if one is None else f"{one:,.2f}" for one in both], both)
