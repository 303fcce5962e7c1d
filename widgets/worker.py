"""One thread that runs the panels' work on a model, where only the newest request of each panel counts.

A request replaces the one before it in the same slot: one that still waits is dropped, one that runs is told to
stop and ends before the model's next layer. Long work runs in the background: between two of its passes it
lets waiting foreground work go first, so a panel answers while another one integrates gradients.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch

from explorer import Cancelled, Refused
from explorer.control import controlled
from widgets.helpers import after_cells, collect_seldom, let_go

_log = logging.getLogger(__name__)
# A cell that waits must wake up now and then, or "Interrupt kernel" would not reach it.
_WAKE_SECONDS = 0.1
# A running pass stops before its next layer; one backward pass at most is waited for.
_LAST_SECONDS = 5.0


class Job:
    """One piece of work, as the worker holds it and as the work itself sees it.

    It is the `Controller` of the work's thread: the engine asks it before every layer whether to go on.
    """

    def __init__(
        self,
        worker: Worker,
        slot: tuple[int, str],
        work: Callable[[Job], None],
        *,
        rank: int = 0,
        background: bool,
        on_error: Callable[[BaseException], None],
        on_progress: Callable[[Job, float, str], None] | None,
        on_dropped: Callable[[], None] | None = None,
    ) -> None:
        self.slot = slot
        self.rank = rank
        self.background = background
        self._worker = worker
        self._work = work
        self._on_error = on_error
        self._on_progress = on_progress
        self.on_dropped = on_dropped
        self._stop = threading.Event()
        self._reports = False

    def stop(self) -> None:
        """Asks the work to end; it does at its next checkpoint."""
        self._stop.set()

    def cancelled(self) -> bool:
        """Whether the work was superseded or stopped."""
        return self._stop.is_set()

    def progress(self, done: float, note: str) -> None:
        """Shows how far the work is, and lets waiting foreground work go first."""
        self._reports = True
        if self._on_progress is not None:
            self._on_progress(self, done, note)
        if self.background:
            self._worker.run_foreground()

    def passing(self, done: float) -> None:
        """Shows how far a pass is, where the work itself says nothing of its passes."""
        if self._on_progress is not None and not self._reports:
            self._on_progress(self, done, "")

    def run(self) -> None:
        """Does the work, in the worker's thread. An error goes to the panel, never up."""
        try:
            with controlled(self), torch.no_grad():
                self._work(self)
        except Cancelled:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the panel shows it and lives on
            self._on_error(error)


class Worker:
    """The thread and its queue. One for each model, made by `worker_of`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._state = threading.Condition()
        self._waiting: list[Job] = []
        self._running: list[Job] = []  # a background job and the foreground job it let go first
        self._ended = False
        self._farewells: list[weakref.WeakMethod[Callable[[], None]]] = []
        after_cells()
        collect_seldom()
        self._thread = threading.Thread(target=self._loop, name=f"explorer {name}", daemon=True)
        self._thread.start()

    def submit(
        self,
        owner: object,
        slot: str,
        work: Callable[[Job], None],
        *,
        on_error: Callable[[BaseException], None],
        rank: int = 0,
        background: bool = False,
        on_progress: Callable[[Job, float, str], None] | None = None,
        on_dropped: Callable[[], None] | None = None,
    ) -> Job:
        """Queues `work`, in place of whatever `owner` asked for in the same slot before.

        Args:
            owner: who asks, told apart by identity.
            slot: what is asked for; the newest request of a slot wins.
            work: called in the worker's thread with the job.
            rank: of those that wait, the lowest goes first.
            on_error: called there with what `work` raised, other than being cancelled; called at once, here, where
                the model was closed and the thread has ended.
            background: whether waiting foreground work may go first, between two passes.
            on_progress: called there with the job and what it reports (0..1, note).
            on_dropped: called where the work is superseded or cancelled before it began.
        """
        job = Job(
            self,
            (id(owner), slot),
            work,
            rank=rank,
            background=background,
            on_error=on_error,
            on_progress=on_progress,
            on_dropped=on_dropped,
        )
        dropped: list[Job] = []
        with self._state:
            ended = self._ended
            if not ended:
                dropped = self._drop(job.slot)
                self._waiting.append(job)
                self._state.notify_all()
        _tell(dropped)
        if ended:
            on_error(Refused(f"{self._name} was closed; open it again and give it to a new panel."))
        return job

    def cancel(self, owner: object, *slots: str) -> bool:
        """Drops what `owner` asked for in these slots, or in all of them; says whether there was anything."""
        with self._state:
            known = {job.slot for job in (*self._waiting, *self._running) if job.slot[0] == id(owner)}
            chosen = [slot for slot in known if not slots or slot[1] in slots]
            dropped = [job for slot in chosen for job in self._drop(slot)]
            self._state.notify_all()
        _tell(dropped)
        return bool(chosen)

    def busy(self, owner: object, *slots: str) -> bool:
        """Whether anything of `owner` in these slots, or in any, waits, or runs and was not told to stop."""
        with self._state:
            jobs = [*self._waiting, *(job for job in self._running if not job.cancelled())]
            return any(job.slot[0] == id(owner) and (not slots or job.slot[1] in slots) for job in jobs)

    def wait(self, owner: object, timeout: float | None = None) -> bool:
        """Waits until nothing `owner` asked for is waiting or running; False when `timeout` seconds pass first.

        An interrupt of the kernel reaches whoever waits here at once, on every system, and the work goes on.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("the worker's own thread cannot wait for itself")
        end = None if timeout is None else time.monotonic() + timeout
        with self._state:
            while any(job.slot[0] == id(owner) for job in (*self._waiting, *self._running)):
                left = _WAKE_SECONDS if end is None else min(_WAKE_SECONDS, end - time.monotonic())
                if left <= 0:
                    return False
                self._state.wait(left)
        return True

    def run_foreground(self) -> None:
        """Runs the foreground work that waits. Only for the worker's thread, while the model is idle."""
        while (job := self._next(foreground=True)) is not None:
            self._run(job)

    def at_end(self, callback: Callable[[], None]) -> None:
        """Calls a method when the model was closed and nothing runs any more, in the worker's thread.

        It does not keep the method's object.
        """
        with self._state:
            self._farewells = [known for known in self._farewells if known() is not None]
            self._farewells.append(weakref.WeakMethod(callback))

    def end(self, wait: float = 0.0, *, quietly: bool = False) -> None:
        """Stops everything and ends the thread.

        Args:
            wait: how many seconds to wait for it, at most.
            quietly: call nobody who asked for it with `at_end`.
        """
        with self._state:
            self._ended = True
            if quietly:
                self._farewells.clear()
            dropped, self._waiting = self._waiting, []
            for job in self._running:
                job.stop()
            self._state.notify_all()
        if not quietly:
            _tell(dropped)
        if wait and threading.current_thread() is not self._thread:
            self._thread.join(wait)

    def _drop(self, slot: tuple[int, str]) -> list[Job]:
        """Tells what runs in a slot to stop and takes away what waits there."""
        dropped = [job for job in self._waiting if job.slot == slot]
        self._waiting = [job for job in self._waiting if job.slot != slot]
        for job in self._running:
            if job.slot == slot:
                job.stop()
        return dropped

    def _next(self, *, foreground: bool = False) -> Job | None:
        """Takes the next job: foreground before background, lower ranks before higher, older before newer."""
        with self._state:
            waiting = [job for job in self._waiting if not (foreground and job.background)]
            if not waiting:
                return None
            job = min(waiting, key=lambda job: (job.background, job.rank))  # the first of equals
            self._waiting.remove(job)
            self._running.append(job)
            return job

    def _run(self, job: Job) -> None:
        try:
            job.run()
        except Exception:  # noqa: BLE001 - a panel could not show its error; the thread lives on for the others
            _log.exception("a panel failed while showing an error")
        finally:
            with self._state:
                self._running.remove(job)
                self._state.notify_all()

    def _loop(self) -> None:
        while True:
            job = self._next()
            if job is not None:
                self._run(job)
                del job  # or it would keep the last panel alive while the thread waits
                continue
            let_go()
            with self._state:
                while not self._waiting and not self._ended:
                    self._state.wait()
                if self._ended:
                    farewells = self._farewells
                    break
        for farewell in farewells:
            callback = farewell()
            if callback is not None:
                callback()


def _tell(dropped: list[Job]) -> None:
    for job in dropped:
        if job.on_dropped is not None:
            job.on_dropped()


def _end_all() -> None:
    """Work that runs while the interpreter goes down would meet torch without its threads, and abort."""
    with _making:
        workers = list(_workers.values())
    for worker in workers:
        worker.end(wait=_LAST_SECONDS, quietly=True)


atexit.register(_end_all)
_workers: weakref.WeakKeyDictionary[Any, Worker] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def worker_of(owner: Any, name: str) -> Worker:
    """The worker of a transformers model or of a trace, made on first use; it ends when its owner is gone."""
    with _making:
        worker = _workers.get(owner)
        if worker is None:
            worker = _workers[owner] = Worker(name)
            weakref.finalize(owner, worker.end).atexit = False  # `_end_all` is there for that
        return worker
