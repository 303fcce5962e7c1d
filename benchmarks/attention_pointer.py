"""What the pointer costs over an attention map: script of each move, by Chromium's own counters, in JupyterLab."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.labs import opened

_CELLS = (
    "import explorer\nfrom widgets import AttentionPanel\nmodel = explorer.load()",
    "panel = AttentionPanel(model)\npanel",
)
_MAP = ".explorer-map"
_HEADS = ".explorer-heads"
_LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((one) => one.duration)))
    .observe({ type: "longtask" });
"""
_TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def measure(tokens: int, moves: int) -> dict[str, Any]:
    """Moves the pointer over the large map and the small ones, in turns.

    Args:
        tokens: length of the text.
        moves: how many moves count for each of the two.

    Returns:
        `map` and `heads`, milliseconds of script from each move to the second frame after it, answers of the kernel
        that came meanwhile included; `long`, milliseconds of each task of 50 or more; `said`, whether the pointer was
        answered by a value beside it.

    Raises:
        PaintError: this machine has no Chrome or Chromium that starts, or Playwright is missing.
    """
    draw = random.Random(tokens)
    with opened(_CELLS) as lab:
        lab.run("from benchmarks.inputs import random_text")
        lab.run(f"panel.text = random_text(model.tokenizer, {tokens}, 'pointer')")
        lab.run("panel.wait(600)")
        lab.wait(f"document.querySelector({_MAP!r}) !== null")
        page = lab.page
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        taken: dict[str, Any] = {"map": [], "heads": [], "said": True}
        for name, canvas in (("map", page.locator(f"{_MAP} > canvas")), ("heads", page.locator(f"{_HEADS} > canvas"))):
            canvas.first.scroll_into_view_if_needed()
            box = canvas.first.bounding_box()
            page.evaluate(_LONG_TASKS if name == "map" else "0")
            for number in range(-3, moves):
                across, down = draw.uniform(0.05, 0.95), draw.uniform(0.05, 0.95)
                if name == "map" and across > down:  # above the diagonal there is nothing to see
                    across, down = down, across
                before = _script(session)
                page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
                page.evaluate(_TWO_FRAMES)
                if number >= 0:
                    taken[name].append(1000 * (_script(session) - before))
            taken["said"] &= page.locator(".explorer-tooltip:visible").count() > 0
        taken["long"] = page.evaluate("window.longTasks")
        return taken


def _script(session: Any) -> float:
    """Seconds of script since the page was opened."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "ScriptDuration")
