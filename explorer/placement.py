"""Where a model's weights are: on one device, or spread over several and handed in when a module runs.

Spreading is accelerate's: its hooks move what a module receives to the module's device, and weights that are kept on
the CPU or on disk are there only while the module runs; in between they are without data ("meta"). What is recorded
stays on its layer's device.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from explorer.errors import Refused

Device = str | torch.device | Mapping[str, str | int | torch.device]


def spread(device: Device | None) -> bool:
    """Whether several devices may be meant."""
    return device == "auto" or isinstance(device, Mapping)


def options(device: Device) -> dict[str, Any]:
    """What transformers' `from_pretrained` is told for a model on several devices.

    Raises:
        Refused: a map names nothing, or a place that there is not.
    """
    if not isinstance(device, Mapping):
        return {"device_map": "auto"}
    if not device:
        raise Refused("device={} places no module; name modules and their devices, or give 'auto'.")
    given: dict[str, Any] = {"device_map": dict(device)}
    if "disk" in device.values():
        given["offload_folder"] = tempfile.mkdtemp(prefix="explorer-offload-")
    return given


def first(device: Device | None) -> torch.device:
    """The device that decides the dtype: an accelerator where one takes part."""
    if isinstance(device, Mapping):
        for path, place in device.items():
            if place != "disk":
                _check(path, place)
        used = [torch.device(place) for place in device.values() if place != "disk"]
        return next((place for place in used if place.type != "cpu"), torch.device("cpu"))
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def of(name: str, places: Mapping[str, str | int | torch.device]) -> str:
    """Where a map puts a weight: at the longest path that leads to it, and on the CPU where there is none."""
    path = name
    while path and path not in places:
        path = path.rpartition(".")[0]
    return title(places.get(path, "cpu"))


def title(place: str | int | torch.device) -> str:
    """A device as torch writes it, such as "cuda:0"; or "disk"."""
    if place == "disk":
        return "disk"
    device = torch.device("cuda", place) if isinstance(place, int) else torch.device(place)
    return "cuda:0" if str(device) == "cuda" else str(device)


def own(hf: nn.Module, given: Mapping[str, Any]) -> None:
    """The folder of weights on disk goes with the model."""
    if "offload_folder" in given:
        weakref.finalize(hf, shutil.rmtree, given["offload_folder"], ignore_errors=True)


def places(hf: nn.Module) -> tuple[str, ...]:
    """The devices that a spread model's weights are on, "disk" among them; empty for a model on one device."""
    placed: Mapping[str, Any] = getattr(hf, "hf_device_map", None) or {}
    found = dict.fromkeys(title(place) for place in placed.values())
    return tuple(found) if len(found) > 1 else ()


def waits(hf: nn.Module) -> bool:
    """Whether some weights have no data outside their module's run."""
    return any(parameter.is_meta for parameter in hf.parameters())


def _check(path: str, place: Any) -> None:
    try:
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise Refused(f"device={{{path!r}: {place!r}}} cannot be used here: {str(error).splitlines()[0]}") from error
