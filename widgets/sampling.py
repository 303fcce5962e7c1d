"""What the model would say next, and how the sampling settings change that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import traitlets

from explorer import Cancelled, Refused, Sampling
from explorer.capability import require_next_token
from explorer.note import Note
from explorer.tokens import labels
from widgets import wire
from widgets.connection import asset, guarded
from widgets.panel import Panel
from widgets.shared import PASSES
from widgets.worker import Job
from widgets.written import NOBODY_LOOKED, Telling, Written, attention_sites

if TYPE_CHECKING:
    import pandas as pd

    from explorer import Model, NextToken, Step
    from explorer.generation import Generation
    from widgets.paper import Paper

# Enough for every row the browser shows, also those around the line of a top-k of 50.
_BARS = 64
_LONGEST = 1000
_PRINTED = 16
_GENERATING = Note("generating", "generating")


class SamplingPanel(Panel):
    """The next-token distribution as bars that follow the settings without asking the kernel.

    The full row of logits travels once for each prompt; the browser applies the filters in transformers' order.
    Generating runs here, with transformers' own processors.

    Attributes:
        generated: the last finished run: its steps, its settings and why it ended.
    """

    _esm = asset("sampling.js")
    _css = asset("sampling.css")

    _drawn_from = (*Panel._drawn_from, "position")
    _rank = 0
    _pinned_as = "sampling"
    _pictures = ("bars",)

    generated = traitlets.Dict().tag(sync=True, to_json=wire.traveling)

    def __init__(self, model: Any, text: str | None = None, **traits: Any) -> None:
        self._runs = 0
        self._row: NextToken | None = None
        super().__init__(model, text, **traits)
        self.on_msg(self._message)

    @traitlets.default("generated")
    def _nothing(self) -> dict[str, Any]:
        return {"run": 0, "state": "none", "ended": "", "steps": [], "settings": Sampling().to_dict()}

    @traitlets.observe(*PASSES)
    def _stop_writing(self, _change: Any) -> None:
        if self._ready:
            self._worker.cancel(self, "generate")

    def generate(self, max_new_tokens: int = 40) -> None:
        """Writes on from the prompt with the present settings; the panel shows each token as it comes.

        Raises:
            Refused: `max_new_tokens` is out of range, or a saved trace is shown without its model.
        """
        if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int):
            raise TypeError(f"max_new_tokens={max_new_tokens!r} is no whole number.")
        if not 1 <= max_new_tokens <= _LONGEST:
            raise Refused(f"max_new_tokens={max_new_tokens} is out of range; use 1 to {_LONGEST}.")
        model = self.exploration.source.model_for("new_tokens")
        self._runs += 1
        run, settings = self._runs, self.sampling
        self.exploration.written = None
        working = {**self._status("working", progress=0.0, progress_note=_GENERATING), "ms": self.status.get("ms")}
        self._publish(status=working, generated=self._run_state(run, "running", "", [], settings))

        def dropped() -> None:
            if run == self._runs:
                self._publish(generated=self._run_state(run, "stopped", "stopped", [], settings))

        self._submit(
            "generate",
            lambda job: self._write(job, model, run, settings, max_new_tokens),
            background=True,
            on_dropped=dropped,
        )

    def _draw(self, _job: Job, number: int) -> None:
        facts = self.exploration.source.facts
        require_next_token(facts.name, facts.anatomy)
        trace = self.exploration.trace()
        tokens = (trace.decoder or trace.batch)[0]  # what is continued
        tokenizer = facts.tokenizer
        self._row = row = trace.next_token(-1 if self.position is None else self.position)
        prompt = torch.tensor(sorted(set(tokens.ids)))
        # A repetition penalty moves only the prompt's own tokens, so these and the likeliest others can fill every bar.
        others = row.logits.cpu().index_fill(0, prompt, -torch.inf)
        likeliest = others.topk(min(_BARS, len(others))).indices
        ids = torch.cat([likeliest, prompt]).unique()  # type: ignore[no-untyped-call]
        self._publish(
            view={
                "request": number,
                "tokens": wire.tokens(trace.tokens),
                "decoder_tokens": wire.tokens(tokens) if trace.decoder else None,
                "notes": self._notes(trace.tokens),
                "prompt_ids": wire.array(prompt),
                "logits": wire.array(row.logits),
                "label_ids": wire.array(ids),
                "labels": wire.Records(
                    {"text": label.text, "kind": label.kind} for label in labels(tokenizer, ids.tolist())
                ),
            }
        )

    def _shown(self) -> NextToken | None:
        return self._row

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        from widgets import drawings

        table = self._table().head(_PRINTED)
        settings = ", ".join(f"{name} {value:g}" for name, value in self.settings.items() if value is not None)
        tokens = self.exploration.decoder_tokens or self.exploration.tokens
        title = f"Next token after {tokens[-1].text!r}"
        before, after, names = (table[name].tolist() for name in ("probability_before", "probability", "token"))
        return drawings.share_bars(width, before, after, names, title), settings

    def _table(self) -> pd.DataFrame:
        """The likeliest next tokens before the settings: their probability then, and under the settings."""
        import pandas as pd

        row = self.exploration.trace().next_token(-1 if self.position is None else self.position)
        table = row.top(_BARS)
        under = row.under(self.sampling)
        ids = table["id"].tolist()
        columns = {"probability": under.probabilities[ids].tolist(), "kept": under.kept[ids].tolist()}
        return pd.concat([table.rename(columns={"probability": "probability_before"}), pd.DataFrame(columns)], axis=1)

    @guarded
    def _message(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("type") == "generate":
            self.settings = {**self.settings, **content.get("settings", {})}
            try:
                self.generate(content.get("max_new_tokens", 40))
            except Refused as error:
                self._refused(error)

    def _write(self, job: Job, model: Model, run: int, settings: Sampling, max_new_tokens: int) -> None:
        """Generates in the worker's thread; whatever ends it, what was written stays."""
        steps: list[dict[str, Any]] = []
        state, ended = "error", "an error"
        exploration = self.exploration
        passes = exploration.passes
        sites = attention_sites(model.anatomy) if exploration.shows_written else []
        telling: Telling | None = None

        def tell(written: Written) -> None:
            if run == self._runs:
                exploration.take_written(written, passes)

        def write(record: list[str], unrecorded: str) -> Generation:
            nonlocal telling
            steps.clear()
            begun = model.generate(
                exploration.tokens, settings, max_new_tokens, edits=exploration.edits, record=record or None
            )
            telling = Telling(begun, tell, unrecorded)
            self._take_steps(job, run, begun, steps, telling, max_new_tokens)
            return begun

        try:
            try:
                writing = write(sites, "" if sites else NOBODY_LOOKED)
            except Refused as error:
                if not sites:
                    raise
                writing = write([], str(error))  # what cannot be recorded is written all the same
            state, ended = ("stopped" if job.cancelled() else "done"), writing.ended or ""
        except Cancelled:
            state, ended = "stopped", "stopped"
        finally:
            if telling is not None:
                telling.at_end()
            self._publish(generated=self._run_state(run, state, ended, steps, settings))
            self._finished(job)

    def _take_steps(
        self, job: Job, run: int, writing: Generation, steps: list[dict[str, Any]], telling: Telling, most: int
    ) -> None:
        for step in writing:
            # A piece can complete the character of earlier ones, so all are read again and the changed are sent.
            pieces = wire.tokens(writing.tokens)
            steps.append(self._step(step))
            for index, (shown, piece) in enumerate(zip(steps, pieces, strict=True)):
                if index == step.index or any(shown[name] != piece[name] for name in piece):
                    shown.update(piece)
                    self.send({"type": "step", "run": run, "index": index, "step": shown})
            telling.after_step(lambda: job.progress(len(steps) / most, _GENERATING))
            if job.cancelled():
                writing.stop()

    @staticmethod
    def _step(step: Step) -> dict[str, Any]:
        alternatives = [{**wire.token(token), "probability": share} for token, share in step.alternatives]
        return {**wire.token(step.token), "probability": step.probability, "alternatives": alternatives}

    @staticmethod
    def _run_state(run: int, state: str, ended: str, steps: list[dict[str, Any]], settings: Sampling) -> dict[str, Any]:
        return {"run": run, "state": state, "ended": ended, "steps": list(steps), "settings": settings.to_dict()}
