"""The worker: the newest request wins, whatever the order of requests, cancellations and errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer import control
from explorer.errors import Cancelled
from widgets.worker import Job, Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("test")
    yield worker
    worker.end()


def fail(error: BaseException) -> None:
    raise AssertionError(f"unexpected: {error!r}") from error


class Gate:
    """Work that runs until it is let go or cancelled, and says that it has begun."""

    def __init__(self) -> None:
        self.begun, self.open, self.cancelled = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, job: Job) -> None:
        self.begun.set()
        while not self.open.wait(0.002):
            if job.cancelled():
                self.cancelled.set()
            control.checkpoint()


def test_the_newest_of_a_slot_wins_and_the_waiting_one_never_runs(worker: Worker) -> None:
    ran: list[int] = []
    gate = Gate()
    worker.submit(self_ := object(), "a", gate, on_error=fail)
    assert gate.begun.wait(5)
    for number in range(20):
        worker.submit(self_, "a", lambda _job, n=number: ran.append(n), on_error=fail)
    assert worker.wait(self_, 5)
    assert gate.cancelled.is_set()
    assert ran == [19]


def test_other_owners_and_slots_are_left_alone(worker: Worker) -> None:
    ran: list[str] = []
    one, two = object(), object()
    gate = Gate()
    worker.submit(one, "a", gate, on_error=fail)
    assert gate.begun.wait(5)
    worker.submit(one, "b", lambda _job: ran.append("one b"), on_error=fail)
    worker.submit(two, "a", lambda _job: ran.append("two a"), on_error=fail)
    worker.cancel(one, "b")
    gate.open.set()
    assert worker.wait(one, 5)
    assert worker.wait(two, 5)
    assert ran == ["two a"]


def test_background_work_lets_foreground_work_go_first_between_passes(worker: Worker) -> None:
    order: list[str] = []
    me = object()
    begun, submitted = threading.Event(), threading.Event()

    def long(_job: Job) -> None:
        order.append("long begins")
        begun.set()
        assert submitted.wait(5)
        control.report(0.5, "half")
        order.append("long ends")

    worker.submit(me, "long", long, on_error=fail, background=True)
    assert begun.wait(5)
    worker.submit(me, "quick", lambda _job: order.append("quick"), on_error=fail)
    submitted.set()
    assert worker.wait(me, 5)
    assert order == ["long begins", "quick", "long ends"]


def test_progress_is_reported(worker: Worker) -> None:
    seen: list[tuple[float, str]] = []
    me = object()
    worker.submit(
        me,
        "a",
        lambda _job: control.report(0.25, "x"),
        on_error=fail,
        on_progress=lambda _job, *facts: seen.append(facts),
    )
    assert worker.wait(me, 5)
    assert seen == [(0.25, "x")]


def test_an_error_reaches_its_panel_and_the_next_request_works(worker: Worker) -> None:
    errors: list[BaseException] = []
    me = object()

    def bad(_job: Job) -> None:
        raise ZeroDivisionError("no")

    worker.submit(me, "a", bad, on_error=errors.append)
    assert worker.wait(me, 5)
    assert [type(error) for error in errors] == [ZeroDivisionError]
    ran: list[bool] = []
    worker.submit(me, "a", lambda _job: ran.append(torch.is_grad_enabled()), on_error=fail)
    assert worker.wait(me, 5)
    assert ran == [False]


def test_a_panel_that_cannot_show_its_error_does_not_end_the_thread(worker: Worker) -> None:
    me = object()
    worker.submit(me, "a", lambda _job: 1 / 0, on_error=fail)
    assert worker.wait(me, 5)
    ran: list[int] = []
    worker.submit(me, "a", lambda _job: ran.append(1), on_error=fail)
    assert worker.wait(me, 5)
    assert ran == [1]


def test_waiting_ends_at_the_timeout_and_in_its_own_thread_is_refused(worker: Worker) -> None:
    me, gate = object(), Gate()
    worker.submit(me, "a", gate, on_error=fail)
    assert worker.wait(me, 0.05) is False
    gate.open.set()
    assert worker.wait(me, 5)
    errors: list[BaseException] = []
    worker.submit(me, "a", lambda _job: worker.wait(me), on_error=errors.append)
    assert worker.wait(me, 5)
    assert "own thread" in str(errors[0])


def test_cancelling_is_no_error(worker: Worker) -> None:
    me, gate = object(), Gate()
    worker.submit(me, "a", gate, on_error=fail)
    assert gate.begun.wait(5)
    worker.cancel(me)
    assert worker.wait(me, 5)
    assert gate.cancelled.is_set()


def test_the_controller_is_gone_when_the_work_ends(worker: Worker) -> None:
    me = object()
    worker.submit(me, "a", lambda job: job.stop(), on_error=fail)
    assert worker.wait(me, 5)
    control.checkpoint()  # in this thread nothing was ever cancelled
    job = Job(worker, (0, "x"), lambda _job: None, background=False, on_error=fail, on_progress=None)
    job.stop()
    with control.controlled(job), pytest.raises(Cancelled):
        control.checkpoint()
    control.checkpoint()


STEPS = st.lists(st.tuples(st.sampled_from(["ask", "fail", "cancel", "long"]), st.sampled_from("ab")), max_size=25)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_any_interleaving_shows_the_last_request_of_each_slot(steps: list[tuple[str, str]]) -> None:
    worker = Worker("property")
    me = object()
    shown: dict[str, int | None] = {}

    def ask(slot: str, number: int) -> None:
        worker.submit(me, slot, lambda _job: shown.__setitem__(slot, number), on_error=fail)

    def raising(_job: Job) -> None:
        raise ValueError("on purpose")

    def long(_job: Job) -> None:
        for _ in range(50):
            control.checkpoint()

    try:
        for number, (kind, slot) in enumerate(steps):
            if kind == "ask":
                ask(slot, number)
            elif kind == "cancel":
                worker.cancel(me, slot)
            else:
                work, on_error = (raising, lambda _error: None) if kind == "fail" else (long, fail)
                worker.submit(me, slot, work, on_error=on_error, background=kind == "long")
        for slot in "ab":
            ask(slot, len(steps))
        assert worker.wait(me, 10)
        assert shown == {"a": len(steps), "b": len(steps)}
    finally:
        worker.end()
