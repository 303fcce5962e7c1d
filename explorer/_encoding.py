"""Running a tokenizer on one text without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any

# The settings of a `tokenizers` pipeline are one per tokenizer, and every call of it writes them.
_lock = RLock()


@dataclass(frozen=True)
class Encoded:
    """A tokenised text.

    Attributes:
        ids: the token ids.
        offsets: per token, begin and end in the text in code points; None where the tokenizer cannot say.
        typed: per token, whether it comes from the text (False: the tokenizer added it, as with [CLS]).
    """

    ids: list[int]
    offsets: list[tuple[int, int]] | None
    typed: list[bool]


def encode(tokenizer: Any, text: str, *, add_special_tokens: bool = True, literal: bool = False) -> Encoded:
    """Tokenises `text`, never cut and never padded, whatever the tokenizer's own settings are.

    Args:
        tokenizer: a transformers tokenizer; it has the same settings after the call.
        text: well-formed text.
        add_special_tokens: let the tokenizer add the special tokens it was trained with.
        literal: read the names of special tokens in the text as plain characters.
    """
    options: dict[str, Any] = {"add_special_tokens": add_special_tokens, "verbose": False}
    if literal:  # passed only when asked for: some tokenizers refuse to hear the word
        options["split_special_tokens"] = True
    if not getattr(tokenizer, "is_fast", False):
        ids = _ids(tokenizer(text, **options))
        return Encoded(ids, None, _within(ids, _ids(tokenizer(text, **options | {"add_special_tokens": False}))))
    with _lock, _settings_kept(tokenizer.backend_tokenizer):
        result = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True, **options)
    offsets = [(int(begin), int(end)) for begin, end in result["offset_mapping"]]
    return Encoded(_ids(result), offsets, [not added for added in result["special_tokens_mask"]])


def _ids(result: Any) -> list[int]:
    return [int(id) for id in result["input_ids"]]


def _within(ids: Sequence[int], inner: Sequence[int]) -> list[bool]:
    """Per id of `ids`, whether it belongs to the run `inner`; all of them where there is no such run."""
    for begin in range(len(ids) - len(inner) + 1):
        if list(ids[begin : begin + len(inner)]) == list(inner):
            return [begin <= index < begin + len(inner) for index in range(len(ids))]
    return [True] * len(ids)


@contextmanager
def _settings_kept(backend: Any) -> Iterator[None]:
    truncation, padding, split = backend.truncation, backend.padding, backend.encode_special_tokens
    try:
        yield
    finally:
        backend.encode_special_tokens = split
        if truncation is not None:
            backend.enable_truncation(**truncation)
        if padding is not None:
            backend.enable_padding(**padding)
