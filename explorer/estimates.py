"""How many weights a model has and what they take, told by the heads of its files alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from explorer.errors import Refused

# Safetensors' names of floating point types, with their bytes; what else there is keeps its size.
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_OTHERS = {"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2}
_LONGEST_HEAD = 500_000_000


@dataclass(frozen=True)
class Estimate:
    """What a model holds.

    Attributes:
        floats: how many weights are floating point numbers, which take the chosen type.
        stored: bytes of those as they are stored.
        packed: bytes of the others, such as quantised blocks.
    """

    floats: int
    stored: int
    packed: int = 0

    def bytes(self, dtype: torch.dtype | str) -> int:
        """What the weights take in memory in a type; in the stored one for "auto"."""
        return (self.floats * dtype.itemsize if isinstance(dtype, torch.dtype) else self.stored) + self.packed


def of_safetensors(files: list[Path]) -> Estimate:
    """Reads the heads of safetensors files.

    Raises:
        Refused: one of them is damaged or cut short.
    """
    floats = stored = packed = 0
    for file in files:
        for entry in head(file).values():
            count = prod(entry["shape"])
            size = entry["data_offsets"][1] - entry["data_offsets"][0]
            if entry["dtype"] in _FLOATS:
                floats, stored = floats + count, stored + size
            else:
                packed += size
    return Estimate(floats, stored, packed)


def of_sizes(sizes: Mapping[str, int], dtype: torch.dtype | None) -> Estimate:
    """From the sizes of weight files alone and the type that the config names.

    Args:
        sizes: file name to bytes.
        dtype: of the stored weights; float32 where the config does not say.
    """
    total = sum(sizes.values())
    return Estimate(total // (dtype or torch.float32).itemsize, total)


def head(file: Path) -> dict[str, Any]:
    """What a safetensors file says it holds, held against its size.

    Raises:
        Refused: the file is damaged or cut short.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > min(_LONGEST_HEAD, size):
                raise ValueError(f"its head would be {length:,} bytes long")
            entries = json.loads(opened.read(length))
        entries.pop("__metadata__", None)
        end = 8 + length + max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
        for entry in entries.values():
            _check_entry(entry)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Refused(f"{file.name} is not a safetensors file that can be read ({error}); fetch it again.") from error
    if end > size:
        raise Refused(
            f"{file.name} was cut short: its head tells of {end:,} bytes and it has {size:,}. Fetch it again."
        )
    return dict(entries)


def _check_entry(entry: dict[str, Any]) -> None:
    begin, end = entry["data_offsets"]
    width = {**_FLOATS, **_OTHERS}.get(entry["dtype"])
    if end < begin or (width is not None and prod(entry["shape"]) * width != end - begin):
        raise ValueError(f"{entry['shape']} in {entry['dtype']} does not take {end - begin:,} bytes")
