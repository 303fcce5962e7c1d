"""Where things are in the checkout, what it declares, and the environment that its programs run in."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from launcher.console import Stop

# They would make the environment's Python see another installation's packages, or pip install somewhere else.
_DISTURBING = {
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "__PYVENV_LAUNCHER__",
}


@dataclass(frozen=True)
class Project:
    """The checkout.

    Attributes:
        root: its folder.
        venv: the virtual environment that start.py makes and keeps.
    """

    root: Path
    venv: Path

    @classmethod
    def here(cls) -> Project:
        """The checkout this file lies in."""
        root = Path(__file__).resolve().parent.parent
        return cls(root, root / ".venv")

    @property
    def python(self) -> Path:
        """The environment's Python."""
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def constraints(self) -> Path:
        """The file with the pins."""
        return self.root / "constraints.txt"

    @property
    def tour(self) -> Path:
        """The notebook that opens."""
        return self.root / "notebooks" / "00_tour.ipynb"

    @property
    def temporary(self) -> Path:
        """Where pip unpacks: on the disk whose space was checked, and emptied by the next start after a break."""
        return self.venv / "tmp"

    @property
    def log(self) -> Path:
        """Everything that the set-up's programs printed."""
        return self.venv / "setup.log"

    @cached_property
    def declared(self) -> dict[str, Any]:
        """pyproject.toml."""
        return tomllib.loads(self._text("pyproject.toml"))

    @property
    def dependencies(self) -> list[str]:
        """What the packages need to run, and what builds them."""
        return [*self.declared["project"]["dependencies"], *self.declared["build-system"]["requires"]]

    def extra(self, name: str) -> list[str]:
        """What an optional group of pyproject.toml needs, the groups that it includes among it."""
        own = self.declared["project"]["name"]
        needed: list[str] = []
        for requirement in self.declared["project"]["optional-dependencies"][name]:
            included = re.fullmatch(rf"{re.escape(own)}\[(.+)\]", requirement)
            needed += self.extra(included.group(1)) if included else [requirement]
        return needed

    def pin(self, name: str) -> str:
        """A package's requirement as the constraints pin it, such as `torch==2.13.0`.

        Raises:
            Stop: the constraints do not pin it.
        """
        found = re.search(rf"^{re.escape(name)}==[^\s;]+", self._text("constraints.txt"), re.MULTILINE)
        if found is None:
            raise Stop(f"constraints.txt does not pin {name}: get the file back with `git checkout constraints.txt`.")
        return found.group()

    def digest(self, *parts: str) -> str:
        """A hash over some texts."""
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def text_of(self, *names: str) -> str:
        """The contents of some of the checkout's files, one after another."""
        return "\0".join(self._text(name) for name in names)

    def environment(self, **more: str) -> dict[str, str]:
        """The variables for the environment's programs.

        Args:
            more: further variables.
        """
        kept = {name: value for name, value in os.environ.items() if name not in _DISTURBING}
        own = {
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
            "PIP_NO_INPUT": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "VIRTUAL_ENV": str(self.venv),
            "PATH": os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)]),
        }
        return {**kept, **own, **more}

    def _text(self, name: str) -> str:
        try:
            return (self.root / name).read_text("utf-8")
        except FileNotFoundError:
            raise Stop(f"{name} is missing from {self.root}: get it back with `git checkout {name}`.") from None
