"""A hundred texts in a row: passes one at a time, none that goes on for nothing, and the last text's is shown."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

import explorer
from benchmarks.passes import Passes
from widgets import Exploration, SamplingPanel

pytestmark = pytest.mark.model
MINUTE = 60.0


@pytest.mark.parametrize("hold", [1, 5])
def test_of_a_hundred_texts_the_last_is_shown_and_no_pass_goes_on_for_nothing(
    sample: explorer.Model, hold: int
) -> None:
    """Every pass that began is held inside a layer until the next text is there, as a slow model would be."""
    explored = Exploration(sample, "The capital of France is")
    panel = SamplingPanel(explored)
    panel.wait(MINUTE)
    layers = sample.hf.model.layers
    inside, next_text = threading.Semaphore(0), threading.Semaphore(0)
    typing = True

    def held(_module: Any, _args: Any) -> None:
        if typing:
            inside.release()
            assert next_text.acquire(timeout=MINUTE)

    handle = layers[hold].register_forward_pre_hook(held, prepend=True)
    passes = Passes(sample.hf, list(layers))
    try:
        for number in range(100):
            text = f"The capital of France is number {number}"
            passes.superseded()
            panel.set_state({"text": text})
            if number > 0:
                next_text.release()
            assert inside.acquire(timeout=MINUTE)
        typing = False
        next_text.release()
        panel.wait(MINUTE)
    finally:
        passes.remove()
        handle.remove()
    assert (passes.begun, passes.completed, passes.most) == (100, 1, 1)
    assert len(passes.late) == 99
    assert set(passes.late) <= {0, 1}
    row = torch.frombuffer(bytearray(panel.view["logits"]["data"]), dtype=torch.float32)
    ids = torch.tensor([sample.read(text).ids])
    with torch.no_grad():
        expected = sample.hf(input_ids=ids).logits[0, -1]
    torch.testing.assert_close(row, expected, atol=5e-4, rtol=0)
    panel.close()
    explored.close()


def test_settings_ask_for_no_pass(sample: explorer.Model) -> None:
    panel = SamplingPanel(sample, "The capital of France is")
    panel.wait(MINUTE)
    passes = Passes(sample.hf, list(sample.hf.model.layers))
    for top_k in range(1, 30):
        panel.set_state({"settings": explorer.Sampling(top_k=top_k).to_dict()})
    panel.wait(MINUTE)
    passes.remove()
    assert passes.begun == 0
    panel.close()
