"""The peers' rows beside our panel's: each in a process and a browser of its own, within limits."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks import fresh, limited
from benchmarks.attention_row import Row, paint
from benchmarks.attention_tools import TOOLS, Tool
from benchmarks.environments import NoEnvironment, Peer, python_of
from benchmarks.limited import Stopped
from benchmarks.measuring import spread
from benchmarks.scripts import NoScripts, fetch
from benchmarks.table import say, size

PATIENCE_S = 60.0
# Room for what else runs; the weights of 270 heads over 4,096 tokens are more than that on most machines.
MOST_BYTES = min(14e9, 0.6 * psutil.virtual_memory().total)
_LAYERS, _ONE_LAYER, _HEADS, _FLOAT32 = 30, 15, 9, 4
_SHORT, _ROUNDS = 64, 3


class Beside:
    """The peers in a folder that pages are served from; it remembers who did not finish.

    Args:
        root: an empty folder.
        quick: whether nothing is run that takes minutes.

    Attributes:
        reasons: sentences for the table's note: what could not be had.
    """

    def __init__(self, root: Path, quick: bool) -> None:
        self._root = root
        self._quick = quick
        self._given_up: dict[tuple[str, bool], str] = {}
        self._pythons: dict[Peer | None, Path | None] = {None: None}
        self._missing: set[Peer | None] = set()
        self._scripts: dict[str, str] = {}
        self.reasons: list[str] = []
        try:
            self._scripts = fetch(root)
        except NoScripts as error:
            for tool in TOOLS:
                if tool.peer is None:
                    self._given_up[_key(tool)] = f"not run: {error}"

    def rows(self, tokens: int) -> Iterator[Row]:
        """A row for each view of a peer at this length, also where there is no picture."""
        folder = self._root / str(tokens)
        written: list[int] = []
        for tool in TOOLS:
            row = Row(f"{tokens:,}", f"{tool.name} {_version(tool)}", tool.shows)
            row.python = self._refusal(tool, tokens) or self._not_installed(tool.peer)
            if not row.python:
                if not written:
                    written = self._layers(tokens)
                    folder.mkdir()
                    say(f"the weights of {tokens} tokens as files for the peers")
                    fresh.call("attention_tensors", "write", tokens=tokens, layers=written, folder=str(folder))
                say(f"{row.tool} of {tokens} tokens: {tool.shows}")
                self._measure(tool, tokens, folder, row)
            yield row

    def _layers(self, tokens: int) -> list[int]:
        return list(range(_LAYERS)) if _bytes(tokens, _LAYERS) < MOST_BYTES else [_ONE_LAYER]

    def _refusal(self, tool: Tool, tokens: int) -> str:
        """Why a tool is not run, or nothing."""
        if self._quick and tokens > _SHORT:
            return "not run: takes minutes"
        if tool.every and _bytes(tokens, _LAYERS) >= MOST_BYTES:
            return f"not run: its tensors alone are {size(_bytes(tokens, _LAYERS))}"
        return self._given_up.get(_key(tool), "")

    def _not_installed(self, peer: Peer | None) -> str:
        """Makes a peer's environment where it is missing; says so where that fails."""
        if peer is not None and peer not in self._pythons and peer not in self._missing:
            try:
                self._pythons[peer] = python_of(peer)
            except NoEnvironment as error:
                self._missing.add(peer)
                self.reasons.append(f"{peer.package} {peer.version} could not be installed: {error}")
        return "not installed" if peer in self._missing else ""

    def _measure(self, tool: Tool, tokens: int, folder: Path, row: Row) -> None:
        page = folder / f"{tool.maker}.html"
        try:
            made, growth = limited.call(
                "attention_peers",
                "make",
                python=self._pythons[tool.peer],
                patience=PATIENCE_S,
                most=MOST_BYTES,
                tool=tool.maker,
                layers=list(range(_LAYERS)) if tool.every else [_ONE_LAYER],
                tensors=str(folder),
                page=str(page),
                rounds=_ROUNDS if tokens <= _SHORT else 1,
            )
        except Stopped as error:
            row.python = str(error)
            self._give_up(tool, tokens)
            return
        took = spread(made["seconds"])
        row.python, row.sent, row.memory = took.words(), size(made["bytes"]), size(growth)
        row.page = "as sent"
        shown = paint(
            self._root,
            f"{folder.name}/{page.name}",
            tool.picture,
            tool=tool,
            scripts=self._scripts if tool.peer is None else None,
            patience=PATIENCE_S,
            most=MOST_BYTES,
        )
        page.unlink()  # gigabytes, for some
        row.browser = size(shown.growth)
        row.painted = shown.reason or f"{took.median + spread(shown.seconds).median:.2f}"
        row.choice_painted = shown.choice_reason
        if shown.choices:
            row.choice_painted = spread([1000 * one for one in shown.choices]).words(0)
        if shown.reason:
            self._give_up(tool, tokens)

    def _give_up(self, tool: Tool, tokens: int) -> None:
        self._given_up[_key(tool)] = f"not run: no picture of {tokens:,} tokens"


def _key(tool: Tool) -> tuple[str, bool]:
    return (tool.maker, tool.every)


def _version(tool: Tool) -> str:
    return version("bertviz") if tool.peer is None else tool.peer.version


def _bytes(tokens: int, layers: int) -> int:
    return layers * _HEADS * tokens**2 * _FLOAT32
