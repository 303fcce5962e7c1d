"""An exploration as the Python that makes it anew."""

from __future__ import annotations

import pprint
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from torch import Tensor

from explorer import Refused
from explorer.edits import Apply, Edit

if TYPE_CHECKING:
    from widgets.exploration import Exploration

_WIDTH = 100


def code_of(exploration: Exploration, tensors: str | None) -> str:
    """Lines that open the model or trace and make the exploration; see `Exploration.code`."""
    from widgets.shared import STATE

    plain: Any = exploration.trait_defaults()
    brings = exploration.source.brings
    variable, opened = exploration.source.opening(exploration.text, exploration.special_tokens, exploration.literal)
    held: dict[str, Tensor] = {}
    edits = [] if "edits" in brings else [_edit(edit, held) for edit in exploration.edits]
    if held and tensors is None:
        raise Refused("The edits hold tensors, which are no text; give tensors= a path where they are saved.")
    arguments = []
    for name in STATE:
        value = getattr(exploration, name)
        if value == plain[name] or name in ("text", "edits", *brings) or (name == "decoder" and not value):
            continue
        if name == "settings":
            settings = {key: one for key, one in value.items() if one != plain[name][key]}
            arguments.append(f"sampling=Sampling({_keywords(settings)})")
        elif name == "special_tokens" and exploration.messages is not None:
            continue  # a conversation brings its own
        else:
            arguments.append(f"{name}={pprint.pformat(value, width=_WIDTH, sort_dicts=False)}")
    if edits:
        arguments.append(f"edits=({', '.join(edits)},)")
    text = () if exploration.messages is not None or "text" in brings else (repr(exploration.text),)
    body = "".join(f"    {argument},\n" for argument in (variable, *text, *arguments))
    lines = [*_imports(exploration, bool(held)), "", f"{variable} = {opened}"]
    if held:
        from safetensors.torch import save_file

        save_file({name: tensor.contiguous() for name, tensor in held.items()}, str(tensors))
        lines.append(f"tensors = load_file({str(tensors)!r})")
    return "\n".join([*lines, f"exploration = Exploration(\n{body})", ""])


def _imports(exploration: Exploration, tensors: bool) -> list[str]:
    plain: Any = exploration.trait_defaults()
    edits = () if "edits" in exploration.source.brings else exploration.edits
    names = sorted({type(edit).__name__ for edit in edits})
    names += ["Sampling"] if exploration.settings != plain["settings"] else []
    chosen = ["Exploration"]
    chosen += ["Selection"] if exploration.selection != plain["selection"] else []
    return [
        "import explorer",
        *([f"from explorer import {', '.join(names)}"] if names else []),
        *(["from safetensors.torch import load_file"] if tensors else []),
        f"from widgets import {', '.join(chosen)}",
    ]


def _edit(edit: Edit, held: dict[str, Tensor]) -> str:
    if isinstance(edit, Apply):
        raise Refused(f"{edit!r} holds a function, which has no text; use one of the other edits.")
    given = {}
    for field in fields(edit):
        value = getattr(edit, field.name)
        if isinstance(value, Tensor):
            name = f"tensor{len(held)}"
            held[name] = value
            given[field.name] = _Name(f"tensors[{name!r}]")
        elif field.name == "site" or value != field.default:
            given[field.name] = value
    for name, value in given.items():
        if not isinstance(value, str | int | float | tuple | _Name):
            raise Refused(
                f"{edit!r} holds a {type(value).__name__} in {name}, which has no text; give a tensor (trace[site])."
            )
    site = given.pop("site")
    return f"{type(edit).__name__}({', '.join([repr(site), *([_keywords(given)] if given else [])])})"


class _Name:
    """An expression that stands for itself."""

    def __init__(self, expression: str) -> None:
        self._expression = expression

    def __repr__(self) -> str:
        return self._expression


def _keywords(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
