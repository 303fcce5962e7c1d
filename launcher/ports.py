"""Finds the port that JupyterLab listens on."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from launcher.console import Stop, say

USUAL = 8888
_TRIES = 50
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # IPv6 switched off, as in many containers


def is_free(port: int) -> bool:
    """Whether a server of this machine could listen on a port, for either kind of address."""
    # macOS lets a listener in beside one that is there already, so it is also asked whether anybody answers.
    return all(_bindable(family, host, port) for family, host in _loopbacks()) and not _answers(port)


def choose(asked: int | None, free: Callable[[int], bool] = is_free, first: int = USUAL) -> int:
    """The port to use: the one asked for, else the usual one or the next that is free, which is said.

    Args:
        asked: the user's, or None.
        free: tells whether a port is free.
        first: where to begin to look, when one that was found free was taken before it could be used.

    Raises:
        Stop: the port asked for is taken, or none of those tried is free.
    """
    if asked is not None:
        if not free(asked):
            raise Stop(
                f"Port {asked} is taken or may not be used: choose another one with --port, "
                "or leave --port out and a free one is found."
            )
        return asked
    for port in range(first, USUAL + _TRIES):
        if free(port):
            if port != USUAL:
                say(f"Port {USUAL} is taken, so this one is on port {port}.")
            return port
    raise Stop(f"The ports {USUAL} to {USUAL + _TRIES - 1} are all taken: choose another one with --port.")


def _loopbacks() -> list[tuple[socket.AddressFamily, str]]:
    both = [(socket.AF_INET, "127.0.0.1")]
    return [*both, (socket.AF_INET6, "::1")] if socket.has_ipv6 else both


def _bindable(family: socket.AddressFamily, host: str, port: int) -> bool:
    try:
        probe = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return True  # no such kind of address here, so nobody listens there
    with probe:
        if os.name != "nt":
            # As the server does: without it, a port is "taken" for a minute after its last user left.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return family == socket.AF_INET6 and error.errno in _NO_SUCH_ADDRESS
    return True


def _answers(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
