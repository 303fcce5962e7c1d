"""Recordings in segments: what an earlier pass recorded and what a later one added, joined when it is read.

The earlier part is held by reference, narrowed to what the two have in common, so a chain of traces holds each
position's numbers once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from transformers.utils.generic import ModelOutput

from explorer.attention import AttentionCall
from explorer.hidden_states import hidden_state
from explorer.plans import Recording

Value = TypeVar("Value")

# Every letter that is typed adds a part; from so many on, all but the first are joined into one.
_MOST = 16


class Segments(MutableMapping[str, Value], Generic[Value]):
    """Values in parts along the positions, joined when they are read."""

    def __init__(self, parts: dict[str, tuple[Value, ...]], join: Callable[[Sequence[Value]], Value]) -> None:
        self.parts = parts
        self._join = join

    def __getitem__(self, key: str) -> Value:
        parts = self.parts[key]
        return parts[0] if len(parts) == 1 else self._join(parts)

    def __contains__(self, key: object) -> bool:  # without joining
        return key in self.parts

    def __setitem__(self, key: str, value: Value) -> None:
        self.parts[key] = (value,)

    def __delitem__(self, key: str) -> None:
        del self.parts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


def joined(earlier: Recording, seen: Recording, length: int) -> Recording:
    """Segments of what was recorded before and in this pass.

    Raises:
        ValueError: an attention did not see what was taken over before what is new.
    """
    attention = {}
    for prefix, calls in seen.attention.items():
        call = calls[0]
        if call.keys != length + call.queries or len(calls) != 1:
            raise ValueError(f"{prefix} did not see the {length} positions taken over and then the new ones")
        # Copies of the new part alone: the joined tensors would hold the prefix a second time.
        new = call.replaced(
            key=call.key[:, :, length:].clone(), value=call.value[:, :, length:].clone(), mask=None, causal=True
        )
        before = _first(parts_of(earlier.attention, prefix), length, _queries, _narrow_call)
        attention[prefix] = _few((*before, [new]), _join_calls)
    hidden = {
        site: _few((*_first(parts_of(earlier.hidden, site), length, rows_of, _narrow), value), along)
        for site, value in seen.hidden.items()
        if site in earlier.hidden
    }
    outputs = {
        path: _few(
            (
                *_first(parts_of(earlier.outputs, path), length, _states, _narrow_output),
                like(output, tensors_of(output)),
            ),
            _join_outputs,
        )
        for path, output in seen.outputs.items()
        if path in earlier.outputs
    }
    return Recording(
        hidden=Segments(hidden, along),
        attention=Segments(attention, _join_calls),
        outputs=Segments(outputs, _join_outputs),
    )


def parts_of(values: MutableMapping[str, Value], key: str) -> tuple[Value, ...]:
    if isinstance(values, Segments):
        return values.parts.get(key, ())
    return (values[key],) if key in values else ()


def _first(
    parts: Sequence[Value], length: int, size: Callable[[Value], int], narrow: Callable[[Value, int], Value]
) -> list[Value]:
    """The parts that hold the first `length` positions, the last of them narrowed (a view)."""
    found: list[Value] = []
    for part in parts:
        if length <= 0:
            break
        found.append(part if size(part) <= length else narrow(part, length))
        length -= size(part)
    return found


def _few(parts: tuple[Value, ...], join: Callable[[Sequence[Value]], Value]) -> tuple[Value, ...]:
    return parts if len(parts) <= _MOST else (parts[0], join(parts[1:]))


def rows_of(value: Tensor) -> int:
    return value.shape[-2]


def _narrow(value: Tensor, length: int) -> Tensor:
    return value.narrow(-2, 0, length)


def along(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=-2)


def first_calls(recording: Recording, prefix: str, length: int) -> list[AttentionCall]:
    """One attention's calls up to position `length`, in parts."""
    return [call for (call,) in _first(parts_of(recording.attention, prefix), length, _queries, _narrow_call)]


def _queries(calls: list[AttentionCall]) -> int:
    return calls[0].queries


def _narrow_call(calls: list[AttentionCall], length: int) -> list[AttentionCall]:
    call = calls[0]
    parts = {"query": call.query, "key": call.key, "value": call.value}
    return [call.replaced(z=call.z[:, :length], **{name: _narrow(value, length) for name, value in parts.items()})]


def _join_calls(parts: Sequence[list[AttentionCall]]) -> list[AttentionCall]:
    calls = [call for (call,) in parts]
    return [
        calls[-1].replaced(
            query=along([call.query for call in calls]),
            key=along([call.key for call in calls]),
            value=along([call.value for call in calls]),
            z=torch.cat([call.z for call in calls], dim=1),
        )
    ]


def tensors_of(output: Any) -> list[Tensor]:
    """What is kept of a module's output: not the cache in it, which would hold the prefix a second time."""
    if isinstance(output, ModelOutput):
        return [hidden_state(output)]
    return [output] if isinstance(output, Tensor) else list(output)


def like(output: Any, tensors: Sequence[Tensor]) -> Any:
    """The same kind of output with other tensors, as `tensors_of` gives them."""
    if isinstance(output, ModelOutput):
        return type(output)(**{next(iter(output)): tensors[0]})
    return tensors[0] if isinstance(output, Tensor) else type(output)(tensors)


def _states(output: Any) -> int:
    return rows_of(tensors_of(output)[0])


def _narrow_output(output: Any, length: int) -> Any:
    return like(output, [_narrow(tensor, length) for tensor in tensors_of(output)])


def _join_outputs(parts: Sequence[Any]) -> Any:
    return like(parts[-1], [along(tensors) for tensors in zip(*map(tensors_of, parts), strict=True)])
