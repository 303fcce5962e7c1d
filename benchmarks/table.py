"""A table as Markdown that also reads well as plain text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Table:
    """Rows under a title, with a note that says how to read them.

    Attributes:
        title: one line.
        note: what was measured and how; may have several lines.
        columns: the header of each column.
        rows: cells as they are printed, one list a row.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """Adds a row.

        Raises:
            ValueError: it has not one cell for each column.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"cells={cells!r} has {len(cells)} cells; the table has {len(self.columns)} columns.")
        self.rows.append([str(cell) for cell in cells])

    def __str__(self) -> str:
        lines = [list(self.columns), *self.rows]
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]
        rule = "|".join("-" * (width + 2) for width in widths)
        head, *body = (f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)
        return "\n".join([f"## {self.title}", "", self.note, "", head, f"|{rule}|", *body])


def size(count: float) -> str:
    """A number of bytes as a person reads it, decimal as in "31 MB"."""
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= bytes_:
            amount = count / bytes_
            return f"{amount:,.1f} {unit}" if amount < 100 else f"{amount:,.0f} {unit}"
    return f"{count:.0f} B"


def say(words: str) -> None:
    """Tells who waits what is being measured, outside the tables."""
    print(f"... {words}", file=sys.stderr, flush=True)
