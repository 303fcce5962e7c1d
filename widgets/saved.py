"""A saved trace that is explored without its model: everything that was recorded, and a sentence for the rest."""

from __future__ import annotations

from typing import Any

from explorer import Model, Refused, Tokens, Trace
from explorer.absent import AbsentModel, Need
from explorer.attribution import token_id
from explorer.edits import Edit
from explorer.note import Note
from explorer.saved import SavedTrace
from explorer.tokens import Labels
from widgets.reading import shown_text, shown_tokens
from widgets.shared import as_edits
from widgets.source import Source
from widgets.worker import Worker, worker_of

# What cannot change, as a reader calls it.
_FIXED = {
    "text": "the text",
    "special_tokens": "the special tokens",
    "literal": "how special tokens' names are read",
    "messages": "the conversation",
    "decoder": "the decoder's text",
    "edits": "the edits",
}


class Saved(Source):
    """One trace whose model is not there. Its text and its edits stay as they are."""

    brings = ("text", "special_tokens", "literal", "messages", "decoder", "edits")

    def __init__(self, trace: SavedTrace, facts: AbsentModel) -> None:
        if not trace.batch:
            raise Refused(
                "This saved trace is of images alone, and panels show those with their model: open it with "
                "explorer.open_trace(path, model=...)."
            )
        tokens = shown_tokens(trace)
        text = shown_text(tokens)
        self.facts: AbsentModel = facts
        self.begins = {
            "text": text,
            "special_tokens": True,
            "literal": False,
            "messages": None,
            "decoder": shown_text(trace.decoder[0]) if trace.decoder else None,
            "edits": trace.edits,
        }
        self._path = trace.path
        self._lengths = len(tokens), len(trace.decoder[0]) if trace.decoder else None
        self._trace: SavedTrace | None = trace

    def model_for(self, what: Need) -> Model:
        self.facts.refuse(what)

    def checked(self, name: str, value: Any) -> Any:
        value = as_edits(value) if name == "edits" else value
        if value != self.begins[name]:
            sentence = f"This is a saved trace; open the model to change {_FIXED[name]}."
            raise Refused(Note("saved_is_fixed", sentence, name=name))
        return value

    def tokens(self, text: str, special_tokens: bool, literal: bool) -> Tokens:
        return self._open().tokens

    def decoder_tokens(self, decoder: str | None) -> Tokens | None:
        trace = self._open()
        return trace.decoder[0] if trace.decoder else None

    def trace(self, tokens: Tokens, edits: tuple[Edit, ...], decoder: Tokens | None = None) -> Trace:
        return self._open()

    def _open(self) -> SavedTrace:
        if self._trace is None:
            raise Refused("This exploration was closed; open its trace again with explorer.open_trace(path).")
        return self._trace

    def lengths(self, text: str, decoder: str | None) -> tuple[int | None, int | None]:
        return self._lengths

    def token_id(self, token: str | int, argument: str) -> int:
        """The id of a token given as an id, or as the text that one token of the file is shown with.

        Raises:
            Refused: the id is out of range, or not one token of the file is shown so.
        """
        if not isinstance(token, str) or not token:
            return token_id(self.facts, token, argument)
        labels = self.facts.tokenizer
        known = labels.known.values() if isinstance(labels, Labels) else ()
        found = [label.id for label in known if label.text == token and label.kind in ("text", "special")]
        if len(found) == 1:
            return found[0]
        why = f"{len(found)} tokens of it are shown so" if found else "it names no such token"
        sentence = (
            f"{argument}={token!r} cannot be told from a saved trace, which has no tokenizer, and {why}; give the "
            "token's id, or open the model."
        )
        raise Refused(Note("saved_token", sentence, argument=argument, token=token, count=len(found)))

    def worker(self) -> Worker:
        return worker_of(self._open(), f"trace of {self.facts.name}")

    def opening(self, text: str, special_tokens: bool, literal: bool) -> tuple[str, str]:
        if not self._path.is_file():
            sentence = f"{str(self._path)!r}, which this trace was opened from, is no longer there."
            raise Refused(Note("saved_file_gone", sentence, path=str(self._path)))
        return "trace", f"explorer.open_trace({str(self._path)!r})"

    def drop(self) -> None:
        self._trace = None
