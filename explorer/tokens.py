"""Token ids as the characters a person typed.

Every token of a text becomes a `Token`; what is shown follows these rules:

* Pieces of what a reader sees as one character form one *group*: the bytes of one 中, the people of an emoji
  family, a letter and its accents (`explorer.text_units` says what a character is), and with them what a piece
  that ends one and begins the next links. Each of them carries the group's text, and `part` of `parts`. Bytes
  that never become a character are shown as ``⟨E4 B8⟩``.
* With a text at hand (`read_text`) the typed characters are shown, not the tokenizer's version of them: case and
  accents stay, and a space that the tokenizer itself put in front is not shown unless it is a token of its own.
  White space that a tokenizer drops between words (WordPiece) is shown as the next word's leading space.
* With ids alone (`read_ids`, `labels`) a piece is shown as the vocabulary has it, leading space included.
* Special tokens are shown by their name; an unknown token names what was typed as well: ``[UNK]: 中``.
* What has no shape (controls, zero-width and bidirectional characters) is shown as a symbol or an escape:
  newline ``⏎``, tab ``⇥``, others ``⟨U+202E⟩``; `explorer._visible` lists them.
"""

from __future__ import annotations

import html
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from explorer import _notes as notes_about
from explorer._encoding import encode
from explorer._grouping import (
    Place,
    Span,
    join_bytes,
    join_characters,
    join_offsets,
    spelt,
    spelt_places,
    typed_texts,
    without_trimmed_letters,
)
from explorer._matching import matched
from explorer._pieces import Piece, Pieces, pieces_of
from explorer._utf8 import is_whole, well_formed
from explorer._visible import is_control, visible, visible_bytes

if TYPE_CHECKING:
    from explorer.text_units import Unit

__all__ = ["Kind", "Labels", "Token", "Tokens", "labels", "read_ids", "read_text", "well_formed"]

Kind = Literal["text", "special", "byte", "control"]


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a text, ready to be shown.

    Attributes:
        id: the token's id.
        text: what a person reads, leading space included; the whole group's text in each of its parts.
        kind: "text"; "special" (a special token, by name); "byte" (not whole characters by itself); "control"
            (nothing but characters without a shape).
        group: index of the group within the text, counted from 0.
        part: place within the group, 1..parts.
        parts: how many tokens the group has.
    """

    id: int
    text: str
    kind: Kind
    group: int = 0
    part: int = 1
    parts: int = 1


class Tokens(Sequence[Token]):
    """The tokens of one text: a sequence of `Token` that also knows the text.

    Attributes:
        text: the text itself: as typed, or what the ids spell where there were only ids.
        source: the typed text, well-formed; None where there were only ids.
        notes: sentences about what a reader might not expect, such as a doubled beginning-of-text token.
        roles: per token, who says it in a conversation: "user", "assistant", ..., or "template" for what the chat
            template wrote around the messages. None where the text is no conversation.
    """

    __slots__ = ("_places", "_tokens", "notes", "roles", "source", "text")

    def __init__(
        self,
        tokens: Iterable[Token],
        text: str,
        *,
        source: str | None = None,
        notes: Iterable[str] = (),
        places: Iterable[Place | None] | None = None,
        roles: Iterable[str] | None = None,
    ) -> None:
        self._tokens = tuple(tokens)
        self._places = None if places is None else list(places)
        self.text = text
        self.source = source
        self.notes = list(notes)
        self.roles = None if roles is None else list(roles)

    @property
    def ids(self) -> list[int]:
        """The token ids, in order."""
        return [token.id for token in self._tokens]

    @property
    def groups(self) -> list[tuple[Token, ...]]:
        """The tokens, those that are shown as one together."""
        found: list[tuple[Token, ...]] = []
        begin = 0
        while begin < len(self._tokens):
            end = begin + self._tokens[begin].parts
            found.append(self._tokens[begin:end])
            begin = end
        return found

    @property
    def places(self) -> list[Place | None] | None:
        """Per token, begin and end in `text` of what it stands for, in code points.

        The pieces of one code point all have its place. None for a token that nothing in the text stands for, such as
        one that the tokenizer added; None altogether where the places cannot be told.
        """
        if self._places is None:
            groups = self.groups
            if "".join(group[0].text for group in groups) != self.text:
                return None
            self._places, at = [], 0
            for group in groups:
                self._places += [(at, at + len(group[0].text))] * len(group)
                at += len(group[0].text)
        return self._places

    def characters(self) -> list[Unit]:
        """The tokens, those that share a visible character together; see `explorer.text_units`.

        Raises:
            Refused: where the tokens stand in their text cannot be told.
        """
        from explorer.text_units import units

        return units(self, "character")

    def words(self) -> list[Unit]:
        """The tokens, those of one word together; see `explorer.text_units` for what a word is.

        Raises:
            Refused: where the tokens stand in their text cannot be told.
        """
        from explorer.text_units import units

        return units(self, "word")

    @overload
    def __getitem__(self, index: int) -> Token: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Token, ...]: ...
    def __getitem__(self, index: int | slice) -> Token | tuple[Token, ...]:
        return self._tokens[index]

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[Token]:
        return iter(self._tokens)

    def __eq__(self, other: object) -> bool:
        return self._tokens == other._tokens if isinstance(other, Tokens) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._tokens)

    def __str__(self) -> str:
        """What is shown, each group once."""
        return "".join(token.text for token in self._tokens if token.part == 1)

    def __repr__(self) -> str:
        groups = self.groups
        shown = [repr(g[0].text) + (f" ({len(g)} pieces)" if len(g) > 1 else "") for g in groups[:12]]
        return f"Tokens({len(self)}: {', '.join(shown)}{', …' if len(groups) > 12 else ''})"

    def _repr_html_(self) -> str:
        chips = "".join(_chip(group) for group in self.groups)
        about = "".join(f"<div>{html.escape(note, quote=True)}</div>" for note in self.notes)
        return f'<div style="line-height:2">{chips}</div>{about}'


class Labels:
    """What some tokens are called, where their tokenizer is not at hand; takes its place in `labels`."""

    def __init__(self, known: Iterable[Token]) -> None:
        self.known = {token.id: token for token in known}


def read_text(tokenizer: Any, text: str, add_special_tokens: bool = True, *, literal: bool = False) -> Tokens:
    """Tokenises `text` and shows each piece as the characters that were typed.

    Args:
        tokenizer: a transformers tokenizer. Its settings are the same after the call.
        text: any text; lone surrogates are replaced and noted.
        add_special_tokens: let the tokenizer add the special tokens it was trained with.
        literal: read a special token's name within `text` as plain characters, not as that token. A note says where
            the tokenizer's own rules make the token even so, as with pieces by probability (T5's kin).

    Raises:
        TypeError: `text` is not a str.
    """
    text, replaced = well_formed(text)
    pieces = pieces_of(tokenizer)
    encoded = encode(tokenizer, text, add_special_tokens=add_special_tokens, literal=literal)
    read, typed = pieces.read(tokenizer, encoded.ids), encoded.typed
    spans = join_bytes(read)
    groups: list[Span] = spans
    texts: list[str | None] | None = None
    places: list[Place | None] | None = None
    dropped = ""
    if _spells(read, typed, " " + text):
        places = spelt_places(read, spans, typed, ahead=1)
        groups = join_characters(spans, read, places, text)
        shown = [read[begin].name or spelt(read[begin:end]) for begin, end in groups]
        texts = _without_first_space(shown, read, groups)
    elif _spells(read, typed, text):
        places = spelt_places(read, spans, typed)
        groups = join_characters(spans, read, places, text)
    elif (offsets := encoded.offsets or matched(text, read, spans, typed)) is not None:
        offsets = without_trimmed_letters(text, read, spans, offsets)
        groups = spans = join_offsets(spans, read, offsets)
        texts, places, dropped = typed_texts(text, read, spans, offsets, typed)
        if (groups := join_characters(spans, read, places, text)) != spans:
            texts = typed_texts(text, read, groups, offsets, typed)[0]
    notes = [
        *notes_about.surrogates(replaced),
        *notes_about.beginning(tokenizer, encoded.ids, pieces.begins, typed),
        *(
            notes_about.literal_specials(tokenizer, read, encoded.ids, typed, pieces.names(tokenizer), text)
            if literal
            else notes_about.typed_specials(tokenizer, read, encoded.ids, typed)
        ),
        *notes_about.unknown(tokenizer, encoded.ids, typed),
        *notes_about.dropped(dropped),
    ]
    placed = None if places is None else _for_each_token(places, spans)
    return Tokens(_tokens(pieces, encoded.ids, read, groups, texts), text, source=text, notes=notes, places=placed)


def read_ids(tokenizer: Any, ids: Iterable[int]) -> Tokens:
    """Shows consecutive ids, such as those a model generated; for unrelated ids use `labels`.

    Args:
        tokenizer: a transformers tokenizer, or None: ids are then shown as numbers.
        ids: a list, an array or a tensor with one axis. Ids that the tokenizer does not know are shown as numbers.

    Raises:
        TypeError: `ids` is not a sequence of whole numbers.
    """
    listed = _listed(ids)
    if tokenizer is None:
        tokens = [Token(id, f"⟨id {id}⟩", "text", group) for group, id in enumerate(listed)]
        return Tokens(tokens, "".join(token.text for token in tokens))
    pieces = pieces_of(tokenizer)
    read = pieces.read(tokenizer, listed)
    spans = join_bytes(read)
    text = b"".join(piece.data if piece.name is None else piece.name.encode() for piece in read).decode(
        "utf-8", "replace"
    )
    places = spelt_places(read, spans, [True] * len(read))
    # Bytes that are no character could stand for another number of signs by themselves than among others.
    known = not places or places[-1] is None or places[-1][1] == len(text)
    groups = join_characters(spans, read, places, text) if known else spans
    return Tokens(
        _tokens(pieces, listed, read, groups, None),
        text,
        places=_for_each_token(places, spans) if known else None,
        notes=notes_about.beginning(tokenizer, listed, False, [True] * len(listed)),
    )


def labels(tokenizer: Any, ids: Iterable[int]) -> list[Token]:
    """One `Token` per id, each read by itself: what a vocabulary entry is called in a list of candidates.

    Remembered for as long as the tokenizer lives, so labelling a whole vocabulary again costs next to nothing.

    Args:
        tokenizer: a transformers tokenizer; or `Labels`, or None: ids that have no name are then shown as numbers.
        ids: a list, an array or a tensor with one axis.

    Raises:
        TypeError: `ids` is not a sequence of whole numbers.
    """
    listed = _listed(ids)
    if tokenizer is None or isinstance(tokenizer, Labels):
        known = {} if tokenizer is None else tokenizer.known
        return [known.get(id) or Token(id, f"⟨id {id}⟩", "text") for id in listed]
    pieces = pieces_of(tokenizer)
    return [_label(pieces, id, piece) for id, piece in zip(listed, pieces.read(tokenizer, listed), strict=True)]


def spelled(tokenizer: Any, ids: Iterable[int]) -> list[bytes | None]:
    """The bytes that each id stands for; None for special tokens and ids that the tokenizer does not know."""
    listed = _listed(ids)
    return [piece.data if piece.name is None else None for piece in pieces_of(tokenizer).read(tokenizer, listed)]


def _tokens(
    pieces: Pieces,
    ids: Sequence[int],
    read: Sequence[Piece],
    spans: Sequence[Span],
    texts: Sequence[str | None] | None,
) -> list[Token]:
    """The tokens of `spans`; `texts` are what was typed at each, None to show what the pieces spell."""
    tokens: list[Token] = []
    for group, (begin, end) in enumerate(spans):
        typed = None if texts is None else texts[group]
        if typed is None and end - begin == 1:
            label = _label(pieces, ids[begin], read[begin])
            tokens.append(Token(label.id, label.text, label.kind, group))
            continue
        text, kind = _shown(read[begin:end], typed)
        for index in range(begin, end):
            own: Kind = kind if kind == "special" or is_whole(read[index].data) else "byte"
            tokens.append(Token(ids[index], text, own, group, index - begin + 1, end - begin))
    return tokens


def _for_each_token(places: Sequence[Place | None], spans: Sequence[Span]) -> list[Place | None]:
    return [place for place, (begin, end) in zip(places, spans, strict=True) for _ in range(end - begin)]


def _label(pieces: Pieces, id: int, piece: Piece) -> Token:
    token = pieces.labels.get(id)
    if token is None:
        token = pieces.labels[id] = Token(id, *_shown([piece], None))
    return token


def _shown(group: Sequence[Piece], typed: str | None) -> tuple[str, Kind]:
    """What a group looks like, and its kind; `typed` is what was typed there, None to show what it spells."""
    name = group[0].name
    if typed is None and name is None:
        data = b"".join(piece.data for piece in group)
        if not is_whole(data):
            return visible_bytes(data), "byte"
        typed = data.decode("utf-8")
    raw = typed if typed is not None else name or ""
    text = visible(raw) or "⟨empty⟩"
    if name is not None:
        return text, "special"
    return text, "control" if is_control(raw) else "text"


def _spells(pieces: Sequence[Piece], typed: Sequence[bool], text: str) -> bool:
    """Whether the pieces that come from the text spell exactly `text`."""
    parts = [
        piece.data if piece.name is None else piece.name.encode()
        for piece, here in zip(pieces, typed, strict=True)
        if here
    ]
    return b"".join(parts) == text.encode()


def _without_first_space(texts: list[str], read: Sequence[Piece], spans: Sequence[Span]) -> list[str | None]:
    """The texts without the space that the tokenizer put before all of them, unless that is a piece of its own."""
    first = next(group for group, (begin, _) in enumerate(spans) if read[begin].name is None)
    return [*texts[:first], texts[first].removeprefix(" ") or " ", *texts[first + 1 :]]


def _listed(ids: Any) -> list[int]:
    listed = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    try:
        return [operator.index(id) for id in listed]
    except TypeError as error:
        raise TypeError(f"ids must be whole numbers along one axis; {error}.") from None


def _chip(group: Sequence[Token]) -> str:
    token = group[0]
    border = "border:1px solid" if token.kind == "special" else "border-bottom:1px solid"
    muted = ";opacity:.6" if token.kind in ("byte", "control") else ""
    parts = f"<sub>{len(group)}</sub>" if len(group) > 1 else ""
    text = "␣" * len(token.text) if token.text.isspace() else token.text  # a chip of nothing but space is seen too
    title = html.escape(f"{', '.join(str(t.id) for t in group)} · {token.kind}", quote=True)
    return (
        f'<span title="{title}" style="{border};margin-right:3px;white-space:pre;unicode-bidi:isolate{muted}">'
        f"{html.escape(text, quote=True)}{parts}</span>"
    )
