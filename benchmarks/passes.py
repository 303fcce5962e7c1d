"""Counts a model's passes by hooks of its own: what began, what was finished, and what went on for nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from torch import nn


class Passes:
    """The passes of a model since this was made; `remove` takes the hooks away.

    Args:
        whole: the transformers model, whose end is seen also where it raised.
        layers: its layers, in the order in which a pass runs them.

    Attributes:
        begun: passes that reached the first layer.
        completed: passes that left the last one.
        most: the largest number of passes that ran at once.
        late: for each pass that ran while `superseded` was called, how many layers it still finished afterwards.
    """

    def __init__(self, whole: nn.Module, layers: Sequence[nn.Module]) -> None:
        self.begun = self.completed = self.most = 0
        self.late: list[int] = []
        self._running = 0
        self._since: int | None = None
        self._guard = threading.Lock()
        self._last = layers[-1]
        self._handles = [layers[0].register_forward_pre_hook(self._begin)]
        self._handles += [layer.register_forward_hook(self._layer) for layer in layers]
        self._handles += [whole.register_forward_hook(self._end, always_call=True)]

    def superseded(self) -> None:
        """Called when what a running pass computes is wanted no more."""
        with self._guard:
            if self._running and self._since is None:
                self._since = 0

    def told(self) -> dict[str, Any]:
        """All numbers, as JSON carries them."""
        return {"begun": self.begun, "completed": self.completed, "most": self.most, "late": self.late}

    def remove(self) -> None:
        """Takes the hooks away."""
        for handle in self._handles:
            handle.remove()

    def _begin(self, _module: nn.Module, _args: Any) -> None:
        with self._guard:
            self.begun += 1
            self._running += 1
            self.most = max(self.most, self._running)
            self._since = None

    def _layer(self, module: nn.Module, _args: Any, _output: Any) -> None:
        with self._guard:
            self.completed += module is self._last
            if self._since is not None:
                self._since += 1

    def _end(self, _module: nn.Module, _args: Any, _output: Any) -> None:
        with self._guard:
            if self._running:
                self._running -= 1
                if self._since is not None:
                    self.late.append(self._since)
                self._since = None
