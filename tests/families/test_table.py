"""The committed support table is what the families' models show."""

from __future__ import annotations

from tests.families.table import PATH, table


def test_the_committed_table_is_current() -> None:
    assert PATH.read_text(encoding="utf-8") == table(), (
        "run `python -m tests.families.table` and commit docs/families.md"
    )
