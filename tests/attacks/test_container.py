"""Files whose container lies: sizes, places, names, dtypes, and what is no file at all."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import explorer
from tests.attacks.forging import Forgery

Check = Callable[[Path, str], None]
FIRST = "hidden.layers.1.resid_post"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bad.safetensors"


def test_the_good_file_opens(good: Path, forged: Forgery, path: Path) -> None:
    one, other = explorer.open_trace(good), explorer.open_trace(forged.write(path))
    assert one.sites() == other.sites()


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 16 * 2**20 + 8, 0, 1, 7])
def test_a_header_of_an_impossible_length(forged: Forgery, path: Path, refused: Check, length: int) -> None:
    refused(forged.write(path, length=length), "header of|no safetensors file")


def test_a_header_that_is_longer_than_is_read(forged: Forgery, path: Path, refused: Check) -> None:
    header = forged.header() + b" " * (17 * 2**20)
    refused(forged.write(path, header=header), "at most|up to 16,777,216")


@pytest.mark.parametrize("left", [0, 1, 7, 8, 9, 500])
def test_a_file_that_ends_early(good: Path, path: Path, refused: Check, left: int) -> None:
    path.write_bytes(good.read_bytes()[:left])
    refused(path, "missing|no valid JSON|in eights")


@pytest.mark.parametrize("cut", [1, 8, 1000])
def test_data_that_ends_early(good: Path, path: Path, refused: Check, cut: int) -> None:
    path.write_bytes(good.read_bytes()[:-cut])
    refused(path, "missing")


def test_bytes_after_the_end(good: Path, path: Path, refused: Check) -> None:
    path.write_bytes(good.read_bytes() + b"#!/bin/sh\n")
    refused(path, "damaged")


def test_tensors_that_overlap_or_leave_a_gap(forged: Forgery, path: Path, refused: Check) -> None:
    entry = forged.entries[FIRST]
    begin, end = entry["data_offsets"]
    for shift in (-8, 8, -(begin + 8)):
        entry["data_offsets"] = [begin + shift, end + shift]
        refused(forged.write(path), "no gap or overlap|no place")


@pytest.mark.parametrize(
    "changes",
    [
        {"data_offsets": [10, 2]},
        {"data_offsets": [0, 2**62]},
        {"data_offsets": [-8, 8]},
        {"data_offsets": [0]},
        {"data_offsets": [0.0, 8.0]},
        {"data_offsets": "all"},
        {"data_offsets": [True, 8]},
        {"shape": [2**40, 2**40]},
        {"shape": [2**62]},
        {"shape": [10**30]},
        {"shape": [-1, 5]},
        {"shape": [1] * 9},
        {"shape": [2**31, 2**31, 0], "data_offsets": [0, 0]},
        {"shape": None},
        {"shape": {"0": 1}},
        {"dtype": "F128"},
        {"dtype": "object"},
        {"dtype": ["F32"]},
        {"dtype": "F64"},
        {"dtype": None},
        {"extra": 1},
    ],
)
def test_entries_that_lie(forged: Forgery, path: Path, refused: Check, changes: dict[str, Any]) -> None:
    forged.entries[FIRST] |= changes
    refused(forged.write(path), "path=")


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "C:\\a",
        "a\x00b",
        "a/b",
        "",
        "a\u202eb",
        "<img src=x>",
        "a" * 301,
        "a b",
        "\ud800",
    ],
)
def test_names_that_are_paths_or_worse(forged: Forgery, path: Path, refused: Check, name: str) -> None:
    forged.entries[name] = forged.entries.pop(FIRST)
    refused(forged.write(path), "names a tensor|valid JSON")


def test_a_tensor_that_nothing_refers_to(forged: Forgery, path: Path, refused: Check) -> None:
    forged.add("payload", "U8", [7], b"\x80\x04code.")
    refused(forged.write(path), "belong to nothing")


def test_bytes_that_are_neither_true_nor_false(forged: Forgery, path: Path, refused: Check) -> None:
    forged.add("mask", "BOOL", [8], b"\x00\x01\x02\xff\x00\x01\x02\x03")
    refused(forged.write(path), "neither true nor false")


def test_a_key_that_is_there_twice(forged: Forgery, path: Path, refused: Check) -> None:
    header = forged.header()
    entry = json.dumps(forged.entries[FIRST]).encode()
    refused(forged.write(path, header=header[:-1] + f', "{FIRST}": '.encode() + entry + b"}"), "twice")
    refused(forged.write(path, header=header[:-1] + b', "__metadata__": {}}'), "twice")


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" + b"[]," * 1_100_000 + b"[]]",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": 1',
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b'{"__metadata__": {"format": 1}}',
        b'{"__metadata__": []}',
        b'{"__metadata__": {"a": {"b": "c"}}}',
        b"\x80\x04\x95",
        b"{}",
    ],
)
def test_headers_that_are_not_json_or_far_too_much_of_it(
    forged: Forgery, path: Path, refused: Check, header: bytes
) -> None:
    forged.data = b""
    refused(forged.write(path, header=header), "path=")


class Exploit:
    """Leaves a mark if a pickle is ever read."""

    def __reduce__(self) -> Any:
        return (exec, ("import builtins; builtins.explorer_was_attacked = True",))


def test_other_formats_are_not_tried(path: Path, refused: Check) -> None:
    import builtins

    path.write_bytes(pickle.dumps(Exploit()))
    refused(path, "path=")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", pickle.dumps(Exploit()))
        bomb.writestr("big", b"\0" * 50_000_000)
    refused(path, "path=")
    path.write_bytes(b"GGUF" + b"\0" * 100)
    refused(path, "path=")
    assert not hasattr(builtins, "explorer_was_attacked")


def test_a_sparse_file_of_a_terabyte_makes_no_room_for_itself(forged: Forgery, path: Path, refused: Check) -> None:
    forged.write(path)
    try:
        os.truncate(path, 2**40)
    except OSError:  # a file system without sparse files cannot be attacked in this way
        os.truncate(path, 2**31)
    refused(path, "damaged")


def test_what_is_no_file(tmp_path: Path, refused: Check) -> None:
    refused(tmp_path, "no file")
    refused(tmp_path / "missing.safetensors", "No such file")
    refused(Path("a\0b.safetensors"), "null byte")


@pytest.mark.skipif(sys.platform == "win32", reason="2026-11: Windows has no named pipes and devices in its folders")
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path, refused: Check) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in (("pipe", "no file"), ("zeros", "no file"), ("loop", "cannot be opened")):
        opening = threading.Thread(target=refused, args=(tmp_path / name, reason), daemon=True)
        opening.start()
        opening.join(30)
        assert not opening.is_alive(), name
        refused(tmp_path / name, reason)


@pytest.mark.skipif(sys.platform == "win32", reason="2026-11: links need a privilege on Windows")
def test_saving_over_a_link_leaves_what_it_points_to(good: Path, tmp_path: Path) -> None:
    trace = explorer.open_trace(good)
    (tmp_path / "precious").write_text("mine")
    link = tmp_path / "link.safetensors"
    link.symlink_to(tmp_path / "precious")
    with pytest.raises(explorer.Refused, match="there already"):
        trace.save(link)
    trace.save(link, overwrite=True)
    assert (tmp_path / "precious").read_text() == "mine"
    assert not link.is_symlink()
    dangling = tmp_path / "dangling.safetensors"
    dangling.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(explorer.Refused, match="there already"):
        trace.save(dangling)
    assert not (tmp_path / "elsewhere").exists()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_byte_is_changed_it_opens_or_is_refused(good: Path, path: Path, data: st.DataObject) -> None:
    raw = bytearray(good.read_bytes())
    end = 8 + int.from_bytes(raw[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    path.unlink(missing_ok=True)
    path.write_bytes(raw)
    with contextlib.suppress(explorer.Refused):
        trace = explorer.open_trace(path)
        for site in trace.sites():
            assert trace[site].numel()
        assert repr(trace).isprintable()
        assert trace.provenance._repr_html_()
        assert [text.groups for text in trace.batch]
