"""pyproject.toml, constraints.txt and environment.yml say the same, and it is what the code imports."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import hatch_build

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
ENVIRONMENT: dict[str, Any] = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
OWN = "explorer-notebook"
# Needed without being imported by name.
NOT_IMPORTED = {
    "accelerate": "transformers asks for it where a model is spread over devices or read from GGUF",
    "bertviz": "the established head view, for comparison in the same kernel",
    "ipykernel": "runs the notebooks",
    "ipywidgets": "what anywidget stands on; its floor is ours",
    "jupyter-server": "its floor keeps known holes out",
    "jupyterlab": "shows the notebooks",
    "safetensors": "the format that transformers reads our models from",
}


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


PINS = {canonicalize_name(pin.name): pin for pin in pins()}


def declared() -> list[Requirement]:
    """Everything that pyproject.toml asks for, whatever for."""
    groups = [PROJECT["build-system"]["requires"], PROJECT["project"]["dependencies"], [hatch_build.NODE_FROM_PYPI]]
    groups += PROJECT["project"]["optional-dependencies"].values()
    requirements = [Requirement(text) for group in groups for text in group]
    return [requirement for requirement in requirements if requirement.name != OWN]


def pinned_version(pin: Requirement) -> Version:
    (specifier,) = pin.specifier
    assert specifier.operator == "==", pin
    return Version(specifier.version)


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_every_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    pin = PINS[canonicalize_name(requirement.name)]
    assert pinned_version(pin) in requirement.specifier
    assert pin.marker is None, "it is needed on every system"


def test_pins_are_exact_public_and_said_once() -> None:
    assert len(PINS) == len(pins())
    for pin in PINS.values():
        # A local version (torch's +cpu) would leave out the systems that do not have that build.
        assert pinned_version(pin).local is None, pin


def test_everything_installed_here_is_pinned_and_has_that_version() -> None:
    """Holds in the environment that start.py makes; someone else's may well have more."""
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("this is not the environment that start.py makes, so its versions are its owner's choice")
    strange = []
    for distribution in importlib.metadata.distributions():
        name, version = canonicalize_name(distribution.name), Version(distribution.version)
        pin = PINS.get(name)
        if name != OWN and (pin is None or pinned_version(pin) != Version(version.public)):
            strange.append(f"{name}=={version}")
    assert not strange, "add to or correct in constraints.txt"


def test_the_conda_environment_is_the_same_one() -> None:
    assert ENVIRONMENT["name"] == "explorer"
    assert set(ENVIRONMENT["channels"]) <= {"conda-forge", "nodefaults"}
    *conda, last = ENVIRONMENT["dependencies"]
    # pip's part comes last and says nothing of its own: the pins, and this project.
    assert last == {"pip": ["-c constraints.txt", "-e ."]}
    names = {Requirement(line).name: Requirement(line).specifier for line in conda}
    assert set(names) == {"python", "pip", "nodejs"}
    assert names["python"] == SpecifierSet(PROJECT["project"]["requires-python"])
    oldest = ".".join(map(str, hatch_build.OLDEST_NODE))
    assert names["nodejs"] == SpecifierSet(f">={oldest}")


def test_node_is_asked_for_as_the_front_end_does() -> None:
    package = json.loads((ROOT / "widgets" / "frontend" / "package.json").read_text("utf-8"))
    assert package["engines"]["node"] == ">=" + ".".join(map(str, hatch_build.OLDEST_NODE))


def test_supported_pythons_are_said_alike_everywhere() -> None:
    named = {text.rsplit(" ", 1)[1] for text in PROJECT["project"]["classifiers"] if ":: Python ::" in text}
    supported = {
        f"3.{minor}" for minor in range(30) if f"3.{minor}.1" in SpecifierSet(PROJECT["project"]["requires-python"])
    }
    assert named == supported
    assert set(re.findall(r"3\.\d\d", (ROOT / ".ci" / "run").read_text("utf-8"))) <= supported


def imported_by(package: str) -> set[str]:
    """The top-level modules that a package imports, wherever in its files."""
    found: set[str] = set()
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    return found


def test_dependencies_are_what_is_imported() -> None:
    providers = importlib.metadata.packages_distributions()
    modules = (imported_by("explorer") | imported_by("widgets")) - sys.stdlib_module_names - {"explorer", "widgets"}
    imported = {canonicalize_name(providers[module][0]) for module in modules}
    needed = {canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]}
    optional = PROJECT["project"]["optional-dependencies"]["quantised"]
    asked = {canonicalize_name(Requirement(text).name) for text in optional}
    assert imported <= needed | asked, "imported, and not declared in pyproject.toml"
    assert needed - imported <= set(NOT_IMPORTED), "declared in pyproject.toml, and not imported"


def test_the_computing_package_imports_no_widget_library() -> None:
    assert not imported_by("explorer") & {"widgets", "anywidget", "ipywidgets", "traitlets", "IPython"}


def test_the_launcher_imports_the_standard_library_alone() -> None:
    assert imported_by("launcher") <= sys.stdlib_module_names | {"launcher"}
