"""An hour of use, compressed: a person's interactions by a fixed seed, and whether anything grows meanwhile.

python -m benchmarks.live_use 300        so many interactions, and what was sampled as it goes
"""

from __future__ import annotations

import json
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.labs import LabPage, opened
from benchmarks.table import Table, say, size

_EVERY = 100
_WARM_UP = 300
_LONGEST = 60  # characters of the prompt
_TEXTS = ("The capital of France is", "When Mary and John went to the store,", "1 2 3 4", "你好，世界", "def f(x):\n")
_CELLS = (
    "import explorer\nfrom widgets import Workbench\nmodel = explorer.load()",
    "bench = Workbench(model, 'The capital of France is')\nbench",
    """
import ctypes, gc, json, psutil
def hooks():
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.hf.modules() for kind in kinds)
def sampled():
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except OSError:
        pass
    return {"rss": psutil.Process().memory_info().rss, "objects": len(gc.get_objects()), "hooks": hooks()}
before = hooks()
""",
)
# The same state at each sample: what differs between two of them is what was left behind.
_REST = """
for panel in bench.panels:
    if hasattr(panel, "stop"):
        panel.stop()
bench.exploration.value = {**rest, "text": "Once more"}
bench.exploration.value = rest
bench.exploration.unpin()
try:
    bench.wait(300)
except explorer.ExplorerError as refused:  # a click on a picture that is of another text by now
    print(refused)
"""
_COLUMNS = {
    "heap": "browser heap",
    "nodes": "DOM nodes",
    "listeners": "JS listeners",
    "rss": "kernel memory",
    "objects": "Python objects",
}
_BYTES = ("heap", "rss")


class Person:
    """Whoever sits at the workbench: chooses by a seed what to do next, and does it with the page's own events."""

    def __init__(self, lab: LabPage, seed: int) -> None:
        self._lab = lab
        self._draw = random.Random(seed)
        self._text = _TEXTS[0]
        self._ways: list[tuple[int, Callable[[], None]]] = [
            (30, self._type),
            (4, self._rewrite),
            (14, self._click_head),
            (16, self._slide),
            (14, self._hover),
            (6, lambda: self._press("Undo")),
            (3, lambda: self._press("Redo")),
            (6, self._ask),
            (3, self._generate),
            (3, lambda: self._press("Stop")),
            (1, lambda: self._press("Pin")),
        ]

    def act(self) -> None:
        """Does one thing, and one time in five waits for its answer."""
        weights, ways = zip(*self._ways, strict=True)
        self._draw.choices(ways, weights)[0]()
        if self._draw.random() < 0.2:
            # Live, or stopped by the click before, or refused: there is no text any more.
            self._lab.wait("document.querySelector('.explorer-sampling .explorer-dot:not(.is-working)') !== null")

    def _type(self) -> None:
        shown = self._lab.page.evaluate("document.querySelector('.explorer-prompt textarea').value")
        text = (
            shown[:-1]
            if shown and (len(shown) > _LONGEST or self._draw.random() < 0.3)
            else shown + self._draw.choice("aeiou st")
        )
        self._put(text)

    def _rewrite(self) -> None:
        self._put(self._draw.choice(_TEXTS))

    def _put(self, text: str) -> None:
        self._lab.page.evaluate(
            """(text) => {
                const field = document.querySelector(".explorer-prompt textarea");
                field.focus();
                field.value = text;
                field.dispatchEvent(new Event("input", { bubbles: true }));
            }""",
            text,
        )

    def _slide(self) -> None:
        self._lab.page.evaluate(
            """([which, where]) => {
                const sliders = [...document.querySelectorAll(".explorer-sampling input[type=range]")];
                const slider = sliders[Math.floor(which * sliders.length)];
                slider.value = Math.floor(Number(slider.max) * (0.2 + 0.7 * where));
                slider.dispatchEvent(new Event("input", { bubbles: true }));
            }""",
            [self._draw.random(), self._draw.random()],
        )

    def _ask(self) -> None:
        self._click(".explorer-attribution-choices .explorer-button")

    def _generate(self) -> None:
        self._press("Generate")

    def _click_head(self) -> None:
        self._point(".explorer-attention canvas", click=True)

    def _hover(self) -> None:
        self._point(
            self._draw.choice([".explorer-chip", ".explorer-sampling-bar", ".explorer-attention canvas"]), click=False
        )

    def _point(self, selector: str, click: bool) -> None:
        """Puts the pointer somewhere on one of the elements, with all the events that a mouse makes."""
        self._lab.page.evaluate(
            """([selector, which, across, down, click]) => {
                const all = [...document.querySelectorAll(selector)];
                if (all.length === 0) return;
                const element = all[Math.floor(which * all.length)];
                const box = element.getBoundingClientRect();
                const at = { clientX: box.left + across * box.width, clientY: box.top + down * box.height };
                const more = { ...at, bubbles: true, cancelable: true, composed: true, pointerId: 1, button: 0 };
                for (const name of ["pointerover", "pointermove"]) element.dispatchEvent(new PointerEvent(name, more));
                if (click) {
                    element.dispatchEvent(new PointerEvent("pointerdown", { ...more, buttons: 1 }));
                    element.dispatchEvent(new PointerEvent("pointerup", more));
                    element.dispatchEvent(new MouseEvent("click", { ...more, detail: 1 }));
                }
                element.dispatchEvent(new PointerEvent("pointerout", more));
                element.dispatchEvent(new PointerEvent("pointerleave", { ...more, bubbles: false }));
            }""",
            [selector, self._draw.random(), self._draw.random(), self._draw.random(), click],
        )

    def _press(self, name: str) -> None:
        self._lab.page.evaluate(
            """(name) => [...document.querySelectorAll(".explorer-bench button")]
                .find((button) => button.textContent === name && !button.disabled)?.click()""",
            name,
        )

    def _click(self, selector: str) -> None:
        self._lab.page.evaluate(
            """([selector, which]) => {
                const all = [...document.querySelectorAll(selector)];
                all[Math.floor(which * all.length)]?.click();
            }""",
            [selector, self._draw.random()],
        )


def use(interactions: int, seed: int = 1) -> tuple[list[dict[str, float]], list[str], int]:
    """What was sampled every hundred interactions, what went wrong on the page, and hooks left on the model."""
    samples: list[dict[str, float]] = []
    with opened(_CELLS) as lab:
        lab.wait("document.querySelectorAll('.explorer-dot.is-live').length >= 4")
        lab.run("rest = bench.exploration.value; bench.wait(300)")
        session = lab.page.context.new_cdp_session(lab.page)
        session.send("Performance.enable")
        person = Person(lab, seed)
        for number in range(1, interactions + 1):
            person.act()
            if number % _EVERY == 0:
                lab.run(_REST)
                samples.append({"interactions": number, **_sampled(lab, session)})
                say(json.dumps(samples[-1]))
        left = lab.value("hooks() - before")
        return samples, lab.faults, left


def _sampled(lab: LabPage, session: Any) -> dict[str, float]:
    kernel = lab.value("sampled()")
    for _ in range(2):
        session.send("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return {
        "heap": session.send("Runtime.getHeapUsage")["usedSize"],
        "nodes": metrics["Nodes"],
        "listeners": metrics["JSEventListeners"],
        "rss": kernel["rss"],
        "objects": kernel["objects"],
    }


def slope(values: Sequence[float]) -> float:
    """How much the values grow from one to the next, by least squares."""
    return statistics.linear_regression(range(len(values)), values).slope if len(values) > 1 else 0.0


def table(interactions: int) -> Table:
    """The samples after warm-up: the first, the last, and the growth in between."""
    samples, faults, hooks = use(interactions)
    settled = [one for one in samples if one["interactions"] >= min(_WARM_UP, interactions)]
    made = Table(
        f"An hour of use: {interactions:,} interactions with all panels",
        "Typing, clicking heads, sliders, hovering, undo, attribution, generating, pinning, by a fixed seed; sampled "
        f"every {_EVERY}, garbage collected, in the same state.\nErrors on the page: {len(faults)}; hooks left on the "
        f"model: {hooks}." + "".join(f"\n{fault.splitlines()[0]}" for fault in faults[:5]),
        ("what", f"after {settled[0]['interactions']:,.0f}", "at the end", f"growth per {_EVERY}"),
    )
    for key, title in _COLUMNS.items():
        values = [one[key] for one in settled]
        words = size if key in _BYTES else "{:,.0f}".format
        grows = slope(values)
        made.add(title, words(values[0]), words(values[-1]), f"{'-' if grows < 0 else '+'}{words(abs(grows))}")
    return made


if __name__ == "__main__":
    print(table(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
