"""Runs a function in a Python process of its own, where nothing was imported or allocated before.

`python -m benchmarks.fresh MODULE FUNCTION ARGUMENTS` calls it with keyword arguments given as JSON and prints
what it returns as JSON on the last line.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def call(module: str, function: str, *, python: Path | None = None, **arguments: Any) -> Any:
    """What `benchmarks.<module>.<function>(**arguments)` returns in a fresh process.

    Args:
        module: of this package.
        function: in it.
        python: another environment's interpreter.
        arguments: what JSON can say.

    Raises:
        RuntimeError: it failed there; the message ends with what it said.
    """
    words = command(module, function, python, arguments)
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    if result.returncode != 0:
        said = result.stderr.strip()[-2000:]
        raise RuntimeError(f"{module}.{function} ended with status {result.returncode} in its own process.\n{said}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def command(module: str, function: str, python: Path | None, arguments: dict[str, Any]) -> list[str]:
    """The words that start such a process, from the folder `ROOT`."""
    interpreter = sys.executable if python is None else str(python)
    return [interpreter, "-m", "benchmarks.fresh", f"benchmarks.{module}", function, json.dumps(arguments)]


if __name__ == "__main__":
    _module, _function, _arguments = sys.argv[1:]
    print(json.dumps(getattr(importlib.import_module(_module), _function)(**json.loads(_arguments))))
