"""The families as a fixture; each test must leave the whole state of its model as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import snapshot
from tests.families.cases import Case
from tests.families.cases import case as built


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    found = built(request.param)
    _ = found.twin  # building draws random numbers, which the state includes
    before = snapshot(found.hf)
    yield found
    assert snapshot(found.hf) == before
