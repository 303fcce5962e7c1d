"""What a GGUF file says about itself, read without its weights.

The `gguf` package's own reader makes a numpy array of every token of the vocabulary, which takes many seconds;
this one walks over them. The format is version 2 and 3 of the GGUF specification (github.com/ggml-org/ggml).
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from explorer.errors import Refused

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_VERSIONS = (2, 3)
_ALIGNMENT = 32
# What a sane file stays below; a damaged count would be walked for hours.
_MOST_KEYS, _MOST_DIMENSIONS, _LONGEST_LIST = 10_000, 8, 50_000_000


@dataclass(frozen=True)
class Stored:
    """One tensor of the file.

    Attributes:
        name: in llama.cpp's words, such as "blk.0.attn_q.weight".
        shape: rows first, as torch has it.
        kind: how it is stored: "F32", "Q4_1", ...
        offset: where its bytes begin, from the start of the file's data.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    offset: int

    @property
    def count(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Header:
    """The head of a GGUF file.

    Attributes:
        file: the file.
        architecture: llama.cpp's name of the family, such as "llama".
        metadata: every key; in place of a list of texts, such as the vocabulary, its length.
        tensors: what it holds.
        start: where its data begins, in bytes.
    """

    file: Path
    architecture: str
    metadata: dict[str, Any]
    tensors: tuple[Stored, ...]
    start: int

    def __getitem__(self, key: str) -> Any:
        """The value under the architecture's own prefix, or None."""
        return self.metadata.get(f"{self.architecture}.{key}")

    @cached_property
    def own_keys(self) -> tuple[str, ...]:
        """The keys under the architecture's prefix, without it."""
        start = f"{self.architecture}."
        return tuple(key.removeprefix(start) for key in self.metadata if key.startswith(start))

    @property
    def count(self) -> int:
        """How many weights it holds."""
        return sum(tensor.count for tensor in self.tensors)

    def floats(self, name: str) -> list[float] | None:
        """The values of a small float32 tensor, such as the rotary factors; None where the file has none."""
        found = next((tensor for tensor in self.tensors if tensor.name == name and tensor.kind == "F32"), None)
        if found is None:
            return None
        with self.file.open("rb") as file:
            file.seek(self.start + found.offset)
            return list(struct.unpack(f"<{found.count}f", file.read(4 * found.count)))

    @property
    def exact(self) -> str:
        """The type that holds its values without rounding: float32 where anything is quantised or mixed."""
        kinds = {tensor.kind for tensor in self.tensors if len(tensor.shape) > 1}
        return {"F16": "float16", "BF16": "bfloat16"}.get(kinds.pop(), "float32") if len(kinds) == 1 else "float32"


def read_header(file: Path) -> Header:
    """Reads the head of a GGUF file and holds the file against it.

    Raises:
        Refused: it is no GGUF file, damaged or cut short; or it holds a kind of quantisation that cannot be read.
    """
    size = file.stat().st_size
    if size == 0:
        raise Refused(f"source={str(file)!r} is empty; fetch the GGUF file again.")
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            metadata, tensors, start = _read(data)
            architecture = metadata["general.architecture"]
        except (struct.error, ValueError, KeyError, OverflowError) as error:
            why = f"{type(error).__name__}: {error}" if not isinstance(error, _UnreadableError) else str(error)
            raise Refused(
                f"source={str(file)!r} is not a GGUF file that can be read ({why}); it may be damaged or cut short. "
                "Fetch it again."
            ) from error
    header = Header(file, str(architecture), metadata, tensors, start)
    _check_kinds(header)
    end = start + max((tensor.offset + _bytes(tensor) for tensor in tensors), default=0)
    if end > size:
        raise Refused(
            f"source={str(file)!r} was cut short: its head describes {end:,} bytes and it has {size:,}. Fetch it again."
        )
    return header


class _UnreadableError(ValueError):
    """The file is not what its first bytes should make it."""


def _read(data: mmap.mmap) -> tuple[dict[str, Any], tuple[Stored, ...], int]:
    """Metadata, tensors, and where their data begins."""
    if data[:4] != b"GGUF":
        raise _UnreadableError("it does not begin with the letters GGUF")
    version, tensors, keys = struct.unpack_from("<IQQ", data, 4)
    if version not in _VERSIONS:
        raise _UnreadableError(f"it is GGUF version {version}; versions 2 and 3 can be read")
    if keys > _MOST_KEYS or tensors > _LONGEST_LIST:
        raise _UnreadableError(f"it claims to have {keys:,} keys and {tensors:,} tensors")
    place = 24
    metadata: dict[str, Any] = {}
    for _ in range(keys):
        key, place = _text(data, place)
        (kind,) = struct.unpack_from("<I", data, place)
        metadata[key], place = _value(data, place + 4, kind)
    found = []
    for _ in range(tensors):
        name, place = _text(data, place)
        (dimensions,) = struct.unpack_from("<I", data, place)
        if dimensions > _MOST_DIMENSIONS:
            raise _UnreadableError(f"{name} has {dimensions:,} dimensions")
        shape = struct.unpack_from(f"<{dimensions}Q", data, place + 4)
        place += 4 + 8 * dimensions
        kind, offset = struct.unpack_from("<IQ", data, place)
        place += 12
        found.append(Stored(name, tuple(reversed(shape)), _kind(kind), offset))
    alignment = int(metadata.get("general.alignment", _ALIGNMENT)) or _ALIGNMENT
    return metadata, tuple(found), -(-place // alignment) * alignment


def _value(data: mmap.mmap, place: int, kind: int) -> tuple[Any, int]:
    if kind in _SCALARS:
        (value,) = struct.unpack_from("<" + _SCALARS[kind], data, place)
        return value, place + struct.calcsize("<" + _SCALARS[kind])
    if kind == _TEXT:
        return _text(data, place)
    if kind != _LIST:
        raise _UnreadableError(f"a key has a value of the unknown kind {kind}")
    kind, count = struct.unpack_from("<IQ", data, place)
    place += 12
    if count > _LONGEST_LIST:
        raise _UnreadableError(f"a key has a list of {count:,} values")
    if kind in _SCALARS:
        form = f"<{count}{_SCALARS[kind]}"
        return list(struct.unpack_from(form, data, place)), place + struct.calcsize(form)
    if kind != _TEXT:
        raise _UnreadableError(f"a key has a list of the unknown kind {kind}")
    for _ in range(count):
        (length,) = struct.unpack_from("<Q", data, place)
        place += 8 + length
    return count, place


def _text(data: mmap.mmap, place: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", data, place)
    end = place + 8 + length
    if end > len(data):
        raise _UnreadableError("it ends in the middle of its head")
    return data[place + 8 : end].decode("utf-8"), end


def _kind(number: int) -> str:
    from gguf import GGMLQuantizationType

    try:
        return str(GGMLQuantizationType(number).name)
    except ValueError:
        return f"kind {number}"


def _bytes(tensor: Stored) -> int:
    """How many bytes of the file a tensor takes; none where its kind is unknown (it is refused later)."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if tensor.kind not in GGMLQuantizationType.__members__:
        return 0
    values, size = GGML_QUANT_SIZES[GGMLQuantizationType[tensor.kind]]
    return tensor.count // values * size


def _check_kinds(header: Header) -> None:
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    for kind in sorted({tensor.kind for tensor in header.tensors}):
        try:
            known = GGMLQuantizationType[kind]
            dequantize(np.zeros((1, GGML_QUANT_SIZES[known][1]), dtype=np.uint8), known)
        except (KeyError, NotImplementedError) as error:
            first = next(tensor.name for tensor in header.tensors if tensor.kind == kind)
            raise Refused(
                f"source={str(header.file)!r} is stored as {kind} (first in {first}), which cannot be read; use "
                "another file of the model, such as Q4_K_M, Q8_0 or F16."
            ) from error
