"""A notebook that is open in JupyterLab: its cells, its panels, and Python in a cell of it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import nbformat
from playwright.sync_api import Locator, expect

from .watching import Watched

# Loading a model and drawing the first pictures, on a machine that does other things as well.
LONG_MS = 120_000

# Runs code in the last cell, which is made at the first call; gives its outputs, as the notebook keeps them, where it
# is to wait for them.
_RUN = """
async ([code, wait]) => {
    const { commands, shell } = window.jupyterapp;
    const notebook = shell.currentWidget.content;
    notebook.deselectAll();
    notebook.activeCellIndex = notebook.widgets.length - 1;
    if (!notebook.activeCell.model.getMetadata("scratch")) {
        await commands.execute("notebook:insert-cell-below");
        notebook.activeCell.model.setMetadata("scratch", true);
    }
    const { model } = notebook.activeCell;
    model.sharedModel.setSource(code);
    const ran = commands.execute("notebook:run-cell");
    return wait ? ran.then(() => model.outputs.toJSON()) : null;
}
"""


class Notebook:
    """The notebook in front.

    Attributes:
        watched: the page it is open on, with its errors.
        page: the same page.
    """

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.page = watched.page

    @property
    def cells(self) -> Locator:
        """All cells."""
        return self.page.locator(".jp-NotebookPanel:visible .jp-Cell")

    @property
    def panels(self) -> Locator:
        """All panels, in the notebook's order."""
        return self.page.locator(".jp-NotebookPanel:visible .explorer-panel")

    @property
    def waiting(self) -> Locator:
        """Code cells without the number of a finished run."""
        prompts = self.page.locator(".jp-NotebookPanel:visible .jp-CodeCell .jp-InputPrompt")
        return prompts.filter(has_not_text=re.compile(r"\[\d+\]:"))

    def open(self, address: str) -> None:
        """Opens the notebook at `address` and waits until its kernel is at hand.

        The circle beside the kernel's name already says "idle" before there is a kernel; whoever runs a cell then
        makes JupyterLab start a second one. The status bar is right.
        """
        self.page.goto(address)
        status = self.page.locator("#jp-main-statusbar").get_by_text("Python 3 (ipykernel) | Idle")
        expect(status).to_be_visible(timeout=LONG_MS)

    @staticmethod
    def at(address: str) -> tuple[str, str]:
        """The server of a lab's address, and what its requests end with so that it answers them."""
        found = re.match(r"(.*?)/lab\b.*?(\?token=.*)?$", address)
        assert found is not None, address
        return found[1], found[2] or ""

    def create(self, address: str, name: str, *cells: str) -> None:
        """Makes a notebook of code cells beside the one at `address`, opens it alone, and runs it."""
        kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        content = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
        )
        base, token = self.at(address)
        made = self.page.request.put(
            f"{base}/api/contents/notebooks/{name}.ipynb{token}", data={"type": "notebook", "content": content}
        )
        assert made.ok, made.text()
        # A workspace of its own: the usual one would open the tour as well, in front.
        self.open(f"{base}/lab/workspaces/{name}/tree/notebooks/{name}.ipynb{token}")
        self.run_all()

    def run_all(self) -> None:
        """Runs all cells by the menu and waits until the kernel is through."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
        self.page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        expect(self.waiting).to_have_count(0, timeout=LONG_MS)

    def run(self, code: str) -> str:
        """Runs `code` in a cell at the notebook's end and gives what it printed.

        Raises:
            AssertionError: it raised.
        """
        outputs: list[dict[str, Any]] = self.page.evaluate(_RUN, [code, True])
        raised = [output for output in outputs if output["output_type"] == "error"]
        assert not raised, "\n".join(raised[0]["traceback"])
        said = [output["text"] for output in outputs if output["output_type"] == "stream"]
        return "".join("".join(text) for text in said)

    def begin(self, code: str) -> Locator:
        """Begins to run `code` in the cell at the notebook's end and gives the cell, without waiting for its end."""
        self.page.evaluate(_RUN, [code, False])
        return self.page.locator(".jp-CodeCell").last

    def value(self, expression: str) -> Any:
        """What a Python expression is in the kernel, as far as JSON can carry it."""
        return json.loads(self.run(f"import json\nprint(json.dumps({expression}))"))

    def becomes(self, expression: str, expected: Any) -> None:
        """Waits until a Python expression has a value.

        What a panel writes goes to the kernel on a channel of its own, and a cell that is run at once can overtake it.
        """
        deadline = time.monotonic() + 60
        value = self.value(expression)
        while value != expected and time.monotonic() < deadline:
            value = self.value(expression)
        assert value == expected, expression

    def theme(self, name: str) -> None:
        """Switches JupyterLab's theme: "JupyterLab Light" or "JupyterLab Dark"."""
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name)
        # JupyterLab covers the page meanwhile and trips over its cover where the next switch comes before it is away.
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)
