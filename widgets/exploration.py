"""What is explored: one observable state that panels share, whichever cells they stand in."""

from __future__ import annotations

import html
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import traitlets

from explorer import Model, Refused, Tokens, Trace
from explorer.chat_roles import chat_roles
from explorer.saved import SavedTrace
from explorer.sites import chosen_stack, heads_of
from explorer.tokens import well_formed
from widgets import wire
from widgets.code import code_of
from widgets.connection import Connected
from widgets.history import History
from widgets.pictured import Pictured
from widgets.pinned import Pinned
from widgets.reading import Reading
from widgets.saved import Saved
from widgets.selection import Selection
from widgets.shared import PASSES, SHARED, STATE, Shared, as_position, as_settings
from widgets.source import Source
from widgets.written import Written


class Exploration(Shared, Connected):
    """A model, a text and everything that is asked about them; panels given the same one are linked.

    A trace may be given in the model's place: its text and edits are then what is explored first. Where it was opened
    from a file without its model they stay, and what needs the model's weights is refused.

    It is a widget without a view: panels hold it by reference and read it in the browser, so that they follow each
    other also while the kernel is busy. Every attribute is a trait: settable, observable, and linkable with
    `ipywidgets.link`, `jslink` and, by way of `value`, `interactive_output`.

    Attributes:
        source: the model or saved trace that panels ask.
        value: all of the state as one dictionary; setting it sets everything it names.
        can_undo: whether there is a step to undo.
        can_redo: whether there is a step to do again.
        pinned: what `pin` kept, a `Pinned`; None where nothing is pinned. It can be set to one that was kept earlier.
        written: what the model wrote on from the text last, a `Written`; None where the text or the edits are others.
    """

    _esm = traitlets.Unicode("export default {}").tag(sync=True)
    _view_name = traitlets.Unicode(None, allow_none=True).tag(sync=True)  # type: ignore[assignment]

    value = traitlets.Dict()
    can_undo = traitlets.Bool(False).tag(sync=True)
    can_redo = traitlets.Bool(False).tag(sync=True)
    pinned = traitlets.Instance(Pinned, allow_none=True).tag(
        sync=True, to_json=lambda value, _widget: None if value is None else value.to_wire()
    )
    written = traitlets.Instance(Written, allow_none=True).tag(
        sync=True, to_json=lambda value, _widget: None if value is None else value.to_wire()
    )

    def __init__(self, model: Model | Trace, text: str | None = None, **state: Any) -> None:
        self.source = _source_of(model)
        self._replaced = ("", 0)
        self._tokens: tuple[tuple[Any, ...], Tokens] | None = None
        self._history = History()
        self._quiet = 0
        self._saying = False
        self._panels: weakref.WeakSet[Any] = weakref.WeakSet()
        self.keeper: object = None  # the panel that it was made for and that closes it: whoever holds one holds both
        self._ready = False
        state = {**self.source.begins, **({} if text is None else {"text": text}), **state}
        messages = state.pop("messages", None)
        if "sampling" in state:
            state["settings"] = as_settings(state.pop("sampling"))
        super().__init__(**state)
        self._before = self._state()
        self._ready = True
        with self.adjusting():
            self.messages = messages
        self.value = self._state()

    @property
    def model(self) -> Model:
        """The model.

        Raises:
            Refused: a saved trace is explored without it.
        """
        return self.source.model_for("passes")

    @property
    def lock(self) -> threading.RLock:
        """Held while traits are written; panels that share this state share it."""
        return self._traits_lock

    @property
    def replaced(self) -> int:
        """How many characters of the text were no valid text and were replaced."""
        return self._replaced[1] if self._replaced[0] == self.text else 0

    @property
    def tokens(self) -> Tokens:
        """The text as the model is given it.

        Raises:
            Refused: the model cannot read it.
        """
        wanted = (self.text, self.special_tokens, self.literal, self.messages)
        known = self._tokens
        if known is None or known[0] != wanted:
            tokens = self.source.tokens(*wanted[:3])
            if wanted[3]:
                tokens.roles = chat_roles(self.source.facts.tokenizer, wanted[3], tokens)
            known = self._tokens = (wanted, tokens)
        return known[1]

    @property
    def decoder_tokens(self) -> Tokens | None:
        """The decoder's text as the decoder is given it, with its first token; None where the model has no decoder.

        Raises:
            Refused: the model cannot read it.
        """
        return self.source.decoder_tokens(self.decoder)

    def trace(self) -> Trace:
        """What one pass over the text, under the edits, records; run once, however many ask.

        Raises:
            Refused: the model cannot read the text, or an edit cannot be made.
        """
        return self.source.trace(self.tokens, self.edits, self.decoder_tokens)

    def undo(self) -> None:
        """Goes back to the state before the last step; typing without a pause is one step."""
        self._restore(self._history.back(self._state()))

    def redo(self) -> None:
        """Does again what was undone."""
        self._restore(self._history.forward(self._state()))

    def pin(self) -> None:
        """Keeps what is explored and shown now, and panels show it beside what comes; an earlier pin is replaced.

        No pass is run: the pictures are the last ones. Undoing does not lose it, and it is saved with the notebook.

        Raises:
            Refused: the model cannot read the text.
        """
        with self.lock:
            tokens = tuple(wire.tokens(self.tokens))
            pinned = Pinned(MappingProxyType(self._state()), _tokens=tokens)
            for panel in list(self._panels):
                kept = panel.kept(pinned)
                pinned = pinned if kept is None else pinned.joined(*kept)
            self.pinned = pinned

    def unpin(self) -> None:
        """Lets go of what was pinned."""
        self.pinned = None

    def drawn(self, panel: Any) -> None:
        """Takes up a picture that was still due when its state was pinned."""
        with self.lock:
            kept = None if self.pinned is None else panel.kept(self.pinned)
            if self.pinned is not None and kept is not None and self.pinned.lacks(*kept):
                self.pinned = self.pinned.joined(*kept)

    @property
    def passes(self) -> tuple[Any, ...]:
        """What its passes are given: as long as it is equal, what was computed of it holds."""
        return tuple(getattr(self, name) for name in PASSES)

    @property
    def shows_written(self) -> bool:
        """Whether a panel shows the attention of what is written, so that it must be recorded."""
        return any(panel.shows_written for panel in self._panels)

    def take_written(self, written: Written, passes: tuple[Any, ...]) -> None:
        """Takes up what was written, from any thread, unless something else is explored by now.

        Args:
            written: the text as far as it has come.
            passes: the `passes` that it was begun with.
        """
        with self.lock:
            if passes == self.passes:
                self.written = written

    def code(self, tensors: str | None = None) -> str:
        """The Python that makes this exploration anew, without what is pinned.

        Args:
            tensors: path of a safetensors file where tensors that edits hold are saved, for the code to read.

        Raises:
            Refused: an edit holds tensors and no path was given, or it holds a function, which has no text.
        """
        return code_of(self, tensors)

    @contextmanager
    def adjusting(self) -> Iterator[None]:
        """What is set inside the block follows from something else, and is no step of its own to undo."""
        with self.lock:
            self._quiet += 1
            try:
                yield
            finally:
                self._quiet -= 1
                self._before = self._state()

    def close(self) -> None:
        """Closes the panels that show it and drops its trace."""
        for panel in list(getattr(self, "_panels", ())):
            panel.close()
        if hasattr(self, "source"):
            self.source.drop()
            self.written = None
        super().close()

    def join(self, panel: Any) -> None:
        """Takes up a panel, to tell it what is set here, and what the browser wrote and could not be taken."""
        self._panels.add(panel)

    def leave(self, panel: Any) -> None:
        """Lets a panel go."""
        self._panels.discard(panel)

    def _refused(self, error: BaseException) -> None:
        for panel in list(self._panels):
            panel._refused(error)

    def _accepted(self) -> None:
        for panel in list(self._panels):
            panel._accepted()

    def _state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in STATE}

    def _restore(self, state: Any) -> None:
        if state is None:
            return
        with self.adjusting():
            for name in STATE:
                setattr(self, name, state[name])
        self._changed_history()

    def _changed_history(self) -> None:
        self._publish(can_undo=self._history.past > 0, can_redo=self._history.future > 0)

    @traitlets.observe(*SHARED)
    def _changed(self, change: Any) -> None:
        if not self._ready:
            return
        if change["name"] == "decoder" and self.decoder is None and "decoder" in self.source.begins:
            self.decoder = ""  # traitlets lets None pass unchecked
            return
        if change["name"] in STATE:
            self._step(change["name"])
        if change["name"] in PASSES:
            self._publish(written=None)
        raised: list[Exception] = []
        for panel in list(self._panels):
            try:
                panel._take(change)
            except Exception as error:  # noqa: BLE001 - raised below, once all panels have it
                raised.append(error)
        if raised:
            raise raised[0]

    def _step(self, name: str) -> None:
        with self.lock:
            if not self._quiet:
                self._history.left(self._before, name)
                self._before = self._state()
                self._changed_history()
            self._follow(name)
            self.value = self._state()

    @traitlets.observe("written")
    def _written_changed(self, change: Any) -> None:
        if self._ready:
            for panel in list(self._panels):
                panel.written_changed(change["old"], change["new"])

    @traitlets.observe("value")
    def _value_set(self, change: Any) -> None:
        unknown = sorted(set(change["new"]) - set(STATE))
        if unknown:
            raise Refused(f"value names {', '.join(unknown)}; known are {', '.join(STATE)}.")
        for name in STATE:
            if self._ready and name in change["new"] and change["new"][name] != getattr(self, name):
                setattr(self, name, change["new"][name])

    def _follow(self, name: str) -> None:
        """A conversation is read as its template writes it, and a text that was edited is none any more."""
        if self._saying or self.messages is None:
            return
        with self.adjusting():
            if name == "messages":
                self._saying = True
                try:
                    self.special_tokens = self.literal = False
                    self.text = self.model.chat_text(self.messages)
                finally:
                    self._saying = False
            elif name in ("text", "special_tokens", "literal"):
                self.messages = None  # type: ignore[assignment]

    def _checked(self, name: str, value: Any) -> Any:
        if name == "text":
            text, replaced = well_formed(value)
            if replaced or text != self._replaced[0]:  # panels have what was replaced checked once more
                self._replaced = (text, replaced)
            return self.source.checked(name, text)
        if name in ("messages", "decoder", "edits", "special_tokens", "literal"):
            return self.source.checked(name, value)
        if name in ("target", "against") and value is not None:
            return self.source.token_id(value, name)
        if name == "position":
            return as_position(name, value, *self._side(decoding=self.decoder is not None))
        if name == "selection":
            self._check_selection(value)
        elif name == "settings":
            return as_settings(value)
        return value

    def _check_selection(self, chosen: Selection) -> None:
        anatomy = self.source.facts.anatomy
        if not anatomy.stacks or chosen.layer is None:
            return
        stack = chosen_stack(chosen.stack, anatomy)
        layers = len(stack.layers)
        if chosen.layer >= layers:
            raise Refused(f"layer={chosen.layer} is out of range: this model has layers 0 to {layers - 1}.")
        attention = heads_of(stack.layers[chosen.layer], chosen.kind)
        if attention is None and chosen.kind != "attn":
            layer = f"{stack.prefix}layers.{chosen.layer}"
            raise Refused(f"kind={chosen.kind!r} does not fit: {layer} has no cross-attention that can be recorded.")
        heads = 0 if attention is None else attention.heads
        if chosen.heads is not None and heads and max(chosen.heads) >= heads:
            raise Refused(f"heads={chosen.heads} are out of range: layer {chosen.layer} has heads 0 to {heads - 1}.")
        decoding = self.decoder is not None and stack.name == "decoder"
        more = 0 if self.written is None else len(self.written) - 1
        for name, decoded in (("query", decoding), ("key", decoding and chosen.kind == "attn")):
            length, of = self._side(decoding=decoded)
            as_position(name, getattr(chosen, name), None if length is None else length + more, of)

    def _side(self, *, decoding: bool) -> tuple[int | None, str]:
        """How many positions the prompt or the decoder's text has, as far as that is known, and what it is called."""
        prompt, decoder = self.source.lengths(self.text, self.decoder)
        return (decoder, "the decoder's text") if decoding else (prompt, "the prompt")

    def __repr__(self) -> str:
        plain: Any = self.trait_defaults()
        changed = [
            f"{name}={getattr(self, name)!r}" for name in STATE if name != "text" and getattr(self, name) != plain[name]
        ]
        return f"Exploration({', '.join([self.source.facts.name, repr(self.text[:60]), *changed])})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left;white-space:pre-wrap'>"
            f"{html.escape(repr(getattr(self, name)))}</td></tr>"
            for name in STATE
        )
        return f"<b>Exploration of {html.escape(self.source.facts.name)}</b><table>{rows}</table>"


def _source_of(given: Model | Trace) -> Source:
    if isinstance(given, SavedTrace) and given.absent is not None:
        return Saved(given, given.absent)
    if isinstance(given, Trace):
        return Pictured(given) if "pixel_values" in given.given else Reading(given.model, given)
    if isinstance(given, Model):
        return Reading(given)
    raise TypeError(f"model is a {type(given).__name__}; what explorer.load() returns is needed, or a trace.")
