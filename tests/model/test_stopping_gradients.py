"""A backward pass that nobody waits for any more ends at the next layer, as a forward pass does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import explorer
from explorer import Cancelled, control

pytestmark = pytest.mark.model
TEXT = "The capital of France is"


class Counting:
    """Says yes to whoever asks after the n-th time, and counts how often it is asked."""

    def __init__(self, most: int = 10**9) -> None:
        self.asked = 0
        self.most = most

    def cancelled(self) -> bool:
        self.asked += 1
        return self.asked > self.most

    def progress(self, done: float, note: str) -> None:
        """Nothing is shown here."""

    def passing(self, done: float) -> None:
        """Nothing is shown here."""


def test_gradients_are_stopped_at_any_layer_and_leave_the_model_as_it_was(
    sample: explorer.Model, unchanged: Callable[[Any], None]
) -> None:
    unchanged(sample)
    layers = len(sample.hf.model.layers)
    sample.attribute(TEXT, " Paris", method="input_x_gradient")  # what is looked up once is looked up
    told = Counting()
    with control.controlled(told):
        whole = sample.attribute(TEXT, " Paris", method="input_x_gradient")
    assert told.asked >= 2 * layers - 1, "asked before each layer on the way there, and at each on the way back"
    for most in (layers - 1, layers + 1, told.asked - 1):
        stops = Counting(most)
        with pytest.raises(Cancelled), control.controlled(stops):
            sample.attribute(TEXT, " Paris", method="input_x_gradient")
        assert stops.asked == most + 1
    again = sample.attribute(TEXT, " Paris", method="input_x_gradient")
    assert again.scores.tolist() == whole.scores.tolist(), "asking changes no gradient"
