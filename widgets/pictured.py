"""A pass over images that is explored: its model is there, and what it was given stays as it is; edits may change."""

from __future__ import annotations

import threading
from typing import Any

from explorer import Model, Refused, Tokens, Trace
from explorer.absent import Need
from explorer.attribution import token_id
from explorer.edits import Edit
from explorer.note import Note
from explorer.pictures import image_token
from explorer.planning import plan
from explorer.positions import positions
from explorer.provenance import changed_since
from explorer.reuse import state_of
from widgets.reading import check_adapters, shown_text, shown_tokens
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
}
# What needs a text alone, as a reader calls it.
_OF_TEXT: dict[Need, str] = {
    "new_tokens": "New tokens are written on from a text alone",
    "gradients": "Scores of attribution are computed for a text alone",
}
# What stands where a prompt would.
_NO_TEXT = "(an image)"
# What the forward is given of a text; all else is the images'.
_TEXT = ("input_ids", "attention_mask")


class Pictured(Source):
    """One trace of images, with a text or without. Panels type text, so they cannot ask the model about another image.

    Under other edits the pass is run again over the same images.

    Args:
        trace: of one text at most.
    """

    brings = ("text", "special_tokens", "literal", "messages", "decoder")

    def __init__(self, trace: Trace) -> None:
        self.facts = self._model = trace.model
        self._tokens = shown_tokens(trace) if trace.batch else positions(trace, trace.anatomy.stacks[0])
        self.has_text = bool(trace.batch)
        text = shown_text(self._tokens) if self.has_text else _NO_TEXT
        fixed = {"special_tokens": True, "literal": False, "messages": None, "decoder": None}
        self.begins = {"text": text, **fixed, "edits": trace.edits}
        check_adapters(self._model, trace)
        self._making = threading.Lock()  # a cell may ask while the worker computes the very same
        self._given: dict[str, Any] = dict(trace.given)
        self._trace: Trace | None = trace
        self._known = (trace.edits, trace._state if changed_since(trace) else state_of(self._model.hf))

    def model_for(self, what: Need) -> Model:
        if what not in _OF_TEXT:
            return self._model
        sentence = f"{_OF_TEXT[what]}, and this pass of {self._model.name} read an image as well."
        raise Refused(Note("of_text_alone", sentence, what=what, model=self._model.name))

    def checked(self, name: str, value: object) -> object:
        if name == "edits":
            edits = as_edits(value)
            plan(self._model.anatomy, record=[], edits=edits)  # refuses sites that there are not
            return edits
        if value != self.begins[name]:
            sentence = (
                f"This is a trace of an image; to change {_FIXED[name]} run model.trace(..., images=...) again and "
                "show its trace."
            )
            raise Refused(Note("image_is_fixed", sentence, name=name))
        return value

    def tokens(self, text: str, special_tokens: bool, literal: bool) -> Tokens:
        self.checked("text", text)
        return self._tokens

    def decoder_tokens(self, decoder: str | None) -> Tokens | None:
        return None

    def trace(self, tokens: Tokens, edits: tuple[Edit, ...], decoder: Tokens | None = None) -> Trace:
        with self._making:
            wanted = (edits, state_of(self._model.hf))
            if self._trace is None or wanted != self._known:
                self._trace, self._known = self.ran(tokens, edits), wanted
            return self._trace

    def ran(self, tokens: Tokens, edits: tuple[Edit, ...], **options: Any) -> Trace:
        images = {name: value for name, value in self._given.items() if name not in _TEXT}
        if "input_ids" not in self._given:
            return self._model.trace(images=images["pixel_values"], edits=edits, **options)
        inside = image_token(self._model.hf.config) is not None
        return self._model.trace(tokens, images=images if inside else images["pixel_values"], edits=edits, **options)

    def lengths(self, text: str, decoder: str | None) -> tuple[int | None, int | None]:
        return None, None  # stacks differ in it

    def token_id(self, token: str | int, argument: str) -> int:
        return token_id(self._model, token, argument)

    def worker(self) -> Worker:
        return worker_of(self._model.hf, self._model.name)

    def opening(self, text: str, special_tokens: bool, literal: bool) -> tuple[str, str]:
        raise Refused("An image is no text, so no text makes this exploration; keep the image and the code beside it.")

    def drop(self) -> None:
        self._trace = None
