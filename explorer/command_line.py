"""The commands of `python -m explorer`; plain text, and an exit status of 1 where something is wrong."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from explorer.errors import ExplorerError


def main(arguments: Sequence[str]) -> int:
    """Runs one command.

    Returns:
        0 when all is well, 1 when something is not (it is said in a sentence), 2 for a command that does not exist.
    """
    parser = argparse.ArgumentParser(prog="python -m explorer", description="Explorer's cache, and a report on it.")
    commands = parser.add_subparsers(dest="command", required=True)
    cached = commands.add_parser("cache", help="what Explorer fetched and converted")
    actions = cached.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="what there is, the least recently used first")
    clearing = actions.add_parser("clear", help="remove it")
    clearing.add_argument("name", nargs="*", help="as `cache list` shows it; everything where none is given")
    commands.add_parser("doctor", help="versions, memory and cache, for a bug report")
    given = parser.parse_args(arguments)
    try:
        if given.command == "doctor":
            from explorer.doctor import report

            return _say(report())
        return _list() if given.action == "list" else _clear(given.name)
    except ExplorerError as error:
        print(error, file=sys.stderr)
        return 1


def _list() -> int:
    from explorer import cache
    from explorer.cache_entries import entries, limit
    from explorer.memory import written

    held = entries()
    for entry in held:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        print(f"{entry.kind:8} {written(entry.size):>10}  {day}  {entry.name}  ({entry.model})")
    total = sum(entry.size for entry in held)
    print(f"{len(held)} in {cache.root()}, {written(total)} of {written(limit())}")
    return 0


def _clear(names: Sequence[str]) -> int:
    from explorer.cache_entries import clear
    from explorer.memory import written

    removed, left = clear(names)
    for entry in removed:
        print(f"removed {entry.name} ({written(entry.size)})")
    for entry in left:
        print(f"{entry.name} was left: it is being made by another process or cannot be deleted", file=sys.stderr)
    if not removed and not left:
        print("The cache is empty.")
    return 1 if left else 0


def _say(lines: Sequence[tuple[str, str]]) -> int:
    """Prints a table of two columns; rows whose name ends in "!" are what is wrong."""
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        print(f"{name:{width}}  {text}")
    return 1 if any(name.endswith("!") for name, _ in lines) else 0
