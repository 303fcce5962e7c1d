"""What all panels share: an exploration, a status, a picture, and a way from one to the other that never blocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from explorer import ExplorerError, Model, Refused, Tokens, Trace
from explorer.note import Note
from widgets import lifetimes, wire
from widgets.connection import Connected, described
from widgets.exploration import Exploration
from widgets.leaving import Leaving
from widgets.pace import Pace, Progress
from widgets.pinned import Pinned
from widgets.shared import PASSES, SHARED, Shared
from widgets.worker import Job, Worker
from widgets.written import Written

# Of the prompt, in a repr.
_SHOWN = 60


class Panel(Leaving, Shared, Connected):
    """A live view of a model at work on a prompt.

    A panel shows an `Exploration`: its own, or one it shares with other panels. The shared traits (`text`, `selection`,
    `settings`, ...) are the exploration's; they can be set and observed on the panel as well.

    A subclass says in `_draw(job, number)` what a picture is: it computes the picture of the present traits and
    publishes it, in the worker's thread. This class decides when that happens and what is shown meanwhile.

    Attributes:
        exploration: what is shown and changed.
        title: shown in the header; empty for the panel's usual one.
        about: name, dtype, device and context of the model.
        status: what is true now: state, milliseconds of the last picture, a note, progress, an error.
        view: the last complete picture; it stays when a later request fails.
        embedded: whether a workbench shows the prompt, so that this panel need not.
        panels: the panels that stand inside this one.
        still: whether a notebook also keeps a small picture, for viewers without widgets such as GitHub's. It is
            made when the panel is shown, where its picture is complete by then: after `wait()`.
    """

    _draw: Callable[[Job, int], None]
    keeper: object = None  # the panel it stands in, which is there as long as it is
    panels: tuple[Panel, ...] = ()
    shows_written = False  # the attention of what the model writes, which is recorded where a panel shows it
    # What a new picture is needed for, and which panel's picture comes first.
    _drawn_from: tuple[str, ...] = PASSES
    _rank = 2
    # Where the work on the picture waits; stopping anything else leaves a complete picture as live as it was.
    _making: tuple[str, ...] = ("picture",)
    # The name under which pinning keeps its pictures; those of a panel without one are not kept.
    _pinned_as = ""

    exploration = anywidget.WidgetTrait().tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True, to_json=wire.traveling)
    view = traitlets.Dict().tag(sync=True, to_json=wire.traveling)
    embedded = traitlets.Bool(False).tag(sync=True)

    still = traitlets.Bool(True)

    def __init__(self, model: Model | Trace | Exploration, text: str | None = None, **traits: Any) -> None:
        if not isinstance(model, Model | Trace | Exploration):
            raise TypeError(
                f"model is a {type(model).__name__}; a panel takes what explorer.load() returns, a trace, or an "
                "Exploration."
            )
        shared = {name: traits.pop(name) for name in SHARED if name in traits}
        if text is not None:
            shared["text"] = text
        own = not isinstance(model, Exploration)
        exploration = model if isinstance(model, Exploration) else Exploration(model)
        try:
            for name, value in shared.items():
                setattr(exploration, name, value)
            self._begin(exploration, own, traits)
        except BaseException:
            if own:
                exploration.close()
            raise

    def _begin(self, exploration: Exploration, own: bool, traits: dict[str, Any]) -> None:
        facts = exploration.source.facts
        self._own = own
        self._worker = self._thread(exploration)
        self._number = 0
        self._told_for = lifetimes.request()
        self._before_refusal: dict[str, Any] | None = None
        self._ready = False
        self._state_of: Exploration = exploration
        about = {"name": facts.name, "dtype": str(facts.dtype).removeprefix("torch."), "device": str(facts.device)}
        super().__init__(
            exploration.lock,
            exploration=exploration,
            about={**about, "context": facts.context},
            **{name: getattr(exploration, name) for name in SHARED},
            **traits,
        )
        exploration.join(self)
        if own:
            exploration.keeper = self
        self._worker.at_end(self._model_closed)
        self._ready = True
        self._request()

    def _thread(self, exploration: Exploration) -> Worker:
        """Where the panel's work is done: with all other passes of the model, one at a time."""
        return exploration.source.worker()

    def wait(self, timeout: float | None = None) -> None:
        """Returns when everything that was asked for is shown, or was stopped, also in panels inside this one.

        In a notebook that is executed without a page, a last cell that waits sees to it that the pictures are saved.

        "Interrupt kernel" ends the waiting at once with `KeyboardInterrupt`. It ends the cell, not the panel: what the
        panel computes goes on and is shown; `stop()` and the panel's own button end that.

        Raises:
            TimeoutError: `timeout` seconds passed first.
            ExplorerError: the last request was refused; the message is the sentence on the panel.
        """
        end = None if timeout is None else time.monotonic() + timeout
        if not self._worker.wait(self, timeout):
            raise TimeoutError(f"{type(self).__name__} was still working after {timeout} seconds.")
        self._repeat()
        error = self.status.get("error")
        if error:
            raise ExplorerError(error["message"])
        for panel in self.panels:
            panel.wait(None if end is None else max(0.0, end - time.monotonic()))

    @property
    def working(self) -> bool:
        """Whether something is being computed for the panel, or waits to be."""
        return self._worker.busy(self) or any(panel.working for panel in self.panels)

    def stop(self) -> None:
        """Stops whatever is being computed for the panel: a pass ends before its next layer, gradients after the pass
        they are at. The last picture stays, and the next request works as any other. From any thread.
        """
        for panel in self.panels:
            panel.stop()
        with self._traits_lock:
            complete = self.view.get("request") == self._number and not self._worker.busy(self, *self._making)
            if self._worker.cancel(self):
                state = "live" if complete else "stopped"
                self._publish(status=self._status(state, ms=self.status.get("ms")))

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The view, and what viewers without widgets show: words, and a picture where one is there already."""
        bundle = super()._repr_mimebundle_(**options)
        if bundle is None:
            return None
        data, metadata = bundle
        return {**data, **self._still(self._number)}, metadata

    def __repr__(self) -> str:
        prompt = self.text if len(self.text) <= _SHOWN else f"{self.text[:_SHOWN]}…"
        return f"{type(self).__name__}({self._state_of.source.facts.name}, {prompt!r})"

    def close(self) -> None:
        """Closes the view, and those inside it, and drops their work."""
        for panel in self.panels:
            panel.close()
        exploration = getattr(self, "_state_of", None)
        if exploration is not None:
            self._worker.cancel(self)
            exploration.leave(self)
            self._ready = False
        super().close()
        if exploration is not None and self._own:
            exploration.close()

    def kept(self, pinned: Pinned) -> tuple[str, Any, dict[str, Any]] | None:
        """The picture of what is pinned: its name, what it shows and what it is drawn from; None where there is none.

        Only the newest picture is known, so it must be of all that was asked for last, and that must be what is pinned.
        """
        asked = (pinned.state[name] == getattr(self, name) for name in self._drawn_from)
        if self._pinned_as and self.view.get("request") == self._number and all(asked):
            return self._pinned_as, self._shown(), self.view
        return None

    def read(self) -> Trace:
        """The pass that is shown.

        Raises:
            Refused: the model cannot read the text, or an edit cannot be made.
        """
        trace: Trace = self.exploration.trace()
        return trace

    def written_changed(self, old: Written | None, new: Written | None) -> None:
        """Called when the model has written on from the text, and when that is let go of."""

    def _shown(self) -> Any:
        """What the picture shows, as Python reads it."""
        raise NotImplementedError

    def _repeat(self) -> None:
        """Sends the picture once more where it was sent for an earlier cell.

        Who runs a notebook without a page (nbclient, and with it `jupyter nbconvert --execute`) hears only what is sent
        while a cell runs. A picture that was ready between two cells would be missing in what is saved.
        """
        with self._traits_lock:
            now = lifetimes.request()
            if self._told_for != now:
                self._told_for = now
                self.send_state(["view", "status"])

    @traitlets.observe("view")
    def _drawn(self, _change: Any) -> None:
        self._told_for = lifetimes.request()
        if self._ready:
            self._state_of.drawn(self)

    def _take(self, change: Any) -> None:
        """Mirrors what the exploration holds."""
        with self._traits_lock, self.hold_sync():  # one message, also of what follows from it
            setattr(self, change["name"], change["new"])

    @traitlets.observe(*SHARED)
    def _give(self, change: Any) -> None:
        """Hands on what was set on the panel, and draws where it matters."""
        if not self._ready:
            return
        try:
            setattr(self._state_of, change["name"], change["new"])
        finally:  # also where an observer of the exploration raised
            if change["name"] in self._drawn_from:
                self._request()

    def _checked(self, name: str, value: Any) -> Any:
        return self._state_of._checked(name, value)

    def _refused(self, error: BaseException) -> None:
        self._before_refusal = self._before_refusal or self.status
        self._show_error(error)

    def _accepted(self) -> None:
        if self._before_refusal is not None and self.status["state"] == "error":
            self._publish(status=self._before_refusal)  # what was refused is done with
        self._before_refusal = None

    def _model_closed(self) -> None:
        """Says so, and gives back what was kept of the model's passes. The picture stays."""
        if self._ready:
            self._state_of.source.drop()
            self._publish(status=self._status("closed"))

    def _handle_custom_msg(self, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict):
            raise Refused(f"The page sent a {type(content).__name__}, which is no message to a panel.")
        kind = content.get("type")
        if kind == "stop":
            self.stop()
        elif kind == "again":
            self._request()
        else:
            super()._handle_custom_msg(content, buffers)

    def _request(self) -> None:
        """Asks for a new picture; an older request that is not shown yet is dropped."""
        self._number += 1
        number = self._number
        self._publish(status=self._status("working"))
        started = time.perf_counter()

        def work(job: Job) -> None:
            self._draw(job, number)
            self._finished(job, ms=(time.perf_counter() - started) * 1000)

        self._submit("picture", work)

    def _finished(self, job: Job, **facts: Any) -> None:
        """Says that the panel is live again, unless the job was stopped or superseded, or another picture is due."""
        with self._traits_lock:
            picture = job.slot[1] == "picture"
            due = self._worker.busy(self, "picture") or self.status["state"] != "working"
            if not job.cancelled() and (picture or not due):
                self._publish(status=self._status("live", **{"ms": self.status.get("ms"), **facts}))

    def _submit(
        self,
        slot: str,
        work: Callable[[Job], None],
        *,
        background: bool = False,
        on_dropped: Callable[[], None] | None = None,
    ) -> Job:
        pace = Pace(patient=not background)

        def told(job: Job, done: float, note: str) -> None:
            progress = pace.at(done, note)
            if progress is not None:
                self._show_progress(job, progress)

        return self._worker.submit(
            self,
            slot,
            work,
            rank=self._rank,
            background=background,
            on_error=self._show_error,
            on_progress=told,
            on_dropped=on_dropped,
        )

    def _status(self, state: str, **facts: Any) -> dict[str, Any]:
        known = {"ms": None, "note": "", "progress": None, "progress_note": "", "left": None, "error": None}
        return {"state": state, "request": self._number, **known, **facts}

    def _show_progress(self, job: Job, progress: Progress) -> None:
        with self._traits_lock:
            if not job.cancelled():  # what was stopped has said so already
                facts = {"progress": progress.done, "progress_note": progress.note, "left": progress.left}
                self._publish(status={**self.status, "state": "working", **facts})

    def _show_error(self, error: BaseException) -> None:
        """Puts an error where the picture would be."""
        self._publish(status=self._status("error", error=described(error)))

    def _notes(self, tokens: Tokens) -> list[str]:
        """What the reader should know about the prompt as the model was given it."""
        replaced = self._state_of.replaced
        if not replaced:
            return tokens.notes
        sentence = f"Characters that are not valid text were replaced by \N{REPLACEMENT CHARACTER}: {replaced}."
        return [Note("replaced_characters", sentence, count=replaced), *tokens.notes]
