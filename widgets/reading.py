"""A model that is explored: one pass over the text for all panels, and only over what is new."""

from __future__ import annotations

import threading
from typing import Any

from explorer import Model, Refused, Tokens, Trace, adapters
from explorer.absent import Need
from explorer.attribution import token_id
from explorer.edits import Edit
from explorer.inputs import decoder_tokens
from explorer.planning import chosen_sites, plan
from explorer.provenance import changed_since
from explorer.reuse import state_of
from explorer.tokens import well_formed
from widgets.shared import as_edits
from widgets.source import Source
from widgets.worker import Worker, worker_of


class Reading(Source):
    """A model, and the newest trace of what is explored, made when the first panel asks for it.

    Args:
        model: the model.
        trace: a trace that it made. The exploration begins with its text and edits; it is shown itself where it
            recorded all that panels read and the model has not changed since, else the pass is run again.
    """

    def __init__(self, model: Model, trace: Trace | None = None) -> None:
        self.facts = self._model = model
        self._making = threading.Lock()  # a cell may ask while the worker computes the very same
        self._trace: Trace | None = None
        self._known: tuple[tuple[Any, ...], int | None] | None = None  # what it was made of, the model's state too
        self._given: tuple[tuple[str, bool, bool], Tokens] | None = None  # ids need not be those that their text gives
        self._given_decoder: tuple[str, Tokens] | None = None
        self._decodes = bool(getattr(model.hf.config, "is_encoder_decoder", False))
        self.begins = {"decoder": ""} if self._decodes else {}
        if trace is not None:
            self._begin(model, trace, shown_tokens(trace))

    def _begin(self, model: Model, trace: Trace, tokens: Tokens) -> None:
        check_adapters(model, trace)
        text = shown_text(tokens)
        ways = [(special, literal) for literal in (False, True) for special in (True, False)]
        special, literal = next((way for way in ways if self._typed(text, *way) == tokens.ids), ways[0])
        self.begins |= {"text": text, "special_tokens": special, "literal": literal, "edits": trace.edits}
        decoder = trace.decoder[0] if trace.decoder else None
        if decoder is not None:
            first = decoder_tokens(model, "").ids
            self.begins["decoder"] = "" if decoder.ids == first else shown_text(decoder)
            self._given_decoder = (self.begins["decoder"], decoder)
        self._given = ((text, special, literal), tokens)
        read = {site.address for site in chosen_sites(model.anatomy, None)}
        if trace.positions is None and read <= set(trace.sites()) and not changed_since(trace):
            self._trace = trace
            self._known = ((tokens, tokens.text, decoder, trace.edits), state_of(model.hf))

    def _typed(self, text: str, special_tokens: bool, literal: bool) -> list[int] | None:
        """The ids that a text gives, or None where it cannot be read."""
        try:
            return self._model.read(text, special_tokens, literal=literal).ids
        except Refused:
            return None

    def model_for(self, what: Need) -> Model:
        return self._model

    def checked(self, name: str, value: Any) -> Any:
        if name == "messages" and value is not None:
            self._model.chat_text(value)
        elif name == "decoder":
            if not self._decodes and value is not None:
                raise Refused(f"{self._model.name} has no decoder beside its text; leave decoder out.")
            value = well_formed(value or "")[0] if self._decodes else None
        elif name == "edits":
            value = as_edits(value)
            plan(self._model.anatomy, record=[], edits=value)  # refuses sites that there are not
        return value

    def tokens(self, text: str, special_tokens: bool, literal: bool) -> Tokens:
        if self._given is not None and self._given[0] == (text, special_tokens, literal):
            return self._given[1]
        return self._model.read(text, special_tokens, literal=literal)

    def decoder_tokens(self, decoder: str | None) -> Tokens | None:
        if decoder is None:
            return None
        if self._given_decoder is not None and self._given_decoder[0] == decoder:
            return self._given_decoder[1]
        return decoder_tokens(self._model, decoder)

    def trace(self, tokens: Tokens, edits: tuple[Edit, ...], decoder: Tokens | None = None) -> Trace:
        """The trace of a text under edits; run anew where text, edits or the model's own state changed.

        Positions that the text has in common with the trace before are taken over where that changes no number.

        Raises:
            Refused: the model cannot read the text, or an edit cannot be made.
            Cancelled: a newer request came.
        """
        with self._making:
            wanted, known = (tokens, tokens.text, decoder, edits), self._known
            if self._trace is None or known is None or known[0] != wanted or known[1] != state_of(self._model.hf):
                self._trace = self._model.trace(tokens, decoder=decoder, edits=edits, reuse=self._trace)
                self._known = (wanted, self._trace._state)
            return self._trace

    def lengths(self, text: str, decoder: str | None) -> tuple[int | None, int | None]:
        trace = self._trace
        if trace is None or not trace.batch:
            return None, None
        written = trace.decoder[0] if trace.decoder else None
        same = written is not None and written == self.decoder_tokens(decoder)
        return len(trace.tokens) if trace.tokens.source == text else None, len(written) if written and same else None

    def token_id(self, token: str | int, argument: str) -> int:
        return token_id(self._model, token, argument)

    def worker(self) -> Worker:
        return worker_of(self._model.hf, self._model.name)

    def opening(self, text: str, special_tokens: bool, literal: bool) -> tuple[str, str]:
        given = self._given
        wanted = (text, special_tokens, literal)
        if given is not None and given[0] == wanted and self._typed(*wanted) != given[1].ids:
            raise Refused("These token ids are not those that their text gives, so no text makes this exploration.")
        return "model", self._model.origin

    def drop(self) -> None:
        self._trace = self._known = None


def check_adapters(model: Model, trace: Trace) -> None:
    """Refuses a trace whose pass panels could not run again: other adapters are on.

    Raises:
        Refused: the sentence names both.
    """
    with model.lock, adapters.using(model.hf, adapters.AS_IT_IS) as now:
        if now.names != trace.adapters:
            raise Refused(
                f"This trace ran with the adapters {list(trace.adapters)}, and {model.name} has "
                f"{list(now.names)} on; panels run it as it is, so turn on those of the trace first."
            )


def shown_tokens(trace: Trace) -> Tokens:
    """The tokens of a trace that panels can show.

    Raises:
        Refused: it holds no text, or several.
    """
    if len(trace.batch) > 1:
        raise Refused(f"This trace holds {len(trace.batch)} texts; panels show a trace of one text.")
    return trace.tokens


def shown_text(tokens: Tokens) -> str:
    """The text of tokens, as a person types it."""
    return well_formed(tokens.source if tokens.source is not None else tokens.text)[0]
