"""Who says what in a conversation, as its chat template wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

if TYPE_CHECKING:
    from explorer.tokens import Tokens

#: The role of what the template itself wrote: markers, role names, a system message of its own.
TEMPLATE = "template"


def chat_roles(tokenizer: Any, messages: Sequence[Mapping[str, Any]], tokens: Tokens) -> list[str] | None:
    """Per token, the role of the message it belongs to, or "template" for what the template wrote.

    The template is written once more with marks in the messages' places. What stands between the marks is the
    template's; only where that and the messages together give the text to the letter is there an answer.

    Returns:
        one role a token, or None where the template does more with the messages than put them in their places.
    """
    places = tokens.places
    contents = [message.get("content") for message in messages]
    if places is None or not all(isinstance(content, str) for content in contents):
        return None
    marks = [f"\ue000{number}\ue001" for number in range(len(messages))]
    marked = [{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)]
    try:
        written = tokenizer.apply_chat_template(marked, tokenize=False, add_generation_prompt=True)
    except (TypeError, ValueError, KeyError, TemplateError):
        return None
    spans: list[tuple[int, int, str]] = []
    at = 0
    for message, content, mark in zip(messages, contents, marks, strict=True):
        before, found, written = written.partition(mark)
        if not found or not tokens.text.startswith(before, at):
            return None
        at += len(before)
        said = next((c for c in (str(content), str(content).strip()) if tokens.text.startswith(c, at)), None)
        if said is None:
            return None
        spans.append((at, at + len(said), str(message.get("role", ""))))
        at += len(said)
    if tokens.text[at:] != written:
        return None
    return [_role(place, spans) for place in places]


def _role(place: tuple[int, int] | None, spans: Sequence[tuple[int, int, str]]) -> str:
    """A token that reaches into two messages' places is named after the first."""
    if place is None:
        return TEMPLATE
    return next((role for begin, end, role in spans if place[0] < end and begin < place[1]), TEMPLATE)
