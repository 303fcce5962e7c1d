"""Opens JupyterLab on the tour: its kernel chosen, nothing popping up, token and XSRF protection left as they are."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher import children, ports
from launcher.console import Stop, say
from launcher.project import Project

# JupyterLab's defaults for this environment alone; what a user sets in JupyterLab still goes before them.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"autoStartDefaultKernel": True},
}
_PATIENCE_S = 120
_POLL_S = 0.1
_WAIT_S = 1


class Taken(Stop):
    """Another program took the port before the server could."""


@dataclass
class Lab:
    """A JupyterLab that was started.

    Attributes:
        process: its server.
        address: where its notebook opens, token included.
        log: what it says.
    """

    process: subprocess.Popen[bytes]
    address: str
    log: Path


def serve(project: Project, port: int | None, browser: bool) -> int:
    """Opens JupyterLab and stays until Ctrl-C.

    Args:
        project: the checkout, set up.
        port: the port asked for; None for the usual one or the next that is free.
        browser: whether to open a browser window.

    Returns:
        The exit status.

    Raises:
        Stop: it did not start, or ended by itself.
    """
    if is_root():
        say("Running as root, so JupyterLab is started with --allow-root.")
    say("Starting JupyterLab ...")
    with running(project, port, browser) as lab:
        say(f"\nExplorer is open at {lab.address}\n")
        if browser:
            say("If no browser window appeared, open that address in one.")
        say("Keep it to yourself: who has it can run programs as you. Ctrl-C here stops it.")
        try:
            while lab.process.poll() is None:
                # In short waits: on Windows, one without an end would not let Ctrl-C through.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    lab.process.wait(_WAIT_S)
        except KeyboardInterrupt:
            say("\nStopping ...")
            return 0
        raise Stop(f"JupyterLab ended by itself: the end of {lab.log} says why.")


@contextlib.contextmanager
def running(project: Project, port: int | None, browser: bool) -> Iterator[Lab]:
    """A JupyterLab on the port asked for, or on one that is free when it begins to listen.

    Between the look for a free port and the server's own use of it, another program may take it: without a wish,
    the next one is then tried.

    Args:
        project: the checkout, set up.
        port: the port asked for; None for the usual one or the next that is free.
        browser: whether JupyterLab should open a browser window.

    Raises:
        Stop: it did not come up.
    """
    chosen = ports.choose(port)
    with contextlib.ExitStack() as open_:
        while True:
            try:
                lab = open_.enter_context(started(project, chosen, browser))
                break
            except Taken:
                if port is not None:
                    raise
                say(f"Port {chosen} was taken by another program just now.")
                chosen = ports.choose(None, first=chosen + 1)
        yield lab


@contextlib.contextmanager
def started(project: Project, port: int, browser: bool) -> Iterator[Lab]:
    """A JupyterLab that answers, and that is gone when the block ends.

    Args:
        project: the checkout, set up.
        port: a free port.
        browser: whether JupyterLab should open a browser window.

    Raises:
        Taken: another program has the port.
        Stop: it did not come up.
    """
    if not project.tour.is_file():
        name = project.tour.relative_to(project.root).as_posix()
        raise Stop(f"{name} is missing from {project.root}: get it back with `git checkout {name}`.")
    write_settings(project)
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_urlsafe(32)
    runtime = project.venv / "share" / "jupyter" / "runtime"
    runtime.mkdir(parents=True, exist_ok=True, mode=0o700)  # it holds the token and the kernels' keys
    log = _log(project, port)
    log.unlink(missing_ok=True)
    with (
        os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output,
        subprocess.Popen(
            command(project, port, browser),
            env=_environment(project, token, runtime),
            cwd=project.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield Lab(process, _address(process, runtime, port, token, log), log)
        finally:
            children.end(process)


def command(project: Project, port: int, browser: bool) -> list[str]:
    """The words that start JupyterLab on the tour."""
    words = [str(project.python), "-m", "jupyterlab", str(project.tour)]
    # Its own place for layouts: the one they share otherwise would open tabs of other folders, and their dialogs.
    words += [
        f"--ServerApp.root_dir={project.root}",
        f"--LabApp.workspaces_dir={project.venv / 'share/jupyter/lab/workspaces'}",
    ]
    # The port was found free and is told to the user, so no other one.
    words += [f"--port={port}", "--ServerApp.port_retries=0"]
    words += [] if browser else ["--no-browser"]
    return words + (["--allow-root"] if is_root() else [])


def write_settings(project: Project) -> None:
    """Writes JupyterLab's defaults for this environment."""
    file = project.venv / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    text = json.dumps(SETTINGS, indent=2) + "\n"
    if not file.is_file() or file.read_text("utf-8") != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


def is_root() -> bool:
    """Whether this runs as the superuser of a Unix."""
    return sys.platform != "win32" and os.geteuid() == 0


def _log(project: Project, port: int) -> Path:
    return project.venv / f"lab-{port}.log"


def _environment(project: Project, token: str, runtime: Path) -> dict[str, str]:
    # The token goes through the environment: a command line can be read by everybody on the machine. The kernel
    # called "python3" is looked for in this environment before any other place that is set.
    places = [str(project.venv / "share" / "jupyter"), os.environ.get("JUPYTER_PATH", "")]
    return project.environment(
        JUPYTER_TOKEN=token,
        JUPYTER_RUNTIME_DIR=str(runtime),
        JUPYTER_PREFER_ENV_PATH="1",
        JUPYTER_PATH=os.pathsep.join(place for place in places if place),
    )


def _address(process: subprocess.Popen[bytes], runtime: Path, port: int, token: str, log: Path) -> str:
    """Waits until the server answers; it says itself where it is, since a user's own configuration may move it."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            if not ports.is_free(port):
                raise Taken(f"Port {port} was taken by another program: choose another one with --port.")
            raise Stop(f"JupyterLab did not start ({_last_line(log)}): all it said is in {log}.")
        for server in _servers(runtime):
            if server.get("port") == port and server.get("token") == token and _answers(server["url"]):
                return f"{server['url']}lab/tree/notebooks/00_tour.ipynb?token={token}"
        time.sleep(_POLL_S)
    raise Stop(f"JupyterLab did not answer within {_PATIENCE_S} seconds: what it said is in {log}.")


def _servers(runtime: Path) -> Iterator[dict[str, str | int]]:
    for file in runtime.glob("jpserver-*.json"):
        with contextlib.suppress(OSError, ValueError):
            yield json.loads(file.read_text("utf-8"))


def _answers(url: object) -> bool:
    # Straight to the server: a proxy that is set for the web knows nothing of this machine's ports.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}api", timeout=5) as reply:
            return bool(reply.status == 200)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"
