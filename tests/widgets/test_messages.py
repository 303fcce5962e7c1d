"""Whatever a page sends, a panel says in words what is wrong with it, and the next request works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import explorer
from tests.conftest import snapshot, tiny
from tests.tiny_tokenizers import byte_level
from widgets import AttentionPanel, AttributionPanel, Exploration, SamplingPanel, Workbench
from widgets.panel import Panel

MINUTE = 60.0
KINDS = [AttentionPanel, AttributionPanel, SamplingPanel, Workbench]

numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([float("nan"), 1e308, -1, 2**70]))
plain = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20))
anything = st.recursive(
    plain, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3))
)
traits = st.sampled_from(sorted({name for kind in [*KINDS, Exploration] for name in kind.class_traits(sync=True)}))
words = st.sampled_from(["generate", "stop", "again", "undo", "redo", "code", "nonsense"])
messages = st.one_of(
    st.fixed_dictionaries({"method": st.just("update"), "state": st.dictionaries(traits, anything, max_size=3)}),
    st.fixed_dictionaries({"method": st.just("update"), "state": anything, "buffer_paths": anything}),
    st.fixed_dictionaries({"method": st.just("custom"), "content": anything}),
    st.fixed_dictionaries(
        {
            "method": st.just("custom"),
            "content": st.fixed_dictionaries(
                {"type": words}, optional={"settings": anything, "max_new_tokens": st.one_of(plain, st.just(3))}
            ),
        }
    ),
    st.fixed_dictionaries({"method": anything}),
    anything,
)
# What a page never writes, and what would only make the test long.
NOT_WRITTEN = ("_", "layout", "exploration", "panels", "view", "status", "tooltip", "comm")


@pytest.fixture(scope="module")
def model() -> Iterator[explorer.Model]:
    tokenizer = byte_level()
    opened = explorer.attach(tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    yield opened
    opened.close()


def sent(data: Any) -> dict[str, Any]:
    return {"content": {"data": data}, "buffers": []}


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.lists(messages, max_size=6))
def test_garbage_is_answered_in_words_and_the_next_request_works(
    model: explorer.Model, kind: type[Panel], garbage: list[Any]
) -> None:
    before = snapshot(model.hf)
    panel = kind(model, "one two")
    try:
        for data in garbage:
            if isinstance(data, dict) and isinstance(data.get("state"), dict):
                data["state"] = {
                    name: value for name, value in data["state"].items() if not name.startswith(NOT_WRITTEN)
                }
            for target in (panel, panel.exploration):
                target._handle_msg(sent(data))
                error = panel.status.get("error")
                assert error is None or error["message"].strip()
        panel._handle_msg(sent({"method": "custom", "content": {"type": "stop"}}))
        panel.exploration.edits, panel.exploration.position, panel.exploration.target = (), None, None
        panel.exploration.against = None
        panel.text = ""
        panel.text = "one two three"
        panel.wait(MINUTE)
        assert panel.status["state"] == "live"
        assert len(panel.view["tokens"]) == len(model.read("one two three", panel.special_tokens))
    finally:
        panel.close()
    assert snapshot(model.hf)["hooks"] == before["hooks"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"method": "custom", "content": [1, 2]}, "no message"),
        ({"method": "fly"}, "fly"),
        ({"method": "update", "state": {"text": 7}}, "text"),
        ({"method": "update", "state": {"position": float("nan")}}, "position"),
        ({"method": "update", "state": {"selection": [1]}}, "selection"),
        ({"method": "update", "state": {"settings": {"temperature": float("nan")}}}, "temperature"),
        ({"method": "custom", "content": {"type": "generate", "max_new_tokens": 2**70}}, "max_new_tokens"),
        ({}, "method"),
    ],
)
def test_what_is_wrong_is_named(model: explorer.Model, data: dict[str, Any], words: str) -> None:
    panel = SamplingPanel(model, "one two")
    panel.wait(MINUTE)
    picture = panel.view
    panel._handle_msg(sent(data))
    assert panel.status["state"] == "error"
    assert words in panel.status["error"]["message"]
    assert panel.view is picture
    panel._handle_msg(sent({"method": "update", "state": {"text": "three"}}))
    panel.wait(MINUTE)
    assert (panel.text, panel.status["state"]) == ("three", "live")
    panel.close()


def test_an_observer_that_raises_is_told_and_keeps_nobody_from_the_new_state(model: explorer.Model) -> None:
    shared = Exploration(model, "one")
    first, second = AttentionPanel(shared), SamplingPanel(shared)
    for panel in (first, second):
        panel.wait(MINUTE)

    def bad(_change: Any) -> None:
        raise ZeroDivisionError("a user's own mistake")

    first.observe(bad, "text")
    second.observe(bad, "text")
    shared._handle_msg(sent({"method": "update", "state": {"text": "one two"}}))
    assert {shared.text, first.text, second.text} == {"one two"}
    assert "a user's own mistake" in second.status["error"]["message"]
    assert "bad" in second.status["error"]["detail"]
    first.unobserve(bad, "text")
    second.unobserve(bad, "text")
    shared.text = "one two three"
    for panel in (first, second):
        panel.wait(MINUTE)
        assert panel.status["state"] == "live"
    shared.close()
