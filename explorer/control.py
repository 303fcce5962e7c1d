"""How long work is told to stop, and how it says how far it is.

Whoever runs work (a panel's worker, a cell) wraps it in `controlled`; the work itself calls `checkpoint`
wherever it can stop. Both sides meet in a context variable, so nothing has to be passed through the layers
between them, and two threads never see each other's wishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from explorer.errors import Cancelled


class Controller(Protocol):
    """What a runner of work offers."""

    def cancelled(self) -> bool:
        """Whether the work should stop at its next checkpoint."""

    def progress(self, done: float, note: str) -> None:
        """Called between two passes: `done` in 0..1 and a short text. The model is idle at that moment."""

    def passing(self, done: float) -> None:
        """Called within a pass, before each of its layers: `done` in 0..1."""


_controller: ContextVar[Controller | None] = ContextVar("explorer_controller", default=None)


@contextmanager
def controlled(controller: Controller) -> Iterator[None]:
    """Lets `controller` stop and watch the work done inside the block, in this thread."""
    token = _controller.set(controller)
    try:
        yield
    finally:
        _controller.reset(token)


def checkpoint(done: float | None = None) -> None:
    """Raises `Cancelled` when the work was superseded or stopped. Cheap: called before every layer.

    Args:
        done: how far the pass is, from 0 to 1, where this is within one.
    """
    controller = _controller.get()
    if controller is None:
        return
    _check(controller)
    if done is not None:
        controller.passing(done)


def checkpoint_backward() -> Callable[[object], None]:
    """A hook for a tensor that stops a backward pass at it, as `checkpoint` stops a pass before a layer.

    Autograd runs what is on a GPU in threads of its own, which know nothing of the one that asked for it. The hook
    holds the controller alone: a whole context would hold what the pass records, and with it the tensor itself.
    """
    controller = _controller.get()

    def check(_gradient: object) -> None:
        if controller is not None:
            _check(controller)

    return check


def _check(controller: Controller) -> None:
    if controller.cancelled():
        raise Cancelled("The work was stopped because a newer request came or stop was asked for.")


def report(done: float, note: str = "") -> None:
    """Says how far work is, between two passes, and stops it there when that was asked for."""
    checkpoint()
    controller = _controller.get()
    if controller is not None:
        controller.progress(done, note)
