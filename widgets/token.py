"""What the model is really given: ids, pieces, special tokens, and where each stands in the text."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from explorer import Model, Refused, Tokens, align
from explorer._pieces import pieces_of
from explorer._visible import visible
from explorer.note import Note
from explorer.positions import no_text
from explorer.text_units import BY, boundaries, units
from explorer.token_cautions import remarks, warnings
from explorer.tokens import read_text, spelled
from widgets import wire
from widgets.connection import asset
from widgets.panel import Panel
from widgets.worker import Job, Worker, worker_of

if TYPE_CHECKING:
    import pandas as pd

    from widgets.exploration import Exploration


class TokenPanel(Panel):
    """The prompt as the model is given it, token by token, with warnings; beside another tokenizer's on request.

    Nothing here needs a pass: it never waits for one, and shows a saved trace without its model as well.

    Attributes:
        other: the `Model` or transformers tokenizer that the text is compared with, or None (not synced).
        chosen: the position that was clicked, or None.
    """

    _esm = asset("token.js")
    _css = asset("token.css")

    _drawn_from = ("text", "special_tokens", "literal", "messages")

    chosen = traitlets.Int(None, allow_none=True).tag(sync=True)

    def __init__(self, model: Any, text: str | None = None, *, other: Any = None, **traits: Any) -> None:
        self._other, self._other_name = _reader(other)
        self.other = other
        super().__init__(model, text, **traits)

    @property
    def frame(self) -> pd.DataFrame:
        """The table, one row a token: position, id, text, bytes, kind, part, parts, begin, end, character, word, role.

        `begin` and `end` are the place in the text in code points, `character` and `word` count from 0; they are NA
        where nothing in the text stands for a token, or it is not known. So are the bytes of special tokens, and all
        bytes where the tokenizer is not at hand.
        """
        import pandas as pd

        self.wait()
        tokens = self.exploration.tokens
        table = _table(tokens, self.exploration.source.facts.tokenizer)
        whole = {name: pd.array([None if i < 0 else i for i in table[name]], "Int64") for name in _NUMBERS}
        return pd.DataFrame(
            {
                "position": range(len(tokens)),
                "id": tokens.ids,
                "text": [token.text for token in tokens],
                "bytes": [data or None for data in table["bytes"]],
                "kind": [token.kind for token in tokens],
                "part": [token.part for token in tokens],
                "parts": [token.parts for token in tokens],
                **whole,
                "role": tokens.roles or [None] * len(tokens),
            }
        )

    def _thread(self, exploration: Exploration) -> Worker:
        return worker_of(exploration, f"tokens of {exploration.source.facts.name}")

    def _draw(self, _job: Job, number: int) -> None:
        exploration = self.exploration
        facts, tokens = exploration.source.facts, exploration.tokens
        if not exploration.source.has_text:
            raise no_text(facts.name)
        tokenizer = facts.tokenizer if hasattr(facts.tokenizer, "convert_ids_to_tokens") else None
        vocabulary = facts.anatomy.vocabulary
        table = _table(tokens, tokenizer)
        cautions = warnings(tokens, tokenizer, vocabulary=vocabulary, context=facts.context)
        plain = [note for note in self._notes(tokens) if not isinstance(note, Note)]
        replaced = [note for note in self._notes(tokens) if note not in tokens.notes and isinstance(note, Note)]
        self._publish(
            view={
                "request": number,
                "tokens": wire.tokens(tokens),
                "notes": [],
                "warnings": [*replaced, *plain, *cautions],
                "remarks": remarks(tokens, tokenizer),
                "counts": _counts(tokens),
                "bytes": table["bytes"],
                **{name: wire.array(np.array(table[name], dtype=np.int32)) for name in _NUMBERS},
                "adds": _added(tokenizer),
                "names": None if tokenizer is None else [visible(name) for name in _names(tokenizer)],
                "context": facts.context,
                "other": None if self._other is None else self._beside(tokens),
            }
        )

    def _beside(self, tokens: Tokens) -> dict[str, Any]:
        """The other tokenizer's row, aligned; or the sentence why there is none."""
        text = tokens.text if tokens.source is None else tokens.source
        other = read_text(self._other, text, self.special_tokens, literal=self.literal)
        found: dict[str, Any] = {"name": self._other_name, "tokens": wire.tokens(other), "counts": _counts(other)}
        try:
            groups = align(tokens, other)
        except Refused as error:
            return {**found, "groups": wire.array(np.zeros((0, 4), np.int32)), "refused": str(error)}
        rows = [(group.a.start, group.a.stop, group.b.start, group.b.stop) for group in groups]
        return {**found, "groups": wire.array(np.array(rows, np.int32).reshape(-1, 4)), "refused": ""}


_NUMBERS = ("begin", "end", *BY)
_NAMED = 2


def _reader(other: Any) -> tuple[Any, str]:
    """A tokenizer and what it is called.

    Raises:
        TypeError: it is neither a model nor a tokenizer.
        Refused: the model has none.
    """
    if other is None:
        return None, ""
    if isinstance(other, Model):
        if other.tokenizer is None:
            raise Refused(f"other={other.name} was attached without a tokenizer; give one that has it, or a tokenizer.")
        return other.tokenizer, other.name
    if not callable(getattr(other, "convert_ids_to_tokens", None)):
        raise TypeError(f"other is a {type(other).__name__}; a Model or a transformers tokenizer is needed.")
    return other, str(getattr(other, "name_or_path", "") or type(other).__name__)


def _table(tokens: Tokens, tokenizer: Any) -> dict[str, Any]:
    """The columns that are more than the tokens themselves; -1 and "" where there is nothing."""
    places = tokens.places or [None] * len(tokens)
    known = hasattr(tokenizer, "convert_ids_to_tokens")
    data = spelled(tokenizer, tokens.ids) if known else [None] * len(tokens)
    columns: dict[str, Any] = {
        "bytes": ["" if one is None else one.hex(" ").upper() for one in data],
        "begin": [-1 if place is None else place[0] for place in places],
        "end": [-1 if place is None else place[1] for place in places],
    }
    for by in BY:
        columns[by] = [-1] * len(tokens)
        for number, unit in enumerate(units(tokens, by) if tokens.places is not None else ()):
            for position in unit.positions:
                columns[by][position] = number
    return columns


def _counts(tokens: Tokens) -> dict[str, int]:
    text = tokens.text
    cuts = boundaries(text, "word")
    return {
        "tokens": len(tokens),
        "special": sum(token.kind == "special" for token in tokens),
        "characters": len(boundaries(text, "character")) - 1,
        "words": sum(any(char.isalnum() for char in text[a:b]) for a, b in pairwise(cuts)),
    }


def _names(tokenizer: Any) -> list[str]:
    """A few names of special tokens, those that a text is most likely to hold first."""
    ends = (tokenizer.bos_token, tokenizer.eos_token)
    known = (*(str(name) for name in ends if name), *pieces_of(tokenizer).names(tokenizer))
    return list(dict.fromkeys(known))[:_NAMED]


def _added(tokenizer: Any) -> list[str] | None:
    """The special tokens that the tokenizer adds by itself; None where it is not at hand."""
    if tokenizer is None:
        return None
    return [token.text for token in read_text(tokenizer, "", True)]
