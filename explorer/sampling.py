"""From the model's logits to its next token, and what each setting does on the way.

The settings are applied by transformers' own processor classes, in the order in which `generate()` applies them
(`GenerationMixin._get_logits_processor`), to the full row of logits: repetition penalty, temperature, top-k,
top-p, min-p. The distribution of the next token is the softmax of what is left.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explorer._settings import Sampling, whole_number
from explorer.errors import Refused
from explorer.tokens import labels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cut", "Distribution", "NextToken", "Sampling"]

# Below this, logits divided by the temperature leave the range of float32; the limit is known and used instead.
_COLDEST = 1e-20
_SHOWN = 10


@dataclass(frozen=True)
class Cut:
    """What one filter removed.

    Attributes:
        filter: the setting's name.
        count: how many tokens it removed.
        mass: their share of the probability before this filter.
    """

    filter: str
    count: int
    mass: float


@dataclass(frozen=True, eq=False)
class Distribution:
    """The next token's distribution under given settings.

    Attributes:
        settings: the settings.
        scores: (vocabulary,) float32, the logits as the settings left them; -inf where cut.
        probabilities: (vocabulary,) float32, their softmax; 0 where cut.
        kept: (vocabulary,) bool, the tokens that can be drawn.
        cuts: what each filter that removed something removed, in order.
        entropy: in bits.
    """

    settings: Sampling
    scores: Tensor
    probabilities: Tensor
    kept: Tensor
    cuts: tuple[Cut, ...]
    entropy: float
    _tokenizer: Any = field(default=None, repr=False)

    def likeliest(self, n: int) -> list[int]:
        """The ids of the n likeliest tokens that were not cut, likeliest first, the lowest id first on a tie."""
        n = min(whole_number("n", n, "a positive whole number", least=1), int(self.kept.sum()))
        last = torch.topk(self.scores, n).values[-1]
        candidates = torch.nonzero((self.scores >= last) & self.kept).flatten()
        order = torch.sort(self.scores[candidates], descending=True, stable=True).indices[:n]
        ids: list[int] = candidates[order].tolist()
        return ids

    def top(self, n: int = _SHOWN) -> pd.DataFrame:
        """The n likeliest tokens: rank, id, token, probability. What was cut is left out, so it can be fewer."""
        import pandas as pd

        ids = self.likeliest(n)
        return pd.DataFrame(
            {
                "rank": range(1, len(ids) + 1),
                "id": ids,
                "token": [token.text for token in labels(self._tokenizer, ids)],
                "probability": self.probabilities[ids].tolist(),
            }
        )

    def sample(self, generator: torch.Generator | None = None) -> int:
        """Draws a token id, as `generate()` draws it: on the generator's device (the CPU without one).

        A greedy setting draws nothing and leaves the generator as it is.
        """
        if self.settings.greedy:
            return int(self.scores.argmax())
        device = generator.device if generator is not None else torch.device("cpu")
        row = self.probabilities.to(device)[None]
        return int(torch.multinomial(row, num_samples=1, generator=generator))

    def __repr__(self) -> str:
        best = self.likeliest(1)[0]
        token = labels(self._tokenizer, [best])[0]
        return (
            f"Distribution({int(self.kept.sum()):,} of {len(self.kept):,} tokens kept, {self.entropy:.2f} bits, "
            f"likeliest {token.text!r} {float(self.probabilities[best]):.4f})"
        )

    def _repr_html_(self) -> str:
        cuts = "".join(f"<div>{cut.filter} cuts {cut.count:,} tokens, {cut.mass:.2%}</div>" for cut in self.cuts)
        rows = "".join(
            f'<tr><td>{row.rank}</td><td style="white-space:pre;text-align:left;unicode-bidi:isolate">'
            f"{html.escape(str(row.token), quote=True)}</td><td>{row.id}</td><td>{row.probability:.4f}</td></tr>"
            for row in self.top(_SHOWN).itertuples()
        )
        head = "<tr><th>rank</th><th>token</th><th>id</th><th>probability</th></tr>"
        kept = f"{int(self.kept.sum()):,} of {len(self.kept):,} tokens kept, {self.entropy:.2f} bits"
        return f"<div>{kept}</div>{cuts}<table>{head}{rows}</table>"


class NextToken:
    """What a model would say next: its logits, to be read under any settings.

    Args:
        logits: (vocabulary,) the model's row for the next position; -inf is a token it never says.
        prompt_ids: all ids so far, which the repetition penalty looks at.
        tokenizer: names the tokens; None shows ids.

    Raises:
        TypeError: `logits` is not a tensor.
        Refused: the row has another shape, holds NaN or +inf, or rules out every token.
    """

    def __init__(self, logits: Tensor, prompt_ids: Iterable[int], tokenizer: Any = None) -> None:
        if not isinstance(logits, Tensor):
            raise TypeError(f"logits is a {type(logits).__name__}; a torch tensor is needed.")
        if logits.ndim != 1 or not len(logits):
            raise Refused(f"logits has the shape {tuple(logits.shape)}; one row (vocabulary,) is needed.")
        self._logits = logits.detach().to(torch.float32, copy=True)
        advice = "Its weights or its number format are the cause; model.check() names the first layer."
        _check(self._logits, "The model's logits", advice)
        self.prompt_ids = [int(id) for id in prompt_ids]
        if any(id < 0 for id in self.prompt_ids):
            raise Refused(f"prompt_ids holds {min(self.prompt_ids)}; ids are 0 or more.")
        self._tokenizer = tokenizer

    @property
    def logits(self) -> Tensor:
        """(vocabulary,) float32, a copy."""
        return self._logits.clone()

    def under(self, settings: Sampling) -> Distribution:
        """The distribution that `settings` make of the logits.

        Raises:
            TypeError: `settings` is not a `Sampling`.
            Refused: a setting drives the logits beyond the range of float32.
        """
        if not isinstance(settings, Sampling):
            raise TypeError(f"settings is a {type(settings).__name__}; an explorer.Sampling is needed.")
        ids = torch.tensor([self.prompt_ids], dtype=torch.long, device=self._logits.device)
        scores = self._logits[None]
        cuts: list[Cut] = []
        for name, processor in settings.stages():
            before = scores
            if name == "temperature" and settings.temperature < _COLDEST:
                scores = _frozen(scores)
            else:
                scores = processor(ids, scores)
            value = getattr(settings, name)
            _check(scores[0], f"The logits under {name}={value:g}", "Choose a value nearer to 1.")
            cuts += _cut(name, before, scores)
        if settings.greedy:
            before = scores
            scores = torch.full_like(before, -math.inf)
            scores[0, int(before.argmax())] = 0.0
            cuts += _cut("temperature", before, scores)
        exact = scores[0].double().softmax(-1)
        entropy = -float(torch.special.xlogy(exact, exact).sum()) / math.log(2)
        return Distribution(
            settings=settings,
            scores=scores[0],
            probabilities=scores.softmax(-1)[0],
            kept=torch.isfinite(scores[0]),
            cuts=tuple(cuts),
            entropy=max(entropy, 0.0),
            _tokenizer=self._tokenizer,
        )

    def top(self, n: int = _SHOWN) -> pd.DataFrame:
        """The n likeliest tokens as the model has them, no setting applied: rank, id, token, probability."""
        return self.under(Sampling()).top(n)

    def __repr__(self) -> str:
        best = self.under(Sampling())
        return f"NextToken({len(self._logits):,} tokens after {len(self.prompt_ids):,}, {best!r})"

    def _repr_html_(self) -> str:
        return self.under(Sampling())._repr_html_()


def _cut(name: str, before: Tensor, after: Tensor) -> list[Cut]:
    removed = torch.isfinite(before) & ~torch.isfinite(after)
    if not removed.any():
        return []
    return [Cut(name, int(removed.sum()), float(before.double().softmax(-1)[removed].sum()))]


def _frozen(scores: Tensor) -> Tensor:
    """What dividing by a vanishing temperature tends to: the likeliest tokens stay, equally likely."""
    return torch.where(scores == scores.max(), 0.0, -math.inf)


def _check(row: Tensor, what: str, advice: str) -> None:
    """Refuses a row that has no distribution."""
    for bad, name in ((torch.isnan(row), "NaN"), (torch.isposinf(row), "+inf")):
        if bad.any():
            first = int(bad.int().argmax())
            raise Refused(f"{what} hold {name} for {int(bad.sum()):,} of {len(row):,} tokens (id {first}). {advice}")
    if torch.isneginf(row).all():
        raise Refused(f"{what} are -inf for all {len(row):,} tokens, so there is nothing to choose. {advice}")
