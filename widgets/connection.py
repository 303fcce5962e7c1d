"""The connection of a widget to the browser: safe from any thread, heard while a cell runs, errors told in words."""

from __future__ import annotations

import contextlib
import threading
import traceback
import weakref
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from ipywidgets.widgets.widget import _put_buffers

from explorer import ExplorerError, Refused
from explorer.note import Note
from widgets import lifetimes

_STATIC = Path(__file__).parent / "static"


def asset(name: str) -> traitlets.Unicode[str, str | bytes]:
    """A built script or style sheet as the trait that anywidget sends.

    A path would do as well, but anywidget then keeps every panel alive for the life of the class, to reload the
    file when it changes.

    Raises:
        ImportError: the front end has not been built.
    """
    try:
        return traitlets.Unicode((_STATIC / name).read_text("utf-8")).tag(sync=True)
    except FileNotFoundError as error:
        sentence = f"The panels' front end is not built: {_STATIC / name} is missing. Run `python start.py setup`."
        raise ImportError(sentence) from error


def guarded(handler: Callable[..., None]) -> Callable[..., None]:
    """Shows what a handler raises on its panel; nobody would see an exception in a trait callback."""

    @wraps(handler)
    def call(self: Any, *args: Any, **keywords: Any) -> None:
        try:
            handler(self, *args, **keywords)
        except Exception as error:  # noqa: BLE001 - shown to the reader in words
            self._show_error(error)

    return call


class RefusedValue(Refused, traitlets.TraitError):
    """A refusal that traitlets understands: a trait that was given such a value keeps the one it had."""


def checked(validator: Callable[..., Any]) -> Callable[..., Any]:
    """Makes what a trait's validator refuses a `RefusedValue`."""

    @wraps(validator)
    def call(self: Any, proposal: Any) -> Any:
        try:
            return validator(self, proposal)
        except (Refused, TypeError) as error:
            raise RefusedValue(_said(error)) from error

    return call


def _said(error: BaseException) -> str:
    """An error's sentence; the `Note` that it was raised with, where it was."""
    note = error.args[0] if error.args else None
    return note if isinstance(note, Note) else str(error)


def described(error: BaseException) -> dict[str, str]:
    """An error as the front end shows it: a sentence, and the traceback where it was no refusal."""
    expected = isinstance(error, ExplorerError | TypeError | traitlets.TraitError)
    message = _said(error) if expected else f"{type(error).__name__}: {error}"
    detail = "" if isinstance(error, ExplorerError) else "".join(traceback.format_exception(error))
    return {"message": message, "detail": detail}


class Connected(anywidget.AnyWidget):
    """A widget whose traits may be written from the browser, from cells and from the worker's thread.

    A subclass says in `_refused(error)` where a message of the browser that cannot be taken is told, and in
    `_accepted()` what happens when a later one could.
    """

    def __init__(self, lock: threading.RLock | None = None, **traits: Any) -> None:
        unknown = sorted(set(traits) - set(self.trait_names()))
        if unknown:
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(unknown)}.")
        # Widgets that set each other's traits share one lock: two would sooner or later wait for each other.
        self._traits_lock = threading.RLock() if lock is None else lock
        super().__init__(**traits)
        self._own_layout = None if "layout" in traits else self.layout
        lifetimes.made(self)

    def _repr_mimebundle_(self, **keywords: Any) -> Any:
        lifetimes.shown(self)
        return super()._repr_mimebundle_(**keywords)

    def close(self) -> None:
        """Closes the connection to the browser, where every view of the widget goes."""
        super().close()
        layout, self._own_layout = getattr(self, "_own_layout", None), None
        if layout is not None:
            layout.close()

    @property
    def working(self) -> bool:
        """Whether something is being computed for it."""
        return False

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Takes what the browser wrote; not while the worker publishes, traitlets' hold is not thread-safe."""
        with self._traits_lock:
            try:
                super().set_state(sync_data)
            except Exception as error:  # noqa: BLE001 - refused, or a defect in whatever observes the trait
                self.send_state([name for name in sync_data if name in self.keys])  # the browser takes it back
                self._refused(error)
            else:
                self._accepted()

    def _handle_msg(self, msg: dict[str, Any]) -> None:
        """Takes a message of the browser. ipywidgets would print what goes wrong with it into whichever cell runs."""
        try:
            data, buffers = msg["content"]["data"], msg.get("buffers", [])
            method = data["method"]
            if method == "update":
                _put_buffers(data["state"], data.get("buffer_paths", []), buffers)
                self.set_state(data["state"])
            elif method == "request_state":
                self.send_state()
            elif method == "custom":
                self._handle_custom_msg(data["content"], buffers)
            else:
                raise Refused(f"The page sent a message of an unknown kind, {str(method)[:40]!r}.")
        except Exception as error:  # noqa: BLE001 - told on the panel, in words
            self._refused(error)

    def _handle_custom_msg(self, content: Any, buffers: Any) -> None:
        for callback in list(self._msg_callbacks.callbacks):
            callback(self, content, buffers)

    def _refused(self, error: BaseException) -> None:
        raise NotImplementedError

    def _accepted(self) -> None:
        """Called after every value that could be taken."""

    def open(self) -> None:
        """Opens the connection to the browser."""
        super().open()
        # The connection lives as long as Jupyter does and must not keep the widget.
        handle = weakref.WeakMethod(self._handle_msg)
        self.comm.on_msg(lambda msg: (hear := handle()) is not None and hear(msg))
        self._hear_at_once()

    def _send(self, msg: Any, buffers: Any = None) -> None:
        super()._send(msg, buffers)
        self._hear_at_once()

    def _hear_at_once(self) -> None:
        """Lets the browser's messages in on the channel that the browser chose.

        ipykernel from 7.4 on sends them to the shell that wrote to this widget last. After a cell has, that is the
        shell of cells, and what is typed in a panel would wait until the next long cell has ended.
        """
        with contextlib.suppress(AttributeError):
            del self.comm._reply_subshell_id

    def _publish(self, **values: Any) -> None:
        """Sets traits from any thread, one message each."""
        with self._traits_lock:
            for name, value in values.items():
                setattr(self, name, value)
