"""The hidden state among what modules receive and return, which families pack in different ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def hidden_input(args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Tensor:
    """The hidden state among what a module receives: the first floating tensor."""
    for value in (*args, *keywords.values()):
        if isinstance(value, Tensor) and value.is_floating_point() and value.dim() in (2, 3):
            return value
    raise TypeError("a module received no hidden state")


def with_input(args: tuple[Any, ...], keywords: dict[str, Any], old: Tensor, new: Tensor) -> Any:
    """The same arguments with another hidden state."""
    return tuple(new if value is old else value for value in args), {
        name: new if value is old else value for name, value in keywords.items()
    }


def hidden_state(output: Any) -> Tensor:
    """The hidden state in what a module returns: families return a tensor, a tuple, a list or an output class."""
    value = output if isinstance(output, Tensor) else output[0]
    if not isinstance(value, Tensor):
        raise TypeError(f"a layer returned {type(value).__name__} where a hidden state was expected")
    return value


def with_state(output: Any, state: Tensor) -> Any:
    """The same kind of output with another hidden state; a family that returns a tuple must get one back."""
    if isinstance(output, Tensor):
        return state
    if isinstance(output, tuple | list):
        return type(output)([state, *output[1:]])
    first = next(iter(output))
    output[first] = state
    return output
