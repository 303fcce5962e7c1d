"""Reads the arguments of start.py and does what they say; whatever stops it becomes one sentence."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from typing import NoReturn

from launcher import children, lab, ports, testing
from launcher.console import Stop, prepare_streams, say
from launcher.preparing import prepare
from launcher.project import Project

_USAGE = 2
_INTERRUPTED = 130
_COMMANDS = ("lab", "setup", "test")
_DESCRIPTION = """\
Sets Explorer up in this folder (once; later starts take seconds) and opens it.

commands:
  lab               set up, then open JupyterLab on the tour (what happens without a command)
  setup             set up, open nothing
  test [ARGS ...]   set up, then run all checks and tests; ARGS go to pytest, as in `test -k tokens`
"""


class _Parser(argparse.ArgumentParser):
    """Ends with one sentence instead of a usage dump."""

    def error(self, message: str) -> NoReturn:
        raise Stop(f"start.py: {message}; `python start.py --help` says what it takes.", _USAGE)


def main(arguments: Sequence[str]) -> int:
    """Runs start.py.

    Args:
        arguments: what followed `start.py`.

    Returns:
        The exit status: 0 where everything went well.
    """
    prepare_streams()
    try:
        with children.interrupted_by_signals():
            return _run(arguments, Project.here())
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        print("\nStopped; the next start goes on from here.", file=sys.stderr)
        return _INTERRUPTED
    except OSError as error:
        print(sentence_for(error), file=sys.stderr)
        return 1


def read(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Takes the arguments apart.

    Args:
        arguments: what followed `start.py`.

    Returns:
        The options (command, browser, port), and what is meant for pytest.

    Raises:
        Stop: something in them is not known or does not belong together.
    """
    parser = _Parser(
        prog="python start.py",
        usage="python start.py [lab | setup | test] [--no-browser] [--port N] [--help]",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", nargs="?", default="lab", metavar="command", help=argparse.SUPPRESS)
    parser.add_argument("--no-browser", action="store_true", help="lab: open no browser window")
    parser.add_argument(
        "--port", type=_port, metavar="N", help=f"lab: the port; without it {ports.USUAL} or the next one that is free"
    )
    if arguments[:1] == ["test"]:
        for_pytest = list(arguments[1:])
        wants_help = bool({"--help", "-h"} & set(for_pytest))
        return parser.parse_args(["test", "--help"] if wants_help else ["test"]), for_pytest
    options = parser.parse_args(arguments)
    if options.command not in _COMMANDS:
        raise Stop(
            f"start.py does not know {options.command!r}: it knows lab, setup and test, and "
            "`python start.py --help` tells what they do.",
            _USAGE,
        )
    if options.command != "lab" and (options.no_browser or options.port is not None):
        raise Stop(f"--no-browser and --port mean nothing to {options.command}: leave them out.", _USAGE)
    return options, []


def sentence_for(error: OSError) -> str:
    """What to say where the system refused something."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)) or getattr(error, "winerror", None) == 112:
        return f"The disk is full{where}: free some space, then run this again: what is done already is kept."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Explorer may not write there{where}: move its folder to a place that is yours, then run this again."
    return f"The system refused something{where}: {error.strerror or error}; set that right, then run this again."


def _run(arguments: Sequence[str], project: Project) -> int:
    options, for_pytest = read(arguments)
    if options.command == "lab" and options.port is not None:
        ports.choose(options.port)  # said now, not after minutes of setting up
    prepare(project, tests=options.command == "test")
    if options.command == "test":
        return testing.test(project, for_pytest)
    if options.command == "lab":
        return lab.serve(project, options.port, not options.no_browser)
    say("Everything is in place: `python start.py` opens it.")
    return 0


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port, which is a number from 1 to 65535")
    return int(text)
