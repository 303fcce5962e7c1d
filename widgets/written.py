"""What a model wrote on from the explored text: its tokens and what its passes recorded, as far as it has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from explorer import Refused, Tokens, Trace
from explorer.note import Note
from widgets import wire

if TYPE_CHECKING:
    from explorer.anatomy import Anatomy
    from explorer.generation import Generation

# Pictures of a text that is being written: at most one in this many seconds, and so much of the time goes to writing.
_BETWEEN_SECONDS = 0.3
_WRITING = 0.75
NOBODY_LOOKED = Note("nobody_looked", "No panel that shows attention was there when this was written; write it again.")


@dataclass(frozen=True, eq=False)
class Written:
    """A text that was written on from a prompt, as it was after some step.

    Attributes:
        generation: what writes it.
        tokens: what was written, without the prompt; one token for each step.
        going: whether more is to come.
        unrecorded: why its attention was not recorded; empty where it was.
    """

    generation: Generation = field(repr=False)
    tokens: Tokens
    going: bool
    unrecorded: str = ""

    def __len__(self) -> int:
        return len(self.tokens)

    def trace(self, step: int | None = None) -> Trace:
        """What was recorded when a step's token was chosen: of the prompt and of what was written before it.

        No pass is run. Only attention can be read, and logits. What was written has the role "written".

        Args:
            step: counted from 0; None for the last.

        Raises:
            Refused: there is no such step, or nothing was recorded.
        """
        if self.unrecorded:
            raise Refused(self.unrecorded)
        step = len(self) - 1 if step is None else step
        trace, prompt = self.generation.trace(step), self.generation.prompt
        trace.tokens.roles = [*(prompt.roles or [""] * len(prompt)), *["written"] * step]
        return trace

    def to_wire(self) -> dict[str, Any]:
        """As it travels to the browser."""
        told: dict[str, Any] = wire.traveling(
            {"tokens": wire.tokens(self.tokens), "going": self.going, "unrecorded": self.unrecorded}
        )
        return told


class Telling:
    """Tells of a text while it is written, seldom enough that writing goes on and nothing waits in a queue."""

    def __init__(
        self,
        generation: Generation,
        tell: Callable[[Written], None],
        unrecorded: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._generation = generation
        self._tell = tell
        self._unrecorded = unrecorded
        self._clock = clock
        self._next = 0.0

    def after_step(self, show: Callable[[], None]) -> None:
        """Tells of the newest step where that is due, and lets panels draw it.

        Args:
            show: draws what waits to be drawn.
        """
        begun = self._clock()
        if begun < self._next:
            show()
            return
        self._tell(self._now(going=True))
        show()
        end = self._clock()
        self._next = max(begun + _BETWEEN_SECONDS, end + (end - begun) * _WRITING / (1 - _WRITING))

    def at_end(self) -> None:
        """Tells of all that was written."""
        if self._generation.steps:
            self._tell(self._now(going=False))

    def _now(self, *, going: bool) -> Written:
        return Written(self._generation, self._generation.tokens, going, self._unrecorded)


def attention_sites(anatomy: Anatomy) -> list[str]:
    """What a generation records so that its attention can be looked at, and nothing else: it grows with every token."""
    return [f"{stack.prefix}layers.*.attn.pattern" for stack in anatomy.stacks]
