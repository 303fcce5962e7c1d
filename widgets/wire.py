"""How arrays and tokens travel to the browser. The mirror images are in frontend/src/shared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from explorer import Token, Tokens, text_units
from explorer._visible import visible
from explorer.note import Note

# What the front end decodes; anything else is narrowed on purpose, so a width is never guessed there.
_DTYPES = {
    np.dtype(np.uint8): "uint8",
    np.dtype(np.float16): "float16",
    np.dtype(np.float32): "float32",
    np.dtype(np.int32): "int32",
}
_NARROWED = {np.dtype(np.float64): np.float32, np.dtype(np.int64): np.int32, np.dtype(np.bool_): np.uint8}


def array(values: torch.Tensor | np.ndarray[Any, Any]) -> dict[str, Any]:
    """An array as `{data, dtype, shape}`; float64 travels as float32, int64 as int32, bfloat16 as float32."""
    if isinstance(values, torch.Tensor):
        values = values.detach()
        values = (values.float() if values.dtype == torch.bfloat16 else values).cpu().numpy()
    values = np.ascontiguousarray(values, dtype=_NARROWED.get(values.dtype))
    if values.dtype not in _DTYPES:
        raise TypeError(f"arrays of {values.dtype} do not travel; use {', '.join(_DTYPES.values())}")
    return {"data": values.tobytes(), "dtype": _DTYPES[values.dtype], "shape": list(values.shape)}


def numbers(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    """What `array` made, as an array again."""
    return np.frombuffer(value["data"], value["dtype"]).reshape(value["shape"]).copy()


class Records(list[dict[str, Any]]):
    """Dictionaries with the same keys, such as tokens; they travel in columns, which are a quarter as long."""

    def columns(self) -> dict[str, Any]:
        """What travels: how many there are, and per key a list, or the value where it is the same in all."""
        columns: dict[str, Any] = {}
        for name in self[0] if self else ():
            values = [record[name] for record in self]
            columns[name] = values[0] if values.count(values[0]) == len(values) else values
        return {"length": len(self), "columns": columns}


def traveling(value: Any, _widget: Any = None) -> Any:
    """A trait's value as it travels: `Records` in columns, and each `Note` as the browser words it, which is its key,
    what it is about, and the English."""
    if isinstance(value, Note):
        return {"key": value.key, "about": value.about, "text": str(value)}
    if isinstance(value, Records):
        return value.columns()
    if isinstance(value, dict):
        return {name: traveling(one) for name, one in value.items()}
    if isinstance(value, list):  # lists of numbers are long, and hold none
        return [traveling(one) if isinstance(one, Note) else one for one in value]
    return value


def token(piece: Token) -> dict[str, Any]:
    """One token as the front end draws it."""
    return {
        "id": piece.id,
        "text": piece.text,
        "kind": piece.kind,
        "group": piece.group,
        "part": piece.part,
        "parts": piece.parts,
    }


def tokens(pieces: Iterable[Token]) -> Records:
    """Tokens of one text, in order; in a conversation each with its role."""
    roles = getattr(pieces, "roles", None)
    if roles is None:
        return Records(token(piece) for piece in pieces)
    return Records({**token(piece), "role": role} for piece, role in zip(pieces, roles, strict=True))


def units(pieces: Tokens) -> dict[str, list[dict[str, Any]]]:
    """The characters and words of a text, each with its first and last token; empty where they cannot be told."""
    if pieces.places is None:
        return {}
    return {
        by: [
            {"text": visible(unit.text), "first": unit.positions.start, "last": unit.positions.stop - 1}
            for unit in text_units.units(pieces, by)
        ]
        for by in text_units.BY
    }


def unit_bytes(weights: torch.Tensor) -> torch.Tensor:
    """Weights in 0..1 as 0..255; the largest error is 1/510. What is not a number becomes 0."""
    return (weights.float().nan_to_num(0.0).clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


def block_starts(length: int, cells: int) -> list[int]:
    """Where the blocks begin when `length` positions are shown in at most `cells` cells, blocks of one size."""
    size = -(-length // cells)
    return list(range(0, length, size))


def pool_last(values: torch.Tensor, cells: int) -> torch.Tensor:
    """The largest value of each block along the last axis, at most `cells` of them; a bright cell never vanishes."""
    length = values.shape[-1]
    size = -(-length // cells)
    if size == 1:
        return values
    padding = -length % size
    padded = torch.nn.functional.pad(values, (0, padding), value=-torch.inf)
    return padded.reshape(*values.shape[:-1], -1, size).amax(dim=-1)
