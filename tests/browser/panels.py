"""The panels of the tour, found and handled as a person does: by their labels, with the mouse and the keyboard."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, expect

from .notebook import Notebook

# The text of each element as it is in the page, leading spaces included.
_TEXTS = "elements => elements.map(element => element.textContent)"


class PanelPage:
    """What all panels share.

    Attributes:
        notebook: where it is.
        page: the page.
        name: the variable that holds it in the kernel.
        root: the panel.
    """

    name = ""
    strip = "Tokens of the prompt"
    finished = re.compile(r"^live\b")

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.page = notebook.page
        self.root = self.page.locator(f".explorer-{self.name}").first

    @property
    def prompt(self) -> Locator:
        """The text field."""
        return self.root.get_by_label("Prompt", exact=True)

    @property
    def status(self) -> Locator:
        """What is true now, in words."""
        return self.root.locator(".explorer-status [role=status]")

    @property
    def fault(self) -> Locator:
        """The sentence where the picture would be."""
        return self.root.locator(".explorer-fault > p")

    @property
    def tooltip(self) -> Locator:
        """What is shown beside the pointer."""
        return self.root.locator(".explorer-tooltip")

    @property
    def chips(self) -> Locator:
        """The tokens under the prompt."""
        return self.root.get_by_label(self.strip, exact=True).locator(".explorer-chip")

    def chip_texts(self) -> list[str]:
        """The tokens under the prompt as they can be read."""
        texts: list[str] = self.chips.locator(".explorer-text").evaluate_all(_TEXTS)
        return texts

    def start(self, text: str, **traits: str) -> None:
        """Sets the panel up from Python: its prompt and other traits, given as Python expressions."""
        lines = [f"{self.name}.{trait} = {value}" for trait, value in traits.items()]
        self.notebook.run("\n".join([*lines, f"{self.name}.text = {text!r}"]))
        self.shows(text)

    def type(self, text: str) -> None:
        """Replaces the prompt, letter by letter."""
        self.prompt.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)

    def put(self, text: str) -> None:
        """Replaces the prompt at once, as an input method or the clipboard does."""
        self.prompt.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(text)

    def shows(self, text: str) -> None:
        """Waits for the finished picture of a text in which no token is special or in pieces."""
        expect(self.root.get_by_label(self.strip, exact=True)).to_have_text(text)
        expect(self.status).to_have_text(self.finished)
        expect(self.fault).to_have_count(0)

    def value(self, expression: str) -> Any:
        """What a Python expression is in the kernel."""
        return self.notebook.value(expression)

    def becomes(self, expression: str, expected: Any) -> None:
        """Waits until a Python expression has a value in the kernel."""
        self.notebook.becomes(expression, expected)

    def background(self) -> str:
        """The colour the panel stands on."""
        color: str = self.root.evaluate("element => getComputedStyle(element).backgroundColor")
        return color


class Grid:
    """A canvas of equal cells."""

    def __init__(self, root: Locator, rows: int, cols: int) -> None:
        self.root = root
        self.canvas = root.locator("canvas")
        self.rows = rows
        self.cols = cols

    def point(self, row: int, col: int) -> tuple[float, float]:
        """The middle of a cell, after it was scrolled into view."""
        self.root.scroll_into_view_if_needed()
        box = self.canvas.bounding_box()
        assert box is not None
        return box["x"] + (col + 0.5) * box["width"] / self.cols, box["y"] + (row + 0.5) * box["height"] / self.rows

    def hover(self, row: int, col: int) -> None:
        """Puts the pointer on a cell."""
        self.root.page.mouse.move(*self.point(row, col), steps=2)

    def click(self, row: int, col: int) -> None:
        """Clicks a cell."""
        self.root.page.mouse.click(*self.point(row, col))

    def pixel(self, row: int, col: int) -> list[int]:
        """Red, green, blue and opacity in the middle of a cell."""
        rgba: list[int] = self.canvas.evaluate(
            """(canvas, [x, y]) => [...canvas.getContext("2d").getImageData(
                Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data]""",
            [(col + 0.5) / self.cols, (row + 0.5) / self.rows],
        )
        return rgba


class AttentionPage(PanelPage):
    """The attention panel."""

    name = "attention"

    @property
    def head(self) -> Locator:
        """The words that say which head is shown large."""
        return self.root.locator(".explorer-subtitle")

    @property
    def map(self) -> Grid:
        """The chosen head."""
        root = self.root.locator(".explorer-map")
        return Grid(root, int(root.get_attribute("aria-rowcount") or 0), int(root.get_attribute("aria-colcount") or 0))

    @property
    def heads(self) -> Grid:
        """All heads: layers are columns, heads are rows."""
        root = self.root.locator(".explorer-heads")
        return Grid(root, int(root.get_attribute("aria-rowcount") or 0), int(root.get_attribute("aria-colcount") or 0))

    def selects(self, layer: int, head: int, query: int | None, key: int | None) -> None:
        """Waits until the selection in the kernel is this one."""
        chosen = "[getattr(attention.selection, name) for name in ('layer', 'heads', 'query', 'key')]"
        self.becomes(chosen, [layer, [head], query, key])


class AttributionPage(PanelPage):
    """The attribution panel."""

    name = "attribution"
    strip = "Tokens of the prompt with their scores"
    # The picture is there and answers; the second method joins it later.
    finished = re.compile(r"^(live\b|working · integrated gradients)")

    @property
    def choices(self) -> Locator:
        """The next tokens that can be asked for."""
        return self.root.locator(".explorer-attribution-choices button")

    @property
    def why(self) -> Locator:
        """The question that is answered."""
        return self.root.locator(".explorer-attribution-why")

    def method(self, name: str) -> Locator:
        """The button of a method."""
        return self.root.get_by_role("button", name=name, exact=True)

    def fact(self, name: str) -> Locator:
        """A line of the proof: "Explained", "Completeness", "Convergence delta"."""
        return self.root.locator(".explorer-attribution-proof dl > div", has_text=re.compile(f"^{name}"))

    def colors(self) -> list[str]:
        """The backgrounds of the prompt's tokens."""
        found: list[str] = self.chips.evaluate_all("chips => chips.map(chip => getComputedStyle(chip).backgroundColor)")
        return found


class SamplingPage(PanelPage):
    """The sampling panel."""

    name = "sampling"

    @property
    def bars(self) -> Locator:
        """The bars, likeliest first, those that were cut included."""
        return self.root.locator(".explorer-sampling-bar")

    @property
    def generated(self) -> Locator:
        """The generated tokens, after the end of the prompt."""
        return self.root.get_by_label("Generated tokens, after the end of the prompt").locator(".explorer-chip")

    def slider(self, name: str) -> Locator:
        """A slider by its label."""
        return self.root.get_by_label(name, exact=True)

    def number(self, name: str) -> Locator:
        """The field beside it."""
        return self.root.get_by_label(f"{name}, typed", exact=True)

    def kept(self) -> list[tuple[str, str]]:
        """Token and probability of each bar that can be drawn, as they can be read."""
        rows: list[list[str]] = self.root.locator(".explorer-sampling-bar.is-kept").evaluate_all(
            """bars => bars.map(bar => [
                bar.querySelector(".explorer-text").textContent,
                bar.querySelector(".explorer-sampling-value").textContent,
            ])"""
        )
        return [(label, value) for label, value in rows]


class TokenPage(PanelPage):
    """The token panel."""

    name = "token"

    @property
    def rows(self) -> Locator:
        """The rows of the table that are drawn."""
        return self.root.locator("[data-row]")
