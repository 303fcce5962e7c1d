"""What one vocabulary entry stands for, whichever way its tokenizer spells it.

A tokenizer writes its entries in a spelling of its own: GPT-2's kin map every byte to a printable letter (``Ġ`` is a
space, ``ä¸Ń`` is 中), SentencePiece writes spaces as ``▁`` and lone bytes as ``<0xE4>``, WordPiece marks what
continues a word with ``##``. `Pieces` finds the spelling once per tokenizer and turns ids into the bytes they stand
for. It looks at the tokenizer's own decoder, or at how a Python tokenizer spells and joins a few probes, never at a
class or model name.
"""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from explorer._encoding import encode
from explorer._utf8 import unfinished_end

if TYPE_CHECKING:
    from explorer.tokens import Token

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_PROBE = "中"  # three bytes, one of which Latin-1 and the byte-level alphabet spell differently
# What a probe may raise on a tokenizer that does not know the spelling; anything else is a defect worth seeing.
_UNKNOWN_SPELLING = (TypeError, ValueError, KeyError, IndexError, AttributeError, NotImplementedError)


def _byte_level_alphabet() -> dict[str, int]:
    """Letter -> byte of byte-level BPE: printable Latin-1 stands for itself, the other 68 bytes follow U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTE_LEVEL = _byte_level_alphabet()
_LATIN_1 = {chr(byte): byte for byte in range(256)}


@dataclass(frozen=True, slots=True)
class Piece:
    """One vocabulary entry: the bytes it stands for, or the name of a special token."""

    data: bytes
    name: str | None = None  # a special token's name; None for text
    unfinished: bytes = field(init=False)  # the bytes at its end that begin a character without finishing it
    letters: int = field(init=False)  # how many characters it spells by itself, or its name has

    def __post_init__(self) -> None:
        spelt = self.data.decode("utf-8", "replace") if self.name is None else self.name
        object.__setattr__(self, "unfinished", unfinished_end(self.data))
        object.__setattr__(self, "letters", len(spelt))


@dataclass(frozen=True)
class Spelling:
    """How a tokenizer writes its entries. An empty field means that it has no such sign."""

    alphabet: dict[str, int] | None = None  # letter -> byte, where every letter is one byte
    space: str = ""  # the letter that is a space
    byte_fallback: bool = False  # "<0xE4>" is the byte E4
    continuing: str = ""  # prefix of what continues a word
    suffix: str = ""  # what ends a word: the space after it
    decodes: bool = False  # nothing was recognised: ask the tokenizer to decode the entry


class Pieces:
    """The entries of one tokenizer, read once and remembered.

    It holds no reference to the tokenizer, so that it can be dropped together with it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.spelling = _spelling(tokenizer)
        self.special_ids = _special_ids(tokenizer)
        bos = tokenizer.bos_token_id
        #: Whether the tokenizer puts a beginning-of-text token in front by itself.
        self.begins = bos is not None and encode(tokenizer, "").ids[:1] == [bos]
        #: How each entry is labelled by itself, as far as that was asked for.
        self.labels: dict[int, Token] = {}
        added = getattr(tokenizer, "added_tokens_decoder", {})
        self._literal = {int(id): token.content for id, token in added.items()}
        self._known: dict[int, Piece] = {}

    def read(self, tokenizer: Any, ids: Iterable[int]) -> list[Piece]:
        """One `Piece` per id. Ids that the tokenizer does not know come out as a special ``⟨id 151700⟩``."""
        ids = list(ids)
        known = self._known
        missing = [id for id in dict.fromkeys(ids) if id not in known]
        for id, token in zip(missing, _entries(tokenizer, missing), strict=True):
            known[id] = self._piece(tokenizer, id, token)
        return [known[id] for id in ids]

    def names(self, tokenizer: Any) -> list[str]:
        """What the special tokens are called, in the order of their ids."""
        return [piece.name or "" for piece in self.read(tokenizer, sorted(self.special_ids))]

    def _piece(self, tokenizer: Any, id: int, token: str | bytes | None) -> Piece:
        if token is None:
            return Piece(b"", f"⟨id {id}⟩")
        if id in self.special_ids:
            return Piece(b"", token if isinstance(token, str) else token.decode("utf-8", "replace"))
        if isinstance(token, bytes):
            return Piece(token)
        if id in self._literal:
            return Piece(_encode(self._literal[id]))
        spelling = self.spelling
        if spelling.decodes:
            return Piece(_encode(_joined(tokenizer, [token])))
        if spelling.byte_fallback and (match := _BYTE.fullmatch(token)):
            return Piece(bytes([int(match[1], 16)]))
        ended = b" " if spelling.suffix and token.endswith(spelling.suffix) else b""
        token = token.removesuffix(spelling.suffix)
        if spelling.alphabet is not None:
            values = [spelling.alphabet.get(letter) for letter in token]
            data = _encode(token) if None in values else bytes(value for value in values if value is not None)
            return Piece(data + ended)
        if spelling.continuing:
            # The sign says "no space before me", so its absence on a word is read as the space before that word.
            if token.startswith(spelling.continuing) and token != spelling.continuing:
                return Piece(_encode(token.removeprefix(spelling.continuing)))
            return Piece(_encode(" " + token if token[:1].isalnum() else token))
        return Piece(_encode(token.replace(spelling.space, " ") if spelling.space else token) + ended)


_remembered: weakref.WeakKeyDictionary[Any, tuple[tuple[int, ...], Pieces]] = weakref.WeakKeyDictionary()


def pieces_of(tokenizer: Any) -> Pieces:
    """The `Pieces` of `tokenizer`, remembered for as long as it lives and its vocabulary stays the same."""
    state = (_size(tokenizer), *tokenizer.all_special_ids)
    try:
        entry = _remembered.get(tokenizer)
        if entry is None or entry[0] != state:
            entry = _remembered[tokenizer] = (state, Pieces(tokenizer))
    except TypeError:  # an object that cannot be referenced weakly or hashed: correct, only slower
        return Pieces(tokenizer)
    return entry[1]


def _size(tokenizer: Any) -> int:
    """A number that grows when entries are added; a Python tokenizer would build its whole vocabulary to count it."""
    return len(tokenizer if getattr(tokenizer, "is_fast", False) else getattr(tokenizer, "added_tokens_decoder", ()))


def _encode(text: str) -> bytes:
    """UTF-8; a lone surrogate (an entry of a character model) keeps its three bytes and is shown as those."""
    return text.encode("utf-8", "surrogatepass")


def _special_ids(tokenizer: Any) -> frozenset[int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    flagged = {int(id) for id, token in added.items() if getattr(token, "special", False)}
    return frozenset(flagged | {int(id) for id in tokenizer.all_special_ids})


def _entries(tokenizer: Any, ids: list[int]) -> list[str | bytes | None]:
    """The tokenizer's own spelling of each id, None where it has none."""
    if not ids:
        return []
    try:
        return list(tokenizer.convert_ids_to_tokens(ids))
    except (*_UNKNOWN_SPELLING, OverflowError):
        return [_entry(tokenizer, id) for id in ids]


def _entry(tokenizer: Any, id: int) -> str | bytes | None:
    try:
        token: str | bytes | None = tokenizer.convert_ids_to_tokens([id])[0]
    except (*_UNKNOWN_SPELLING, OverflowError):
        return None
    return token


def _joined(tokenizer: Any, tokens: list[str]) -> str:
    try:
        return str(tokenizer.convert_tokens_to_string(tokens))
    except _UNKNOWN_SPELLING:
        return "".join(tokens)


def _spelling(tokenizer: Any) -> Spelling:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return _spelling_of_backend(backend) if backend is not None else _spelling_of_python(tokenizer)


def _spelling_of_backend(backend: Any) -> Spelling:
    """Read from the parts of a `tokenizers` pipeline: its decoder says how entries become text again."""
    decoder, before = _steps(backend.decoder), _steps(backend.pre_tokenizer) + _steps(backend.normalizer)
    kinds = {step["type"] for step in decoder}
    suffix = getattr(backend.model, "end_of_word_suffix", None) or ""
    if "ByteLevel" in kinds or any(step["type"] == "ByteLevel" for step in before):
        return Spelling(alphabet=_BYTE_LEVEL, suffix=suffix)
    if "WordPiece" in kinds or type(backend.model).__name__ == "WordPiece":
        prefix = getattr(backend.model, "continuing_subword_prefix", None)
        return Spelling(continuing=prefix or next((s["prefix"] for s in decoder if "prefix" in s), "##"))
    space = next((s["replacement"] for s in [*decoder, *before] if s["type"] == "Metaspace"), "")
    for step in decoder:
        if step["type"] == "Replace" and step["content"] == " ":
            space = step["pattern"].get("String", space)
    fallback = "ByteFallback" in kinds or bool(getattr(backend.model, "byte_fallback", False))
    return Spelling(space=space, byte_fallback=fallback, suffix=suffix)


def _steps(part: Any) -> list[dict[str, Any]]:
    """The steps of a pipeline part, sequences flattened; empty where there is none."""
    if part is None:
        return []
    try:
        found = [json.loads(part.__getstate__())]
    except _UNKNOWN_SPELLING:  # a part written in Python has no description
        return []
    flat: list[dict[str, Any]] = []
    while found:
        step = found.pop(0)
        inner = next((value for value in step.values() if isinstance(value, list) and step["type"] == "Sequence"), None)
        if inner is None:
            flat.append(step)
        else:
            found[:0] = inner
    return flat


def _spelling_of_python(tokenizer: Any) -> Spelling:
    """Found by what a tokenizer written in Python does with a few probes."""
    alphabet = getattr(tokenizer, "byte_decoder", None)
    if isinstance(alphabet, dict):
        return Spelling(alphabet=dict(alphabet))
    try:
        probe = "".join(tokenizer.tokenize(_PROBE))
    except _UNKNOWN_SPELLING:
        probe = ""
    for known in (_BYTE_LEVEL, _LATIN_1):
        if [known.get(letter) for letter in probe] == list(_PROBE.encode()):
            return Spelling(alphabet=known)
    if _joined(tokenizer, ["▁a", "▁b"]).strip() == "a b":
        return Spelling(space="▁", byte_fallback=_has_byte_entries(tokenizer))
    if _joined(tokenizer, ["a", "##b"]).strip() == "ab":
        return Spelling(continuing="##")
    return Spelling(decodes=True)


def _has_byte_entries(tokenizer: Any) -> bool:
    """Whether ``<0xC3>`` is a byte to this tokenizer: it joins such entries to characters, or its model says so."""
    if _joined(tokenizer, ["<0xC3>", "<0xA9>"]).strip() == "é":
        return True
    model = getattr(tokenizer, "sp_model", None)
    return model is not None and bool(model.is_byte(model.piece_to_id("<0xC3>")))
