"""Saved traces taken apart, changed and put together again, without the code that is attacked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Forgery:
    """A safetensors file in parts.

    Attributes:
        entries: the header's tensors.
        about: the header's own words, of which "trace" is JSON.
        words: that JSON.
        data: what follows the header.
    """

    entries: dict[str, Any]
    about: dict[str, Any]
    words: Any
    data: bytes

    @classmethod
    def of(cls, path: Path) -> Forgery:
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        entries = json.loads(raw[8 : 8 + length])
        about = entries.pop("__metadata__")
        return cls(entries, about, json.loads(about["trace"]), raw[8 + length :])

    def header(self) -> bytes:
        about = {**self.about, "trace": self.words if isinstance(self.words, str) else json.dumps(self.words)}
        return json.dumps({"__metadata__": about, **self.entries}).encode()

    def write(self, path: Path, header: bytes | None = None, length: int | None = None) -> Path:
        """The file; `header` and `length` in place of those that belong to it."""
        text = self.header() if header is None else header
        text += b" " * (-len(text) % 8)
        path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + self.data)
        return path

    def put(self, where: str, value: Any) -> None:
        """Sets a value in the words; `where` names keys and indices, one after another, with slashes."""
        *way, last = where.split("/")
        inner = self.words
        for step in way:
            inner = inner[int(step) if isinstance(inner, list) else step]
        inner[int(last) if isinstance(inner, list) else last] = value

    def add(self, name: str, dtype: str, shape: list[int], data: bytes) -> None:
        """One more tensor at the end."""
        begin = len(self.data)
        self.data += data
        self.entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, len(self.data)]}
