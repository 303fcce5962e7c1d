"""Tests in several processes: those that drive a browser in one, with the machine to itself, and then all others."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

BROWSER = "tests/browser/"
# With so few left a process is given its next tests: it runs none before it knows which comes after it.
_LAST = 2


class InTurns(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out whole files in the order of collection, and the folder of the browser's tests, the first, as one."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        super().mark_test_complete(node, item_index, duration)
        if BROWSER in self.assigned_work[node]:
            for other in self.nodes:  # which may have waited for it
                self._reschedule(other)

    def _assign_work_unit(self, node: WorkerController) -> None:
        others = [work[BROWSER] for other, work in self.assigned_work.items() if other is not node and BROWSER in work]
        if not any(self._pending_of({BROWSER: tests}) > _LAST for tests in others):
            super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        return BROWSER if nodeid.startswith(BROWSER) else nodeid.partition("::")[0]
