"""The pass over the text that is explored: run once for all panels, and only over what is new."""

from __future__ import annotations

import threading
from typing import Any

from explorer import Model, Tokens, Trace
from explorer.edits import Edit
from explorer.reuse import state_of


class Reading:
    """The newest trace of what is explored, made when the first panel asks for it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._making = threading.Lock()  # a cell may ask while the worker computes the very same
        self._trace: Trace | None = None
        self._known: tuple[Any, ...] | None = None

    def trace(self, tokens: Tokens, edits: tuple[Edit, ...]) -> Trace:
        """The trace of a text under edits; run anew where text, edits or the model's own state changed.

        Positions that the text has in common with the trace before are taken over where that changes no number.

        Raises:
            Refused: the model cannot read the text, or an edit cannot be made.
            Cancelled: a newer request came.
        """
        with self._making:
            wanted = (tokens, tokens.text, edits, state_of(self._model.hf))
            if self._trace is None or wanted != self._known:
                self._trace = self._model.trace(tokens, edits=edits, reuse=self._trace)
                self._known = wanted
            return self._trace

    def length(self, text: str) -> int | None:
        """How many positions a text has, where it has been read."""
        trace = self._trace
        return len(trace) if trace is not None and trace.batch and trace.tokens.source == text else None

    def drop(self) -> None:
        """Gives the memory back."""
        self._trace = self._known = None
