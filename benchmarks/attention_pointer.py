"""What the pointer costs over attention: script of each move, click and scroll, by Chromium, in JupyterLab."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.labs import opened

_CELLS = (
    "import explorer\nfrom widgets import AttentionPanel\nmodel = explorer.load()",
    "panel = AttentionPanel(model)\npanel",
)
_MAP = ".explorer-map"
_HEADS = ".explorer-heads"
_TEXT = ".explorer-text-room"
_LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((one) => one.duration)))
    .observe({ type: "longtask" });
"""
_TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def measure(tokens: int, moves: int) -> dict[str, Any]:
    """Moves the pointer over the large map, the small ones and the text, and chooses, scrolls and finds in the text.

    Args:
        tokens: length of the text.
        moves: how many moves count for each.

    Returns:
        `map`, `heads`, `text`, `chosen`, `scrolled` and `found`, milliseconds of script from each move (click, turn of
        the wheel, letter) to the second frame after it, answers of the kernel that came meanwhile included; `long`
        and, over the text, `long_text`, milliseconds of each task of 50 or more; `said`, whether the pointer was
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

        def after(act: Callable[[], object]) -> float:
            before = _script(session)
            act()
            page.evaluate(_TWO_FRAMES)
            return 1000 * (_script(session) - before)

        for name, canvas in (("map", page.locator(f"{_MAP} > canvas")), ("heads", page.locator(f"{_HEADS} > canvas"))):
            canvas.first.scroll_into_view_if_needed()
            box = canvas.first.bounding_box()
            page.evaluate(_LONG_TASKS if name == "map" else "0")
            for number in range(-3, moves):
                across, down = draw.uniform(0.05, 0.95), draw.uniform(0.05, 0.95)
                if name == "map" and across > down:  # above the diagonal there is nothing to see
                    across, down = down, across
                to = box["x"] + across * box["width"], box["y"] + down * box["height"]
                took = after(partial(page.mouse.move, *to))
                if number >= 0:
                    taken[name].append(took)
            taken["said"] &= page.locator(".explorer-tooltip:visible").count() > 0
        taken["long"] = page.evaluate("window.longTasks")
        lab.run("panel.mode = 'text'\npanel.wait(600)")
        lab.wait(f"document.querySelector('{_TEXT} .explorer-chip') !== null")
        page.locator(_TEXT).scroll_into_view_if_needed()
        page.evaluate("window.longTasks.length = 0")
        box = page.locator(_TEXT).bounding_box()

        def move() -> object:
            return page.mouse.move(
                box["x"] + draw.uniform(0.1, 0.9) * box["width"], box["y"] + draw.uniform(0.1, 0.9) * box["height"]
            )

        def click() -> object:
            page.mouse.down()
            return page.mouse.up()

        taken["text"] = [after(move) for _ in range(moves)]
        taken["said"] &= page.locator(".explorer-tooltip:visible").count() > 0
        taken["chosen"] = []
        for _ in range(moves // 4):
            move()
            taken["chosen"].append(after(click))
        taken["scrolled"] = [after(partial(page.mouse.wheel, 0, draw.choice((120, 480)))) for _ in range(moves)]
        page.locator(".explorer-find").focus()
        typed = [after(partial(page.keyboard.type, letter)) for letter in "the"]
        taken["found"] = [*typed, *(after(partial(page.keyboard.press, "Enter")) for _ in range(moves // 4))]
        taken["long_text"] = page.evaluate("window.longTasks")
        return taken


def _script(session: Any) -> float:
    """Seconds of script since the page was opened."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "ScriptDuration")
