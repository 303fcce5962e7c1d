"""Attention of what the model writes: it grows with the recording of its steps, and any step can be seen again."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import explorer
from explorer import Ablate, Refused, Sampling
from explorer.generation import Generation
from tests.conftest import snapshot, tiny
from tests.families.configs import FAMILIES
from tests.tiny_tokenizers import byte_level
from tests.widgets.test_attention_panel import decode
from widgets import AttentionPanel, Exploration, SamplingPanel, Selection, Workbench
from widgets.written import Telling

MINUTE = 60.0
TEXT = "When Mary and John"
GREEDY = Sampling(temperature=0.0)


def opened(family: str, **changes: Any) -> explorer.Model:
    tokenizer = byte_level()
    return explorer.attach(tiny(family, vocab_size=len(tokenizer), eos_token_id=None, **changes), tokenizer)


class Bench:
    """A workbench of a sampling and an attention panel."""

    def __init__(self, model: explorer.Model, text: str = TEXT, **state: Any) -> None:
        self.whole = Workbench(model, text, panels=[SamplingPanel, AttentionPanel], settings=GREEDY.to_dict(), **state)
        self.sampling, self.attention = self.whole.panels
        self.exploration = self.whole.exploration
        self.whole.wait(MINUTE)

    def generate(self, steps: int) -> None:
        self.sampling.generate(steps)
        self.whole.wait(MINUTE)


def attentions(hf: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    """(layer, head, query, key) as plain transformers gives it, in a fresh pass."""
    plain = copy.deepcopy(hf)
    plain.set_attn_implementation("eager")
    with torch.no_grad():
        return torch.cat(plain(torch.tensor([ids]), output_attentions=True).attentions)


def assert_shows(panel: AttentionPanel, expected: torch.Tensor) -> None:
    """Thumbnails, the large map and what is said of its rows are those of (layer, head, query, key)."""
    grid = decode(panel.view["grid"])
    assert grid.shape == expected.shape, "few enough tokens that each cell is one weight"
    assert (grid / 255 - expected).abs().max() < 1 / 500
    shown = expected[panel.selection.layer, panel.selection.heads[0]]
    torch.testing.assert_close(decode(panel.matrix["data"]), shown, atol=2e-6, rtol=1e-4)
    torch.testing.assert_close(decode(panel.matrix["first"]), shown[:, 0], atol=2e-6, rtol=1e-4)
    assert panel.view["positions"] == panel.view["queries"] == expected.shape[2]


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "gpt_oss"])
def test_the_picture_grows_to_that_of_a_fresh_pass_and_every_step_can_be_seen_again(family: str) -> None:
    bench = Bench(opened(family), selection=Selection(1, (2,)))
    panel, model = bench.attention, bench.exploration.model
    before = panel.view["positions"]
    bench.generate(6)
    written = bench.exploration.written
    assert (len(written), written.going, written.unrecorded) == (6, False, "")
    prompt = bench.exploration.tokens.ids
    ids = [*prompt, *written.tokens.ids]
    assert [step["id"] for step in bench.sampling.generated["steps"]] == written.tokens.ids
    # The last token was chosen, and not read yet.
    assert_shows(panel, attentions(model.hf, ids[:-1]))
    assert [token["id"] for token in panel.view["tokens"]] == ids[:-1]
    assert [token["role"] for token in panel.view["tokens"]] == [""] * before + ["written"] * 5
    for step in (0, 3, None):
        panel.step = step
        bench.whole.wait(MINUTE)
        assert_shows(panel, attentions(model.hf, ids[: before + (5 if step is None else step)]))
    panel.with_written = False
    bench.whole.wait(MINUTE)
    assert_shows(panel, attentions(model.hf, prompt))
    bench.whole.close()


def test_of_the_sample_too_and_no_second_pass_is_run(sample: explorer.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(sample, "The capital of France is", selection=Selection(11, (4,)))
    panel = bench.attention
    passes = []
    hook = sample.hf.register_forward_pre_hook(lambda *_: passes.append(1))
    bench.generate(8)
    hook.remove()
    assert len(passes) == 8, "one for each step"
    written = bench.exploration.written
    ids = [*bench.exploration.tokens.ids, *written.tokens.ids[:-1]]
    assert_shows(panel, attentions(sample.hf, ids))
    panel.mode = "neuron"
    panel.selection = Selection(11, (4,), query=len(ids) - 1, key=len(ids) - 2)
    bench.whole.wait(MINUTE)
    fresh = sample.trace(ids)
    view = panel.panels[0].view
    assert view["query_token"]["text"] == fresh.tokens[-1].text
    torch.testing.assert_close(torch.tensor(view["weight"]), fresh.pattern(11)[0, 4, -1, -2], atol=2e-6, rtol=1e-4)
    torch.testing.assert_close(written.trace(3).last_logits, sample.trace(ids[:-4]).last_logits, atol=1e-3, rtol=1e-4)
    bench.whole.close()


def test_edits_act_in_what_is_written_and_other_edits_let_go_of_it() -> None:
    edit = Ablate("layers.0.attn.z", heads=[1])
    bench = Bench(opened("llama"), edits=[edit], selection=Selection(2, (0,)))
    bench.generate(4)
    model, written = bench.exploration.model, bench.exploration.written
    ids = [*bench.exploration.tokens.ids, *written.tokens.ids[:-1]]
    expected = model.trace(ids, edits=[edit]).pattern(2)[0, 0]
    torch.testing.assert_close(decode(bench.attention.matrix["data"]), expected, atol=2e-6, rtol=1e-4)
    bench.whole.edits = ()
    assert bench.exploration.written is None
    bench.whole.wait(MINUTE)
    assert bench.attention.view["positions"] == len(bench.exploration.tokens)
    bench.whole.close()


def test_another_text_lets_go_of_what_was_written_and_of_its_memory() -> None:
    bench = Bench(opened("llama"))
    bench.generate(4)
    last = bench.attention.view["positions"] - 1
    bench.attention.step = 2
    bench.whole.selection = Selection(0, (0,), query=last, key=0)
    generation = weakref.ref(bench.exploration.written.generation)
    bench.whole.text = "Another"
    assert (bench.exploration.written, bench.attention.step) == (None, None)
    bench.whole.wait(MINUTE)
    gc.collect()
    assert generation() is None
    assert bench.whole.selection.query is None, "the prompt has no such position"
    with pytest.raises(Refused, match="nothing was written"):
        bench.attention.step = 0
    bench.exploration.undo()
    assert bench.exploration.written is None
    bench.whole.close()


def test_a_step_that_was_not_written_is_refused() -> None:
    bench = Bench(opened("llama"))
    bench.generate(3)
    for step in (-1, 3):
        with pytest.raises(Refused, match="steps 0 to 2"):
            bench.attention.step = step
    bench.whole.close()


@pytest.mark.parametrize("family", ["bloom", "mamba"])
def test_what_cannot_be_recorded_is_written_all_the_same_and_says_so(family: str) -> None:
    tokenizer = byte_level()
    small = {**FAMILIES[family].settings, "vocab_size": len(tokenizer), "eos_token_id": None}
    model = explorer.attach(replace(FAMILIES[family], settings=small).build(), tokenizer)
    exploration = Exploration(model, TEXT, sampling=GREEDY)
    attention, sampling = AttentionPanel(exploration), SamplingPanel(exploration)
    sampling.wait(MINUTE)
    sampling.generate(3)
    sampling.wait(MINUTE)
    written = exploration.written
    assert (len(written), bool(written.unrecorded), sampling.generated["state"]) == (3, True, "done")
    with pytest.raises(Refused):
        written.trace()
    if family == "bloom":
        attention.wait(MINUTE)
        assert attention.view["positions"] == len(exploration.tokens), "the prompt is still shown"
    exploration.close()


def test_nothing_is_recorded_where_no_panel_shows_it() -> None:
    panel = SamplingPanel(opened("llama"), TEXT)
    panel.generate(3)
    panel.wait(MINUTE)
    written = panel.exploration.written
    assert "No panel" in written.unrecorded
    assert panel.exploration.get_state()["written"]["unrecorded"]["key"] == "nobody_looked"
    panel.close()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def run() -> Iterator[Generation]:
    model = opened("llama")
    yield model.generate(TEXT, GREEDY, 20)
    model.close()


@pytest.mark.parametrize(("drawing", "told"), [(0.0, [1, 4, 7, 10]), (0.25, [1, 7])])
def test_pictures_come_a_few_times_a_second_and_leave_most_of_the_time_to_writing(
    run: Generation, drawing: float, told: list[int]
) -> None:
    clock, heard = Clock(), list[int]()
    telling = Telling(run, lambda written: heard.append(len(written)), "", clock)
    for step in range(1, 13):
        next(run)

        def show(step: int = step) -> None:
            clock.now += drawing if heard[-1] == step else 0.0

        telling.after_step(show)
        clock.now += 0.125
    assert heard == told


CHANGES = st.lists(st.sampled_from(["text", "edits", "stop", "generate", "step", "undo"]), min_size=1, max_size=5)


@given(CHANGES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_done_while_it_writes_leaves_the_state_clean(changes: list[str]) -> None:
    model = opened("llama")
    before = snapshot(model.hf)
    bench = Bench(model)
    bench.sampling.generate(40)
    for number, change in enumerate(changes):
        if change == "text":
            bench.whole.text = f"{TEXT}, {number}"
        elif change == "edits":
            bench.whole.edits = (Ablate("layers.0.attn.z", heads=[number % 4]),)
        elif change == "stop":
            bench.sampling.stop()
        elif change == "generate":
            bench.sampling.generate(5)
        elif change == "undo":
            bench.exploration.undo()
        elif bench.exploration.written is not None:
            bench.attention.step = 0
    bench.whole.wait(MINUTE)
    exploration, panel = bench.exploration, bench.attention
    written = exploration.written
    assert panel.status["state"] in ("live", "stopped")
    ids = exploration.tokens.ids
    if written is not None:
        assert not written.going
        assert written.generation.prompt.ids == ids
        assert written.generation.edits == exploration.edits
        ids = [*ids, *written.tokens.ids[: len(written) - 1 if panel.step is None else panel.step]]
    assert [token["id"] for token in panel.view["tokens"]] == ids
    expected = model.trace(ids, edits=exploration.edits).pattern(0)[0, 0]
    torch.testing.assert_close(decode(panel.matrix["data"]), expected, atol=2e-6, rtol=1e-4)
    bench.whole.close()
    assert snapshot(model.hf) == before
    model.close()
