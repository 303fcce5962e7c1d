"""The wheel holds the two packages, whole and nothing else; installed either way, only they can be imported."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, CleanEnvironment

pytestmark = pytest.mark.packaging

DESCRIBE = """
import importlib.metadata, importlib.util, json
import explorer, widgets
from widgets import AttentionPanel, AttributionPanel, SamplingPanel
panels = AttentionPanel, AttributionPanel, SamplingPanel
distributions = importlib.metadata.packages_distributions()
print(json.dumps({
    "files": [explorer.__file__, widgets.__file__],
    "version": importlib.metadata.version("explorer-notebook"),
    "providers": [sorted(set(distributions.get(name, []))) for name in ("explorer", "widgets")],
    "scripts": [len(panel.class_traits()["_esm"].default_value) for panel in panels],
    "styles": [len(panel.class_traits()["_css"].default_value) for panel in panels],
    "others": [name for name in ("tests", "notebooks", "launcher", "benchmarks", "hatch_build")
               if (found := importlib.util.find_spec(name)) and str(found.origin or "").startswith(ROOT)],
    "namespaces": [name for name in ("tests", "notebooks", "launcher", "benchmarks")
                   if (found := importlib.util.find_spec(name)) and not found.origin
                   and any(str(place).startswith(ROOT) for place in found.submodule_search_locations)],
}))
"""


def describe(environment: CleanEnvironment) -> dict[str, object]:
    answer: dict[str, object] = json.loads(environment.run(f"ROOT = {str(ROOT)!r}\n{DESCRIBE}"))
    return answer


def tracked(*folders: str) -> set[str]:
    """The files that git knows under some folders."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_both_packages_with_every_script_and_style(wheel: Path) -> None:
    names = {name for name in names_in(wheel) if ".dist-info/" not in name}
    built = {path.relative_to(ROOT).as_posix() for path in (ROOT / "widgets" / "static").rglob("*.*")}
    built = {name for name in built if name.endswith((".js", ".css"))}
    panels = {f"widgets/static/{name}" for name in ("attention.js", "attribution.js", "sampling.js")}
    assert panels | {name.replace(".js", ".css") for name in panels} <= built
    sources = {name for name in tracked("explorer", "widgets") if not name.startswith("widgets/frontend/")}
    assert {"explorer/py.typed", "widgets/py.typed"} <= sources
    assert names == sources | built


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        assert f"{folder}/licenses/LICENSE" in archive.namelist()
        metadata = archive.read(f"{folder}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: <3.14,>=3.11" in metadata
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_works_in_an_empty_environment(wheel: Path, clean: CleanEnvironment) -> None:
    clean.install(str(wheel))
    found = describe(clean)
    assert found["files"] == [str(clean.site / name / "__init__.py") for name in ("explorer", "widgets")]
    assert found["version"] == importlib.metadata.version("explorer-notebook")
    assert min(found["scripts"]) > 1000, "every panel brings its script"  # type: ignore[type-var]
    assert min(found["styles"]) > 100, "every panel brings its style sheet"  # type: ignore[type-var]
    assert found["providers"] == [["explorer-notebook"]] * 2, "no other distribution brings these names"
    assert found["others"] == found["namespaces"] == []


def test_an_editable_install_shows_the_two_packages_only(clean: CleanEnvironment) -> None:
    clean.install("--no-build-isolation", "--editable", str(ROOT))
    found = describe(clean)
    assert found["files"] == [str(ROOT / name / "__init__.py") for name in ("explorer", "widgets")]
    assert found["others"] == found["namespaces"] == []


def test_a_wheel_can_be_made_from_the_source_archive_without_node(
    wheel: Path, build: Callable[[Path, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = build(ROOT, "sdist")
    with tarfile.open(archive) as files:
        # Python 3.11.4 is the first that knows the filter, and later ones warn where it is not named.
        files.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (source,) = tmp_path.iterdir()
    assert not (source / "widgets" / "frontend" / "node_modules").exists()
    assert (source / "widgets" / "frontend" / "build.mjs").is_file(), "the sources of the front end belong to it"
    monkeypatch.setenv("PATH", str(tmp_path))  # no Node; the bundle inside is the one of these sources
    assert names_in(build(source, "wheel")) == names_in(wheel)
