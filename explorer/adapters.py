"""Adapters (LoRA and what else PEFT injects) beside one copy of the weights, switched for one call.

PEFT wraps the modules that an adapter changes; which adapter acts is a setting of each wrapper. `using` sets it inside
a block and puts back what it found, and a `State` remembers it, so that what a trace computes late is computed as its
pass was. An adapter that is off leaves a wrapper that does nothing but call the module it wraps.
"""

from __future__ import annotations

import enum
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from explorer.errors import Refused

_SETTINGS = ("_active_adapter", "_disable_adapters")
_NAMED = (nn.ModuleDict, nn.ParameterDict)


class AsItIs(enum.Enum):
    """Stands for "whichever adapters the model has on"."""

    AS_IT_IS = "as it is"

    def __repr__(self) -> str:
        return "AS_IT_IS"


AS_IT_IS = AsItIs.AS_IT_IS
Adapter = str | None | AsItIs


@dataclass(frozen=True)
class State:
    """Which adapters a pass ran with.

    Attributes:
        names: of those that acted.
        settings: of each wrapper, as PEFT keeps them; a trace must not keep a closed model's weights alive.
        configs: PEFT's description of each adapter that acted; a later adapter of the same name has another.
    """

    names: tuple[str, ...] = ()
    settings: tuple[tuple[weakref.ref[nn.Module], Mapping[str, Any]], ...] = ()
    configs: tuple[Any, ...] = ()


def names(hf: nn.Module) -> tuple[str, ...]:
    """The adapters that a model holds, in the order in which they came."""
    return tuple(getattr(hf, "peft_config", None) or ())


def wrappers(model: nn.Module) -> dict[str, nn.Module]:
    """PEFT's wrappers by path, the outermost of each module alone."""
    if "peft" not in sys.modules:  # then nobody can have wrapped anything, and the import takes a second
        return {}
    found: dict[str, nn.Module] = {}
    for path, module in model.named_modules():
        if _wraps(module) and not any(path.startswith(f"{other}.") for other in found):
            found[path] = module
    return found


def wrapped(wrapper: nn.Module) -> nn.Module:
    """The module inside a wrapper, and inside the wrappers in it."""
    while _wraps(wrapper):
        inner = getattr(wrapper, "base_layer", None) or getattr(wrapper, "original_module", None)
        if not isinstance(inner, nn.Module):
            return wrapper
        wrapper = inner
    return wrapper


def state(hf: nn.Module) -> State:
    """Which adapters act now."""
    return _state(hf, all_wrappers(hf)) if names(hf) else State()


def _state(hf: nn.Module, found: Iterable[nn.Module]) -> State:
    acting: dict[str, None] = {}
    kept = []
    for module in found:
        kept.append((weakref.ref(module), settings_of(module)))
        if not module._disable_adapters:
            on: Any = module._active_adapter
            acting |= {name: None for name in ([on] if isinstance(on, str) else on or ()) if holds(module, name)}
    configs: Any = getattr(hf, "peft_config", None) or {}
    return State(tuple(acting), tuple(kept), tuple(configs.get(name) for name in acting))


@contextmanager
def using(hf: nn.Module, adapter: Adapter | State) -> Iterator[State]:
    """Passes inside the block run with this adapter alone, with none (None), or as they are.

    Hold the model's lock: the setting belongs to the modules, not to the thread.

    Yields:
        The state that passes run in.

    Raises:
        Refused: there is no such adapter, one is merged into the weights, or one of a remembered state is gone.
    """
    if adapter is AS_IT_IS:
        yield state(hf)
        return
    if isinstance(adapter, State):
        _check_still_there(hf, adapter)
    elif adapter is not None:
        _check_name(hf, adapter)
    found = all_wrappers(hf) if names(hf) else []
    before = [settings_of(module) for module in found]
    try:
        if isinstance(adapter, State):
            _apply(found, adapter)
        else:
            _choose(found, adapter)
        yield _state(hf, found)
    finally:
        for module, settings in zip(found, before, strict=True):
            restore(module, settings)


def switch(hf: nn.Module, name: str) -> None:
    """Leaves one adapter on, as PEFT's `set_adapter` does; that one fails where an adapter wraps only some modules."""
    _check_name(hf, name)
    for module in all_wrappers(hf):
        _check_unmerged(module)
        rest(module, [name] if holds(module, name) else [])


def _wraps(module: nn.Module) -> bool:
    return issubclass(type(module), _kinds())


def _kinds() -> tuple[type, ...]:
    if "peft" not in sys.modules:
        return ()
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    return BaseTunerLayer, AuxiliaryTrainingWrapper


def held(wrapper: nn.Module) -> Iterable[str]:
    """The adapters that one wrapper holds."""
    available: Any = wrapper._get_available_adapters
    found: Iterable[str] = available()
    return found


def holds(wrapper: nn.Module, name: str) -> bool:
    """Whether `held` has a name: asked of each wrapper in each pass, so without making a set where PEFT would."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if type(wrapper)._get_available_adapters is not BaseTunerLayer._get_available_adapters:  # type: ignore[attr-defined]
        return name in held(wrapper)
    layers: Any = wrapper.adapter_layer_names
    return any(name in part for part in map(wrapper._modules.get, layers) if isinstance(part, _NAMED))


def all_wrappers(hf: nn.Module) -> list[nn.Module]:
    """All wrappers, those inside others too, an outer one first.

    Each pass asks for them, and only what can hold a wrapper is looked into: an adapter has ten small modules of
    its own beside each module that it changes.
    """
    kinds = _kinds()
    if not kinds:
        return []
    wrapping: dict[type, bool] = {}
    seen: set[int] = set()
    found: list[nn.Module] = []
    stack: list[nn.Module | None] = [hf]
    while stack:
        module = stack.pop()
        if module is None or id(module) in seen:
            continue
        seen.add(id(module))
        kind = type(module)
        if kind not in wrapping:
            wrapping[kind] = issubclass(kind, kinds)
        inside = module._modules
        if wrapping[kind]:
            found.append(module)
            if "base_layer" in inside and issubclass(kind, kinds[0]):
                stack.append(inside["base_layer"])
                continue
        stack.extend(reversed(inside.values()))
    return found


def settings_of(module: nn.Module) -> dict[str, Any]:
    """What PEFT keeps of which adapters act in a wrapper."""
    return {key: module.__dict__[key] for key in _SETTINGS if key in module.__dict__}


def restore(module: nn.Module, settings: Mapping[str, Any]) -> None:
    """Puts back what `settings_of` gave."""
    for key in _SETTINGS:
        if key in settings:
            module.__dict__[key] = settings[key]
        else:
            module.__dict__.pop(key, None)  # the class has PEFT's default


def _choose(found: Iterable[nn.Module], name: str | None) -> None:
    # Not PEFT's own methods: they also change which weights are trained.
    for module in found:
        _check_unmerged(module)
        if name is not None and holds(module, name):
            module.__dict__.update(_active_adapter=[name], _disable_adapters=False)
        else:
            _turn_off(module)


def _apply(found: Iterable[nn.Module], then: State) -> None:
    known = {id(reference()): settings for reference, settings in then.settings}
    for module in found:
        _check_unmerged(module)
        if id(module) in known:
            restore(module, known[id(module)])
        else:  # it came later
            _turn_off(module)


def rest(module: nn.Module, active: list[str]) -> None:
    """Leaves these adapters on in a wrapper; none for a wrapper that does nothing."""
    # Off by having none to act, and not by being disabled, so that PEFT's and transformers' set_adapter turn it on.
    module.__dict__.update(_active_adapter=active, _disable_adapters=False)


def _turn_off(module: nn.Module) -> None:
    module.__dict__["_disable_adapters"] = True


def _check_unmerged(module: nn.Module) -> None:
    merged: Any = getattr(module, "merged_adapters", None)
    if merged:
        raise Refused(
            f"The adapter {merged[0]!r} is merged into the weights, so it cannot be switched without "
            "changing them; take it out with PEFT's unmerge first."
        )


def _check_name(hf: nn.Module, name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"adapter={name!r} is a {type(name).__name__}; an adapter's name or None is needed.")
    if name not in names(hf):
        having = f"this model holds {listed(hf)}" if names(hf) else "this model holds none; add it with add_adapter"
        raise Refused(f"adapter={name!r} is not the name of an adapter: {having}.")


def _check_still_there(hf: nn.Module, then: State) -> None:
    now: Mapping[str, Any] = getattr(hf, "peft_config", None) or {}
    for name, config in zip(then.names, then.configs, strict=True):
        if now.get(name) is not config:
            raise Refused(
                f"The adapter {name!r} that this pass ran with is gone, so nothing more can be computed of it."
            )


def listed(hf: nn.Module) -> str:
    """The names of the adapters, for a sentence."""
    return ", ".join(map(repr, names(hf)))


def unwrapped(model: Any) -> Any:
    """The transformers model inside a `PeftModel`; anything else as it is.

    Raises:
        Refused: its adapter adds positions to a text, which the model inside does not know of.
    """
    if "peft" not in sys.modules:
        return model
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        return model
    if model.active_peft_config.is_prompt_learning:
        raise Refused(
            f"model has an adapter of the kind {model.active_peft_config.peft_type.value}, which adds positions of its "
            "own to a text; adapters that change modules, such as LoRA, can be used."
        )
    inside = model.get_base_model()
    assert isinstance(inside, torch.nn.Module)  # or it would be prompt learning
    return inside
