"""What is kept out of notebooks, and that nothing else is."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

import explorer  # noqa: F401 - what quietens


def test_opening_the_engine_says_nothing() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import explorer.loading"], capture_output=True, text=True, check=True
    )
    assert found.stdout == found.stderr == ""


def test_other_words_of_the_same_libraries_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    for name, dropped in (
        ("torchao", "Failed to load kernel.so: no"),
        ("torch.utils._pytree", "%s is an Enum subclass"),
    ):
        logger = logging.getLogger(name)
        logger.warning(dropped)
        logger.warning("something that matters")
    assert [record.getMessage() for record in caplog.records if "matters" in record.getMessage()] == [
        "something that matters"
    ] * 2
    assert len(caplog.records) == 2
