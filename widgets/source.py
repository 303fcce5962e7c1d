"""What an exploration reads from: a model, which reads any text, or one trace without its model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer import Model, Tokens, Trace
    from explorer.absent import AbsentModel, Need
    from explorer.edits import Edit
    from widgets.worker import Worker


class Source(ABC):
    """What panels ask. A source without a model answers what needs none, and says of the rest why not.

    Attributes:
        facts: name, anatomy, tokenizer, dtype, device and context, whether the weights are there or not.
        begins: the state that an exploration of it begins with.
        has_text: whether there is a text at all; a pass over images alone has none.
        brings: names of state that its opening gives by itself.
    """

    facts: Model | AbsentModel
    begins: dict[str, Any]
    has_text: bool = True
    brings: tuple[str, ...] = ()

    @abstractmethod
    def model_for(self, what: Need) -> Model:
        """The model.

        Args:
            what: it is needed for.

        Raises:
            Refused: there is none.
        """

    @abstractmethod
    def checked(self, name: str, value: Any) -> Any:
        """A new `text`, `special_tokens`, `literal`, `messages`, `decoder` or `edits`, as it is kept.

        Raises:
            Refused: it cannot be read or made here.
        """

    @abstractmethod
    def tokens(self, text: str, special_tokens: bool, literal: bool) -> Tokens:
        """The tokens of a text; the flags as `Exploration` has them.

        Raises:
            Refused: it cannot be read.
        """

    @abstractmethod
    def decoder_tokens(self, decoder: str | None) -> Tokens | None:
        """The tokens of a decoder's text; None for a model that has none.

        Raises:
            Refused: it cannot be read.
        """

    @abstractmethod
    def trace(self, tokens: Tokens, edits: tuple[Edit, ...], decoder: Tokens | None = None) -> Trace:
        """The trace of a text under edits, with the decoder's text where there is one.

        Raises:
            Refused: it cannot be made.
        """

    def ran(self, tokens: Tokens, edits: tuple[Edit, ...], **options: Any) -> Trace:
        """A pass of its own over a text under edits, with the images where the exploration has some.

        Args:
            tokens: the text.
            edits: how the pass is changed.
            options: more that `model.trace` takes, such as `record`.

        Raises:
            Refused: it cannot be made.
        """
        return self.model_for("passes").trace(tokens, edits=edits, **options)

    @abstractmethod
    def lengths(self, text: str, decoder: str | None) -> tuple[int | None, int | None]:
        """How many positions a text and its decoder's text have, where they have been read."""

    @abstractmethod
    def token_id(self, token: str | int, argument: str) -> int:
        """The id of a token given as an id or as text.

        Raises:
            Refused: it is none, or cannot be told.
        """

    @abstractmethod
    def worker(self) -> Worker:
        """The thread of its work, one for all panels of the same model or trace."""

    @abstractmethod
    def opening(self, text: str, special_tokens: bool, literal: bool) -> tuple[str, str]:
        """The Python that opens it again: the variable's name, and the expression.

        Raises:
            Refused: no Python does.
        """

    @abstractmethod
    def drop(self) -> None:
        """Gives back the memory of its trace."""
