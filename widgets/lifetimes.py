"""Letting go of widgets that are shown nowhere any more and that nobody holds.

Jupyter keeps every widget until it is closed, since a page might show it. A cell that is run fifty times would leave
fifty panels behind, each with its trace. So a cell that shows widgets, or makes them, is remembered; when it is run
again what it showed is gone from the page, and a widget that stands in no other cell and that nothing in Python refers
to is closed. One that work still runs for is closed after the next cell that runs when the work is done. What a
variable, a list or another widget holds stays. IPython's own memory of outputs (`_`, `Out[5]`) does not count as
holding; an entry goes only together with its widget.

Where the front end does not say which cell it runs, nothing is let go.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ipywidgets.widgets import widget as _registry


class Run(NamedTuple):
    """One run of a cell; both None where the front end does not say."""

    cell: str | None
    message: str | None


@dataclass
class _Life:
    """Where a widget was made and where it is shown: the cells, and which of their runs did it."""

    made: Run
    shown: dict[str | None, str | None] = field(default_factory=dict)


_lives: weakref.WeakKeyDictionary[Any, _Life] = weakref.WeakKeyDictionary()
_watched: weakref.WeakSet[Any] = weakref.WeakSet()
# Shown nowhere any more, and kept so far by work that runs for them, if by nothing else.
_working: weakref.WeakSet[Any] = weakref.WeakSet()


def made(widget: Any) -> None:
    """Notes that a widget was made, in the cell that runs."""
    ipython = shell()
    if ipython is not None and ipython not in _watched:
        _watched.add(ipython)
        ipython.events.register("post_run_cell", _ran)
    _lives[widget] = _Life(_run(ipython))


def shown(widget: Any) -> None:
    """Notes that a widget is shown, in the cell that runs."""
    run = _run(shell())
    _lives.setdefault(widget, _Life(run)).shown[run.cell] = run.message


def shell() -> Any:
    """IPython, where Python runs in it."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def request() -> str | None:
    """Which request of a front end Python answers, or answered last, such as a run of a cell; None without one."""
    message: str | None = _parent(shell()).get("header", {}).get("msg_id")
    return message


def _parent(shell: Any) -> dict[str, Any]:
    return shell.get_parent() if hasattr(shell, "get_parent") else {}


def _run(shell: Any) -> Run:
    parent = _parent(shell)
    cell = parent.get("metadata", {}).get("cellId")
    return Run(cell, parent["header"]["msg_id"] if cell is not None else None)


def _ran(_result: Any) -> None:
    """After a cell has run: what its earlier runs showed is gone from the page."""
    ipython = shell()
    run = _run(ipython)
    if run.cell is None:
        return
    again = any(not widget.working for widget in list(_working))
    for life in list(_lives.values()):
        if life.shown.get(run.cell, run.message) != run.message:
            del life.shown[run.cell]
            again = True
        again = again or (life.made.cell == run.cell and life.made.message != run.message)
    if again:  # only then, since it takes a moment
        _let_go(ipython, [widget for widget, life in _lives.items() if not life.shown])


def _let_go(shell: Any, widgets: list[Any]) -> None:
    """Closes those of these widgets that nothing but Jupyter's registry and IPython's outputs refer to."""
    known = {widget.model_id: weakref.ref(widget) for widget in widgets if widget.comm is not None}
    with _forgotten(shell, widgets):
        for name in known:
            _registry._instances.pop(name, None)
        widgets.clear()
        gc.collect()  # whoever goes now closes itself
        for name, reference in known.items():
            widget = reference()
            if widget is not None and widget.comm is not None:
                _registry._instances[name] = widget
                (_working.add if widget.working else _working.discard)(widget)


@contextmanager
def _forgotten(shell: Any, widgets: list[Any]) -> Iterator[None]:
    """Takes widgets out of IPython's memory of outputs inside the block; those that are still there come back."""
    ids = {id(widget) for widget in widgets}
    hook = shell.displayhook
    outputs = shell.user_ns.get("_oh", {})
    names = {f"_{number}" for number in outputs} | {"_", "__", "___"}
    places = [
        *((vars(hook), name) for name in ("_", "__", "___")),
        *((outputs, number) for number in list(outputs)),
        *((space, name) for space in (shell.user_ns, shell.user_ns_hidden) for name in names),
    ]
    kept = []
    for place, name in places:
        if id(place.get(name)) in ids:
            kept.append((place, name, weakref.ref(place[name])))
            place[name] = None
    try:
        yield
    finally:
        for place, name, reference in kept:
            widget = reference()
            if widget is not None:
                place[name] = widget
            elif place is outputs or str(name).strip("_"):
                del place[name]
