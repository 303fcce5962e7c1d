"""Stopping, progress and closing: the last picture stays, the next request works, the model is as it was."""

from __future__ import annotations

import gc
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ipywidgets.widgets import widget as registry

import explorer
from explorer import Sampling
from explorer.attribution import attribute
from tests.conftest import snapshot, tiny
from tests.tiny_tokenizers import byte_level
from widgets import AttentionPanel, AttributionPanel, Exploration, SamplingPanel, Selection, Workbench
from widgets.pace import Pace, spoken
from widgets.panel import Panel

MINUTE = 60.0


@pytest.fixture
def model() -> Iterator[explorer.Model]:
    tokenizer = byte_level()
    opened = explorer.attach(tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    yield opened
    opened.close()


class Held:
    """Holds every pass at a layer until it is let go, and says that one has come so far."""

    def __init__(self, model: explorer.Model, layer: int) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        self.later = 0
        layers = model.hf.model.layers
        self._hooks = [
            layers[layer].register_forward_pre_hook(self._hold),
            layers[layer + 1].register_forward_pre_hook(self._count),
        ]

    def _hold(self, *_: Any) -> None:
        self.reached.set()
        assert self.go.wait(MINUTE)

    def _count(self, *_: Any) -> None:
        self.later += 1

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


@pytest.fixture
def held(model: explorer.Model) -> Iterator[Callable[[int], Held]]:
    made: list[Held] = []

    def hold(layer: int) -> Held:
        made.append(Held(model, layer))
        return made[-1]

    yield hold
    for each in made:
        each.go.set()
        each.remove()


@pytest.mark.parametrize("kind", [AttentionPanel, AttributionPanel, SamplingPanel])
def test_stop_ends_a_pass_before_its_next_layer_and_the_picture_stays(
    model: explorer.Model, held: Callable[[int], Held], kind: type[Panel]
) -> None:
    panel = kind(model, "one two")
    panel.wait(MINUTE)
    picture = panel.view
    pass_ = held(0)
    panel.text = "three"
    assert pass_.reached.wait(MINUTE)
    panel.stop()
    assert panel.status["state"] == "stopped"
    pass_.go.set()
    panel.wait(MINUTE)
    assert pass_.later == 0
    assert (panel.view is picture, panel.status["state"]) == (True, "stopped")
    panel._handle_msg({"content": {"data": {"method": "custom", "content": {"type": "again"}}}})
    panel.wait(MINUTE)
    assert (panel.view["request"], panel.status["state"]) == (panel.status["request"], "live")
    assert [token["text"] for token in panel.view["tokens"]] == [token.text for token in model.read("three")]
    panel.stop()
    assert panel.status["state"] == "live", "there was nothing to stop"
    panel.close()


def test_stop_ends_gradients_after_the_pass_they_are_at(model: explorer.Model, held: Callable[[int], Held]) -> None:
    panel = AttributionPanel(model, "one two")
    panel.wait(MINUTE)
    panel.text = "three four"
    panel.wait(MINUTE)
    complete = dict(panel.results)
    assert set(complete) == {"input_x_gradient", "integrated_gradients"}
    pass_ = held(1)
    panel._submit("refine", panel._integrate, background=True)  # type: ignore[arg-type]
    assert pass_.reached.wait(MINUTE)
    panel.stop()
    pass_.go.set()
    panel.wait(MINUTE)
    assert pass_.later == 0
    assert panel.results == complete
    assert panel.status["state"] == "stopped"
    panel.close()


def test_a_generation_that_waits_when_it_is_stopped_says_so(model: explorer.Model, held: Callable[[int], Held]) -> None:
    bench = Workbench(model, "one two", panels=[SamplingPanel, AttentionPanel])
    bench.wait(MINUTE)
    sampling, attention = bench.panels
    pass_ = held(0)
    bench.text = "three"
    assert pass_.reached.wait(MINUTE)
    sampling.generate(5)
    bench.stop()
    pass_.go.set()
    bench.wait(MINUTE)
    assert [panel.status["state"] for panel in bench.panels] == ["stopped", "stopped"]
    assert sampling.generated["state"] == "stopped"
    sampling.sampling = Sampling(seed=1)
    sampling.generate(3)
    bench.wait(MINUTE)
    assert (sampling.generated["state"], len(sampling.generated["steps"])) == ("done", 3)
    assert attention.status["state"] == "live", "it shows what was written"
    bench.close()


def test_a_closed_model_is_told_on_its_panels_and_its_traces_are_let_go(model: explorer.Model) -> None:
    panels = [kind(model, "one two") for kind in (AttentionPanel, SamplingPanel)]
    for panel in panels:
        panel.wait(MINUTE)
    pictures = [panel.view for panel in panels]
    traces = [weakref.ref(panel.exploration.trace()) for panel in panels]
    thread = panels[0]._worker._thread
    model.close()
    thread.join(MINUTE)
    gc.collect()
    assert [panel.status["state"] for panel in panels] == ["closed", "closed"]
    assert [panel.view for panel in panels] == pictures
    assert [trace() for trace in traces] == [None, None]
    for panel in panels:
        panel.close()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl+C raises, also where the tests run in the background of a shell, which makes them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_waiting_at_once_and_the_work_goes_on(
    model: explorer.Model, held: Callable[[int], Held]
) -> None:
    import _thread

    panel = SamplingPanel(model, "one two")
    panel.wait(MINUTE)
    pass_ = held(0)
    panel.text = "three"
    assert pass_.reached.wait(MINUTE)
    threading.Timer(0.05, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        panel.wait(MINUTE)
    assert panel.status["state"] == "working"
    pass_.go.set()
    panel.wait(MINUTE)
    assert panel.status["state"] == "live"
    panel.close()


def test_widgets_that_are_closed_leave_nothing_with_jupyter(model: explorer.Model) -> None:
    gc.collect()
    before = set(registry._instances)
    shared = Exploration(model, "one")
    bench, panel = Workbench(shared), AttentionPanel(shared)
    own = SamplingPanel(model, "one two")
    for each in (bench, panel, own):
        each.wait(MINUTE)
    gone = [weakref.ref(each) for each in (shared, bench, panel, own, *bench.panels)]
    bench.close()
    panel.close()
    own.close()
    shared.close()
    assert set(registry._instances) == before
    del shared, bench, panel, own, each
    gc.collect()
    assert [reference() for reference in gone] == [None] * len(gone)


def test_work_is_told_once_it_takes_long_and_the_rest_is_estimated_by_stage() -> None:
    now = 0.0
    pace = Pace(patient=True, clock=lambda: now)
    assert pace.at(0.0, "") is None
    now = 0.9
    assert pace.at(0.3, "") is None, "what ends within a second is not told"
    now = 2.0
    told = pace.at(0.5, "")
    assert told is not None
    assert (told.done, told.left) == (0.5, 2.0)
    now = 2.05
    assert pace.at(0.51, "") is None, "not every word of it"
    told = pace.at(0.0, "next")
    assert told is not None
    assert told.left is None, "another stage is estimated by itself"
    now = 4.05
    told = pace.at(0.8, "next")
    assert told is not None
    assert told.left == pytest.approx(0.5)
    eager = Pace(patient=False, clock=lambda: now)
    assert eager.at(0.0, "") is not None
    assert [spoken(seconds) for seconds in (0.2, 40, 89, 200, 7200)] == [
        "1 second", "40 seconds", "89 seconds", "3 minutes", "2 hours",
    ]  # fmt: skip


def test_gradients_are_estimated_exactly_and_refused_with_an_offer(
    model: explorer.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from explorer import budget, gradient_memory

    linear, square = gradient_memory._kept_for_gradients(model)
    for length in (3, 17, 50):
        expected = gradient_memory.kept_for_gradients(model, length)
        assert linear * length + square * length**2 == pytest.approx(expected, rel=0.02)
    monkeypatch.setattr(gradient_memory, "SMALL", 0)
    monkeypatch.setattr(budget, "free_bytes", lambda _device: 100_000)
    panel = AttributionPanel(model, "one two three four")
    with pytest.raises(
        explorer.ExplorerError, match=r"would need about .* and 100\.0 kB are free on cpu\. Use a shorter"
    ):
        panel.wait(MINUTE)
    monkeypatch.setattr(budget, "free_bytes", lambda _device: 10**9)
    monkeypatch.setattr(gradient_memory, "free_bytes", lambda _device: 2 * int(linear * 2 + square * 4))
    assert gradient_memory.check_gradients(model, 2, 50) == 1, "fewer at a time where memory is short"
    whole = attribute(model, "one two", method="integrated_gradients", steps=20).scores
    monkeypatch.undo()
    torch.testing.assert_close(attribute(model, "one two", method="integrated_gradients", steps=20).scores, whole)
    panel.close()


def test_a_cache_that_does_not_fit_is_refused_with_an_offer(
    model: explorer.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from explorer import budget

    monkeypatch.setattr(budget, "SMALL", 0)
    monkeypatch.setattr(budget, "free_bytes", lambda _device: 10_000)
    with pytest.raises(explorer.Refused, match=r"cache of 42 tokens would need about 16\.1 kB.*smaller max_new_tokens"):
        model.generate(model.read("one"), max_new_tokens=40)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["text", "edit", "stop", "fail", "generate", "method", "again", "select"]), st.integers(0, 2)
    ),
    max_size=14,
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_after_any_walk_over_several_panels_the_last_request_is_shown(
    model: explorer.Model, acts: list[tuple[str, int]]
) -> None:
    before = snapshot(model.hf)
    shared = Exploration(model, "start")
    panels: list[Any] = [SamplingPanel(shared), AttentionPanel(shared), AttributionPanel(model, "start")]
    worker = panels[0]._worker
    running = most = 0
    plain = type(model).run

    def counted(self: explorer.Model, **inputs: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return plain(self, **inputs)
        finally:
            running -= 1

    def fail(_job: Any) -> None:
        raise ZeroDivisionError("on purpose")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "run", counted)
        for number, (act, index) in enumerate(acts):
            panel = panels[index]
            if act == "text":
                panel.text = f"text {number}"
            elif act == "edit":
                panel.edits = [explorer.Ablate(f"layers.{number % 3}.mlp_out")]
            elif act == "stop":
                panel.stop()
            elif act == "fail":
                panel._submit("picture", fail)
            elif act == "generate":
                panels[0].generate(3)
            elif act == "method":
                panels[2].method = ("input_x_gradient", "integrated_gradients")[number % 2]
            elif act == "again":
                panel._request()
            else:
                panel.selection = Selection(number % 3, (number % 4,))
            slots = [job.slot for job in worker._waiting]
            assert len(slots) == len(set(slots)), "one request waits in a slot, the newest"
        for index, panel in enumerate(panels):
            panel.text = f"last {index // 2}"
        for panel in panels:
            panel.wait(MINUTE)
    assert most <= 1, "never more than one pass runs"
    for panel in panels:
        assert panel.status["state"] == "live"
        assert panel.view["request"] == panel.status["request"]
        assert [token["id"] for token in panel.view["tokens"]] == model.read(panel.text).ids
    expected = model.next_token(shared.text, edits=shared.edits).logits
    row = torch.frombuffer(bytearray(panels[0].view["logits"]["data"]), dtype=torch.float32)
    torch.testing.assert_close(row, expected, atol=1e-4, rtol=0)
    for panel in panels:
        panel.close()
    shared.close()
    assert snapshot(model.hf) == before
