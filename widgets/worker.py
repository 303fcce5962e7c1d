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
        on_progress: Callable[[float, str], None] | None,
    ) -> None:
        self.slot = slot
        self.rank = rank
        self.background = background
        self._worker = worker
        self._work = work
        self._on_error = on_error
        self._on_progress = on_progress
        self._stop = threading.Event()

    def stop(self) -> None:
        """Asks the work to end; it does at its next checkpoint."""
        self._stop.set()

    def cancelled(self) -> bool:
        """Whether the work was superseded or stopped."""
        return self._stop.is_set()

    def progress(self, done: float, note: str) -> None:
        """Shows how far the work is, and lets waiting foreground work go first."""
        if self._on_progress is not None:
            self._on_progress(done, note)
        if self.background:
            self._worker.run_foreground()

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
        on_progress: Callable[[float, str], None] | None = None,
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
            on_progress: called there with what the work reports (0..1, note).
        """
        job = Job(
            self,
            (id(owner), slot),
            work,
            rank=rank,
            background=background,
            on_error=on_error,
            on_progress=on_progress,
        )
        with self._state:
            ended = self._ended
            if not ended:
                self._drop(job.slot)
                self._waiting.append(job)
                self._state.notify_all()
        if ended:
            on_error(Refused(f"{self._name} was closed; open it again and give it to a new panel."))
        return job

    def cancel(self, owner: object, *slots: str) -> None:
        """Drops what `owner` asked for in these slots, or in all of them."""
        with self._state:
            known = {job.slot for job in (*self._waiting, *self._running) if job.slot[0] == id(owner)}
            for slot in known:
                if not slots or slot[1] in slots:
                    self._drop(slot)
            self._state.notify_all()

    def wait(self, owner: object, timeout: float | None = None) -> bool:
        """Waits until nothing `owner` asked for is waiting or running; False when `timeout` seconds pass first."""
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

    def end(self, wait: float = 0.0) -> None:
        """Stops everything and ends the thread, for which it waits so many seconds at most."""
        with self._state:
            self._ended = True
            self._waiting.clear()
            for job in self._running:
                job.stop()
            self._state.notify_all()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join(wait)

    def _drop(self, slot: tuple[int, str]) -> None:
        self._waiting = [job for job in self._waiting if job.slot != slot]
        for job in self._running:
            if job.slot == slot:
                job.stop()

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
            with self._state:
                while not self._waiting and not self._ended:
                    self._state.wait()
                if self._ended:
                    return


def _end_all() -> None:
    """Work that runs while the interpreter goes down would meet torch without its threads, and abort."""
    with _making:
        workers = list(_workers.values())
    for worker in workers:
        worker.end(wait=_LAST_SECONDS)


atexit.register(_end_all)
_workers: weakref.WeakKeyDictionary[Any, Worker] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def worker_of(owner: Any, name: str) -> Worker:
    """The worker of a transformers model or of a trace, made on first use; it ends when its owner is gone."""
    with _making:
        worker = _workers.get(owner)
        if worker is None:
            worker = _workers[owner] = Worker(name)
            weakref.finalize(owner, worker.end)
        return worker
