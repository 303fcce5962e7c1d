"""GGUF files: read once with transformers, dequantised, and kept as safetensors."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from explorer import cache
from explorer.cache_entries import make_room
from explorer.errors import Refused
from explorer.gguf_config import complete
from explorer.gguf_header import Header, read_header
from explorer.gguf_tokenizer import rebuilt

# Raised when the way a file is converted changes, so that older folders are left alone and made anew.
_LAYOUT = 1
# What transformers calls otherwise than the files do.
_RENAMED = {"qwen2moe", "qwen3moe", "gpt-oss", "minimax-m2"}
_ENCODER_DECODERS = ("t5", "umt5")
# Factors of the rotary positions: part of the config, not of the weights.
_NOT_WEIGHTS = ("rope_freqs.", "rope_factors_")


@dataclass(frozen=True)
class Converted:
    """A GGUF file as transformers can use it.

    Attributes:
        folder: where it is kept as safetensors; None where it could not be kept.
        hf: the model itself, where it could not be kept.
        tokenizer: its tokenizer, where it could not be kept.
        notes: what a reader should know, such as a tokenizer that was taken from elsewhere.
    """

    folder: Path | None
    hf: Any = None
    tokenizer: Any = None
    notes: tuple[str, ...] = ()


def converted(file: Path, dtype: str, allow: Callable[[Header], None], say: Callable[[str], None]) -> Converted:
    """The safetensors folder of a GGUF file, made where the cache has none yet.

    Where the cache cannot be written, is full or too small, the model is read without being kept.

    Args:
        file: the `.gguf` file.
        dtype: of the weights, such as "float32"; "auto" for the one that holds the file's values without rounding.
        allow: is shown the head of the file, and refuses what is too large.
        say: called with one sentence before the conversion.

    Raises:
        Refused: the file is damaged, or of an architecture or a kind of quantisation that cannot be read.
    """
    known = _remembered(file)
    if known is not None:  # an unchanged file: what it was converted to is opened without reading it
        target = _target(file, known, dtype)
        if cache.verify(target):
            return Converted(target, notes=_notes(target))
    state = _state(file)  # before it is read: a change meanwhile is noticed the next time
    header = read_header(file)
    check_architecture(header)
    allow(header)
    known = known or _remember(header, state)
    sha256, kept_as, target = known["sha256"], _kept_as(known, dtype), _target(file, known, dtype)
    if cache.verify(target):
        return Converted(target, notes=_notes(target))
    origin = {"model": file.stem, "file": str(file.resolve()), "sha256": sha256, "dtype": kept_as}
    read: tuple[Any, Any, list[str]] | None = None
    try:
        with cache.lock(target):
            if cache.verify(target):  # another process made it while this one waited
                return Converted(target, notes=_notes(target))
            make_room(header.count * _dtype(kept_as).itemsize)
            say(f"Converting {file.name} to safetensors (once) ...")
            read = _read(header, kept_as)
            hf, tokenizer, notes = read
            with cache.building(target, {**origin, "notes": "\n".join(notes)}) as place:
                _store(hf, tokenizer, place, file.stem)
            return Converted(target, notes=tuple(notes))
    except cache.NotKept as error:
        hf, tokenizer, notes = read or _read(header, kept_as)
        return Converted(None, hf, tokenizer, (*notes, f"The converted file is not kept: {error}"))


def convert(file: Path, folder: Path, *, name: str) -> None:
    """Writes the model and the tokenizer of a GGUF file into a folder that transformers can load.

    Args:
        file: the `.gguf` file.
        folder: where config, float32 safetensors and tokenizer go.
        name: the model's name, kept in the config.
    """
    hf, tokenizer, _ = _read(read_header(file), "float32")
    _store(hf, tokenizer, folder, name)


def check_architecture(header: Header) -> None:
    """Refuses an architecture that transformers does not read from GGUF files."""
    from transformers.integrations.gguf.gguf_config_mapping import GGUF_CONFIG_ARCHS
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    known = {*GGUF_CONFIG_ARCHS, *GGUF_SUPPORTED_ARCHITECTURES, *_RENAMED} - {"general", "tokenizer"}
    if header.architecture not in known:
        raise Refused(
            f"source={str(header.file)!r} is of the architecture {header.architecture!r}, which transformers "
            f"{transformers.__version__} does not read from GGUF files (it reads {', '.join(sorted(known))}); open the "
            "original model instead."
        )


def _read(header: Header, dtype: str) -> tuple[Any, Any, list[str]]:
    options: dict[str, Any] = {"gguf_file": header.file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer, notes = rebuilt(header)
        config = AutoConfig.from_pretrained(header.file.parent, **options)
        complete(config, header)
        loader: Any = AutoModelForSeq2SeqLM if header.architecture in _ENCODER_DECODERS else AutoModelForCausalLM
        hf, loading = loader.from_pretrained(
            header.file.parent, config=config, dtype=_dtype(dtype), output_loading_info=True, **options
        )
    except Refused:
        raise
    except Exception as error:
        raise Refused(
            f"source={str(header.file)!r} could not be read by transformers {transformers.__version__} "
            f"({type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'})."
        ) from error
    _check_whole(hf, header, sorted(loading["missing_keys"]))
    # The weights are plain now; transformers would still refuse to save what was read from a GGUF.
    setattr(hf, "hf_quantizer", None)  # noqa: B010 - torch's stubs allow only modules as attributes
    setattr(hf, "is_quantized", False)  # noqa: B010
    with contextlib.suppress(AttributeError):
        del hf.config.quantization_config
    return hf, tokenizer, notes


def _check_whole(hf: Any, header: Header, missing: list[str]) -> None:
    """transformers leaves weights it misses random, and passes over what it does not know, without an error."""
    if missing:
        raise Refused(
            f"source={str(header.file)!r} lacks {len(missing)} of the model's weights, {missing[0]} first; the file is "
            "incomplete or of a variant that transformers does not read. Open the original model instead."
        )
    if header.architecture.startswith(("qwen35", "lfm2")):  # they leave out the block that predicts further tokens
        return
    tied = getattr(hf.config, "tie_word_embeddings", False)
    given = sum(
        tensor.count
        for tensor in header.tensors
        if not tensor.name.startswith(_NOT_WEIGHTS) and not (tied and tensor.name == "output.weight")
    )
    taken = sum({tensor.data_ptr(): tensor.numel() for tensor in hf.state_dict().values()}.values())
    if given != taken:
        raise Refused(
            f"source={str(header.file)!r} has {given:,} weights and transformers' {type(hf).__name__} took {taken:,}: "
            "the model is of a variant that transformers does not read from GGUF. Open the original model instead."
        )


def _store(hf: Any, tokenizer: Any, folder: Path, name: str) -> None:
    hf.config._name_or_path = name
    hf.config.architectures = [type(hf).__name__]
    hf.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes private files; a class shares one cache


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name)
    assert isinstance(found, torch.dtype)  # load has checked it
    return found


def _notes(target: Path) -> tuple[str, ...]:
    return tuple(line for line in cache.origin(target).get("notes", "").splitlines() if line)


def _kept_as(known: dict[str, str], dtype: str) -> str:
    return known["exact"] if dtype == "auto" else dtype


def _target(file: Path, known: dict[str, str], dtype: str) -> Path:
    return cache.root() / "gguf" / f"{file.stem}-{known['sha256'][:12]}-{_kept_as(known, dtype)}-{_LAYOUT}"


def _remembered(file: Path) -> dict[str, str] | None:
    """A file's hash and exact type, as long as its size, time and place on the disk stay as they were."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(_memory(file).read_text("utf-8"))
        if all(found[key] == value for key, value in _state(file).items()):
            return {"sha256": str(found["sha256"]), "exact": str(found["exact"])}
    return None


def _remember(header: Header, state: dict[str, int | str]) -> dict[str, str]:
    memory = _memory(header.file)
    known = {"sha256": cache.sha256(header.file), "exact": header.exact}
    with contextlib.suppress(OSError):  # a cache that cannot be written costs the hash again, no more
        memory.parent.mkdir(parents=True, exist_ok=True)
        scratch = memory.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps({**state, **known}), "utf-8")
        scratch.replace(memory)
    return known


def _state(file: Path) -> dict[str, int | str]:
    status = file.stat()
    resolved = str(file.resolve())
    return {"size": status.st_size, "time": status.st_mtime_ns, "inode": status.st_ino, "file": resolved}


def _memory(file: Path) -> Path:
    name = hashlib.sha256(str(file.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return cache.root() / "gguf" / ".hashes" / f"{name}.json"
