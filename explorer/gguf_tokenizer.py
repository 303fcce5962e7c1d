"""The tokenizer of a GGUF file: rebuilt by transformers, put right where it can be, held against the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from explorer.gguf_header import Header

# Rules of splitting that transformers builds from their name, or that are what its byte-level tokenizer does anyway.
_PLAIN = {"gpt-2"}
_ORIGINAL = ("tokenizer.json", "tokenizer.model", "vocab.json")
# Where splitting rules, spaces, digits, scripts and special tokens differ, one of these shows it.
_PROBES = (
    "Hello world! It's a test: don't, we'll see.",
    "  two leading spaces\n\n\tand a tab  ",
    "In 1984, 3.14159 and 1,000,000 were 42nd.",
    "def f(x):\n    return x ** 2  # comment\n",
    "人工智能是计算机科学的一个分支。",
    "Привет, мир! مرحبا بالعالم नमस्ते",
    "🏳️‍🌈 naïve café — “quotes” ½",
    "HTTPServerError_v2 camelCase ALLCAPS",
)


def rebuilt(header: Header) -> tuple[Any, list[str]]:
    """The tokenizer of a GGUF file.

    Where the original tokenizer lies beside the file, or in the Hugging Face cache under the repository that the file
    names as its source, the two are compared, and the original is taken where they differ.

    Returns:
        The tokenizer, and sentences about it that a reader should know.
    """
    from transformers import PreTrainedTokenizerFast
    from transformers.integrations.gguf import gguf_tokenizer_mapping as mapping

    # AutoTokenizer would take a tokenizer.json beside the file instead, without a word.
    architecture, vocabulary, config = mapping.get_gguf_tokenizer(str(header.file))
    backend, _ = mapping.convert_gguf_tokenizer(architecture, vocabulary)
    kind: Any = PreTrainedTokenizerFast
    tokenizer = kind(tokenizer_object=backend, **config)
    rule = header.metadata.get("tokenizer.ggml.pre")
    known = _restore_rule(tokenizer, rule)
    where, original = _original(header)
    if original is not None:
        differing = [text for text in _PROBES if _ids(tokenizer, text) != _ids(original, text)]
        if not differing:
            return tokenizer, []
        return original, [
            f"The tokenizer rebuilt from the file splits {len(differing)} of {len(_PROBES)} texts otherwise than the "
            f"original in {where}; the original is used."
        ]
    if not known and header.metadata.get("tokenizer.ggml.model") == "gpt2":
        return tokenizer, [
            f"The file splits text by the rule {rule!r}, which is not known here: token ids can differ from the "
            "original's. Put the original tokenizer.json beside the file to use that one."
        ]
    return tokenizer, []


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=True)["input_ids"])


def _original(header: Header) -> tuple[str, Any]:
    """Where the original tokenizer lies and itself, if there is one on this machine."""
    from huggingface_hub import try_to_load_from_cache
    from transformers import AutoTokenizer

    place: Path | None = None
    if any((header.file.parent / name).is_file() for name in _ORIGINAL):
        place = header.file.parent
    repository = header.metadata.get("general.source.huggingface.repository") or _repository(
        header.metadata.get("general.source.repo_url") or header.metadata.get("general.source.url")
    )
    if place is None and repository:
        found = try_to_load_from_cache(repository, "tokenizer.json")
        place = Path(found).parent if isinstance(found, str) else None
    if place is None:
        return "", None
    try:
        return str(place), AutoTokenizer.from_pretrained(place, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError):  # one that cannot be read is none to compare with
        return "", None


def _repository(address: str | None) -> str | None:
    """The Hub id in an address such as https://huggingface.co/owner/name."""
    if not address or "huggingface.co/" not in address:
        return None
    parts = address.split("huggingface.co/", 1)[1].strip("/").split("/")
    return "/".join(parts[:2]) if len(parts) >= 2 else None


def _restore_rule(tokenizer: Any, name: str | None) -> bool:
    """Puts back a rule of splitting that transformers drops; says whether the rule is known.

    "smollm" splits digits one by one and then as GPT-2 does (llama.cpp, `LLAMA_VOCAB_PRE_TYPE_SMOLLM`).
    """
    from tokenizers import pre_tokenizers
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    if name == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
            ]
        )
        return True
    return name in _PLAIN or name in GGUF_PRE_TOKENIZER_SPLITS
