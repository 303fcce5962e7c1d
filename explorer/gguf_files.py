"""GGUF files: read once with transformers, dequantised, and kept as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def convert(file: Path, folder: Path, *, name: str) -> None:
    """Writes the model and the tokenizer of a GGUF file into a folder that transformers can load.

    Args:
        file: the `.gguf` file.
        folder: where config, float32 safetensors and tokenizer go.
        name: the model's name, kept in the config.
    """
    options: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **options)
    model = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **options)
    _restore_pre_tokenizer(tokenizer, _pre_tokenizer_name(file))
    # The weights are plain float32 now; transformers would still refuse to save what was read from a GGUF.
    setattr(model, "hf_quantizer", None)  # noqa: B010 - torch's stubs allow only modules as attributes
    setattr(model, "is_quantized", False)  # noqa: B010
    del model.config.quantization_config
    model.config._name_or_path = name
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes private files; a class shares one cache


def _pre_tokenizer_name(file: Path) -> str | None:
    from gguf import GGUFReader

    field = GGUFReader(file).get_field("tokenizer.ggml.pre")
    return None if field is None else str(field.contents())


def _restore_pre_tokenizer(tokenizer: Any, name: str | None) -> None:
    """Puts back what transformers drops: the file names how text is split before byte pairs are merged.

    "smollm" splits digits one by one and then as GPT-2 does (llama.cpp, `LLAMA_VOCAB_PRE_TYPE_SMOLLM`).
    """
    if name != "smollm":
        return
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
