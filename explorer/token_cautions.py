"""What a reader should know about the tokens of a text before trusting what a model makes of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from explorer._notes import _in_words, _listing
from explorer._visible import hidden, visible
from explorer.chat_roles import TEMPLATE
from explorer.note import Note
from explorer.tokens import Tokens, read_ids, read_text, spelled

# Of the context, from which on there is little room for an answer.
_NEAR = 0.9


def warnings(
    tokens: Tokens, tokenizer: Any, *, vocabulary: int | None = None, context: int | None = None
) -> list[Note]:
    """Sentences about what is likely wrong, each with what to do; those of reading the text come first.

    Args:
        tokens: the tokens of a text.
        tokenizer: a transformers tokenizer, or None where it is not at hand.
        vocabulary: how many token ids the model has.
        context: how many tokens it reads.
    """
    found = [note for note in tokens.notes if isinstance(note, Note)]
    if tokens.roles is not None:  # the template's own special tokens belong there; those in a message do not
        found = [note for note in found if note.key != "specials_in_text"] + _specials_said(tokens, tokens.roles)
    text = tokens.text
    if text.count("\ufffd"):
        count = text.count("\ufffd")
        sentence = (
            f"The text holds {count:,} \ufffd (U+FFFD), the sign of characters that were lost before: "
            "look at the encoding the text was read with."
        )
        found.append(Note("lost_characters", sentence, count=count))
    if unseen := hidden(text):
        listed, more = _listing([visible(char) for char in unseen])
        sentence = (
            f"The text holds characters that cannot be seen: {_in_words(listed, more)}. The model reads them; "
            "remove them unless they are meant."
        )
        found.append(Note("hidden_characters", sentence, names=listed, more=more))
    if (composed := unicodedata.normalize("NFC", text)) != text and tokenizer is not None:
        ids = read_text(tokenizer, composed, False).ids
        if ids != read_text(tokenizer, text, False).ids:
            sentence = (
                "The text is not in Unicode's composed form (NFC), and the same letters composed are other tokens: "
                "unicodedata.normalize('NFC', text) gives those."
            )
            found.append(Note("not_composed", sentence))
    if vocabulary is not None and tokenizer is not None and len(tokenizer) > vocabulary:
        sentence = (
            f"The tokenizer has {len(tokenizer):,} entries and the model {vocabulary:,}: they may not belong together, "
            "and ids past the model's are refused."
        )
        found.append(Note("vocabularies_differ", sentence, tokenizer=len(tokenizer), model=vocabulary))
    if context is not None and len(tokens) >= _NEAR * context:
        sentence = (
            f"The prompt takes {len(tokens):,} of the {context:,} tokens the model reads; "
            f"{context - len(tokens):,} are left for an answer."
        )
        found.append(Note("context_nearly_full", sentence, count=len(tokens), context=context))
    return found


def remarks(tokens: Tokens, tokenizer: Any) -> list[Note]:
    """Sentences about what is right as it is and still surprises."""
    found: list[Note] = []
    pieces = sum(token.part == 1 and token.parts > 1 for token in tokens)
    if pieces:
        chips = "One of the chips is" if pieces == 1 else f"{pieces:,} of the chips are"
        sentence = f"{chips} cut into pieces: no single token spells what is shown there."
        found.append(Note("characters_in_pieces", sentence, count=pieces))
    if tokenizer is None:
        return found
    first = tokens[0].id if len(tokens) else None
    bos = tokenizer.bos_token_id
    if bos is not None and first != bos and read_text(tokenizer, "", True).ids[:1] != [bos] and tokens.roles is None:
        name = visible(str(tokenizer.bos_token))
        sentence = (
            f"The tokenizer has a beginning-of-text token, {name}, and puts none before a plain text. A model that was "
            "trained with one needs it typed at the start."
        )
        found.append(Note("adds_no_beginning", sentence, name=name))
    found += _first_space(tokens, tokenizer)
    found += _changed(tokens, tokenizer)
    return found


def _specials_said(tokens: Tokens, roles: Sequence[str]) -> list[Note]:
    """About special tokens that stand inside a message, where they can end it or begin another."""
    said = [
        token.text for token, role in zip(tokens, roles, strict=True) if token.kind == "special" and role != TEMPLATE
    ]
    if not said:
        return []
    listed, more = _listing(said)
    sentence = (
        f"A message holds {_in_words(listed, more)}, which the tokenizer reads as a special token: to the model it is "
        "as if the template had written it. Take it out unless that is meant."
    )
    return [Note("specials_in_message", sentence, names=listed, more=more)]


def _first_space(tokens: Tokens, tokenizer: Any) -> list[Note]:
    """About a first word that is another token than the same word inside a text."""
    text = tokens.text
    if not text[:1].isalpha():
        return []
    word = text.split(maxsplit=1)[0][:40]
    bare, inside = read_text(tokenizer, word, False), read_text(tokenizer, " " + word, False)
    if bare.ids == inside.ids or not len(bare) or not len(inside):
        return []
    if (spelled(tokenizer, bare.ids[:1])[0] or b"").startswith(b" "):  # the tokenizer puts a space there itself
        return []
    at_start, within = visible(bare[0].text), visible(inside[0].text)
    sentence = (
        f"The first word has no space before it: it begins with “{at_start}” (id {bare[0].id}), and inside a text with "
        f"“{within}” (id {inside[0].id})."
    )
    return [Note("no_first_space", sentence, bare=at_start, bare_id=bare[0].id, inside=within, inside_id=inside[0].id)]


def _changed(tokens: Tokens, tokenizer: Any) -> list[Note]:
    """About a text that the tokenizer changes before it cuts it: case, accents, compatibility forms."""
    places = tokens.places
    if tokens.source is None or places is None:
        return []
    changes: list[str] = []
    for group in _whole(tokens):
        first, last = places[group[0]], places[group[-1]]
        if first is None or last is None or tokens[group[0]].kind == "special":
            continue
        typed = tokens.text[first[0] : last[1]].strip()
        read = read_ids(tokenizer, [tokens[position].id for position in group]).text.strip()
        if typed and read and typed != read and "\ufffd" not in read:
            changes.append(f"{visible(typed)} → {visible(read)}")
    if not changes:
        return []
    listed, more = _listing(changes)
    sentence = f"The tokenizer changes the text before it cuts it, so the model reads: {_in_words(listed, more)}."
    return [Note("text_changed", sentence, names=listed, more=more)]


def _whole(tokens: Tokens) -> Sequence[range]:
    found: list[range] = []
    begin = 0
    while begin < len(tokens):
        found.append(range(begin, begin + tokens[begin].parts))
        begin += tokens[begin].parts
    return found
