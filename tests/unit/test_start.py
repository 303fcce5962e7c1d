"""start.py: which Pythons it accepts, what it understands, and the one sentence it says where it stops."""

from __future__ import annotations

import ast
import errno
import os
import runpy
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import cli, machine, pip, ports
from launcher.console import Stop, megabytes
from launcher.project import Project

ROOT = Path(__file__).resolve().parents[2]
# All that a set-up reads before it builds the front end.
SETUP_FILES = ("start.py", "launcher", "hatch_build.py", "pyproject.toml", "constraints.txt")


def start(*arguments: str, root: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs start.py as a person does, and holds what every failure has to keep to."""
    result = subprocess.run(
        [sys.executable, "start.py", *arguments],
        cwd=root,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in result.stdout + result.stderr
    return result


def is_one_sentence(text: str) -> bool:
    return len(text.strip().splitlines()) == 1 and text.strip().endswith(".")


# --- Python -----------------------------------------------------------------------------------------------------


def test_start_uses_nothing_an_old_python_cannot_parse() -> None:
    tree = ast.parse((ROOT / "start.py").read_text("utf-8"), feature_version=(3, 7))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match, ast.Nonlocal, ast.AsyncFunctionDef)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert all(function.returns is None for function in functions)
    assert all(argument.annotation is None for function in functions for argument in function.args.args)
    # Before the version is checked, nothing is imported that an old one does not have.
    assert [name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names] == ["sys"]
    assert not [node for node in tree.body if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 8, 18), (3, 10, 13), (3, 14, 0), (4, 0, 0)])
def test_another_python_is_refused_in_one_sentence(version: tuple[int, int, int]) -> None:
    sentence = runpy.run_path(str(ROOT / "start.py"))["unsupported"](version)
    assert is_one_sentence(sentence)
    assert ".".join(map(str, version)) in sentence
    assert "start.py" in sentence


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 1), (3, 13, 9)])
def test_supported_pythons_are_accepted(version: tuple[int, int, int]) -> None:
    assert runpy.run_path(str(ROOT / "start.py"))["unsupported"](version) is None


def test_wrong_python_ends_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runpy.run_path(str(ROOT / "start.py"))["run"]
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    monkeypatch.setitem(sys.modules, "launcher.cli", None)  # importing it would raise
    assert run() == 2
    assert is_one_sentence(capsys.readouterr().err)


# --- arguments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "command", "port", "quiet"),
    [
        ([], "lab", None, False),
        (["--no-browser"], "lab", None, True),
        (["lab", "--port", "9000"], "lab", 9000, False),
        (["--port=9000", "lab", "--no-browser"], "lab", 9000, True),
        (["setup"], "setup", None, False),
    ],
)
def test_arguments(arguments: list[str], command: str, port: int | None, quiet: bool) -> None:
    options, for_pytest = cli.read(arguments)
    assert (options.command, options.port, options.no_browser) == (command, port, quiet)
    assert for_pytest == []


def test_what_follows_test_goes_to_pytest() -> None:
    options, for_pytest = cli.read(["test", "-k", "tokens", "--port", "x"])
    assert options.command == "test"
    assert for_pytest == ["-k", "tokens", "--port", "x"]


@pytest.mark.parametrize(
    "arguments",
    [["--prot", "9000"], ["tset"], ["lab", "more"], ["--port", "0"], ["--port", "70000"], ["--port", "x"], ["--port"]],
)
def test_unknown_arguments_are_refused_in_one_sentence(arguments: list[str]) -> None:
    result = start(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert is_one_sentence(result.stderr)
    assert "--help" in result.stderr


def test_options_of_lab_mean_nothing_to_setup() -> None:
    result = start("setup", "--no-browser")
    assert result.returncode == 2
    assert is_one_sentence(result.stderr)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["test", "--help"]])
def test_help_names_every_command_and_option(arguments: list[str]) -> None:
    result = start(*arguments)
    assert result.returncode == 0
    assert all(word in result.stdout for word in ("lab", "setup", "test", "--no-browser", "--port", "--help"))


# --- port -------------------------------------------------------------------------------------------------------


@pytest.fixture
def taken() -> Iterator[int]:
    """A port somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_that_was_asked_for_is_refused(taken: int) -> None:
    result = start("--no-browser", "--port", str(taken))
    assert result.returncode == 1
    assert result.stdout == ""
    assert is_one_sentence(result.stderr)
    assert str(taken) in result.stderr
    assert "--port" in result.stderr


def test_a_port_is_free_again_once_its_listener_left(taken: int) -> None:
    assert not ports.is_free(taken)
    with socket.socket() as listener:
        if os.name != "nt":  # as servers do
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        left = listener.getsockname()[1]
        # A connection that was open leaves the port in a state in which only a server may take it at once.
        with socket.create_connection(("127.0.0.1", left)), listener.accept()[0]:
            pass
    assert ports.is_free(left)


def test_without_a_wish_the_next_free_port_is_taken_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert ports.choose(None, free=lambda port: port >= ports.USUAL + 2) == ports.USUAL + 2
    assert f"{ports.USUAL} is taken" in capsys.readouterr().out
    assert ports.choose(None, free=lambda _port: True) == ports.USUAL
    assert capsys.readouterr().out == ""
    with pytest.raises(Stop, match="--port"):
        ports.choose(None, free=lambda _port: False)


# --- machine ----------------------------------------------------------------------------------------------------


def test_too_little_room_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    machine.require_room(tmp_path, 1000, free=lambda _folder: 1000)
    with pytest.raises(Stop) as stop:
        machine.require_room(tmp_path, 3_000_000_000, free=lambda _folder: 250_000_000)
    assert is_one_sentence(str(stop.value))
    assert "3.0 GB" in str(stop.value)
    assert "250 MB" in str(stop.value)
    assert stop.value.status != 0


@pytest.mark.parametrize(
    "machine_facts",
    [
        ("Darwin", "x86_64", "15.1", True),
        ("Darwin", "arm64", "13.6.1", True),
        ("Windows", "ARM64", "", True),
        ("Linux", "i686", "", False),
    ],
)
def test_systems_without_a_build_of_pytorch_are_refused(machine_facts: tuple[str, str, str, bool]) -> None:
    with pytest.raises(Stop) as stop:
        machine.refuse_unsupported(*machine_facts)
    assert is_one_sentence(str(stop.value))


@pytest.mark.parametrize(
    "machine_facts",
    [
        ("Linux", "x86_64", "", True),
        ("Linux", "aarch64", "", True),
        ("Darwin", "arm64", "14.0", True),
        ("Windows", "AMD64", "", True),
    ],
)
def test_supported_systems_are_accepted(machine_facts: tuple[str, str, str, bool]) -> None:
    machine.refuse_unsupported(*machine_facts)


def test_a_second_start_does_not_work_beside_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "setup.lock"
    second = f"from pathlib import Path; from launcher.machine import alone\nwith alone(Path({str(lock)!r})): pass"
    with machine.alone(lock):
        refused = subprocess.run([sys.executable, "-c", second], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Another start.py" in refused.stderr
    assert subprocess.run([sys.executable, "-c", second], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "may not write"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "may not write"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_what_the_system_refuses_becomes_a_sentence(error: OSError, word: str) -> None:
    sentence = cli.sentence_for(error)
    assert word in sentence
    assert is_one_sentence(sentence)


# --- pip --------------------------------------------------------------------------------------------------------

PIP_SAID = {
    "disk is full": "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
    "cannot be reached": (
        "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection "
        "broken by 'NewConnectionError(\"Failed to establish a new connection: [Errno 111] Connection refused\")'\n"
        "ERROR: No matching distribution found for pip==26.3\n"
    ),
    "certificate": "WARNING: Retrying after connection broken by 'SSLError(SSLCertVerificationError(1, 'own'))'\n",
    "no build of torch==2.13.0": (
        "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)\n"
        "ERROR: No matching distribution found for torch==2.13.0\n"
    ),
    "cannot be written": "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: 'x'\n",
    "arrived damaged": "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n",
    "something new": "Collecting x\nERROR: something new went wrong.\n",
}


@pytest.mark.parametrize("expected", PIP_SAID)
def test_what_pip_says_becomes_a_sentence(expected: str, tmp_path: Path) -> None:
    sentence = pip.explain(PIP_SAID[expected], Project(tmp_path, tmp_path / ".venv"))
    assert expected in sentence
    assert is_one_sentence(sentence)


def test_no_network_ends_in_one_sentence(tmp_path: Path) -> None:
    """A real set-up whose package index refuses every connection."""
    for name in SETUP_FILES:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and never listening: nobody else can answer there
        index = f"http://127.0.0.1:{unused.getsockname()[1]}/simple"
        elsewhere = {"PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "PIP_CONFIG_FILE": os.devnull}
        result = start("setup", root=tmp_path, PIP_INDEX_URL=index, PIP_RETRIES="1", **elsewhere)
    assert result.returncode == 1
    assert is_one_sentence(result.stderr)
    assert "cannot be reached" in result.stderr


def test_sizes_are_written_as_people_read_them() -> None:
    assert [megabytes(count) for count in (12_356_904, 999_000_000, 2_540_000_000)] == ["12 MB", "999 MB", "2.5 GB"]
