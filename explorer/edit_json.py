"""Edits as JSON, their tensors beside: values that travel, and never code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from torch import Tensor

from explorer.edits import Apply, Edit, checked_edits
from explorer.errors import Refused

_KINDS = {name: kind for name, kind in Edit.kinds.items() if kind is not Apply}


def to_json(edits: Edit | Sequence[Edit]) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Edits as plain values, and the tensors they refer to by name.

    Raises:
        Refused: an edit holds a function or a trace, which do not travel.
    """
    tensors: dict[str, Tensor] = {}
    listed = []
    for edit in checked_edits(edits):
        plain: dict[str, Any] = {"kind": type(edit).__name__}
        for f in fields(edit):
            value = getattr(edit, f.name)
            if isinstance(value, Tensor):
                name = f"tensor{len(tensors)}"
                tensors[name] = value.clone()
                value = {"tensor": name}
            elif not isinstance(value, str | int | float | tuple | None):
                raise Refused(
                    f"{edit!r} holds a {type(value).__name__} in {f.name}, which does not travel as JSON. "
                    "Give tensors (of a trace: trace[site]) and, in place of a function, one of the other edits."
                )
            plain[f.name] = list(value) if isinstance(value, tuple) else value
        listed.append(plain)
    return listed, tensors


def from_json(listed: Sequence[Mapping[str, Any]], tensors: Mapping[str, Tensor] | None = None) -> tuple[Edit, ...]:
    """The edits that `to_json` gave, checked as if a person had written them.

    Raises:
        Refused: a kind, a field or a tensor is unknown, or a value is not allowed.
    """
    if not isinstance(listed, list | tuple):
        raise Refused(f"edits are a list in JSON, not a {type(listed).__name__}.")
    return tuple(_edit(plain, tensors or {}) for plain in listed)


def _edit(plain: Any, tensors: Mapping[str, Tensor]) -> Edit:
    if not isinstance(plain, Mapping):
        raise Refused(f"an edit is an object in JSON, not a {type(plain).__name__}.")
    name = plain.get("kind")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise Refused(f"kind={name!r} is not an edit; known are {', '.join(sorted(_KINDS))}.")
    known = {f.name for f in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in plain.items():
        if key == "kind":
            continue
        if key not in known:
            raise Refused(f"{name} has no field {key!r}; it has {', '.join(sorted(known))}.")
        values[key] = _tensor(key, value, tensors) if isinstance(value, Mapping) else value
    try:
        return kind(**values)
    except TypeError as error:  # a field that is missing or of another type
        raise Refused(f"{name} cannot be made from {sorted(values)}: {error}") from None


def _tensor(key: str, value: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Tensor:
    name = value.get("tensor")
    found = tensors.get(name) if isinstance(name, str) and set(value) == {"tensor"} else None
    if not isinstance(found, Tensor):
        raise Refused(f"{key} refers to {dict(value)!r}, which is not among the tensors.")
    return found
