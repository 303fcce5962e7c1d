"""What was shown before, kept to be compared with what is shown now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from explorer import Sampling
from explorer.edits import Edit
from widgets.edits import to_wire


@dataclass(frozen=True, eq=False)
class Pinned:
    """The state and the pictures of an exploration at one moment, kept without running anything.

    Attributes:
        state: all of the exploration's state then, by the names of its traits.
        shown: what panels showed, as Python reads it: under "sampling" the `NextToken`, which can be read under any
            settings; under "attribution" the `Attribution` of each method that was ready. The picture of a panel that
            was still computing it joins when it is there, unless something else was asked meanwhile.
    """

    state: Mapping[str, Any]
    shown: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    _tokens: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    _pictures: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @property
    def text(self) -> str:
        """The prompt."""
        return str(self.state["text"])

    @property
    def edits(self) -> tuple[Edit, ...]:
        """How the passes were changed."""
        edits: tuple[Edit, ...] = self.state["edits"]
        return edits

    @property
    def sampling(self) -> Sampling:
        """The sampling settings."""
        return Sampling.from_dict(self.state["settings"])

    def lacks(self, name: str, _shown: Any, picture: Mapping[str, Any]) -> bool:
        """Whether a picture is not there yet, or is the one that is there with more in it."""
        known = self._pictures.get(name)
        return known is None or known["request"] == picture["request"]

    def joined(self, name: str, shown: Any, picture: Mapping[str, Any]) -> Pinned:
        """The same with one more picture.

        Args:
            name: of the panel's kind.
            shown: what it shows, for Python.
            picture: what its browser side draws it from.
        """
        return replace(
            self,
            shown=MappingProxyType({**self.shown, name: shown}),
            _pictures=MappingProxyType({**self._pictures, name: MappingProxyType(dict(picture))}),
        )

    def to_wire(self) -> dict[str, Any]:
        """As it travels to the browser, where nobody changes it: edits in words, pictures as they were drawn from."""
        return {
            "text": self.text,
            "edits": [edit["label"] for edit in to_wire(self.edits)],
            "settings": dict(self.state["settings"]),
            "tokens": [dict(token) for token in self._tokens],
            "pictures": {name: dict(picture) for name, picture in self._pictures.items()},
        }

    def __repr__(self) -> str:
        edits = f", edits={self.edits!r}" if self.edits else ""
        shown = ", ".join(self.shown) or "no picture yet"
        sampling = "" if self.sampling == Sampling() else f", {self.sampling!r}"
        return f"Pinned({self.text[:60]!r}{edits}{sampling}: {shown})"
