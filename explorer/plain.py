"""Values as plain JSON and back, taking nothing on trust: what is read may have been made to do harm.

A value is read as one kind (a dataclass, a tuple, a number, ...), which is told by its annotations. Nothing is
guessed, converted or left over, and no name in the JSON ever chooses what is made.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from explorer.errors import Refused

# A small text can stand for many objects, each a hundred times its length in memory.
_CONTAINERS = 1_000_000
# Beyond it a browser's numbers are no longer exact, and nothing that is counted here gets near it.
_LARGEST = 2**53


def encoded(value: Any) -> Any:
    """Dataclasses as objects, tuples as lists, the rest as it is; for `json.dumps(..., allow_nan=False)`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encoded(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: encoded(inner) for key, inner in value.items()}
    return [encoded(inner) for inner in value] if isinstance(value, list | tuple) else value


def parsed(text: bytes, what: str) -> Any:
    """JSON as Python reads it, without its extensions.

    Raises:
        Refused: it is no JSON in UTF-8, names a key twice, holds NaN or infinity, or is nested or split up so much
            that reading it would cost far more than its size.
    """
    if text.count(b"{") + text.count(b"[") > _CONTAINERS:
        raise Refused(f"{what} holds more than {_CONTAINERS:,} lists and objects.")
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise Refused(f"{what} is nested too deeply to be read.") from None
    except Refused as error:
        raise Refused(f"{what} {error}") from None
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise Refused(f"{what} is no valid JSON: {error}.") from None


def decoded(kind: Any, value: Any, where: str) -> Any:
    """A value of `kind` from plain JSON.

    Args:
        kind: a dataclass, `tuple[X, ...]`, `dict[str, X]`, `X | None`, a `Literal`, int, float, str or bool.
        value: what JSON gave.
        where: what is read, for the error.

    Raises:
        Refused: the value is of another kind, a field is missing or unknown, or a number is not finite.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        (kind,) = (one for one in inner if one is not type(None))
        return decoded(kind, value, where)
    if origin is typing.Literal:
        if isinstance(value, str) and value in inner:
            return value
        raise Refused(f"{where} is {_shown(value)}, not one of {', '.join(map(repr, inner))}.")
    if origin is tuple:
        return _tuple(inner, value, where)
    if origin is dict:
        items = mapping(value, where)
        return {key: decoded(inner[1], one, f"{where}[{_shown(key)}]") for key, one in items.items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    return _single(kind, value, where)


def mapping(value: Any, where: str, *, known: Sequence[str] | None = None) -> Mapping[str, Any]:
    """An object of JSON, with exactly the keys that are `known` where these are given."""
    if not isinstance(value, Mapping):
        raise Refused(f"{where} is {_shown(value)}, not an object.")
    if known is not None and set(value) != set(known):
        different = sorted(set(value) ^ set(known))
        raise Refused(f"{where} has {_shown(different[0])} too much or too little; it has {', '.join(known)}.")
    return value


def listed(value: Any, where: str) -> list[Any]:
    """A list of JSON."""
    if not isinstance(value, list):
        raise Refused(f"{where} is {_shown(value)}, not a list.")
    return value


def _tuple(inner: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    items = listed(value, where)
    kinds = [inner[0]] * len(items) if inner[-1] is Ellipsis else list(inner)
    if len(kinds) != len(items):
        raise Refused(f"{where} has {len(items)} values, not {len(kinds)}.")
    return tuple(decoded(kind, one, f"{where}[{i}]") for i, (kind, one) in enumerate(zip(kinds, items, strict=True)))


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    values = mapping(value, where, known=names)
    return kind(**{name: decoded(hints[name], values[name], f"{where}.{name}") for name in names})


def _single(kind: Any, value: Any, where: str) -> Any:
    if kind is float and type(value) is int and abs(value) <= _LARGEST:
        return float(value)
    if type(value) is not kind:
        raise Refused(f"{where} is {_shown(value)}, not of type {getattr(kind, '__name__', kind)}.")
    if (kind is int and abs(value) > _LARGEST) or (kind is float and not math.isfinite(value)):
        raise Refused(f"{where} is {_shown(value)}, which is out of range.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise Refused(f"names {_shown(next(name for name in names if names.count(name) > 1))} twice.")
    return found


def _constant(name: str) -> Any:
    raise Refused(f"holds {name}, which is no number of JSON.")


def _shown(value: Any) -> str:
    """A value in an error: short, whatever it is."""
    if isinstance(value, Mapping | list):
        return f"a {'list' if isinstance(value, list) else 'object'} of {len(value)}"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
