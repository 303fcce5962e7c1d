"""A cache that is full, cannot be written, is made by two at once, or was left half made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import explorer
from explorer import cache, cache_entries
from explorer.cache_entries import LIMIT_VARIABLE, clear, entries, limit, make_room
from tests.sources.gguf_writing import write
from tests.sources.test_gguf import _IDS, original


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def _entry(here: Path, kind: str, name: str, size: int, age: float) -> Path:
    target = here / kind / name
    with cache.lock(target), cache.building(target, {"model": name}) as place:
        (place / "weights").write_bytes(bytes(size))
    status = (target / cache.RECORD).stat()
    os.utime(target / cache.RECORD, (status.st_atime - age, status.st_mtime - age))
    return target


def _logits(hf: Any) -> torch.Tensor:
    with torch.no_grad():
        logits = hf(_IDS).logits
    assert isinstance(logits, torch.Tensor)
    return logits


def test_the_least_recently_used_goes_first_and_samples_and_fresh_ones_stay(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = _entry(here, "samples", "sample", 3_000, 9_000)
    old, middle = _entry(here, "gguf", "old", 3_000, 8_000), _entry(here, "gguf", "middle", 3_000, 7_000)
    fresh = _entry(here, "gguf", "fresh", 3_000, 0)
    assert [entry.name for entry in entries()] == ["sample", "old", "middle", "fresh"]
    held = sum(entry.size for entry in entries())
    monkeypatch.setenv(LIMIT_VARIABLE, str(held + 1_000))
    make_room(2_000)
    assert [folder.exists() for folder in (sample, old, middle, fresh)] == [True, False, True, True]
    with pytest.raises(cache.NotKept, match=LIMIT_VARIABLE):
        make_room(held - 3_000)
    assert [folder.exists() for folder in (sample, middle, fresh)] == [True, False, True]
    with pytest.raises(cache.NotKept, match="the cache may take"):
        make_room(held + 2_000)


def test_opening_something_makes_it_the_most_recently_used(here: Path) -> None:
    old = _entry(here, "gguf", "old", 10, 8_000)
    _entry(here, "gguf", "new", 10, 100)
    assert cache.verify(old)
    assert [entry.name for entry in entries()] == ["new", "old"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20_000_000_000), ("1.5 tb", 1_500_000_000_000), ("300M", 300_000_000), ("0", 0), ("512", 512)],
)
def test_the_limit_is_written_as_people_write_sizes(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    assert limit() == size


@pytest.mark.parametrize("text", ["much", "-1GB", "1e9", "GB"])
def test_a_limit_that_is_no_size_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    with pytest.raises(explorer.Refused, match="is not a size"):
        limit()


def test_clearing_takes_what_is_named_and_leaves_what_another_is_making(here: Path) -> None:
    one, two = _entry(here, "gguf", "one", 10, 0), _entry(here, "gguf", "two", 10, 0)
    with pytest.raises(explorer.Refused, match="no entry three; it holds one, two"):
        clear(["three"])
    removed, left = clear(["one"])
    assert ([entry.name for entry in removed], left, one.exists()) == (["one"], [], False)
    scratch = here / "gguf" / ".gone-a1b2c3d4"
    scratch.mkdir()
    with cache.lock(two):
        removed, left = clear()
        assert (removed, [entry.name for entry in left], two.exists()) == ([], ["two"], True)
    assert not scratch.exists(), "a broken-off conversion was left"
    assert [entry.name for entry in clear()[0]] == ["two"]


def test_what_a_killed_process_left_goes_when_the_same_is_made_again(here: Path) -> None:
    target = here / "gguf" / "model"
    left, other = here / "gguf" / ".model-a1b2c3d4", here / "gguf" / ".model-two-a1b2c3d4"
    left.mkdir(parents=True)
    other.mkdir()
    with cache.lock(target), cache.building(target, {}):
        assert not left.exists()
        assert other.exists(), "another model's"


def test_over_the_limit_a_file_is_opened_without_being_kept(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hf = original("llama")
    file = write(hf, tmp_path / "model.gguf")
    monkeypatch.setenv(LIMIT_VARIABLE, "1kB")
    with pytest.warns(UserWarning, match=f"not kept: it takes .*{LIMIT_VARIABLE}"):
        model = explorer.load(file)
    assert torch.equal(_logits(model.hf), _logits(hf))
    assert entries() == []


# A file in a folder's place stops root as well, which no mode of a folder does.
def test_a_cache_that_cannot_be_written_does_not_stop_a_file_from_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hf = original("llama")
    file = write(hf, tmp_path / "model.gguf")
    (tmp_path / "in the way").write_text("")
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "in the way" / "cache"))
    with pytest.warns(UserWarning, match="not kept: The cache folder .* cannot be written"):
        model = explorer.load(file)
    assert torch.equal(_logits(model.hf), _logits(hf))


_LOAD = """
import sys, warnings, explorer, torch
warnings.simplefilter("ignore")
{before}
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    model = explorer.load(sys.argv[1])
print(*(str(one.message) for one in told if "kept" in str(one.message)))
print(float(model.hf(torch.tensor([[3, 1, 4]])).logits.double().sum()))
"""
_NO_ROOM = """
import resource
explorer.load, explorer.Model
import explorer.gguf_files
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
"""


def _opened(file: Path, before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _LOAD.format(before=before), str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="2026-11-22: Windows has no limit on the size of a process's files")
def test_a_disk_that_is_full_does_not_stop_a_file_from_opening_and_leaves_nothing(here: Path, tmp_path: Path) -> None:
    hf = original("llama")
    process = _opened(write(hf, tmp_path / "model.gguf"), _NO_ROOM)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    told, total = said.strip().splitlines()
    assert "not kept: The cache folder" in told
    assert float(total) == pytest.approx(float(hf(torch.tensor([[3, 1, 4]])).logits.double().sum()), rel=1e-6)
    left = [path.name for path in (here / "gguf").iterdir() if path.suffix != ".lock" and path.name != ".hashes"]
    assert left == []


@pytest.mark.skipif(sys.platform == "win32", reason="2026-11-22: Windows has no limit on the size of a process's files")
def test_a_full_disk_is_said_in_words_when_something_is_stored(here: Path) -> None:
    code = (
        "import resource, sys, torch\nfrom pathlib import Path\nfrom safetensors.torch import save_file\n"
        "from explorer import cache\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "target = Path(sys.argv[1])\n"
        "try:\n    with cache.building(target, {}) as place:\n"
        "        save_file({'a': torch.zeros(9000)}, place / 'a.safetensors')\n"
        "except cache.NotKept as error:\n    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(here / "gguf" / "model")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "cannot be written" in result.stdout, result.stderr
    assert "os error" in result.stdout.lower() or "too large" in result.stdout.lower()
    assert list((here / "gguf").iterdir()) == []


def test_two_processes_that_open_one_file_at_once_convert_it_once(here: Path, tmp_path: Path) -> None:
    file = write(original("llama"), tmp_path / "model.gguf")
    both = [_opened(file), _opened(file)]
    ends = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], [errors for _, errors in ends]
    assert ends[0][0] == ends[1][0]
    assert sum("Converting" in errors.replace("Converting and", "") for _, errors in ends) == 1
    (entry,) = entries()
    assert cache.verify(entry.folder)
    assert cache_entries.limit() > entry.size
