"""The command: prints each table as soon as it is measured."""

from __future__ import annotations

import argparse
import importlib
import os

import benchmarks

_SECTIONS = ("peers", "memory", "patterns", "pictures", "attention", "loading", "forms", "live")


def main() -> None:
    """Runs the sections that were asked for."""
    summary, _, rest = (benchmarks.__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and nothing that takes minutes")
    parser.add_argument("--only", choices=_SECTIONS, help="one section")
    asked = parser.parse_args()
    # Before transformers is imported, here and in the processes that are started: no measurement waits for a hub.
    os.environ["HF_HUB_OFFLINE"] = "1"
    print(f"# Benchmarks\n\n{summary}\nA cell such as `0.89 (0.86-0.93)` holds the median and its quartiles.\n")
    for name in (asked.only,) if asked.only else _SECTIONS:
        for table in importlib.import_module(f"benchmarks.{name}").tables(asked.quick):
            print(f"{table}\n", flush=True)
    print(importlib.import_module("benchmarks.machine").line())


if __name__ == "__main__":
    main()
