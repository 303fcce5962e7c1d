"""Finds notebooks that were saved with outputs: `python -m launcher.notebooks FILE ...`.

Notebooks are kept without them: an output repeats what the next run makes, grows the repository, and may show a path
or a token of the machine it was made on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path


def leftovers(notebook: Path) -> list[str]:
    """What a run left in a notebook, in words; nothing where it is clean.

    Args:
        notebook: an .ipynb file.
    """
    content = json.loads(notebook.read_text("utf-8"))
    found = []
    for number, cell in enumerate(content["cells"], start=1):
        if cell.get("outputs"):
            found.append(f"cell {number} has outputs")
        if cell.get("execution_count") is not None:
            found.append(f"cell {number} has an execution count")
    if "widgets" in content["metadata"]:
        found.append("the metadata hold the state of widgets")
    return found


def main(arguments: Sequence[str]) -> int:
    """Checks the notebooks named and prints what is left in them; 1 where there is anything."""
    problems = [f"{name}: {problem}" for name in arguments for problem in leftovers(Path(name))]
    for problem in problems:
        print(problem)
    if problems:
        print("Clear them: `jupyter nbconvert --clear-output --inplace FILE`, then save again.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
