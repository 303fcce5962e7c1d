"""Notebooks are kept without outputs, and the check that pre-commit runs finds those that are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launcher import notebooks

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_notebook_is_kept_without_outputs(notebook: Path) -> None:
    assert notebooks.leftovers(notebook) == []


def test_there_are_notebooks() -> None:
    assert (ROOT / "notebooks" / "00_tour.ipynb").is_file()


def test_what_a_run_left_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = {"cell_type": "code", "source": "1", "outputs": [], "execution_count": None}
    ran = {**clean, "outputs": [{"output_type": "stream"}], "execution_count": 3}
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps({"cells": [clean, ran], "metadata": {"widgets": {}}}), "utf-8")
    assert notebooks.main([str(file)]) == 1
    said = capsys.readouterr().out
    assert "cell 2 has outputs" in said
    assert "cell 2 has an execution count" in said
    assert "state of widgets" in said
    file.write_text(json.dumps({"cells": [clean], "metadata": {}}), "utf-8")
    assert notebooks.main([str(file)]) == 0
