"""Opening a model: a sample, a Hub id, a folder, a GGUF file, or an object already in memory."""

from __future__ import annotations

import contextlib
import functools
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer, PreTrainedModel

from explorer import adapter_files, adapters, estimates, fitting, origins, placement, quantising, sources
from explorer.acceptance import check_plain
from explorer.errors import Refused
from explorer.light_check import checked
from explorer.model import Model
from explorer.sources import Source
from explorer.threads import one_thread

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
    revision: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: placement.Device | None = None,
    adapter: str | Path | Mapping[str, str | Path] | None = None,
    quantize: str | None = None,
    attention: str | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    task: str | None = None,
    check: bool = True,
) -> Model:
    """Opens a model.

    What it will take in memory is estimated before anything of it is read, and what does not fit is refused.

    Args:
        source: a sample's name ("smollm2", the default, or "minilm"), a folder, a `.gguf` file, or a Hub id such as
            "Qwen/Qwen2.5-0.5B". A GGUF file is converted once and kept in the cache.
        revision: branch, tag or commit of a Hub id; its main branch by default.
        dtype: of the weights, such as "bfloat16"; by default float32 on a CPU and what the config names
            elsewhere.
        device: such as "cuda"; the CPU by default. "auto" spreads the model over all devices, and the CPU for what
            does not fit; a mapping from modules to devices or "disk" says where each goes.
        adapter: folder or Hub id of an adapter (LoRA, or what else PEFT injects), which is turned on; or several by
            the names they will have, the first of which is turned on. `model.trace(text, adapter=name)` switches.
        quantize: "int8" or "int4" keeps the weights of linear layers in as many bits; `Model.check` then says how
            far the answers are from full precision.
        attention: "sdpa" or "eager", the kernel that plain passes use; by default what transformers chooses.
        trust_remote_code: run Python code that comes with the model, where transformers has no class for it. The
            model's repr names it then. Nothing is ever asked.
        allow_pickle: read weights that are there only as pickles, which can run code too; the repr names it.
        task: "causal", "masked", "seq2seq", "classification", "embedding" or "vision"; by default what the
            config's architecture says.
        check: prove a few layers on a few tokens (see `Model.capabilities`); `Model.check` proves all.

    Raises:
        Refused: the source is unknown, not reachable, too large, damaged, has weights or code that need a word of
            yours; an argument is not one that can be used here; or the model does not pass its check.
    """
    given = dict(locals())
    place = placement.first(device) if placement.spread(device) else torch.device(_device(device or "cpu"))
    if attention not in (None, "sdpa", "eager"):
        raise Refused(f"attention={attention!r} is not 'sdpa' or 'eager'.")
    kind = _dtype(dtype, place)
    found = sources.find(source, revision)
    if found.kind == "gguf":
        found, in_memory, notes = _from_gguf(found, kind)
    else:
        in_memory, notes = None, ()
    pickled = in_memory is None and sources.check_weights(found, allow_pickle)
    options = {**found.options, "trust_remote_code": trust_remote_code}
    spread = device is not None and placement.spread(device)
    where_to: dict[str, Any] = {}
    stored: str | None = None
    if in_memory is not None:
        _check_as_it_is(found.name, notes, quantize=quantize, attention=attention, device=device if spread else None)
    try:
        if in_memory is not None:
            hf, processor = in_memory
        else:
            config = AutoConfig.from_pretrained(found.where, **options)
            loader = getattr(transformers, _LOADERS[_task(task, config)])
            stored = quantising.stored_kind(config)
            form = quantising.options(quantize, kind, config)
            quantising.check_known(stored, found.name)
            asked = fitting.Opening(kind, device if spread and device is not None else place, quantize)
            fitting.check(
                found.name,
                _estimate(found, config, pickled),
                asked,
                functools.partial(_shape, loader, config),
                quantisable=stored is None,
            )
            where_to = placement.options(device) if spread and device is not None else {}
            if (form or stored) and not where_to:
                where_to = {"device_map": {"": place}}
            more = {**form, **where_to, **({} if attention is None else {"attn_implementation": attention})}
            with _no_bar_for(found.where):
                hf = loader.from_pretrained(
                    found.where, config=config, dtype=kind, use_safetensors=not pickled, **options, **more
                )
            processor = _processor(found.where, config, options)
            if found.commit:  # what it would be called had the Hub answered
                hf.config._name_or_path, hf.config._commit_hash = found.name, found.commit
    except Refused:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError, UnpicklingError) as error:
        raise _unopened(found, error, stored) from error
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    placement.own(hf, where_to)
    quantising.settled(hf)
    if quantize is not None:
        quantising.check_something_was(hf, quantize, found.title)
    hf = hf if where_to else hf.to(place)
    with one_thread(hf):
        model = Model(hf, processor, found.title, ("weights unpickled",) if pickled else ())
        model.origin = origins.call(load, given)
        if quantize is not None:
            model.reopen = lambda: loader.from_pretrained(
                found.where, dtype=kind, use_safetensors=not pickled, **options
            ).to(place)
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
    with one_thread(model):
        return _opened(Model(model, tokenizer_or_processor, Path(name).name), check)


def _adapters(adapter: str | Path | Mapping[str, str | Path] | None) -> dict[str, str | Path]:
    if adapter is None:
        return {}
    return dict(adapter) if isinstance(adapter, Mapping) else {adapter_files.default_name(adapter): adapter}


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


def _from_gguf(found: Source, dtype: torch.dtype | str) -> tuple[Source, Any, tuple[str, ...]]:
    """The folder a GGUF file was converted to, or the model and its tokenizer where it could not be kept."""
    from explorer.gguf_files import converted

    kept = converted(
        Path(found.where),
        dtype if isinstance(dtype, str) else str(dtype).removeprefix("torch."),
        allow=lambda header: fitting.check(
            found.name,
            estimates.Estimate(header.count, header.count * getattr(torch, header.exact).itemsize),
            fitting.Opening(dtype, torch.device("cpu")),  # where it is converted
        ),
        say=lambda sentence: print(sentence, file=sys.stderr, flush=True),
    )
    if kept.folder is None:
        return found, (kept.hf, kept.tokenizer), kept.notes
    files = {path.name: path.stat().st_size for path in kept.folder.iterdir()}
    return replace(found, where=str(kept.folder), files=files), None, kept.notes


def _estimate(found: Source, config: Any, pickled: bool) -> estimates.Estimate:
    """What the model holds: exactly, where its files are here; else from their sizes."""
    sizes, folder = found.weights(pickled=pickled), Path(found.where)
    if folder.is_dir() and not pickled:
        return estimates.of_safetensors([folder / name for name in sizes])
    return estimates.of_sizes(sizes, getattr(config, "dtype", None))


def _check_as_it_is(name: str, notes: tuple[str, ...], **asked: object) -> None:
    """Refuses what transformers does only while it reads safetensors, for a GGUF file that could not be kept."""
    given = ", ".join(f"{argument}={value!r}" for argument, value in asked.items() if value is not None)
    if given:
        raise Refused(f"{given} needs source={name!r} converted and kept as safetensors, and it is not. {notes[-1]}")


def _shape(loader: Any, config: Any) -> fitting.Shape | None:
    """The model's shape; None where code that came with it would have to run for that."""
    if getattr(config, "auto_map", None):
        return None
    return fitting.shape_of(loader.from_config, config)


def _unopened(found: Source, error: BaseException, stored: str | None) -> Refused:
    if "trust_remote_code" in str(error):
        return Refused(
            f"source={found.name!r} needs Python code that comes with the model, which is never run unasked. Read that "
            "code, and if you trust it pass trust_remote_code=True (with revision= set to the commit you read)."
        )
    what = "" if stored is None else f"is quantised with {stored!r} and "
    return Refused(f"source={found.name!r} {what}could not be opened: {_first_sentence(error)}")


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


def _device(device: Any) -> torch.device:
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise Refused(f"device={str(device)!r} cannot be used here: {_first_sentence(error)}") from error
    return place


def _first_sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
