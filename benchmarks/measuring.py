"""Times several ways of doing one thing against each other, and says what came out."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Input = TypeVar("Input")


@dataclass(frozen=True)
class Spread:
    """The middle of some measurements and the half of them around it.

    Attributes:
        median: half are smaller.
        low: the lower quartile.
        high: the upper quartile.
        count: how many there were.
    """

    median: float
    low: float
    high: float
    count: int

    def words(self, digits: int = 2) -> str:
        """`0.89 (0.86-0.93)`; the median alone where there was one measurement."""
        middle = f"{self.median:,.{digits}f}"
        return middle if self.count == 1 else f"{middle} ({self.low:,.{digits}f}-{self.high:,.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles; the quartiles are interpolated between the measurements nearest to them.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("values is empty; at least one measurement is needed.")
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(middle, low, high, len(values))


def paired(over: Sequence[float], under: Sequence[float]) -> Spread:
    """The ratios `over` / `under`, round by round: what slows a whole round down leaves its ratio as it is.

    Raises:
        ValueError: the two were not measured in the same rounds.
    """
    return spread([one / other for one, other in zip(over, under, strict=True)])


def seconds(work: Callable[..., object], *given: object) -> float:
    """How long `work(*given)` takes, without the time it takes to free what it returns."""
    started = time.perf_counter()
    result = work(*given)
    taken = time.perf_counter() - started
    del result
    return taken


def in_turns(
    ways: Mapping[str, Callable[[Input], object]], inputs: Callable[[int], Input], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each way in each round.

    All ways of a round are given the same new input. Every other round runs them in the opposite order, so that
    none gains from what ran before it. One round before the first is not counted.

    Args:
        ways: what is compared, by name.
        inputs: the input of a round; round -1 is the one that is not counted.
        rounds: how many rounds count.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1, rounds):
        given = inputs(number)
        order = list(ways) if number % 2 == 0 else list(ways)[::-1]
        for name in order:
            gc.collect()  # or one way would pay for what another left
            once = seconds(ways[name], given)
            if number >= 0:
                taken[name].append(once)
    return taken
