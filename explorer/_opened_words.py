"""The words of a saved trace: tokens, labels and edits, and a reader for the tensors that they name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer import edit_json, plain
from explorer._visible import visible
from explorer.edits import Apply, Edit
from explorer.errors import Refused
from explorer.tokens import Kind, Labels, Token, Tokens

_ARGUMENT = re.compile(r"[a-z0-9_]{1,60}")


class Reader:
    """Hands out tensors by what the JSON says of them."""

    def __init__(self, tensors: Mapping[str, Tensor], shown: str, device: torch.device | str) -> None:
        self.shown = shown
        self._tensors = tensors
        self._device = device
        self._used: set[str] = set()

    def tensor(self, said: Any, where: str, *axes: int, integers: bool = False) -> Tensor:
        """A tensor of floating (or, if asked, whole) numbers, with one of the given counts of axes."""
        name, order = said.get("tensor") if isinstance(said, Mapping) else None, None
        if isinstance(name, str) and name in self._tensors and set(said) <= {"tensor", "order"}:
            self._used.add(name)
            tensor = self._tensors[name]
            if "order" in said:
                order = plain.decoded(tuple[int, ...], said["order"], f"{self.shown}: {where}")
                if sorted(order) != list(range(tensor.dim())):
                    raise Refused(f"{self.shown}: {where} has its axes in no order that there is.")
                tensor = tensor.permute([order.index(axis) for axis in range(tensor.dim())])
            fits = tensor.dtype == torch.int64 if integers else tensor.is_floating_point()
            if axes and (tensor.dim() not in axes or not fits):
                raise self.wrong(where, tensor)
            return tensor.to(self._device)
        raise Refused(f"{self.shown}: {where} names no tensor of the file.")

    def wrong(self, where: str, tensor: Tensor) -> Refused:
        """What to raise for a tensor that cannot be what the file says it is."""
        shape = tuple(tensor.shape)
        return Refused(
            f"{self.shown}: {where} cannot be a tensor {shape} of {str(tensor.dtype).removeprefix('torch.')}."
        )

    def finish(self) -> None:
        """Refuses tensors that nothing refers to."""
        left = sorted(set(self._tensors) - self._used)
        if left:
            raise Refused(f"{self.shown} holds {len(left)} tensors that belong to nothing, such as {left[0]}.")


def named(words: Mapping[str, Any], name: str, reader: Reader) -> dict[str, Tensor]:
    found = {}
    for key, said in plain.mapping(words[name], f"{reader.shown}: {name}").items():
        if _ARGUMENT.fullmatch(key) is None and name == "arguments":
            raise Refused(f"{reader.shown}: {name} holds {ascii(key)[:60]}, which is no argument's name.")
        found[key] = reader.tensor(said, f"{name} {ascii(key)[:60]}")
    return found


def texts_of(words: Mapping[str, Any], name: str, reader: Reader) -> tuple[Tokens, ...]:
    texts = plain.listed(words[name], f"{reader.shown}: {name}")
    return tuple(_tokens(said, f"{name}[{number}]", reader) for number, said in enumerate(texts))


def _tokens(said: Any, where: str, reader: Reader) -> Tokens:
    at = f"{reader.shown}: {where}"
    plain.mapping(said, at, known=("numbers", "texts", "kinds", "text", "source", "notes"))
    numbers = reader.tensor(said["numbers"], where, 2, integers=True)
    texts, kinds = _shown(said, at)
    # Files of the first releases do not say where tokens stand in the text.
    if numbers.shape not in ((len(texts), 4), (len(texts), 6)):
        raise reader.wrong(where, numbers)
    tokens = [
        Token(id, text, kind, group, part, parts)
        for (id, group, part, parts), text, kind in zip(numbers[:, :4].tolist(), texts, kinds, strict=True)
    ]
    begin = group = 0
    while begin < len(tokens):  # as `Tokens.groups` walks them: a size of 0 would never end
        size = tokens[begin].parts
        run = tokens[begin : begin + size]
        if not 1 <= size == len(run) or [(t.group, t.part, t.parts) for t in run] != [
            (group, part, size) for part in range(1, size + 1)
        ]:
            raise Refused(f"{at} has tokens that form no groups.")
        begin, group = begin + size, group + 1
    if any(token.id < 0 for token in tokens):
        raise Refused(f"{at} holds a negative token id.")
    source: str | None = plain.decoded(str | None, said["source"], at)
    notes: tuple[str, ...] = plain.decoded(tuple[str, ...], said["notes"], at)
    text: str = plain.decoded(str, said["text"], at)
    return Tokens(tokens, text, source=source, notes=notes, places=_places(numbers, len(text), at))


def _places(numbers: Tensor, length: int, at: str) -> list[tuple[int, int] | None] | None:
    if numbers.shape[1] == 4 or (len(numbers) and bool((numbers[:, 4:] < 0).all())):
        return None
    places = numbers[:, 4:].tolist()
    if not all((begin, end) == (-1, -1) or 0 <= begin <= end <= length for begin, end in places):
        raise Refused(f"{at} has tokens that stand outside of its text.")
    return [None if begin < 0 else (begin, end) for begin, end in places]


def _shown(said: Mapping[str, Any], at: str) -> tuple[list[str], tuple[Kind, ...]]:
    """Texts, safe to show whoever wrote the file, and kinds of tokens."""
    texts: tuple[str, ...] = plain.decoded(tuple[str, ...], said["texts"], at)
    kinds: tuple[Kind, ...] = plain.decoded(tuple[Kind, ...], said["kinds"], at)
    if len(texts) != len(kinds):
        raise Refused(f"{at} has {len(texts)} texts and {len(kinds)} kinds of tokens.")
    return [visible(text) for text in texts], kinds


def check_ids(
    arguments: Mapping[str, Tensor], batch: Sequence[Tokens], decoder: Sequence[Tokens], reader: Reader
) -> None:
    for name, texts in (("input_ids", batch), ("decoder_input_ids", decoder)):
        ids = arguments.get(name)
        if not texts and ids is None:
            continue
        rows = [] if ids is None or ids.dim() != 2 else ids.tolist()
        longest = max(map(len, texts), default=0)
        if [row[: len(text)] for row, text in zip(rows, texts, strict=False)] != [text.ids for text in texts] or any(
            len(row) != longest for row in rows
        ):
            raise Refused(f"{reader.shown}: {name} are not the ids of its tokens.")


def labels_of(words: Mapping[str, Any], reader: Reader) -> Labels | None:
    said = words["labels"]
    if said is None:
        return None
    at = f"{reader.shown}: labels"
    plain.mapping(said, at, known=("ids", "texts", "kinds"))
    texts, kinds = _shown(said, at)
    ids = reader.tensor(said["ids"], "labels", 1, integers=True)
    if len(ids) != len(texts):
        raise reader.wrong("labels", ids)
    return Labels(Token(id, text, kind) for id, text, kind in zip(ids.tolist(), texts, kinds, strict=True))


@dataclass(frozen=True)
class _NotHere:
    """Stands for a function that an edit held; functions do not travel."""

    words: str

    def __call__(self, _value: Tensor) -> Tensor:
        raise Refused(f"{self.words} held a function or a trace, which did not travel with the file.")

    def __repr__(self) -> str:
        return self.words


def edits_of(words: Mapping[str, Any], reader: Reader) -> tuple[Edit, ...]:
    tensors = named(words, "edit_tensors", reader)
    found: list[Edit] = []
    for said in plain.listed(words["edits"], f"{reader.shown}: edits"):
        at = f"{reader.shown}: an edit"
        if isinstance(said, Mapping) and said.get("kind") == "Apply":
            plain.mapping(said, at, known=("kind", "site", "words"))
            site, shown = (plain.decoded(str, said[name], at) for name in ("site", "words"))
            found.append(Apply(site, _NotHere(shown)))
        else:
            found += edit_json.from_json([said], tensors)
    return tuple(found)
