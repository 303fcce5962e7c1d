"""The call that opened a model, as Python that can be run again."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch


def call(function: Callable[..., Any], given: Mapping[str, Any]) -> str:
    """Such as `explorer.load("path", dtype="bfloat16")`: what differs from the defaults, in the order of the signature.

    Args:
        function: a public function of explorer, whose first argument alone may stand without its name.
        given: a value for each of its arguments.
    """
    first, *_ = parameters = inspect.signature(function).parameters
    written = [
        f"{'' if name == first else f'{name}='}{_text(given[name])}"
        for name, parameter in parameters.items()
        if given[name] is not parameter.default
    ]
    return f"explorer.{function.__name__}({', '.join(written)})"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_text(key)}: {_text(one)}' for key, one in value.items())}}}"
    if isinstance(value, torch.dtype):
        value = str(value).removeprefix("torch.")
    if isinstance(value, str | Path | torch.device):
        return json.dumps(str(value), ensure_ascii=False)  # double quotes, and escapes that Python reads alike
    return repr(value)
