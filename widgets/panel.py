"""What all panels share: a prompt, a status, a picture, and a way from one to the other that never blocks."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from explorer import ExplorerError, Model, Refused, Tokens
from explorer.tokens import well_formed
from widgets.worker import Job, worker_of

_STATIC = Path(__file__).parent / "static"
DEFAULT_TEXT = "The capital of France is"


def asset(name: str) -> traitlets.Unicode[str, str]:
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
            raise RefusedValue(str(error)) from error

    return call


class Panel(anywidget.AnyWidget):
    """A live view of a model at work on a prompt.

    A subclass says in `_draw(job, number)` what a picture is: it computes the picture of the present traits and
    publishes it, in the worker's thread. This class decides when that happens and what is shown meanwhile.

    Attributes:
        title: shown in the header.
        text: the prompt. Settable and observable; the reader's typing arrives here too.
        about: name, dtype, device and context of the model.
        status: what is true now: state, milliseconds of the last picture, a note, progress, an error.
        view: the last complete picture; it stays when a later request fails.
    """

    _draw: Callable[[Job, int], None]

    title = traitlets.Unicode("").tag(sync=True)
    text = traitlets.Unicode(DEFAULT_TEXT).tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, model: Model, text: str = DEFAULT_TEXT, **traits: Any) -> None:
        if not isinstance(model, Model):
            raise TypeError(f"model is a {type(model).__name__}; a panel takes what explorer.load() returns.")
        unknown = sorted(set(traits) - set(self.trait_names()))
        if unknown:
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(unknown)}.")
        self.model = model
        self._worker = worker_of(model.hf, model.name)
        self._traits_lock = threading.RLock()
        self._number = 0
        self._replaced = 0
        self._before_refusal: dict[str, Any] | None = None
        self._ready = False
        about = {"name": model.name, "dtype": str(model.dtype).removeprefix("torch."), "device": str(model.device)}
        super().__init__(text=text, about={**about, "context": model.context}, **traits)
        self._ready = True
        self._request()

    def wait(self, timeout: float | None = None) -> None:
        """Returns when everything that was asked for is shown.

        Raises:
            TimeoutError: `timeout` seconds passed first.
            ExplorerError: the last request was refused; the message is the sentence on the panel.
        """
        if not self._worker.wait(self, timeout):
            raise TimeoutError(f"{type(self).__name__} was still working after {timeout} seconds.")
        error = self.status.get("error")
        if error:
            raise ExplorerError(error["message"])

    def close(self) -> None:
        """Closes the view and drops its work."""
        if getattr(self, "_worker", None) is not None:
            self._worker.cancel(self)
        super().close()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Takes what the browser wrote; not while the worker publishes, traitlets' hold is not thread-safe."""
        with self._traits_lock:
            try:
                super().set_state(sync_data)
            except (traitlets.TraitError, Refused, TypeError, ValueError) as error:
                self.send_state([name for name in sync_data if name in self.keys])  # the browser takes it back
                self._before_refusal = self._before_refusal or self.status
                self._show_error(error)
            else:
                if self._before_refusal is not None and self.status["state"] == "error":
                    self._publish(status=self._before_refusal)  # what was refused is done with
                self._before_refusal = None

    def open(self) -> None:
        """Opens the connection to the browser."""
        super().open()
        self._hear_at_once()

    def _send(self, msg: Any, buffers: Any = None) -> None:
        super()._send(msg, buffers)
        self._hear_at_once()

    def _hear_at_once(self) -> None:
        """Lets the browser's messages in on the channel that the browser chose.

        ipykernel from 7.4 on sends them to the shell that wrote to this panel last. After a cell has, that is the shell
        of cells, and what is typed in the panel would wait until the next long cell has ended.
        """
        with contextlib.suppress(AttributeError):
            del self.comm._reply_subshell_id

    def _request(self) -> None:
        """Asks for a new picture; an older request that is not shown yet is dropped."""
        self._number += 1
        number = self._number
        self._publish(status=self._status("working"))
        started = time.perf_counter()

        def work(job: Job) -> None:
            self._draw(job, number)
            if number == self._number:
                self._publish(status=self._status("live", ms=(time.perf_counter() - started) * 1000))

        self._submit("picture", work)

    def _submit(self, slot: str, work: Callable[[Job], None], *, background: bool = False) -> Job:
        return self._worker.submit(
            self,
            slot,
            work,
            background=background,
            on_error=self._show_error,
            on_progress=self._show_progress,
        )

    def _publish(self, **values: Any) -> None:
        """Sets traits from any thread, one message each."""
        with self._traits_lock:
            for name, value in values.items():
                setattr(self, name, value)

    def _status(self, state: str, **facts: Any) -> dict[str, Any]:
        known = {"ms": None, "note": "", "progress": None, "progress_note": "", "error": None}
        return {"state": state, "request": self._number, **known, **facts}

    def _show_progress(self, done: float, note: str) -> None:
        self._publish(status={**self.status, "state": "working", "progress": done, "progress_note": note})

    def _show_error(self, error: BaseException) -> None:
        """Puts an error where the picture would be: a sentence, and the traceback where it was no refusal."""
        expected = isinstance(error, ExplorerError | TypeError | traitlets.TraitError)
        message = str(error) if expected else f"{type(error).__name__}: {error}"
        detail = "" if isinstance(error, ExplorerError) else "".join(traceback.format_exception(error))
        self._publish(status=self._status("error", error={"message": message, "detail": detail}))

    @traitlets.validate("text")
    def _check_text(self, proposal: Any) -> str:
        text, self._replaced = well_formed(proposal["value"])
        return text

    def _notes(self, tokens: Tokens) -> list[str]:
        """What the reader should know about the prompt as the model was given it."""
        if not self._replaced:
            return tokens.notes
        replaced = f"Characters that are not valid text were replaced by \N{REPLACEMENT CHARACTER}: {self._replaced}."
        return [replaced, *tokens.notes]

    @traitlets.observe("text")
    def _text_changed(self, _change: Any) -> None:
        if self._ready:
            self._request()
