"""Where a model comes from: a sample, a Hub id, a folder, or an object already in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer, PreTrainedModel

from explorer import adapters, samples
from explorer.acceptance import check_plain
from explorer.errors import Refused
from explorer.light_check import checked
from explorer.model import Model

_LOADERS = {
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "classification": "AutoModelForSequenceClassification",
    "embedding": "AutoModel",
    "vision": "AutoModelForImageClassification",
}


def load(
    source: str | Path | None = None,
    *,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    revision: str | None = None,
    adapter: str | Path | Mapping[str, str | Path] | None = None,
    task: str | None = None,
    check: bool = True,
) -> Model:
    """Opens a model.

    Args:
        source: a sample's name ("smollm2", the default, or "minilm"), a folder, or a Hub id such as
            "Qwen/Qwen2.5-0.5B". Weights are read from safetensors only.
        dtype: of the weights, such as "bfloat16"; by default float32 on a CPU and what the config names
            elsewhere.
        device: such as "cuda"; the CPU by default.
        revision: branch, tag or commit of a Hub id.
        adapter: folder or Hub id of an adapter (LoRA, or what else PEFT injects), which is turned on; or several by
            the names they will have, the first of which is turned on. `model.trace(text, adapter=name)` switches.
        task: "causal", "masked", "seq2seq", "classification", "embedding" or "vision"; by default what the
            config's architecture says.
        check: prove a few layers on a few tokens (see `Model.capabilities`); `Model.check` proves all.

    Raises:
        Refused: the source is unknown, not reachable, has no safetensors or a damaged file; `dtype`, `device` or
            `task` is not one that can be used; or the model does not pass its check.
    """
    place = torch.device("cpu" if device is None else _device(device))
    name = samples.DEFAULT if source is None else str(source)
    if name in samples.SAMPLES:
        if revision is not None:
            raise Refused(f"revision={revision!r} has no meaning for the sample {name!r}; leave it out.")
        title, where = samples.SAMPLES[name].title, str(samples.folder(name))
    else:
        _check_source(name)
        title, where = (Path(name).name if Path(name).is_dir() else name), name
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    try:
        config = AutoConfig.from_pretrained(where, **options)
        loader = getattr(transformers, _LOADERS[_task(task, config)])
        with _no_bar_for(where):
            hf = loader.from_pretrained(
                where, config=config, dtype=_dtype(dtype, place), use_safetensors=True, **options
            )
        processor = _processor(where, config, options)
    except Refused:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        raise Refused(f"source={name!r} could not be opened: {_first_sentence(error)}") from error
    model = Model(hf.to(place), processor, title)
    for name, folder in _adapters(adapter).items():
        model.add_adapter(folder, name)
    if model.adapters:
        adapters.switch(model.hf, model.adapters[0])
    return _opened(model, check)


def attach(model: PreTrainedModel, tokenizer_or_processor: Any | None = None, *, check: bool = True) -> Model:
    """Takes a transformers model that is already in memory, without copying or changing it.

    Args:
        model: any transformers model, or PEFT's wrapper around one.
        tokenizer_or_processor: its tokenizer, image processor, or a processor that holds both; without one the
            model is given token ids and pixel values.
        check: prove a few layers on a few tokens (see `Model.capabilities`); `Model.check` proves all.

    Raises:
        Refused: the model does not pass its check, is compiled, wrapped for several devices, or was never given
            weights.
        TypeError: `model` is not a transformers model.
    """
    check_plain(model)
    model = adapters.unwrapped(model)
    if not isinstance(model, PreTrainedModel):
        raise TypeError(
            f"model is a {type(model).__name__}; attach takes a transformers PreTrainedModel. "
            "For a name or a folder use explorer.load."
        )
    name = getattr(model.config, "_name_or_path", "") or type(model).__name__
    return _opened(Model(model, tokenizer_or_processor, Path(name).name), check)


def _adapters(adapter: str | Path | Mapping[str, str | Path] | None) -> dict[str, str | Path]:
    if adapter is None:
        return {}
    return dict(adapter) if isinstance(adapter, Mapping) else {adapters.default_name(adapter): adapter}


def _opened(model: Model, check: bool) -> Model:
    """The model with what its light self-check left of it."""
    if check:
        model.anatomy, model.capabilities = checked(model)
    return model


def _processor(where: str, config: Any, options: dict[str, Any]) -> Any:
    """What turns a person's input into the model's: a tokenizer, an image processor or both in one."""
    kind: Any = AutoTokenizer
    if hasattr(config, "vision_config"):
        kind = AutoProcessor
    elif getattr(config, "image_size", None) is not None:
        kind = AutoImageProcessor
    return kind.from_pretrained(where, **options)


@contextlib.contextmanager
def _no_bar_for(where: str) -> Iterator[None]:
    """Reading a folder takes a second or two; transformers' bar for it would stay in the notebook for ever."""
    bars = transformers.utils.logging
    if not Path(where).is_dir() or not bars.is_progress_bar_enabled():
        yield
        return
    bars.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        bars.enable_progress_bar()  # type: ignore[no-untyped-call]


def _check_source(where: str) -> None:
    if not where.strip():
        raise Refused("source='' is empty; leave it out for the sample, or give a folder or a Hub id.")
    path = Path(where)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise Refused(f"source={where!r} is a folder without config.json; give the folder of a saved model.")
        return
    looks_like_a_path = path.is_absolute() or where.startswith((".", "~")) or where.count("/") > 1 or "\\" in where
    if looks_like_a_path or path.exists():
        raise Refused(f"source={where!r} is not a folder; give a saved model's folder, a Hub id or a sample's name.")


def _task(task: str | None, config: Any) -> str:
    if task is not None:
        if task not in _LOADERS:
            raise Refused(f"task={task!r} is not one of {', '.join(_LOADERS)}.")
        return task
    architecture = (getattr(config, "architectures", None) or [""])[0]
    if architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return "causal"
    if architecture.endswith("ForMaskedLM"):
        return "masked"
    if architecture.endswith("ForSequenceClassification"):
        return "classification"
    if architecture.endswith("ForImageClassification"):
        return "vision"
    if getattr(config, "is_encoder_decoder", False) and architecture.endswith("ForConditionalGeneration"):
        return "seq2seq"
    return "embedding"


def _dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype | str:
    if dtype is None:  # half precision is slower than float32 on most CPUs, and less exact
        return torch.float32 if device.type == "cpu" else "auto"
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise Refused(f"dtype={dtype!r} is not a floating point type; use 'float32', 'bfloat16' or 'float16'.")
    return found


def _device(device: str | torch.device) -> torch.device:
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise Refused(f"device={str(device)!r} cannot be used here: {_first_sentence(error)}") from error
    return place


def _first_sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
