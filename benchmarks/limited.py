"""Runs other people's tools within limits of time and memory, so that one that wants more than there is ends alone."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks import fresh
from benchmarks.table import size

_READY = "ready"
_LOADING_S = 120
_LOOKED_AT_S = 0.02


class Stopped(Exception):  # noqa: N818 - reads as what happened
    """The work did not end within its limits, or failed; the text says which."""


def ready() -> None:
    """Says that what a function starts from is there: from here on its time and memory count."""
    print(_READY, psutil.Process().memory_info().rss, flush=True)


def resident(processes: Callable[[], Sequence[Any]]) -> int:
    """Bytes of resident memory of those that run; one may end while it is looked at."""
    bytes_ = 0
    with suppress(psutil.Error):
        for process in processes():
            with suppress(psutil.Error):
                bytes_ += process.memory_info().rss
    return bytes_


class Watch:
    """The resident memory of some processes, looked at all the time.

    Attributes:
        highest: the most that they had together, in bytes.
        over: whether they were killed because they had more than allowed.
    """

    def __init__(self) -> None:
        self.highest = 0
        self.over = False


@contextmanager
def watched(processes: Callable[[], Sequence[Any]], most: float) -> Iterator[Watch]:
    """Looks at processes, and kills them when they have more than `most` bytes together.

    Args:
        processes: gives the processes of this moment, as psutil knows them.
        most: bytes of resident memory.
    """
    watch, done = Watch(), threading.Event()

    def look() -> None:
        while not done.wait(_LOOKED_AT_S):
            bytes_ = resident(processes)
            watch.highest = max(watch.highest, bytes_)
            if bytes_ > most:
                watch.over = True
                _kill(processes)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        done.set()
        thread.join()


def call(
    module: str, function: str, *, python: Path | None, patience: float, most: float, **arguments: Any
) -> tuple[Any, int]:
    """As `fresh.call`, of a function that says when its work begins; gives its result and the memory the work took.

    Args:
        module: of this package.
        function: in it; calls `ready` when its work begins.
        python: another environment's interpreter, or None.
        patience: seconds for the work.
        most: bytes of resident memory for the process.
        arguments: what JSON can say.

    Returns:
        What it returned, and the bytes by which resident memory rose at the highest above what it said.

    Raises:
        Stopped: it was stopped, or failed.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        command = fresh.command(module, function, python, arguments)
        process = subprocess.Popen(
            command, cwd=fresh.ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
        )
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(_LOADING_S, end)
        timer.start()
        before, last = 0, ""
        with watched(lambda: [psutil.Process(process.pid)], most) as watch, process:
            assert process.stdout is not None  # asked for above
            for line in process.stdout:
                last = line
                if line.startswith(_READY):
                    before = int(line.split()[1])
                    timer.cancel()
                    timer = threading.Timer(patience, end)
                    timer.start()
            timer.cancel()
        if watch.over:
            raise Stopped(f"out of memory: more than {size(most)}")
        if late.is_set():
            raise Stopped(f"did not finish in {patience:.0f} s")
        if process.returncode != 0:
            errors.seek(0)
            raise Stopped(f"failed: {(errors.read().strip().splitlines() or ['no message'])[-1]}")
    return json.loads(last), max(0, watch.highest - before)


def _kill(processes: Callable[[], Sequence[Any]]) -> None:
    with suppress(psutil.Error):
        for process in processes():
            with suppress(psutil.Error):
                process.kill()
