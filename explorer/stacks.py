"""The stacks of a model: runs of like layers that a plain pass showed, with the names that their sites begin with."""

from __future__ import annotations

from typing import Any

from torch import nn

from explorer import discovery, pictures
from explorer.anatomy import Stack
from explorer.attention_seen import Seen
from explorer.discovery import Call, Run
from explorer.layer_parts import layer_of
from explorer.probing import POSITIONS


def stacks_of(model: nn.Module, calls: list[Call], seen: Seen) -> tuple[tuple[Stack, ...], str]:
    """The stacks, and what of them could not be located."""
    found = discovery.runs(model, calls)
    if not found:
        return (), "no run of layers could be located"
    if any(call.given is not None and call.given.shape[:2] == (POSITIONS, 1) for run in found for call in run.calls):
        return (), "its layers hold positions before texts, (position, batch, width), which is not read"
    names = _names(found, model)
    stacks = tuple(_stack(model, run, name, calls, seen) for run, name in zip(found, names, strict=True))
    notes = sorted({layer.missing for stack in stacks for layer in stack.layers if layer.missing})
    return stacks, "; ".join(notes)


def _names(found: list[Run], model: nn.Module) -> list[str]:
    if len(found) == 1:
        return [""]
    names = []
    for run in found:
        parts = run.path.replace("_model", "").split(".")
        known = [name for name in ("encoder", "decoder", "text", "vision") if name in parts]
        towers = [name for name in known if name in ("text", "vision")]
        tower = [one] if (one := _tower(run.path, model)) else towers
        names.append((tower or known or [run.path.replace(".", "_")])[-1])
    paths = {name: {run.path for run, other in zip(found, names, strict=True) if other == name} for name in names}
    names = [n if len(paths[n]) == 1 else run.path.replace(".", "_") for run, n in zip(found, names, strict=True)]
    # A tower that is called several times in a pass is a stack for each call.
    earlier = [names[:index].count(name) for index, name in enumerate(names)]
    return [f"{name}_{number + 1}" if number else name for name, number in zip(names, earlier, strict=True)]


def _tower(path: str, model: nn.Module) -> str:
    """Which of the config's two halves the modules around a run belong to, where images stand inside the text."""
    config: Any = model.config
    if pictures.image_token(config) is None:
        return ""
    while path:
        own = getattr(model.get_submodule(path), "config", None)
        if own is not None and own is not config:
            return "vision" if own is config.vision_config else "text" if own is config.get_text_config() else ""
        path = path.rpartition(".")[0]
    return ""


def _stack(model: nn.Module, run: Run, name: str, calls: list[Call], seen: Seen) -> Stack:
    last = run.calls[-1]
    assert last.gave is not None  # a run's layers have both sides
    after = [call for call in calls if call.start > last.end and discovery.close(call.given, last.gave)]
    norm = next((call.path for call in after if _is_norm(call, last)), None)
    return Stack(
        name=name,
        path=run.path,
        layers=tuple(layer_of(model, call, calls, seen) for call in run.calls),
        width=last.gave.shape[-1],
        linked=run.linked,
        final_norm=norm,
        flat=last.flat,
    )


def _is_norm(call: Call, last: Call) -> bool:
    assert last.gave is not None
    return call.gave is not None and call.gave.shape == last.gave.shape and not call.leaf and call.end == call.start + 1
