"""Tensors and a few words in one safetensors file: written whole or not at all, read without trust.

The file is plain safetensors, so any tool that knows the format can open it. It is read here and not by that
library, because a file may come from anybody: every number in it is held against the file's true size before
anything is made of it, and the tensors are views of the mapped file, so that nothing is allocated for what nobody
looks at.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from explorer import control, plain
from explorer.errors import Refused

SUFFIX = ".safetensors"

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,300}")
_AXES = 8
_LARGEST = 2**60
_LONGEST_HEADER = 16 * 2**20
_WORDS = "__metadata__"


def write(path: Path, tensors: Mapping[str, Tensor], words: Mapping[str, str], *, overwrite: bool = False) -> None:
    """Writes a file under a passing name and then gives it its own, so that it is there whole or not at all.

    Raises:
        Refused: there is such a file already, it cannot be written (the disk is full, the folder is missing), a
            tensor is of a dtype that does not travel, or there are more words than a header holds.
    """
    _check_target(path, overwrite)
    header = _header(tensors, words)
    passing = path.with_name(f".{path.name[:60]}.{secrets.token_hex(6)}.part")
    try:
        with passing.open("xb") as file:
            file.write(header)
            for name in _in_order(tensors):
                control.checkpoint()
                _write_one(file, tensors[name])
            file.flush()
            os.fsync(file.fileno())
        _check_target(path, overwrite)
        passing.replace(path)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Refused(f"path={str(path)!r} cannot be written: {why}. Nothing was left behind.") from error
    finally:
        passing.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (views of the mapped file; a change of one never reaches the file) and words.

    Raises:
        Refused: there is no such file, or it is not exactly what `write` makes.
    """
    shown = f"path={str(path)!r}"
    try:
        # A pipe or a device would wait for ever, or give bytes for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Refused(f"{shown} is no file; give the file that trace.save wrote.")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            words, entries, start = _read_header(file, size, shown)
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
    except (OSError, ValueError) as error:
        if isinstance(error, Refused):
            raise
        why = getattr(error, "strerror", None) or str(error)
        raise Refused(f"{shown} cannot be opened: {why}.") from error
    return {name: _view(mapped, start, entry, f"{shown}: {name}") for name, entry in entries.items()}, words


def _check_target(path: Path, overwrite: bool) -> None:
    if path.suffix != SUFFIX:
        raise Refused(f"path={str(path)!r} must end in {SUFFIX!r}, which is what is written.")
    if path.is_dir() or (not overwrite and (path.exists() or path.is_symlink())):
        raise Refused(f"path={str(path)!r} is there already; give another path, or overwrite=True to replace a file.")


def _in_order(tensors: Mapping[str, Tensor]) -> list[str]:
    """Wide elements first, so that each tensor begins where its elements may begin in memory."""
    return sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))


def _header(tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {_WORDS: dict(words)}
    begin = 0
    for name in _in_order(tensors):
        tensor = tensors[name]
        if tensor.dtype not in _NAMES or tensor.layout is not torch.strided:
            raise Refused(f"{name} is a tensor of {tensor.dtype}, {tensor.layout}, which does not travel.")
        end = begin + tensor.numel() * tensor.element_size()
        shape = list(tensor.shape)
        entries[name] = {"dtype": _NAMES[tensor.dtype], "shape": shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LONGEST_HEADER:
        raise Refused(
            f"The words of this trace take {len(text):,} bytes and a header holds {_LONGEST_HEADER:,}; save traces "
            "of fewer or shorter texts."
        )
    return len(text).to_bytes(8, "little") + text


def _write_one(file: BinaryIO, tensor: Tensor) -> None:
    dense = tensor.detach().cpu().contiguous().reshape(-1)
    if dense.numel():
        file.write(dense.view(torch.uint8).numpy().data)


def _read_header(file: BinaryIO, size: int, shown: str) -> tuple[dict[str, str], dict[str, Any], int]:
    """Words, checked entries, and where the data begins."""
    first = file.read(8)
    length = int.from_bytes(first, "little")
    if len(first) < 8 or length > size - 8:
        raise Refused(f"{shown} is no safetensors file, or the end of it is missing.")
    if not 2 <= length <= _LONGEST_HEADER or length % 8:
        raise Refused(f"{shown} has a header of {length:,} bytes; up to {_LONGEST_HEADER:,} in eights are read.")
    entries = plain.mapping(plain.parsed(file.read(length), f"{shown}: its header"), f"{shown}: its header")
    words = plain.decoded(dict[str, str], entries.get(_WORDS, {}), f"{shown}: its metadata")
    found = {name: _entry(name, entry, shown) for name, entry in entries.items() if name != _WORDS}
    reached = 0
    for name, (_, _, begin, end) in sorted(found.items(), key=lambda item: item[1][2:]):
        if begin != reached:
            raise Refused(f"{shown}: {name} begins at byte {begin:,}, where {reached:,} is next: no gap or overlap is.")
        reached = end
    if reached != size - 8 - length:
        raise Refused(
            f"{shown} holds {size - 8 - length:,} bytes of tensors where its header tells of {reached:,}; it is "
            "damaged, or the end of it is missing."
        )
    return words, found, 8 + length


def _entry(name: str, entry: Any, shown: str) -> tuple[torch.dtype, tuple[int, ...], int, int]:
    """Dtype, shape, first byte and last of one tensor."""
    if _NAME.fullmatch(name) is None:
        raise Refused(f"{shown} names a tensor {ascii(name)[:60]}; letters, digits, '_', '.' and '-' make a name.")
    where = f"{shown}: {name}"
    facts = plain.mapping(entry, where, known=("dtype", "shape", "data_offsets"))
    dtype = _DTYPES.get(facts["dtype"]) if isinstance(facts["dtype"], str) else None
    if dtype is None:
        raise Refused(f"{where} is of dtype {ascii(facts['dtype'])[:30]}; known are {', '.join(_DTYPES)}.")
    shape: tuple[int, ...] = plain.decoded(tuple[int, ...], facts["shape"], f"{where}.shape")
    begin, end = plain.decoded(tuple[int, int], facts["data_offsets"], f"{where}.data_offsets")
    if len(shape) > _AXES or min(shape, default=0) < 0 or math.prod(max(1, axis) for axis in shape) > _LARGEST:
        raise Refused(f"{where} has the shape {ascii(shape)[:60]}, which no tensor has.")
    if not 0 <= begin <= end or end - begin != math.prod(shape) * dtype.itemsize or begin % dtype.itemsize:
        raise Refused(f"{where} lies at bytes {begin:,} to {end:,}, which is no place for {ascii(shape)[:60]}.")
    return dtype, shape, begin, end


def _view(mapped: mmap.mmap, start: int, entry: Any, where: str) -> Tensor:
    dtype, shape, begin, end = entry
    if begin == end:
        return torch.empty(shape, dtype=dtype)
    tensor = torch.frombuffer(mapped, dtype=dtype, count=math.prod(shape), offset=start + begin)
    if dtype == torch.bool and int(tensor.view(torch.uint8).max()) > 1:
        raise Refused(f"{where} holds bytes that are neither true nor false.")
    return tensor.reshape(shape)
