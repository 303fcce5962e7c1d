"""A notebook in a real JupyterLab, in a browser without a window: cells run in it, and its page is measured."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.painting import CUT_OFF, FLAGS, PaintError, chrome
from launcher import lab
from launcher.project import Project

PATIENCE_MS = 300_000
_SIZE = {"width": 1400, "height": 1600}
# The frames that the page sends to the server are counted before the page's own scripts run.
_COUNT_FRAMES = """
window.framesSent = 0;
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (frame) { window.framesSent += 1; return send.call(this, frame); };
"""
# JupyterLab says this by itself.
_JUPYTERLABS_OWN = re.compile(r"favicon\.ico")
# Runs code and gives its outputs. Beside the cells: JupyterLab 4.6 keeps some 500 nodes and 1,600 listeners whenever
# another cell becomes the active one, also with a plain text area of ipywidgets, and that would be counted as ours.
_RUN = """
async (code) => {
    const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
    const outputs = [];
    const asked = kernel.requestExecute({ code });
    asked.onIOPub = ({ header, content }) => {
        if (["stream", "error"].includes(header.msg_type)) outputs.push({ output_type: header.msg_type, ...content });
    };
    await asked.done;
    return outputs;
}
"""


class LabPage:
    """A notebook that is open in JupyterLab.

    Attributes:
        page: Playwright's page.
        faults: uncaught errors and errors on the console since it was opened.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(error.stack or str(error)))
        page.on("console", self._console)

    def run(self, code: str) -> str:
        """Runs code in the kernel and gives what it printed.

        Raises:
            RuntimeError: it raised; the message is the traceback.
        """
        outputs: list[dict[str, Any]] = self.page.evaluate(_RUN, code)
        for output in outputs:
            if output["output_type"] == "error":
                raise RuntimeError("\n".join(output["traceback"]))
        said = ["".join(output["text"]) for output in outputs if output["output_type"] == "stream"]
        return "".join(said)

    def value(self, expression: str) -> Any:
        """What a Python expression is in the kernel, as far as JSON carries it."""
        return json.loads(self.run(f"import json\nprint(json.dumps({expression}))").splitlines()[-1])

    def show(self, code: str, dots: int) -> float:
        """Runs code in a new cell above the last, waits for so many live panels, and gives the seconds that took."""
        started = time.perf_counter()
        self.page.evaluate(
            """async (code) => {
                const { commands, shell } = window.jupyterapp;
                const notebook = shell.currentWidget.content;
                notebook.deselectAll();
                notebook.activeCellIndex = notebook.widgets.length - 1;
                await commands.execute("notebook:insert-cell-above");
                notebook.activeCell.model.sharedModel.setSource(code);
                commands.execute("notebook:run-cell");
            }""",
            code,
        )
        self.wait(f"document.querySelectorAll('.explorer-dot.is-live').length === {dots}")
        return time.perf_counter() - started

    def check(self) -> None:
        """Raises what a cell of the notebook raised.

        Raises:
            RuntimeError: one did; the message is what stands under it.
        """
        for failed in self.page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').all():
            raise RuntimeError(failed.inner_text())

    def wait(self, condition: str) -> None:
        """Waits until a JavaScript expression is true, looked at every frame."""
        self.page.wait_for_function(condition, polling="raf", timeout=PATIENCE_MS)

    def _console(self, message: Any) -> None:
        if message.type == "error" and not _JUPYTERLABS_OWN.search(f"{message.text} {message.location}"):
            self.faults.append(f"console: {message.text}")


@contextmanager
def opened(cells: Sequence[str]) -> Iterator[LabPage]:
    """A notebook whose cells have run, with an empty cell at its end.

    Raises:
        PaintError: this machine has no Chrome or Chromium that starts, or Playwright is missing.
    """
    import nbformat

    path = chrome()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise PaintError('playwright is missing; run `pip install -e ".[test]"`') from error
    with ExitStack() as undo:
        root = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="explorer-lab-")))
        settings = root / "settings"
        settings.mkdir()
        (settings / "jupyter_lab_config.json").write_text('{"LabApp": {"expose_app_in_browser": true}}', "utf-8")
        project = Project(root, Path(sys.prefix))
        project.tour.parent.mkdir()
        kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        made = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in (*cells, "")], metadata={"kernelspec": kernel}
        )
        nbformat.write(made, project.tour)
        before = os.environ.get("JUPYTER_CONFIG_DIR")
        os.environ["JUPYTER_CONFIG_DIR"] = str(settings)
        undo.callback(_restore, "JUPYTER_CONFIG_DIR", before)
        running = undo.enter_context(lab.started(project, _free_port(), browser=False))
        playwright = undo.enter_context(sync_playwright())
        sandbox = ["--no-sandbox"] if lab.is_root() else []
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, CUT_OFF, *sandbox])
        undo.callback(browser.close)
        context = browser.new_context(viewport=_SIZE, reduced_motion="reduce")
        context.add_init_script(_COUNT_FRAMES)
        shown = LabPage(context.new_page())
        shown.page.goto(running.address.replace("//localhost:", "//127.0.0.1:"), timeout=PATIENCE_MS)
        shown.page.locator("#jp-main-statusbar").get_by_text("Python 3 (ipykernel) | Idle").wait_for(
            timeout=PATIENCE_MS
        )
        shown.page.evaluate("window.jupyterapp.commands.execute('runmenu:run-all')")
        finished = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].slice(0, -1)"
        shown.wait(f"{finished}.every((prompt) => /\\[\\d+\\]:/.test(prompt.textContent))")
        shown.check()
        shown.run(
            f"import sys\nsys.path.insert(0, {str(Path(__file__).resolve().parent.parent)!r})"
        )  # for `benchmarks`
        yield shown


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
