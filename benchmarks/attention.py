"""What the attention panel costs beyond the pass it shows, and what the peers' views of the same weights cost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import attention_choice, attention_pointer, fresh
from benchmarks.attention_beside import MOST_BYTES, PATIENCE_S, Beside
from benchmarks.attention_row import COLUMNS, Painted, Row, paint
from benchmarks.measuring import spread
from benchmarks.painting import PANEL_PICTURE, PaintError
from benchmarks.table import Table, say, size

# Tokens, rounds, and how many seconds, milliseconds and bytes the first picture, another head and the state may take.
_GOALS = ((64, 9, 0.2, 30, 1.5e6), (512, 5, 1.0, 50, 3e6), (4096, 3, 6.0, 300, 8e6))
_PAGE_TOKENS, _PAGE_BYTES = 512, 12e6
_LONGEST, _GROWTH = 4096, 1e9
_CLICKS = 10
_MOVES = 100
_NOTE = f"""\
The sample model, random words, the same for all. In Python: our panel from a finished trace, whose pass is not counted,
until its state is as a notebook sends it; the others from the same weights as tensors, already loaded, until their HTML
is there, each in an environment and a process of its own. painted: that and the seconds from navigation to the picture
in Chromium. other head: from a selection of any of the 270 to its weights in the state; painted, from a click on its
small map in JupyterLab until those weights are, the small map large meanwhile. For the others, who compute nothing
then, from a click or a choice in a list, of another layer where all are at hand and of another head where one is.
sent: bytes of the state without the panel's code, bytes of the HTML, without BertViz's scripts from the web. memory:
resident at the highest, in Python beyond the trace or tensors, in the browser beyond one with an empty page. A tool is
ended {PATIENCE_S:.0f} s after it began in Python, {PATIENCE_S:.0f} s after its page was opened, and when either has
more than {size(MOST_BYTES)}; one without a picture is not tried with more tokens."""


def tables(quick: bool) -> Iterator[Table]:
    """One table, the goals below the panel's figures and the peers below the goals; and one of the pointer."""
    lengths = [goal[0] for goal in _GOALS if not (quick and goal[0] == _LONGEST)]
    clicks, missing = ({}, "not run") if quick else _clicks(lengths)
    found = Table("The attention panel beyond the forward pass, and the peers", _NOTE, COLUMNS)
    with tempfile.TemporaryDirectory(prefix="explorer-benchmarks-") as folder:
        beside = Beside(Path(folder), quick)
        for tokens, rounds, first, switch, sent in _GOALS:
            if tokens not in lengths:
                continue
            rounds = min(rounds, 3) if quick else rounds
            say(f"the attention panel at {tokens} tokens, {rounds} rounds")
            ours = Path(folder, f"panel-{tokens}")
            ours.mkdir()
            page = tokens == _PAGE_TOKENS
            seen = fresh.call("attention_picture", "measure", tokens=tokens, rounds=rounds, page=page, folder=str(ours))
            shown = paint(Path(folder), f"{ours.name}/index.html", PANEL_PICTURE, patience=PATIENCE_S, most=MOST_BYTES)
            found.add(*_ours(tokens, seen, shown, clicks.get(tokens, missing)).cells())
            found.add(*_goal(tokens, first, switch, sent).cells())
            for row in beside.rows(tokens):
                found.add(*row.cells())
    found.note += "".join(f"\n{reason}" for reason in beside.reasons)
    yield found
    if not quick:
        yield _pointer()


def _clicks(lengths: Sequence[int]) -> tuple[Mapping[int, Sequence[float]], str]:
    """Seconds of each click by length, and the reason where there are none."""
    say(f"clicks on other heads in JupyterLab, at {', '.join(map(str, lengths))} tokens")
    try:
        return attention_choice.measure(lengths, _CLICKS), ""
    except PaintError as error:
        return {}, f"not measured: {error}"


def _ours(tokens: int, seen: Mapping[str, Any], shown: Painted, clicks: Sequence[float] | str) -> Row:
    first = spread(seen["first"])
    saved = f"{size(seen['page_bytes'])} in {seen['page_seconds']:.2f} s" if "page_bytes" in seen else ""
    return Row(
        *(f"{tokens:,}", "AttentionPanel", "all heads, one large", first.words()),
        painted=shown.reason or f"{first.median + spread(shown.seconds).median:.2f}",
        choice_python=spread([1000 * one for one in seen["switch"]]).words(1),
        choice_painted=clicks if isinstance(clicks, str) else spread([1000 * one for one in clicks]).words(0),
        sent=size(seen["bytes"]),
        memory=size(seen["growth"]),
        browser=size(shown.growth),
        page=saved,
    )


def _goal(tokens: int, first: float, switch: float, sent: float) -> Row:
    return Row(
        *(f"{tokens:,}", "its goal", "", f"under {first:g}"),
        choice_python=f"under {switch:g}",
        sent=f"under {size(sent)}",
        memory=f"under {size(_GROWTH)}" if tokens == _LONGEST else "",
        page=f"under {size(_PAGE_BYTES)}" if tokens == _PAGE_TOKENS else "",
    )


def _pointer() -> Table:
    say(f"the pointer over maps of {_LONGEST} tokens")
    found = Table(
        f"The pointer over attention of {_LONGEST:,} tokens",
        "In JupyterLab. script: milliseconds from a move to the second frame after it, JupyterLab's own included, the\n"
        "pointer jumping over the map. tasks: of 50 ms or more.",
        ("over", "script a move, ms", "most, ms", "goal"),
    )
    try:
        seen = attention_pointer.measure(_LONGEST, _MOVES)
    except PaintError as error:
        found.add("not measured", str(error), "", "")
        return found
    for name, title in (
        ("map", "the large map"),
        ("heads", "the small maps"),
        ("text", "the text"),
        ("chosen", "the text, choosing a token"),
        ("scrolled", "the text, scrolling"),
        ("found", "the text, finding"),
    ):
        values: Sequence[float] = seen[name]
        found.add(title, spread(values).words(1), f"{max(values):.1f}", "median under 8")
    for name, title in (("long", "the maps"), ("long_text", "the text")):
        longest = f"{max(seen[name]):.0f}" if seen[name] else ""
        found.add(f"{title}: tasks of 50 ms or more", len(seen[name]), longest, "none")
    return found
