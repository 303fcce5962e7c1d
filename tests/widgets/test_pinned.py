"""What is pinned: the last pictures as they were, kept through whatever comes, and no pass for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from ipywidgets.embed import embed_data

import explorer
from explorer import Ablate, Sampling
from widgets import AttributionPanel, Exploration, SamplingPanel, Workbench

pytestmark = pytest.mark.model
MINUTE = 60.0
TEXT = "The capital of France is"


@pytest.fixture
def explored(sample: explorer.Model) -> Iterator[Exploration]:
    exploration = Exploration(sample, TEXT)
    yield exploration
    exploration.close()


def test_pinning_keeps_what_is_shown_and_runs_no_pass(explored: Exploration, monkeypatch: pytest.MonkeyPatch) -> None:
    sampling, attribution = SamplingPanel(explored), AttributionPanel(explored)
    for panel in (sampling, attribution):
        panel.wait(MINUTE)
    passes: list[Any] = []
    plain = type(explored.model).run
    monkeypatch.setattr(type(explored.model), "run", lambda *a, **k: passes.append(k) or plain(*a, **k))
    pictures = (sampling.view, attribution.view)
    explored.pin()
    told = explored.get_state()["pinned"]
    assert (told["pictures"]["sampling"], told["pictures"]["attribution"]) == pictures
    assert [token["id"] for token in told["tokens"]] == explored.tokens.ids
    assert passes == []


def test_its_numbers_are_those_of_its_own_text_and_edits(explored: Exploration, sample: explorer.Model) -> None:
    edits = (Ablate("layers.5.attn.z", heads=[1]),)
    explored.edits = edits
    explored.sampling = Sampling(top_k=5)
    panels = [SamplingPanel(explored), AttributionPanel(explored)]
    for panel in panels:
        panel.wait(MINUTE)
    explored.pin()
    explored.text = "Something else is"
    explored.edits = ()
    explored.sampling = Sampling()
    for panel in panels:
        panel.wait(MINUTE)
    pinned = explored.pinned
    assert (pinned.text, pinned.edits, pinned.sampling) == (TEXT, edits, Sampling(top_k=5))
    row = sample.trace(TEXT, edits=edits).next_token()
    torch.testing.assert_close(pinned.shown["sampling"].logits, row.logits, atol=2e-4, rtol=0)
    sent = explored.get_state()["pinned"]["pictures"]["sampling"]["logits"]
    assert np.frombuffer(sent["data"], np.float32).tolist() == pinned.shown["sampling"].logits.tolist()
    target = int(row.top(1)["id"].iloc[0])
    for method, result in pinned.shown["attribution"].items():
        again = sample.attribute(TEXT, target, method=method, edits=edits, steps=result.steps or 50)
        torch.testing.assert_close(result.scores, again.scores, atol=2e-3, rtol=1e-3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pinned.shown = {}
    with pytest.raises(TypeError):
        pinned.state["text"] = "changed"


def test_undo_keeps_it_and_pinning_is_no_step(explored: Exploration) -> None:
    panel = SamplingPanel(explored)
    explored.text = "The capital of Italy is"
    panel.wait(MINUTE)
    steps = explored._history.past
    explored.pin()
    pinned = explored.pinned
    assert explored._history.past == steps
    explored.undo()
    panel.wait(MINUTE)
    assert (explored.text, explored.pinned) == (TEXT, pinned)
    explored.redo()
    panel.wait(MINUTE)
    assert explored.pinned is pinned, "its picture was there already"
    explored.unpin()
    assert explored.pinned is None
    seen: list[Any] = []
    explored.observe(lambda change: seen.append(change["new"]), "pinned")
    explored.pinned = pinned
    assert seen == [pinned]


def test_a_picture_that_was_due_joins_and_one_of_something_else_does_not(explored: Exploration) -> None:
    sampling = SamplingPanel(explored)
    sampling.wait(MINUTE)
    explored.text = "The capital of Italy is"
    explored.pin()
    before = explored.pinned
    sampling.wait(MINUTE)
    shown = explored.pinned.shown["sampling"]
    assert shown.prompt_ids == explored.tokens.ids
    assert before.text == explored.pinned.text
    explored.text = "The capital of Spain is"
    sampling.wait(MINUTE)
    late = AttributionPanel(explored)
    late.wait(MINUTE)
    assert list(explored.pinned.shown) == ["sampling"]
    assert explored.pinned.shown["sampling"] is shown


def test_it_is_saved_with_the_page_and_the_browser_cannot_change_it(sample: explorer.Model) -> None:
    bench = Workbench(sample, TEXT)
    bench.wait(2 * MINUTE)
    bench._message(bench, {"type": "pin"}, [])
    exploration = bench.exploration
    pinned = exploration.pinned
    # Of these alone, whatever else has been shown.
    shown = {one.model_id: one._get_embed_state(drop_defaults=True) for one in (bench, exploration)}
    state = embed_data(views=[bench], state=shown)["manager_state"]["state"][exploration.model_id]
    assert state["state"]["pinned"]["text"] == TEXT
    paths = [buffer["path"] for buffer in state["buffers"]]
    assert ["pinned", "pictures", "sampling", "logits", "data"] in paths
    exploration.set_state({"pinned": {"text": "forged"}})
    assert exploration.pinned is pinned
    bench._message(bench, {"type": "unpin"}, [])
    assert exploration.pinned is None
    bench.close()
