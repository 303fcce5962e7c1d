"""Times what an attention panel does beyond a trace that is there: its first picture, other heads, a page, memory."""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.inputs import random_text
from benchmarks.memory import resident
from benchmarks.pages import CODE, write_page

_WARM_UP_TOKENS = 8
_SWITCHES = 20
_LOOKED_AT_S = 0.002


def measure(tokens: int, rounds: int, page: bool, folder: str) -> dict[str, Any]:
    """Measures in this process, which should be fresh: the first round's memory is what a notebook would grow by.

    Args:
        tokens: length of the texts, a new one each round.
        rounds: how many first pictures are timed.
        page: whether the last panel is saved as a page as well.
        folder: what a browser is sent of the first panel is written there.

    Returns:
        `first` and `switch`, lists of seconds; `bytes`, that a notebook sends for the first picture, the panel's code
        not counted; `growth`, bytes of resident memory at the highest beyond the trace; with a page, `page_bytes` and
        `page_seconds`.
    """
    import explorer
    from widgets import Selection

    model = explorer.load()
    _first(model.trace(random_text(model.tokenizer, _WARM_UP_TOKENS, "warm-up")))[0].close()
    draw = random.Random(tokens)
    found: dict[str, Any] = {"first": [], "switch": []}
    for number in range(rounds):
        trace = model.trace(random_text(model.tokenizer, tokens, (tokens, "attention", number)))
        with _highest() as highest:
            panel, taken, found["bytes"] = _first(trace)
            found["first"].append(taken)
            for _ in range(_SWITCHES):
                chosen = Selection(draw.randrange(30), (draw.randrange(9),))
                started = time.perf_counter()
                panel.selection = chosen
                panel.wait()
                found["switch"].append(time.perf_counter() - started)
                if (panel.matrix["layer"], *panel.matrix["heads"]) != (chosen.layer, *(chosen.heads or ())):
                    raise RuntimeError("Another head was chosen, and its weights are not there.")
        found.setdefault("growth", highest[0])
        if number == 0:
            write_page(panel, Path(folder))
        if page and number == rounds - 1:
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as scratch:
                found["page_bytes"] = panel.save(Path(scratch, "page.html")).stat().st_size
            found["page_seconds"] = time.perf_counter() - started
        panel.close()
        del panel, trace
    return found


def _first(trace: Any) -> tuple[Any, float, int]:
    """A new panel on a trace, the seconds until its state is as it would be sent, and the bytes of that."""
    from ipywidgets.widgets.widget import _remove_buffers  # type: ignore[import-untyped]

    from widgets import AttentionPanel

    started = time.perf_counter()
    panel = AttentionPanel(trace)
    panel.wait()
    state, _, buffers = _remove_buffers(panel.get_state())
    words = {name: json.dumps(value) for name, value in state.items() if name not in CODE}
    taken = time.perf_counter() - started
    return panel, taken, sum(map(len, words.values())) + sum(memoryview(one).nbytes for one in buffers)


@contextmanager
def _highest() -> Iterator[list[int]]:
    """How far resident memory rises above what it is now, at the highest; looked at every two milliseconds."""
    import psutil  # type: ignore[import-untyped]

    process, done, before = psutil.Process(), threading.Event(), resident()
    most = [0]

    def look() -> None:
        while not done.wait(_LOOKED_AT_S):
            most[0] = max(most[0], process.memory_info().rss - before)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()
