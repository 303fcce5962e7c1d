"""The plans of a generation's passes: one for all of its steps, and how a step's place in the text changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from explorer.edits import Edit
from explorer.errors import Refused
from explorer.growing import Growing
from explorer.inputs import prepare
from explorer.planning import Firings, chosen_sites, layers_of, needs_stream, plan
from explorer.plans import Plan
from explorer.reading import INSTEAD
from explorer.record import Record, resolved

if TYPE_CHECKING:
    from explorer.model import Model


def growing_plan(model: Model, edits: Sequence[Edit], record: Sequence[str] | None) -> Plan:
    """The plan of a generation's passes; `at_step` makes its edits those of one pass."""
    needed = needs_stream(edits, model.anatomy)
    stops = [layer.path for layer in layers_of(model.anatomy)]
    sites = None if record is None else [*record, *needed]
    return plan(model.anatomy, record=sites, edits=edits, growing=True, stops=stops)


def at_step(todo: Plan, model: Model, edits: Sequence[Edit], firings: Firings, offset: int) -> Plan:
    """The plan of a pass that reads on from position `offset`."""
    if not edits:
        return todo
    changed = plan(model.anatomy, record=[], edits=edits, firings=firings, offset=offset, growing=True)
    return replace(todo, changes=changed.changes, heads=changed.heads)


def started(
    model: Model, record: Any, edits: Sequence[Edit], prompt: Sequence[int], positions: int
) -> tuple[Plan, Growing | None]:
    """The plan of a generation and what it records; None where it records nothing.

    Args:
        model: the model.
        record: what was asked for, see `explorer.generation.generate`.
        edits: how the passes are changed.
        prompt: ids of the prompt.
        positions: how many positions are read at most.

    Raises:
        Refused: a site does not exist, or cannot be kept while a text grows.
    """
    if record is None or record is False:
        return growing_plan(model, edits, []), None
    if not isinstance(record, bool | str | Record | Sequence):
        raise TypeError(f"record={record!r} is a {type(record).__name__}; True, sites or a Record are needed.")
    if isinstance(record, Record) and record.positions is not None:
        raise Refused(
            f"record has positions={record.positions!r}, but a text that grows has no last position yet; leave "
            f"positions out, or {INSTEAD}."
        )
    anatomy = model.anatomy
    sites, keeper = resolved(None if isinstance(record, bool) else record, anatomy, prepare(model, list(prompt)))
    named = record.sites if isinstance(record, Record) else () if isinstance(record, bool) else record
    for site in chosen_sites(anatomy, named or ()):
        if site.part.endswith(".pattern") and site.heads is not None and site.heads.how == "replay":
            raise Refused(
                f"record names {site.address}, which this family gives only when a whole text is read; {INSTEAD}."
            )
    todo = growing_plan(model, edits, sites)
    # Without weights to be computed again there is no reason to leave the model's usual kernel.
    todo = replace(todo, replays={}, attention="recorded" if todo.attention == "recorded" else "usual")
    if keeper is not None:
        todo = keeper.into(todo, needs_stream(edits, anatomy))
    return todo, Growing(model, todo, edits, keeper, positions)
