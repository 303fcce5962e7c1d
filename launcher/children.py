"""Runs the programs that the set-up consists of: their output goes line by line to whoever shows progress."""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

_TICK_S = 1.0
_GRACE_S = 10.0


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    Attributes:
        status: its exit status.
        output: all it printed, errors included.
    """

    status: int
    output: str

    @property
    def last_words(self) -> str:
        """The last line that says something."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else "it printed nothing"


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path | None = None,
    watch: Callable[[str | None], None] | None = None,
) -> Outcome:
    """Runs a program to its end; Ctrl-C ends it too and is raised again.

    Args:
        command: program and arguments.
        env: its environment variables.
        cwd: its working folder.
        log: a file that everything is appended to.
        watch: called with every line, and with None about once a second while there is none.
    """
    words = [str(word) for word in command]
    lines: list[str] = []
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(log.open("a", encoding="utf-8")) if log else None
        if file:
            file.write("\n$ " + " ".join(words) + "\n")
        child = subprocess.Popen(
            words,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        try:
            for line in _lines(child):
                if line is not None:
                    lines.append(line)
                    if file:
                        file.write(line)
                        file.flush()
                if watch:
                    watch(line)
            status = child.wait()
        except BaseException:
            end(child)
            raise
    return Outcome(status, "".join(lines))


def _lines(child: subprocess.Popen[str]) -> Iterator[str | None]:
    """A program's lines, with None for every second without one.

    A thread does the reading: a blocking read could not be interrupted on Windows, and would not show time passing.
    """
    arrived: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert child.stdout is not None
        with contextlib.suppress(ValueError):  # closed while reading: the program was ended
            for line in child.stdout:
                arrived.put(line)
        arrived.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = arrived.get(timeout=_TICK_S)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """A request to end this program ends its children as well, as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    wanted = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # One that is ignored stays so: `nohup` means that closing the terminal ends nothing.
    taken = [number for number in wanted if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def end(child: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Asks a program to end, and makes it end where it does not."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
