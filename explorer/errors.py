"""What can go wrong on purpose.

Everything Explorer raises by its own decision is an `ExplorerError`, so a panel can tell a sentence meant for
a reader (shown where the picture would be) from a defect (shown with its traceback). The sentence names the
argument, the value, what is allowed and what to do.
"""

from __future__ import annotations


class ExplorerError(Exception):
    """Anything Explorer raises deliberately; its text is one sentence for a reader."""


class Refused(ExplorerError, ValueError):  # noqa: N818 - reads as what happened: "the request was refused"
    """Asked for something that cannot be done or would give a wrong number.

    It is a `ValueError` as well, so code that does not know Explorer catches it where it catches bad values.
    """


class Cancelled(ExplorerError):  # noqa: N818 - not a fault: the work simply stopped
    """The work was superseded by a newer request or stopped by the reader; nothing is wrong."""
