"""What was explored before, for undo and redo."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

State = Mapping[str, Any]

# Typing and dragging change one thing many times; what follows within this many seconds belongs to one step.
_ONE_STEP_SECONDS = 1.0
_LONGEST = 200


class History:
    """States in the order in which they were left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._past: list[State] = []
        self._future: list[State] = []
        self._last: tuple[str, float] | None = None

    @property
    def past(self) -> int:
        """How many steps can be undone."""
        return len(self._past)

    @property
    def future(self) -> int:
        """How many steps can be done again."""
        return len(self._future)

    def left(self, before: State, name: str) -> None:
        """Remembers the state before `name` was changed, unless the same was changed a moment ago."""
        now = self._clock()
        same_step = self._last is not None and self._last[0] == name and now - self._last[1] < _ONE_STEP_SECONDS
        self._last = (name, now)
        self._future.clear()
        if not same_step:
            self._past = [*self._past[-_LONGEST + 1 :], before]

    def back(self, present: State) -> State | None:
        """The state before this one, None where there is none."""
        return self._move(self._past, self._future, present)

    def forward(self, present: State) -> State | None:
        """The state that was undone last, None where there is none."""
        return self._move(self._future, self._past, present)

    def _move(self, origin: list[State], other: list[State], present: State) -> State | None:
        self._last = None
        if not origin:
            return None
        other.append(present)
        return origin.pop()
