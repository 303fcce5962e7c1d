"""Putting an adapter beside a model's weights: its files are read, fitted in and checked, or nothing is left of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from explorer.adapters import all_wrappers, holds, listed, names, rest, restore, settings_of
from explorer.errors import Refused

_WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."


def add(hf: Any, source: str | Path, name: str, title: str) -> None:
    """Puts an adapter beside a model's weights, turned off. Hold the lock.

    Args:
        hf: the transformers model.
        source: a folder or Hub id with `adapter_config.json` and `adapter_model.safetensors`.
        name: what it will be called.
        title: what people call the model.

    Raises:
        Refused: it cannot be read, is not a kind that changes modules, or does not fit the model, which is then as
            it was.
    """
    from peft import inject_adapter_in_model, set_peft_model_state_dict

    if name in names(hf):
        raise Refused(f"name={name!r} is taken: {title} holds the adapters {listed(hf)}; give it another name.")
    config, weights = _read(source)
    before = dict(hf.named_modules())
    settings = [(module, settings_of(module)) for module in all_wrappers(hf)]
    trained = {id(parameter) for parameter in hf.parameters() if parameter.requires_grad}
    had = "peft_config" in hf.__dict__
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):  # it fills in the weights at random first
            inject_adapter_in_model(config, hf, name)
        loaded: Any = set_peft_model_state_dict(hf, dict(weights), adapter_name=name)
        if loaded.unexpected_keys:
            raise ValueError(f"it changes {loaded.unexpected_keys[0]}, which the model does not have")
        _check_complete(hf, weights, name)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        _remove(hf, name, before, had)
        for module, old in settings:
            restore(module, old)
        raise Refused(f"adapter={str(source)!r} does not fit {title}: {_reason(error)}") from error
    finally:
        for parameter in hf.parameters():  # PEFT freezes the model's own weights and trains the adapter's
            if parameter.is_floating_point():
                parameter.requires_grad_(id(parameter) in trained)
    known = {id(module): old for module, old in settings}
    for module in all_wrappers(hf):
        module.train(hf.training)
        if id(module) in known:
            restore(module, known[id(module)])
        else:
            rest(module, [])
    hf._hf_peft_config_loaded = True  # so that transformers' own enable_adapters and disable_adapters work


def default_name(source: str | Path) -> str:
    """An adapter's folder, or the last part of its Hub id, without dots, which PEFT's names cannot have."""
    return Path(str(source)).name.replace(".", "_") or "adapter"


def _read(source: str | Path) -> tuple[Any, dict[str, Tensor]]:
    """PEFT's description of an adapter, and its weights by the names of the model's own modules."""
    from peft import PeftConfig
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers.utils.hub import cached_file

    where = str(source)
    if Path(where).is_dir() and not (Path(where) / "adapter_config.json").is_file():
        raise Refused(f"adapter={where!r} is a folder without adapter_config.json; give the folder of a saved adapter.")
    try:
        config = PeftConfig.from_pretrained(where)
        weights = load_file(str(cached_file(where, _WEIGHTS)))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise Refused(f"adapter={where!r} could not be opened ({_WEIGHTS} is needed): {_reason(error)}") from error
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise Refused(
            f"adapter={where!r} is of the kind {config.peft_type.value}, which adds positions of its own to a text; "
            "adapters that change modules, such as LoRA, can be used."
        )
    config.inference_mode = True
    return config, {key.removeprefix(_PREFIX): value for key, value in weights.items()}


def _check_complete(hf: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    from peft import get_peft_model_state_dict

    needed = get_peft_model_state_dict(hf, adapter_name=name, save_embedding_layers=False)
    absent = sorted(set(needed) - set(weights))
    if absent:
        raise ValueError(f"its file has no weights for {absent[0]}, one of {len(absent)} that it needs")


def _remove(hf: Any, name: str, before: Mapping[str, nn.Module], had: bool) -> None:
    """Takes out what was injected: whole wrappers where they are new, its part where they are not."""
    for path, old in before.items():
        if path and _at(hf, path) is not old:
            parent, _, last = path.rpartition(".")
            setattr(hf.get_submodule(parent), last, old)
    module: Any
    for module in all_wrappers(hf):
        if holds(module, name):
            module.delete_adapter(name, new_active_adapters=None) if _auxiliary(module) else module.delete_adapter(name)
    if had:
        hf.peft_config.pop(name, None)
    else:
        hf.__dict__.pop("peft_config", None)


def _auxiliary(module: nn.Module) -> bool:
    from peft.utils.other import AuxiliaryTrainingWrapper

    return isinstance(module, AuxiliaryTrainingWrapper)


def _at(hf: nn.Module, path: str) -> nn.Module | None:
    try:
        return hf.get_submodule(path)
    except AttributeError:
        return None


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines[1:2] if lines[0].endswith(":")), lines[0] if lines else type(error).__name__)
