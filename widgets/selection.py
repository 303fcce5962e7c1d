"""What is chosen in a picture of attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from explorer import Refused

KINDS = ("attn", "cross_attn")


@dataclass(frozen=True)
class Selection:
    """A layer, its heads and a pair of positions; any field may be None for "none chosen".

    Attributes:
        layer: layer index.
        heads: head indices of that layer.
        query: position that attends.
        key: position that is attended to.
        stack: the run of layers, where a model has several.
        kind: "attn" for self-attention, "cross_attn" for cross-attention.
    """

    layer: int | None = None
    heads: tuple[int, ...] | None = None
    query: int | None = None
    key: int | None = None
    stack: str | None = None
    kind: str = "attn"

    def __post_init__(self) -> None:
        for name in ("layer", "query", "key"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise Refused(f"{name}={value!r} is not an index; use a whole number from 0, or None.")
        if self.heads is not None:
            heads = (self.heads,) if isinstance(self.heads, int) else tuple(self.heads)
            if not heads or any(isinstance(head, bool) or not isinstance(head, int) or head < 0 for head in heads):
                raise Refused(f"heads={self.heads!r} are not head indices; use one or more whole numbers from 0.")
            object.__setattr__(self, "heads", heads)
        if self.kind not in KINDS:
            raise Refused(f"kind={self.kind!r} is no kind of attention; use {' or '.join(map(repr, KINDS))}.")

    def to_wire(self) -> dict[str, Any]:
        """As the front end keeps it."""
        return {**asdict(self), "heads": None if self.heads is None else list(self.heads)}

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> Selection:
        """From what the front end wrote.

        Raises:
            Refused: it is no selection.
        """
        if not isinstance(value, Mapping) or not isinstance(value.get("heads"), list | None):
            raise Refused(f"selection={value!r} is none: it has a layer, a list of heads, a query and a key.")
        heads = value.get("heads")
        known = {name: value.get(name) for name in ("layer", "query", "key", "stack")}
        return cls(heads=None if heads is None else tuple(heads), kind=value.get("kind") or "attn", **known)
