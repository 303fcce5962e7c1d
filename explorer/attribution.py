"""Which input tokens a next token came from.

Both methods explain one number, the logit of a target token after the prompt (minus the logit of another, where
one is given), by the input embeddings. Every result carries the number that shows how far it can be trusted.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explorer import adapters, control
from explorer.adapters import AS_IT_IS, Adapter
from explorer.edits import Edit, checked_edits
from explorer.errors import Refused
from explorer.gradient_memory import check_gradients
from explorer.note import Note
from explorer.text_units import By, units
from explorer.tokens import Token, Tokens, labels, read_text

if TYPE_CHECKING:
    import pandas as pd

    from explorer.absent import AbsentModel
    from explorer.model import Model

METHODS = ("input_x_gradient", "integrated_gradients")
BASELINES = ("mean", "zero")
_INTEGRATING = Note("integrating", "integrated gradients")
# Embeddings of this many tokens go through the model at a time; more would cost memory and save no time on a CPU.
_TOKENS_PER_BATCH = 256


@dataclass(frozen=True, eq=False)
class Attribution:
    """Signed scores of the prompt's tokens for a target.

    Attributes:
        tokens: the prompt.
        target: the token that is explained.
        against: the token it is compared with, or None.
        method: "input_x_gradient" or "integrated_gradients".
        scores: (position,) float32 on the CPU, in logits; positive speaks for the target.
        difference: the explained number: logit of the target, minus that of `against`.
        convergence_delta: sum of the scores minus (difference at the prompt - difference at the baseline);
            0 for perfect integration. None for input x gradient, which makes no such promise.
        steps: integration steps, or None.
        baseline: what the integration starts from, in words; empty for input x gradient.
    """

    tokens: Tokens
    target: Token
    against: Token | None
    method: str
    scores: Tensor
    difference: float
    convergence_delta: float | None
    steps: int | None
    baseline: str

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each token of the prompt: position, id, token, score."""
        import pandas as pd

        return pd.DataFrame(
            {
                "position": range(len(self.tokens)),
                "id": self.tokens.ids,
                "token": [token.text for token in self.tokens],
                "score": self.scores.tolist(),
            }
        )

    def summed(self, by: By) -> pd.DataFrame:
        """One row for each character or word of the prompt, with the sum of its tokens' scores.

        What a word is, also where there are no spaces, is said in `explorer.text_units`. The sums have the total of the
        scores: every token counts once, and one that nothing in the text stands for has a row of its own.

        Args:
            by: "character" or "word".

        Returns:
            text; first and last, the positions of its tokens; tokens, how many they are; score.

        Raises:
            Refused: `by` is something else, or where the tokens stand in the text is not known.
        """
        import pandas as pd

        scores = self.scores.tolist()
        return pd.DataFrame(
            [
                {
                    "text": unit.text,
                    "first": unit.positions.start,
                    "last": unit.positions.stop - 1,
                    "tokens": len(unit.positions),
                    "score": math.fsum(scores[position] for position in unit.positions),
                }
                for unit in units(self.tokens, by)
            ]
        )

    def __repr__(self) -> str:
        against = "" if self.against is None else f" against {self.against.text!r}"
        delta = "" if self.convergence_delta is None else f", delta {self.convergence_delta:.3g}"
        return f"Attribution({self.method} of {self.target.text!r}{against}, {len(self.tokens)} tokens{delta})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.frame._repr_html_()}"


def attribute(
    model: Model,
    text: str | Tokens,
    target: str | int | None = None,
    against: str | int | None = None,
    method: str = "integrated_gradients",
    *,
    edits: Edit | Sequence[Edit] = (),
    steps: int = 50,
    baseline: str = "mean",
    hold_first: bool = True,
    adapter: Adapter = AS_IT_IS,
) -> Attribution:
    """Scores every token of `text` for the next token `target`.

    Args:
        model: a model that predicts a next token.
        text: the prompt, or its tokens as `model.read` gives them.
        target: a token id, or text that is exactly one token (usually with its leading space); None for the
            likeliest next token.
        against: another token, to explain "why this and not that"; None for the target's logit alone.
        method: "input_x_gradient" is the gradient at the prompt times the input embeddings (Shrikumar et al.
            2016), one pass and one backward pass. "integrated_gradients" averages the gradient on the way
            from a baseline (Sundararajan et al. 2017, computed by Captum with Gauss-Legendre steps); its
            scores sum to the change of the explained number, up to the convergence delta.
        edits: how every pass is changed; gradients flow through the changed parts, and what an edit puts in from
            elsewhere passes none on.
        steps: integration steps, 1 to 1000; more give a smaller delta and take longer.
        baseline: where integration starts, for every token: "mean" is the mean of all input embeddings,
            "zero" is all zeros, which a model with RMS norms cannot tell from any tiny embedding.
        hold_first: keep the first token at its own embedding, so that it scores 0 and the others are explained
            given it. Language models park attention on the first token (Xiao et al. 2023, "attention sinks");
            moving it breaks that off midway and the integral does not converge: on the sample model the delta
            is then larger than the logit itself. A prompt of one token is never held.
        adapter: the adapter that acts in every pass; None for the plain weights. By default those that the model
            has on.

    Raises:
        Refused: the model predicts no next token, an argument is not one of those above, or the gradients would need
            more memory than is free.
        Cancelled: the work was superseded.
    """
    if method not in METHODS:
        raise Refused(f"method={method!r} is not one of {', '.join(METHODS)}.")
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= 1000:
        raise Refused(f"steps={steps!r} is not a whole number from 1 to 1000.")
    if baseline not in BASELINES:
        raise Refused(f"baseline={baseline!r} is not one of {', '.join(BASELINES)}.")
    changes = checked_edits(edits)
    model.require_next_token()
    tokens = model.read(text)
    ids = torch.tensor([tokens.ids], device=model.device)
    if target is None:
        target_id = int(model.next_token(text, edits=changes, adapter=adapter).logits.argmax())
    else:
        target_id = token_id(model, target, "target")
    against_id = None if against is None else token_id(model, against, "against")
    if against_id == target_id:
        raise Refused("against is the same token as target, so there is no difference to explain.")
    batch = 1 if method == "input_x_gradient" else min(steps, max(1, _TOKENS_PER_BATCH // len(tokens)))
    batch = check_gradients(model, len(tokens), batch)
    embed = model.hf.get_input_embeddings()
    with model.lock, torch.no_grad(), adapters.using(model.hf, adapter) as adapted:
        embeddings = embed(ids)
        mean = embed(torch.arange(model.vocabulary, device=ids.device)).mean(dim=0) if baseline == "mean" else 0.0
    explain = _Explained(model, target_id, against_id, changes, adapted)
    if method == "input_x_gradient":
        scores, difference, delta = *_input_x_gradient(explain, embeddings), None
    else:
        hold_first = hold_first and len(tokens) > 1
        start = torch.zeros_like(embeddings) + mean
        if hold_first:
            start[:, 0] = embeddings[:, 0]
        scores, difference, delta = _integrated_gradients(explain, embeddings, start, steps, batch)
    integrated = method == "integrated_gradients"
    return Attribution(
        tokens=tokens,
        target=labels(model.tokenizer, [target_id])[0],
        against=None if against_id is None else labels(model.tokenizer, [against_id])[0],
        method=method,
        scores=scores.detach().float().cpu(),
        difference=difference,
        convergence_delta=delta,
        steps=steps if integrated else None,
        baseline=_in_words(baseline, hold_first) if integrated else "",
    )


def _in_words(baseline: str, hold_first: bool) -> Note:
    held = ", first token held" if hold_first else ""
    return Note("baseline", f"{baseline} embedding{held}", kind=baseline, held=hold_first)


def token_id(model: Model | AbsentModel, token: str | int, argument: str) -> int:
    """The id of a token given as an id or as text that is exactly one token.

    Raises:
        Refused: the id is out of range, or the text is no single token; the sentence shows its pieces.
    """
    vocabulary = model.anatomy.vocabulary or 0
    if isinstance(token, bool) or not isinstance(token, int | str):
        raise TypeError(f"{argument}={token!r} is a {type(token).__name__}; a token id or a text is needed.")
    if isinstance(token, int):
        if not 0 <= token < vocabulary:
            raise Refused(f"{argument}={token} is no token id; allowed are 0 to {vocabulary - 1}.")
        return token
    if not token:
        raise Refused(f"{argument}='' is empty; give one token, such as ' Paris'.")
    pieces = read_text(model.tokenizer, token, add_special_tokens=False)
    if len(pieces) != 1:
        shown = " + ".join(repr(piece.text) for piece in pieces)
        raise Refused(
            f"{argument}={token!r} is {len(pieces)} tokens ({shown}); give exactly one. "
            "Most words are one token only with their leading space."
        )
    return pieces.ids[0]


class _Explained:
    """The explained number as a function of input embeddings (batch, position, width) -> (batch,)."""

    def __init__(
        self,
        model: Model,
        target: int,
        against: int | None,
        edits: tuple[Edit, ...] = (),
        adapter: Adapter | adapters.State = AS_IT_IS,
    ) -> None:
        self._model = model
        self._adapter = adapter
        self._edits = edits
        self._target = target
        self._against = against
        self.evaluations = 0
        self.expected = 0

    def __call__(self, embeddings: Tensor) -> Tensor:
        if self.expected:
            control.report(min(1.0, self.evaluations / self.expected), _INTEGRATING)
        with self._model.lock, self._model.stoppable(self._edits, adapter=self._adapter):
            logits = self._model.run(inputs_embeds=embeddings)
        assert logits is not None  # models without a head were refused
        self.evaluations += embeddings.shape[0]
        last = logits[:, -1].float()
        if self._edits:  # an edit may cut the answer off from the input: its gradient is then 0, not missing
            last = last + 0.0 * embeddings.flatten(1).sum(dim=1, keepdim=True)
        return last[:, self._target] - (0.0 if self._against is None else last[:, self._against])


def _input_x_gradient(explain: _Explained, embeddings: Tensor) -> tuple[Tensor, float]:
    with torch.enable_grad():
        inputs = embeddings.detach().requires_grad_()
        number = explain(inputs)
        (gradient,) = torch.autograd.grad(number.sum(), inputs)
    return (gradient * embeddings).sum(dim=-1)[0], float(number.detach()[0])


def _integrated_gradients(
    explain: _Explained, embeddings: Tensor, start: Tensor, steps: int, batch: int
) -> tuple[Tensor, float, float]:
    from captum.attr import IntegratedGradients

    explain.expected = steps + 2  # Captum evaluates both ends once more for the delta
    options: dict[str, Any] = {"n_steps": steps, "internal_batch_size": batch, "return_convergence_delta": True}
    with torch.enable_grad():
        scores, delta = IntegratedGradients(explain).attribute(embeddings.detach(), start, **options)
    with torch.no_grad():
        difference = float(explain(embeddings)[0])
    return scores.sum(dim=-1)[0], difference, float(delta[0])
