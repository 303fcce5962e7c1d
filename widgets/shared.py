"""The traits that panels share: what is explored, as an `Exploration` holds it and every panel mirrors it."""

from __future__ import annotations

from typing import Any

import traitlets

from explorer import Refused, Sampling
from explorer.edits import Edit
from widgets.connection import checked
from widgets.edits import from_wire, to_wire
from widgets.selection import Selection

DEFAULT_TEXT = "The capital of France is"
# Kept in the history, in the order in which they are put back: what a later one is checked against comes first.
STATE = (
    "text",
    "special_tokens",
    "literal",
    "messages",
    "decoder",
    "edits",
    "target",
    "against",
    "position",
    "selection",
    "neuron",
    "settings",
)
SHARED = (*STATE, "hover", "language")
# What a pass is given.
PASSES = ("text", "special_tokens", "literal", "decoder", "edits")


class Shared(traitlets.HasTraits):
    """What is explored. A subclass says in `_checked(name, value)` what a value must be.

    Attributes:
        text: the prompt.
        special_tokens: whether the tokenizer adds the special tokens that the model was trained with. False where the
            text has them, as a chat template writes it.
        literal: whether the name of a special token in the text is read as the plain characters it is, not as that
            token. Always False in a conversation, whose template writes such names for the tokens.
        messages: the conversation that `text` was written from, through the tokenizer's template; None for a plain
            text, and again once the text is edited.
        decoder: the decoder's text of an encoder-decoder; empty for its first token alone, None for other models.
        edits: how every pass is changed, see `explorer.edits`.
        target: id of the token that is asked about; None for the likeliest.
        against: id of a token it is compared with, or None.
        position: the position after which the next token is looked at; None for the last.
        selection: the layer, heads, query and key that are looked at, a `Selection`.
        neuron: index of a neuron of the selection's layer, or None.
        settings: the sampling settings as the sliders have them; `sampling` gives them as a `Sampling`.
        hover: the position under the pointer, or None.
        language: of the panels' words, "en" or "zh"; empty for the browser's.
    """

    text = traitlets.Unicode(DEFAULT_TEXT).tag(sync=True)
    special_tokens = traitlets.Bool(True).tag(sync=True)
    literal = traitlets.Bool(False).tag(sync=True)
    messages = traitlets.List(traitlets.Dict(), None, allow_none=True).tag(sync=True)
    decoder = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    edits = traitlets.Any(()).tag(
        sync=True,
        to_json=lambda value, _widget: to_wire(value),
        from_json=lambda value, widget: from_wire(value, widget.edits),  # of those that hold tensors it knows a number
    )
    target = traitlets.Int(None, allow_none=True).tag(sync=True)
    against = traitlets.Int(None, allow_none=True).tag(sync=True)
    position = traitlets.Int(None, allow_none=True).tag(sync=True)
    selection = traitlets.Instance(Selection).tag(
        sync=True,
        to_json=lambda value, _widget: value.to_wire(),
        from_json=lambda value, _widget: Selection.from_wire(value),
    )
    neuron = traitlets.Int(None, allow_none=True).tag(sync=True)
    settings = traitlets.Dict().tag(sync=True)
    hover = traitlets.Int(None, allow_none=True).tag(sync=True)
    language = traitlets.Enum(("", "en", "zh"), default_value="").tag(sync=True)

    @property
    def sampling(self) -> Sampling:
        """The settings, ready for `model.generate`."""
        return Sampling.from_dict(self.settings)

    @sampling.setter
    def sampling(self, settings: Sampling) -> None:
        self.settings = settings.to_dict()

    def _checked(self, name: str, value: Any) -> Any:
        raise NotImplementedError

    @traitlets.default("selection")
    def _first_head(self) -> Selection:
        return Selection(layer=0, heads=(0,))

    @traitlets.default("settings")
    def _plain(self) -> dict[str, Any]:
        return Sampling().to_dict()

    @traitlets.validate(*STATE)
    @checked
    def _check(self, proposal: Any) -> Any:
        return self._checked(proposal["trait"].name, proposal["value"])


def as_settings(value: Any) -> dict[str, Any]:
    """Sampling settings as panels keep them.

    Raises:
        Refused: a setting is unknown or out of range.
    """
    return (value if isinstance(value, Sampling) else Sampling.from_dict(value)).to_dict()


def as_position(name: str, value: int | None, length: int | None, of: str = "the prompt") -> int | None:
    """A position that a text has, as far as its length is known.

    Raises:
        Refused: it has none such.
    """
    if value is None:
        return None
    if value < 0:
        raise Refused(f"{name}={value} is no position; use a whole number from 0, or None.")
    if length is not None and value >= length:
        raise Refused(f"{name}={value} is out of range: {of} has positions 0 to {length - 1}.")
    return value


def as_edits(value: Any) -> tuple[Edit, ...]:
    """Edits as a tuple.

    Raises:
        TypeError: something else is among them.
    """
    from explorer.edits import checked_edits

    return checked_edits(value)
