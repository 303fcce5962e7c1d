"""The settings that turn logits into a choice; `explorer.sampling` applies them."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from explorer.errors import Refused

if TYPE_CHECKING:
    from transformers import LogitsProcessor, LogitsProcessorList

# A seed must survive the way through a browser, whose whole numbers are exact up to 2**53.
_SEEDS = 2**53


@dataclass(frozen=True)
class Sampling:
    """Settings that turn logits into a choice.

    Attributes:
        temperature: divides the logits. 1 leaves them; 0 is greedy: the likeliest token, the lowest id on a tie,
            and no other filter has anything to cut; a huge one makes all tokens nearly equally likely.
        top_k: keeps the k likeliest tokens and those that tie with the last of them. 0 is off; more than the
            vocabulary cuts nothing.
        top_p: keeps the smallest set of likeliest tokens that holds this share of the probability. 1 is off; 0
            keeps only the likeliest token.
        min_p: keeps tokens at least this share as likely as the likeliest one. 0 is off.
        repetition_penalty: divides the positive logits of tokens that are there already, the prompt's included,
            and multiplies their negative ones. 1 is off; below 1 repetition is encouraged.
        seed: where sampling starts; None takes a new one each time.

    Raises:
        TypeError: a value of another type than stated, bool included.
        Refused: a value outside its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__  # the dataclass is frozen; numbers are brought to the stated types once
        set_(self, "temperature", number("temperature", self.temperature, "0 (greedy) or any positive number"))
        set_(self, "top_k", whole_number("top_k", self.top_k, "0 (off) or any positive whole number"))
        set_(self, "top_p", number("top_p", self.top_p, "between 0 and 1 (off)", most=1.0))
        set_(self, "min_p", number("min_p", self.min_p, "between 0 (off) and 1", most=1.0))
        allowed = "positive; 1 is off"
        set_(self, "repetition_penalty", number("repetition_penalty", self.repetition_penalty, allowed))
        if self.repetition_penalty == 0:
            raise Refused(f"repetition_penalty=0 cannot be used: it must be {allowed}.")
        if self.seed is not None:
            allowed = f"None or a whole number from 0 to {_SEEDS - 1}"
            set_(self, "seed", whole_number("seed", self.seed, allowed, most=_SEEDS - 1))

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0

    def processors(self) -> LogitsProcessorList:
        """transformers' own processors for these settings, in `generate()`'s order.

        A greedy setting has the repetition penalty only, as `generate(do_sample=False)` does: the caller takes the
        likeliest token of what they return.
        """
        from transformers import LogitsProcessorList

        return LogitsProcessorList([processor for _, processor in self.stages()])

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Sampling:
        """Settings from plain values; what is not named keeps its default.

        Raises:
            TypeError: `values` is not a mapping, names something that is no setting, or a value has a wrong type.
            Refused: a value outside its range.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"settings is a {type(values).__name__}; a mapping of names to values is needed.")
        known = [item.name for item in fields(cls)]
        unknown = [name for name in values if name not in known]
        if unknown:
            raise TypeError(f"settings names {unknown[0]!r}, which is none of {', '.join(known)}.")
        return cls(**values)

    def stages(self) -> Iterator[tuple[str, LogitsProcessor]]:
        """Setting name and processor, of the settings that are on, in order."""
        from transformers import (
            MinPLogitsWarper,
            RepetitionPenaltyLogitsProcessor,
            TemperatureLogitsWarper,
            TopKLogitsWarper,
            TopPLogitsWarper,
        )

        if self.repetition_penalty != 1.0:
            yield "repetition_penalty", RepetitionPenaltyLogitsProcessor(self.repetition_penalty)
        if self.greedy:
            return
        if self.temperature != 1.0:
            yield "temperature", TemperatureLogitsWarper(self.temperature)
        if self.top_k:
            yield "top_k", TopKLogitsWarper(self.top_k)
        if self.top_p < 1.0:
            yield "top_p", TopPLogitsWarper(self.top_p)
        if self.min_p:
            yield "min_p", MinPLogitsWarper(self.min_p)


def number(name: str, value: Any, allowed: str, most: float = math.inf) -> float:
    """`value` as a finite float from 0 to `most`; `allowed` says in the error what may be given."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; a number is needed: {allowed}.")
    try:
        real = float(value)
    except OverflowError:
        real = math.inf
    if not (0 <= real <= most and math.isfinite(real)):
        raise Refused(f"{name}={value} cannot be used: it must be {allowed}.")
    return real


def whole_number(name: str, value: Any, allowed: str, least: int = 0, most: int | None = None) -> int:
    """`value` as an int from `least` to `most`; `allowed` says in the error what may be given."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; a whole number is needed: {allowed}.")
    whole = int(value)
    if whole < least or (most is not None and whole > most):
        raise Refused(f"{name}={value} cannot be used: it must be {allowed}.")
    return whole
