"""A pass over an image that is explored: its model is there, and what it was given stays as it is."""

from __future__ import annotations

from explorer import Model, Refused, Tokens, Trace
from explorer.absent import NEEDS, Need
from explorer.attribution import token_id
from explorer.edits import Edit
from explorer.positions import positions
from explorer.tokens import well_formed
from widgets.reading import shown_tokens
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
# What stands where a prompt would.
_NO_TEXT = "(an image)"


class Pictured(Source):
    """One trace of images, with a text or without. Panels type text, so they cannot ask the model about another image.

    Args:
        trace: of one text at most.
    """

    brings = ("text", "special_tokens", "literal", "messages", "decoder", "edits")

    def __init__(self, trace: Trace) -> None:
        self.facts = trace.model
        self._tokens = shown_tokens(trace) if trace.batch else positions(trace, trace.anatomy.stacks[0])
        text = _NO_TEXT
        if trace.batch:
            text = well_formed(self._tokens.source if self._tokens.source is not None else self._tokens.text)[0]
        fixed = {"special_tokens": True, "literal": False, "messages": None, "decoder": None, "edits": trace.edits}
        self.begins = {"text": text, **fixed}
        self._trace: Trace | None = trace

    def model_for(self, what: Need) -> Model:
        raise Refused(
            f"{NEEDS[what]} need another pass, and this panel shows one pass over an image. Run the pass in Python, "
            "with model.trace(..., images=...), and show its trace."
        )

    def checked(self, name: str, value: object) -> object:
        value = as_edits(value) if name == "edits" else value
        if value != self.begins[name]:
            raise Refused(
                f"This is a trace of an image; to change {_FIXED[name]} run model.trace(..., images=...) again and "
                "show its trace."
            )
        return value

    def tokens(self, text: str, special_tokens: bool, literal: bool) -> Tokens:
        return self._tokens

    def decoder_tokens(self, decoder: str | None) -> Tokens | None:
        return None

    def trace(self, tokens: Tokens, edits: tuple[Edit, ...], decoder: Tokens | None = None) -> Trace:
        if self._trace is None:
            raise Refused("This exploration was closed; make it anew from the trace.")
        return self._trace

    def lengths(self, text: str, decoder: str | None) -> tuple[int | None, int | None]:
        return None, None  # stacks differ in it

    def token_id(self, token: str | int, argument: str) -> int:
        return token_id(self.facts, token, argument)

    def worker(self) -> Worker:
        assert isinstance(self.facts, Model)  # it reads images, so it is there
        return worker_of(self.facts.hf, self.facts.name)

    def opening(self, text: str, special_tokens: bool, literal: bool) -> tuple[str, str]:
        raise Refused("An image is no text, so no text makes this exploration; keep the image and the code beside it.")

    def drop(self) -> None:
        self._trace = None
