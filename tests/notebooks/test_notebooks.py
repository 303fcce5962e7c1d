"""Every notebook runs from top to bottom, quietly, and is kept as it should be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from launcher.notebooks import leftovers

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

# Run behind a notebook's own cells: what it left behind for readers who have no kernel must be complete.
_AFTERWARDS = """
import sys
from widgets.panel import Panel
panels = [value for value in globals().values() if isinstance(value, Panel)]
for panel in panels:
    panel.wait(300)
print(sys.executable)
"""


def read(notebook: Path) -> Any:
    """A notebook, checked against the format."""
    content = nbformat.read(notebook, as_version=4)
    nbformat.validate(content)
    return content


def kinds(notebook: Path) -> list[str]:
    """The types of its cells, in order."""
    return [cell["cell_type"] for cell in read(notebook)["cells"]]


def test_there_are_notebooks() -> None:
    assert {"00_tour.ipynb", "00_tour_zh.ipynb"} <= {notebook.name for notebook in NOTEBOOKS}


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


def test_the_chinese_tour_has_the_cells_of_the_english_one() -> None:
    assert kinds(FOLDER / "00_tour_zh.ipynb") == kinds(FOLDER / "00_tour.ipynb")


@pytest.mark.notebook
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_without_an_error_or_a_warning(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernel called "python3" of this environment, whichever others this machine or user has.
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("JUPYTER_PATH", str(Path(sys.prefix, "share", "jupyter")))
    content = read(notebook)
    content["cells"].append(nbformat.v4.new_code_cell(_AFTERWARDS))
    client = NotebookClient(
        content,
        timeout=300,
        iopub_timeout=60,  # what is said on a busy machine arrives late; the usual 4 seconds lose it
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute()

    outputs = [output for cell in content["cells"] for output in cell.get("outputs", [])]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    assert Path(outputs[-1]["text"].strip()) == Path(sys.executable)

    # Each panel that is shown left a picture in the saved state, and none an error.
    states = content["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    shown = [
        output["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]
        for output in outputs
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    panels = [state for state in (states[model_id]["state"] for model_id in shown) if "_esm" in state]
    assert len(panels) == 4
    for state in panels:
        assert state["view"]["tokens"], state["title"]
        assert state["status"]["state"] == "live", state["title"]
