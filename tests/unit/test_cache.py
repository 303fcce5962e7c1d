"""The cache: whole or not at all, and nothing that was changed is loaded."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import pytest

from explorer import Refused, cache


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "cache" / "model"
    with cache.lock(folder), cache.building(folder, {"model": "one"}) as place:
        (place / "weights").write_bytes(bytes(range(256)) * 100)
        (place / "config.json").write_text("{}")
    return folder


def test_the_cache_is_where_the_variable_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "here"))
    assert cache.root() == tmp_path / "here"
    monkeypatch.delenv(cache.ENVIRONMENT_VARIABLE)
    assert "explorer-notebook" in str(cache.root())


def test_what_was_built_is_whole_and_says_where_it_came_from(target: Path) -> None:
    assert cache.verify(target)
    record = json.loads((target / "explorer-origin.json").read_text())
    assert record["origin"] == {"model": "one"}
    assert record["files"]["weights"]["sha256"] == cache.sha256(target / "weights")


def test_nothing_there_is_no_error(tmp_path: Path) -> None:
    assert not cache.verify(tmp_path / "none")


def test_a_touched_but_equal_file_is_trusted(target: Path) -> None:
    os.utime(target / "weights", ns=(1, 1))
    assert cache.verify(target)


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "no record", "broken record"])
def test_a_damaged_folder_is_refused_and_removed(target: Path, damage: str) -> None:
    file = target / "weights"
    if damage == "flipped":
        content = bytearray(file.read_bytes())
        content[5000] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "missing":
        file.unlink()
    elif damage == "no record":
        (target / "explorer-origin.json").unlink()
    else:
        (target / "explorer-origin.json").write_text("[1, 2")
    with pytest.raises(Refused, match="has been removed"):
        cache.verify(target)
    assert not target.exists()
    assert not cache.verify(target)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "model"

    def build() -> None:
        with cache.building(folder, {}) as place:
            (place / "half").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build()
    assert list(folder.parent.iterdir()) == []


@pytest.mark.skipif(
    sys.platform == "win32", reason="2026-11-21: a file in a path's middle gives another error on Windows"
)
def test_a_cache_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "cache" / "model"
    with pytest.raises(Refused, match="EXPLORER_CACHE"), cache.lock(folder):
        pass
    with pytest.raises(Refused, match="cannot be written"), cache.building(folder, {}):
        pass


def test_a_second_builder_waits_for_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "model"
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with cache.lock(folder):
            inside.set()
            assert leave.wait(10)
            order.append("first")

    def second() -> None:
        assert inside.wait(10)
        with cache.lock(folder):
            order.append("second")

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    assert inside.wait(10)
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]
