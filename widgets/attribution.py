"""Which tokens of the prompt a next token came from."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import traitlets

from explorer import Attribution, Model, Refused, Sampling, Tokens
from explorer.attribution import METHODS, attribute
from explorer.capability import require_next_token
from explorer.edits import Edit
from explorer.note import Note
from explorer.tokens import labels
from widgets import wire
from widgets.connection import asset, described, guarded
from widgets.pace import spoken
from widgets.panel import Panel
from widgets.worker import Job

if TYPE_CHECKING:
    import pandas as pd

    from widgets.paper import Paper

_NEXT_TOKENS = 12
# On paper; of a longer prompt those with the strongest scores are drawn.
_PRINTED_TOKENS = 48
# Integration is repeated with more steps while the delta is above this share of the change it explains.
_STEPS = (50, 200)
_GOOD_DELTA = 0.05
# Of prompts longer than this, what would take longer than this on the machine at hand is computed when it is chosen,
# not by itself.
_SHORT_TOKENS = 256
_UNASKED_SECONDS = 30.0


class AttributionPanel(Panel):
    """The likeliest next tokens, and what in the prompt speaks for or against the chosen one.

    Input x gradient is there at once; integrated gradients follow in the background, with their convergence
    delta. Of a long prompt, where they would take longer than half a minute, they wait until they are chosen. Of a
    saved trace without its model only the likeliest tokens are shown, and why there is no more.

    Attributes:
        method: which result is shown, "input_x_gradient" or "integrated_gradients".
        results: the `Attribution` of each method that is ready (not synced; for Python).
        target_text: what the reader typed as target; becomes `target` when it is one token.
        target_error: why it did not.
    """

    _esm = asset("attribution.js")
    _css = asset("attribution.css")

    _drawn_from = (*Panel._drawn_from, "target", "against")
    _rank = 3
    _making = ("picture", "refine")
    _pinned_as = "attribution"
    _pictures = ("scores",)

    method = traitlets.Enum(METHODS, default_value=METHODS[0]).tag(sync=True)
    target_text = traitlets.Unicode("").tag(sync=True)
    target_error = traitlets.Unicode("").tag(sync=True)

    def __init__(self, model: Any, text: str | None = None, **traits: Any) -> None:
        self.results: dict[str, Attribution] = {}
        self._integrate: Callable[[Job], None] | None = None
        super().__init__(model, text, **traits)

    @traitlets.observe("target_text")
    @guarded
    def _target_typed(self, change: Any) -> None:
        if not change["new"]:
            self._publish(target_error="")
            return
        try:
            chosen = self.exploration.source.token_id(change["new"], "target")
        except Refused as error:
            self._publish(target_error=str(error))
            return
        self._publish(target_error="", target=chosen)

    @traitlets.observe("method")
    @guarded
    def _method_chosen(self, change: Any) -> None:
        missing = METHODS[1] not in self.results and not self._worker.busy(self, "picture", "refine")
        if change["new"] == METHODS[1] and missing and self._integrate is not None:
            self._publish(status=self._status("working", ms=self.status.get("ms"), progress=0.0))
            self._submit("refine", self._integrate, background=True)

    def _request(self) -> None:
        # At once, and not when the new picture's turn has come: the next tokens would wait for the pass it is at.
        self._worker.cancel(self, "refine")
        super()._request()

    def _draw(self, _job: Job, number: int) -> None:
        self._integrate = None
        facts = self.exploration.source.facts
        require_next_token(facts.name, facts.anatomy)
        trace, against = self.exploration.trace(), self.against
        text, edits = trace.tokens, trace.edits
        row = trace.next_token()
        plain = row.under(Sampling())
        likeliest = plain.likeliest(_NEXT_TOKENS)
        target = likeliest[0] if self.target is None else self.target
        notes = []
        if self.target is None and against == target:  # the prompt changed; asking "why this and not this" is empty
            against = None
            sentence = "The token to compare with is now the likeliest itself, so the likeliest is explained alone."
            notes = [Note("against_is_likeliest", sentence)]
        tokenizer = facts.tokenizer
        asked = [target] if against is None else [target, against]
        names = labels(tokenizer, [*likeliest, *asked])
        picture: dict[str, Any] = {
            "request": number,
            "tokens": wire.tokens(text),
            "units": wire.units(text),
            "notes": [*self._notes(text), *notes],
            "next": [
                {**wire.token(token), "probability": float(probability)}
                for token, probability in zip(names[: -len(asked)], plain.probabilities[likeliest], strict=True)
            ],
            "target": wire.token(names[-len(asked)]),
            "against": None if against is None else wire.token(names[-1]),
            "unavailable": "",
        }
        try:
            model = self.exploration.source.model_for("gradients")
        except Refused as error:
            self.results = {}
            self._publish(view={**picture, "unavailable": described(error)["message"], "results": {}})
            return
        started = time.perf_counter()
        result = attribute(model, text, target, against, METHODS[0], edits=edits)
        seconds = (time.perf_counter() - started) * _STEPS[0]
        self.results = {METHODS[0]: result}
        unasked = len(text) <= _SHORT_TOKENS or seconds <= _UNASKED_SECONDS or self.method == METHODS[1]
        if not unasked:
            sentence = (
                f"Integrated gradients would take about {spoken(seconds)} for this prompt; choose them to have them "
                "computed, or shorten the prompt."
            )
            picture["notes"].append(Note("on_request", sentence, seconds=round(seconds)))
        self._publish(view={**picture, "results": self._results_on_the_wire()})
        self._integrate = lambda job: self._refine(job, picture, model, text, target, against, edits)
        if unasked:
            self._submit("refine", self._integrate, background=True)

    def _shown(self) -> dict[str, Attribution]:
        return dict(self.results)

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        from widgets import drawings

        result = self._result()
        scores = result.scores
        strongest = sorted(scores.abs().topk(min(_PRINTED_TOKENS, len(scores))).indices.tolist())
        note = "" if len(strongest) == len(scores) else f"The {len(strongest)} strongest of {len(scores)} tokens"
        against = "" if result.against is None else f" and not {result.against.text!r}"
        title = f"Why {result.target.text!r}{against}: {result.method.replace('_', ' ')}"
        words = [result.tokens[index].text for index in strongest]
        return drawings.signed_bars(width, scores[strongest].tolist(), words, title), note

    def _table(self) -> pd.DataFrame:
        return self._result().frame.assign(method=self._result().method)

    def _result(self) -> Attribution:
        """The chosen method's result, else the one that is shown in its place."""
        shown = self.results.get(self.method) or next(iter(self.results.values()), None)
        if shown is None:
            raise Refused(str(self.view.get("unavailable") or "There are no scores yet."))
        return shown

    def _refine(
        self,
        job: Job,
        picture: dict[str, Any],
        model: Model,
        text: Tokens,
        target: int,
        against: int | None,
        edits: tuple[Edit, ...],
    ) -> None:
        """Integrated gradients for a picture that is already shown."""
        for steps in _STEPS:
            result = attribute(model, text, target, against, METHODS[1], edits=edits, steps=steps)
            if picture["request"] != self._number:
                return
            self.results = {**self.results, METHODS[1]: result}
            self._publish(view={**picture, "results": self._results_on_the_wire()})
            delta = result.convergence_delta or 0.0
            if abs(delta) <= _GOOD_DELTA * abs(float(result.scores.sum()) - delta):
                break
        self._finished(job)

    def _results_on_the_wire(self) -> dict[str, Any]:
        return {
            method: {
                "scores": result.scores.tolist(),
                "total": float(result.scores.sum()),
                "difference": result.difference,
                "delta": result.convergence_delta,
                "steps": result.steps,
                "baseline": result.baseline,
            }
            for method, result in self.results.items()
        }
