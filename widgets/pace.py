"""How far work is, told often enough to be believed and seldom enough to cost nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

# Whoever waits longer than this wants to know how much longer; what is shown before that only flickers.
_PATIENCE = 1.0
# What the first moments took says little about the rest.
_ENOUGH = 0.5
_BETWEEN = 0.1


class Progress(NamedTuple):
    """What is told of work that takes long.

    Attributes:
        done: from 0 to 1.
        note: what is done now.
        left: seconds that the rest will take at the pace so far; None while that cannot be told.
    """

    done: float
    note: str
    left: float | None


class Pace:
    """What work has said about itself so far.

    Args:
        patient: tell nothing of work that ends within a second.
        clock: gives seconds.
    """

    def __init__(self, patient: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._patient = patient
        self._begun: float | None = None
        self._stage: tuple[str, float, float] | None = None  # its note, and the time and the share at its first word
        self._done = 0.0
        self._told = float("-inf")

    def at(self, done: float, note: str) -> Progress | None:
        """What there is to tell now that work has come so far; None where that can wait.

        Work has stages where its note changes or its share goes back; each is estimated by itself.
        """
        now = self._clock()
        self._begun = now if self._begun is None else self._begun
        stage = self._stage
        if stage is None or stage[0] != note or done < self._done:
            stage = self._stage = (note, now, done)
            self._told = float("-inf")
        self._done = done
        if (self._patient and now - self._begun < _PATIENCE) or now - self._told < _BETWEEN:
            return None
        self._told = now
        taken, share = now - stage[1], done - stage[2]
        left = taken * (1.0 - done) / share if taken >= _ENOUGH and share > 0 else None
        return Progress(done, note, left)


def spoken(seconds: float) -> str:
    """A duration as people say it: "40 seconds", "3 minutes"."""
    for unit, size in (("hour", 3600.0), ("minute", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}s"
    return f"{max(1.0, seconds):.0f} seconds" if seconds >= 1.5 else "1 second"
