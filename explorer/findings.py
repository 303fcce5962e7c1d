"""What a self-check found."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from explorer.errors import Cancelled

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Finding:
    """One comparison.

    Attributes:
        what: what was compared.
        site: where the largest error is.
        error: the largest error, relative to the size of the numbers except for attention weights; infinite where
            the part could not be read at all, 0.0 where there was nothing to compare.
        tolerance: the largest error that rounding explains.
        passed: whether the error is within it.
        note: what a reader should know, such as why a part could not be compared.
    """

    what: str
    site: str
    error: float
    tolerance: float
    passed: bool
    note: str = ""


@dataclass(frozen=True)
class Check:
    """The self-check of one model on this machine.

    Attributes:
        name: of the model.
        dtype: in which it was run.
        rows: what was compared.
    """

    name: str
    dtype: str
    rows: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every comparison held."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The comparisons that did not hold."""
        return tuple(row for row in self.rows if not row.passed)

    @property
    def frame(self) -> pd.DataFrame:
        """The comparisons as a table: what, site, error, tolerance, passed, note."""
        import pandas as pd

        names = ("what", "site", "error", "tolerance", "passed", "note")
        return pd.DataFrame([[getattr(row, name) for name in names] for row in self.rows], columns=list(names))

    @property
    def _verdict(self) -> str:
        count = len(self.rows)
        held = f"all {count} comparisons hold" if self.passed else f"{len(self.failures)} of {count} comparisons fail"
        return f"{self.name}, {self.dtype}: {held}"

    def __repr__(self) -> str:
        width = max((len(row.what) for row in self.rows), default=0)
        lines = [
            f"  {'ok  ' if row.passed else 'FAIL'} {row.what:<{width}}  {row.error:.1e} (up to {row.tolerance:.0e})"
            f"  {row.site}{f'  {row.note}' if row.note else ''}"
            for row in self.rows
        ]
        return "\n".join([f"Check({self._verdict})", *lines])

    def _repr_html_(self) -> str:
        heading = "".join(
            f"<th style='text-align:left'>{name}</th>"
            for name in ("", "compared", "largest error", "up to", "where", "note")
        )
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td style='text-align:left'>{html.escape(text)}</td>"
                for text in (
                    "✓" if row.passed else "✗ fails",
                    row.what,
                    f"{row.error:.1e}",
                    f"{row.tolerance:.0e}",
                    row.site,
                    row.note,
                )
            )
            + "</tr>"
            for row in self.rows
        )
        return f"<b>{html.escape(self._verdict)}</b><table><tr>{heading}</tr>{rows}</table>"


class Measured:
    """Collects comparisons: of many layers' like comparisons, the worst is shown."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], list[Finding]] = {}

    def compare(
        self, what: str, site: str, tolerance: float, error: Callable[..., float], *arguments: Any, note: str = ""
    ) -> None:
        """Runs one comparison; a part that cannot be read is a finding, not the end of the check."""
        try:
            off = error(*arguments)
        except (Cancelled, torch.OutOfMemoryError):
            raise
        except (
            ArithmeticError,
            AssertionError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as failure:
            off, note = math.inf, f"{type(failure).__name__}: {(str(failure).splitlines() or [''])[0]}"
        self.add(Finding(what, site, off, tolerance, off <= tolerance, note))

    def remark(self, what: str, site: str, note: str) -> None:
        """Says why something is not compared."""
        self.add(Finding(what, site, 0.0, 0.0, True, note))

    def add(self, row: Finding) -> None:
        stack, _, part = row.site.partition("layers.")
        group = f"{stack} cross" if ".cross_attn" in part else stack
        self._rows.setdefault((row.what, group), []).append(row)

    def rows(self) -> tuple[Finding, ...]:
        """One finding for each comparison, stack and kind of attention: the worst of its layers, with their number."""
        return tuple(_worst(rows) for rows in self._rows.values())


def _worst(rows: list[Finding]) -> Finding:
    # A comparison that gave no number is the worst.
    worst = max(rows, key=lambda row: (not row.passed, math.inf if math.isnan(row.error) else row.error))
    failed = sum(not row.passed for row in rows)
    count = f"{failed} of {len(rows)} fail" if failed and len(rows) > 1 else f"{len(rows)} compared" * (len(rows) > 1)
    note = "; ".join(text for text in (count, worst.note) if text)
    return Finding(worst.what, worst.site, worst.error, worst.tolerance, worst.passed, note)
