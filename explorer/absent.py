"""What stands in a model's place where there is none: its facts, and a reason for everything else."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import torch
from torch import Tensor

from explorer.anatomy import Anatomy, Heads
from explorer.capability import Capabilities, capabilities_of
from explorer.errors import Refused
from explorer.note import Note

if TYPE_CHECKING:
    from explorer.plans import Recording
    from explorer.tokens import Labels


# What needs the weights; the last four can be stored in a saved trace, under these names.
Need = Literal["passes", "new_tokens", "gradients", "logits", "patterns", "head_out", "lens"]
NEEDS: dict[Need, str] = {
    "passes": "This and all that runs a pass",
    "new_tokens": "New tokens",
    "gradients": "The gradients of attribution",
    "logits": "The logits of earlier positions",
    "patterns": "Attention weights of this family",
    "head_out": "The parts of single heads",
    "lens": "Rows of the lens",
}
_STORED: tuple[Need, ...] = ("logits", "patterns", "head_out", "lens")


class AbsentModel:
    """Stands for the model of a trace that was opened without it: knows its facts and has none of its weights.

    Attributes:
        name: what people call it.
        anatomy: what it is made of.
        tokenizer: what the tokens are called that the file names, or None.
        capabilities: what it could be asked for.
        vocabulary: how many token ids it could be given.
        dtype: of its weights, such as "float32".
        device: where the trace's tensors are.
        lock: held by nobody else.
    """

    def __init__(self, name: str, anatomy: Anatomy, tokenizer: Labels | None, vocabulary: int, dtype: str) -> None:
        self.name = name
        self.anatomy = anatomy
        self.tokenizer = tokenizer
        self.capabilities: Capabilities = capabilities_of(anatomy, checked=False)
        self.vocabulary = vocabulary
        self.dtype = dtype
        self.device = torch.device("cpu")
        self.lock = threading.RLock()

    @property
    def context(self) -> int | None:
        """The longest input in tokens, or None where the config sets no limit."""
        return self.anatomy.context

    def logits_of(self, _seen: Recording, _pass_logits: Tensor | None, _rows: Sequence[int] | None = None) -> Tensor:
        """Refuses."""
        self.refuse("logits")

    def replay(self, _heads: Heads, _received: Any) -> Tensor:
        """Refuses."""
        self.refuse("patterns")

    def head_parts(self, _attention: Heads, _given: Tensor, _chosen: Sequence[int], *, moved: bool) -> Tensor:
        """Refuses."""
        self.refuse("head_out")

    def refuse(self, what: Need) -> NoReturn:
        """Raises `Refused` with the ways to have what is missing."""
        include = what if what in _STORED else ""
        stored = f"save it with include=[{include!r}], or " if include else ""
        sentence = (
            f"{NEEDS[what]} need the weights of {self.name}, and this is a saved trace without its model; {stored}"
            "open it with explorer.open_trace(path, model=...)."
        )
        raise Refused(Note("needs_weights", sentence, what=what, include=include, model=self.name))

    def __repr__(self) -> str:
        return f"AbsentModel({self.name}, {self.dtype}, {self.anatomy!r})"
