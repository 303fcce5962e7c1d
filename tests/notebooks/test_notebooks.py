"""Every notebook runs from top to bottom, quietly, and is kept as it should be.

One kernel runs them all, so that its libraries are imported once; each begins with no name, no output and no widget of
the one before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from launcher.notebooks import leftovers

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# How many panels each shows.
PANELS = {"00_tour": 4, "00_tour_zh": 4, "01_heads": 2, "01_heads_zh": 2}

# Run before a notebook's own cells.
_BEFORE = """
from ipywidgets import Widget
Widget.close_all()
get_ipython().run_line_magic("reset", "-f")
"""
# Run behind a notebook's own cells: what it left behind for readers who have no kernel must be complete.
_AFTERWARDS = """
import sys
from widgets.panel import Panel
panels = [value for value in globals().values() if isinstance(value, Panel)]
for panel in panels:
    panel.wait(300)
print(sys.executable)
"""
# Checks of what a lesson says, where it ran; its translation has the same code.
_CHECKS = {
    "01_heads": f"""
sys.path.insert(0, {str(FOLDER.parent)!r})
from tests.notebooks.heads_lesson import check
check(globals())
"""
}


def read(notebook: Path) -> Any:
    """A notebook, checked against the format."""
    content = nbformat.read(notebook, as_version=4)
    nbformat.validate(content)
    return content


def kinds(notebook: Path) -> list[str]:
    """The types of its cells, in order."""
    return [cell["cell_type"] for cell in read(notebook)["cells"]]


def code(notebook: Path) -> list[str]:
    """What its code cells hold, without the choice of a language."""
    cells = read(notebook)["cells"]
    return [cell["source"].replace(', language="zh"', "") for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelManager]:
    """The kernel called "python3" of this environment, whichever others this machine or user has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
        patch.setenv("JUPYTER_PATH", str(Path(sys.prefix, "share", "jupyter")))
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=str(FOLDER))
    yield manager
    manager.shutdown_kernel(now=True)


def test_there_are_notebooks() -> None:
    assert [notebook.stem for notebook in NOTEBOOKS] == list(PANELS)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_clean_and_asks_for_the_usual_kernel(notebook: Path) -> None:
    assert leftovers(notebook) == []
    content = read(notebook)
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    assert content["metadata"]["kernelspec"]["language"] == "python"
    assert content["nbformat"] == 4
    # A saved cursor, a version of Python or a scroll position would change with everybody who opens it.
    assert set(content["metadata"]) <= {"kernelspec", "language_info"}
    assert all(cell["metadata"] == {} for cell in content["cells"])


@pytest.mark.parametrize("name", [name for name in PANELS if f"{name}_zh" in PANELS])
def test_the_chinese_notebook_has_the_cells_of_the_english_one(name: str) -> None:
    assert kinds(FOLDER / f"{name}_zh.ipynb") == kinds(FOLDER / f"{name}.ipynb")


def test_the_chinese_lesson_runs_the_code_of_the_english_one() -> None:
    assert code(FOLDER / "01_heads_zh.ipynb") == code(FOLDER / "01_heads.ipynb")


@pytest.mark.notebook
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_without_an_error_or_a_warning(notebook: Path, kernel: KernelManager) -> None:
    content = read(notebook)
    around = [_BEFORE, _AFTERWARDS, *filter(None, [_CHECKS.get(notebook.stem)])]
    before, *after = map(nbformat.v4.new_code_cell, around)
    content["cells"] = [before, *content["cells"], *after]
    # What is said on a busy machine arrives late; the usual 4 seconds lose it.
    NotebookClient(content, km=kernel, timeout=300, iopub_timeout=60).execute()

    outputs = [output for cell in content["cells"] for output in cell.get("outputs", [])]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    (said,) = after[0]["outputs"]
    assert Path(said["text"].strip()) == Path(sys.executable)

    # Each panel that is shown left a picture in the saved state, and none an error.
    states = content["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    shown = [
        output["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]
        for output in outputs
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    panels = [state for state in (states[model_id]["state"] for model_id in shown) if "_esm" in state]
    assert len(panels) == PANELS[notebook.stem]
    for state in panels:
        assert state["view"]["tokens"], state["title"]
        assert state["status"]["state"] == "live", state["title"]


@pytest.mark.notebook
def test_a_picture_that_is_ready_between_two_cells_is_saved_by_a_cell_that_waits(kernel: KernelManager) -> None:
    cells = [
        f"{_BEFORE}\nimport time, explorer\nfrom widgets import SamplingPanel\nmodel = explorer.load()",
        "panel = SamplingPanel(model, 'The capital of France is')\npanel",
        "panel.wait(300)",
    ]
    content = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    # It waits where nobody listens until the picture is there.
    between = NotebookClient(content, km=kernel, timeout=300, iopub_timeout=60)
    between.on_cell_executed = lambda cell_index, **_about: time.sleep(5) if cell_index == 1 else None
    between.execute()
    states = content["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    (panel,) = [state["state"] for state in states.values() if state["state"].get("_esm") and "view" in state["state"]]
    assert panel["view"]["tokens"]["columns"]["text"] == ["The", " capital", " of", " France", " is"]
    assert panel["status"]["state"] == "live"
