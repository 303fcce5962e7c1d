"""Edits between Python and the browser: what can be written as JSON travels, the rest is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from explorer import Refused
from explorer.edit_json import from_json, to_json
from explorer.edits import Edit


def to_wire(edits: Sequence[Edit]) -> list[dict[str, Any]]:
    """Each edit as the browser shows it and may send it back: in words, and as plain values where it has no tensor.

    Of all of them it is told the kind, the site and the heads, so that it can mark what they change.
    """
    listed = []
    for number, edit in enumerate(edits):
        try:
            (plain,), tensors = to_json(edit)
        except Refused:  # a function or a trace
            plain, tensors = None, {}
        travels = plain is not None and not tensors
        heads = None if edit.heads is None else list(edit.heads)
        acts = {"kind": type(edit).__name__, "site": edit.site, "heads": heads}
        listed.append({"number": number, "label": repr(edit), "edit": plain if travels else None, "acts": acts})
    return listed


def from_wire(listed: Any, known: Sequence[Edit]) -> tuple[Edit, ...]:
    """The edits that the browser wrote.

    Args:
        listed: each with the `edit` as plain values or, where it has none, the `number` of a known one.
        known: what the browser was told.

    Raises:
        Refused: an edit is unknown or not allowed.
    """
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise Refused(f"edits={listed!r} is no list.")
    return tuple(_edit(item, known) for item in listed)


def _edit(item: Any, known: Sequence[Edit]) -> Edit:
    if not isinstance(item, Mapping):
        raise Refused(f"edits holds {item!r}, which is no object.")
    if item.get("edit") is not None:
        return from_json([item["edit"]])[0]
    number = item.get("number")
    if not isinstance(number, int) or not 0 <= number < len(known):
        raise Refused(f"edits names number {number!r}; there are {len(known)}.")
    return known[number]
