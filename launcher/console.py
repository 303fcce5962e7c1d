"""What a person reads in the terminal: numbered steps, one live line under them, and one sentence when it stops."""

from __future__ import annotations

import shutil
import sys
import time

_QUIET_INTERVAL_S = 15.0  # between two progress lines where they cannot overwrite each other (a log, CI)


class Stop(Exception):  # noqa: N818 - not a fault of the program: it stops, and says why
    """Ends the program with a sentence that says what to do.

    Attributes:
        status: the exit status.
    """

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.status = status


def say(text: str = "") -> None:
    """Prints a line at once, also into a pipe."""
    print(text, flush=True)


def prepare_streams() -> None:
    """Keeps an old Windows console, which cannot show every character of a path, from ending in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


class LiveLine:
    """A line that is rewritten in place while something long runs; without a terminal, a new line now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._shown = 0
        self._last = time.monotonic()

    def show(self, text: str) -> None:
        """Shows the newest state."""
        if self._terminal:
            width = max(20, shutil.get_terminal_size().columns - 1)
            line = ("      " + text)[:width]
            sys.stdout.write("\r" + line + " " * (self._shown - len(line)))
            sys.stdout.flush()
            self._shown = len(line)
        elif time.monotonic() - self._last >= _QUIET_INTERVAL_S:
            say("      " + text)
            self._last = time.monotonic()

    def clear(self) -> None:
        """Takes the line away, so that what is printed next starts on a clean one."""
        if self._shown:
            sys.stdout.write("\r" + " " * self._shown + "\r")
            sys.stdout.flush()
            self._shown = 0


def megabytes(count: int) -> str:
    """A size in bytes as people read it: decimal MB, or GB from one upwards."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
