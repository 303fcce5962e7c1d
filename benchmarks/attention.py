"""What the attention panel costs beyond the pass it shows: first picture, other heads, memory, pointer, page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import attention_pointer, fresh
from benchmarks.measuring import spread
from benchmarks.painting import PaintError
from benchmarks.table import Table, say, size

# Tokens, rounds, and how many seconds, milliseconds and bytes the first picture, another head and the state may take.
_GOALS = ((64, 9, 0.2, 30, 1.5e6), (512, 5, 1.0, 50, 3e6), (4096, 3, 6.0, 300, 8e6))
_PAGE_TOKENS, _PAGE_BYTES = 512, 12e6
_LONGEST, _GROWTH = 4096, 1e9
_MOVES = 100
_NOTE = """\
The sample model, random words. first picture: from a panel on a finished trace, whose pass is not counted, until its
state is as a notebook sends it: all heads as small maps, one head large. another head: from a selection of any of the
270 to its weights in the state. sent: bytes of that state without the panel's code. memory: resident memory at the
highest beyond the trace, in a fresh process. pointer: milliseconds of script from a move to the second frame after it,
JupyterLab's own included, the pointer jumping about; tasks: of 50 ms or more."""


def tables(quick: bool) -> Iterator[Table]:
    """One table, the goals beside the figures."""
    found = Table("The attention panel beyond the forward pass", _NOTE, ("tokens", "what", "measured", "goal"))
    for tokens, rounds, first, switch, sent in _GOALS:
        if quick and tokens == _LONGEST:
            continue
        rounds = min(rounds, 3) if quick else rounds
        say(f"the attention panel at {tokens} tokens, {rounds} rounds")
        seen = fresh.call("attention_picture", "measure", tokens=tokens, rounds=rounds, page=tokens == _PAGE_TOKENS)
        _add(found, tokens, seen, first, switch, sent)
    yield found
    if not quick:
        yield _pointer()


def _add(found: Table, tokens: int, seen: dict[str, Any], first: float, switch: float, sent: float) -> None:
    found.add(f"{tokens:,}", "first picture, s", spread(seen["first"]).words(), f"under {first:g}")
    milliseconds = [1000 * one for one in seen["switch"]]
    found.add(f"{tokens:,}", "another head, ms", spread(milliseconds).words(1), f"under {switch:g}")
    found.add(f"{tokens:,}", "sent", size(seen["bytes"]), f"under {size(sent)}")
    found.add(f"{tokens:,}", "memory", size(seen["growth"]), f"under {size(_GROWTH)}" if tokens == _LONGEST else "")
    if "page_bytes" in seen:
        found.add(f"{tokens:,}", "saved page", size(seen["page_bytes"]), f"under {size(_PAGE_BYTES)}")
        found.add(f"{tokens:,}", "saved page, s", f"{seen['page_seconds']:.2f}", "")


def _pointer() -> Table:
    say(f"the pointer over maps of {_LONGEST} tokens")
    found = Table(
        f"The pointer over attention of {_LONGEST:,} tokens",
        "As above, in JupyterLab.",
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
