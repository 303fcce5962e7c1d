"""One good file, and the proof that opening a bad one is refused and costs nothing."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

import explorer
from tests.attacks.forging import Forgery
from tests.conftest import tiny

IDS = [5, 17, 3, 88, 41]
# What a hostile file may make Python allocate: a few times the size of a small file's header.
ALLOWED = 64 * 2**20


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved trace of a mixture with learned sinks, edited, with everything in it."""
    model = explorer.attach(tiny("gpt_oss"))
    edits = [
        explorer.Scale("layers.0.mlp_out", 0.5),
        explorer.Steer("layers.1.resid_pre", model.trace(IDS)["embed"][0, 0]),
    ]
    trace = model.trace([IDS, IDS[:2]], edits=edits)
    path = tmp_path_factory.mktemp("good") / "good.safetensors"
    return trace.save(path, include=["logits", "head_out"])


@pytest.fixture
def forged(good: Path) -> Forgery:
    return Forgery.of(good)


@pytest.fixture
def refused() -> Callable[[Path, str], None]:
    """Opens a file that must be refused for a reason, without much memory."""

    def check(path: Path, reason: str) -> None:
        tracemalloc.start()
        try:
            with pytest.raises(explorer.Refused, match=reason) as caught:
                explorer.open_trace(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < ALLOWED
        assert len(str(caught.value)) < 600
        assert str(caught.value).isprintable()

    return check
