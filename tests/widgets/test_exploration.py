"""One state for many panels: linked, observable, undoable, and readable as code."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import ipywidgets
import pytest
import torch
import traitlets
from hypothesis import given, settings
from hypothesis import strategies as st

import explorer
from explorer import Ablate, Apply, Refused, Sampling, Steer
from widgets import AttentionPanel, AttributionPanel, Exploration, SamplingPanel, Selection, Workbench
from widgets.history import History
from widgets.shared import STATE

pytestmark = pytest.mark.model
MINUTE = 60.0
TEXT = "When Mary and John went to the store, John gave a drink to"


@pytest.fixture
def explored(sample: explorer.Model) -> Iterator[Exploration]:
    exploration = Exploration(sample, TEXT)
    yield exploration
    exploration.close()


def test_panels_of_one_exploration_follow_each_other_and_python(explored: Exploration) -> None:
    attention, sampling = AttentionPanel(explored), SamplingPanel(explored)
    seen: list[Any] = []
    sampling.observe(lambda change: seen.append(change["new"]), "selection")
    attention.selection = Selection(24, (4,), query=13, key=1)
    assert sampling.selection == explored.selection == Selection(24, (4,), query=13, key=1)
    assert seen == [explored.selection]
    sampling.set_state({"text": "The capital of France is"})
    assert attention.text == explored.text == "The capital of France is"
    explored.sampling = Sampling(temperature=0.5)
    assert attention.sampling == sampling.sampling == Sampling(temperature=0.5)
    explored.set_state({"hover": 2, "target": 7042})
    assert (attention.hover, attention.target) == (2, 7042)


def test_all_panels_read_one_pass(explored: Exploration, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    plain = type(explored.model).run
    counted = lambda model, **inputs: passes.append(inputs["input_ids"].shape[1]) or plain(model, **inputs)  # noqa: E731
    panels = [AttentionPanel(explored), SamplingPanel(explored)]
    for panel in panels:
        panel.wait(MINUTE)
    trace = explored.trace()
    monkeypatch.setattr(type(explored.model), "run", counted)
    explored.text = TEXT + " the"
    for panel in panels:
        panel.wait(MINUTE)
    assert passes[-1] == 1, "only what is new is run"
    assert explored.trace().reused == len(trace)
    assert len(passes) <= 4, "a short text may be tried both ways first, once for each model"
    before = len(passes)
    explored.trace().next_token(3)
    AttentionPanel(explored).wait(MINUTE)
    assert len(passes) == before


def test_the_next_token_is_told_for_any_position_and_under_edits(explored: Exploration) -> None:
    panel = SamplingPanel(explored)
    edit = Ablate("layers.5.attn.z", heads=[1, 3])
    explored.edits = [edit]
    explored.position = 4
    panel.wait(MINUTE)
    row = torch.frombuffer(bytearray(panel.view["logits"]["data"]), dtype=torch.float32)
    model = explored.model
    expected = model.trace(TEXT, edits=[edit]).logits[0, 4]
    torch.testing.assert_close(row, expected, atol=2e-4, rtol=0)
    assert (row - model.trace(TEXT).logits[0, 4]).abs().max() > 0.01


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("selection", Selection(30), "layers 0 to 29"),
        ("selection", Selection(0, (9,)), "heads 0 to 8"),
        ("edits", [Ablate("layers.99.attn.z")], "layers.99"),
        ("edits", ["ablate"], "holds a str"),
        ("edits", "ablate", "edits is a str"),
        ("target", 49_152, "49151"),
        ("position", -1, "position=-1"),
        ("settings", {"temperature": -1}, "temperature"),
        ("messages", [{"role": "user"}], "messages"),
    ],
)
def test_what_cannot_be_is_refused_and_the_old_stays(explored: Exploration, name: str, value: Any, words: str) -> None:
    before = getattr(explored, name)
    with pytest.raises((Refused, traitlets.TraitError), match=words):
        setattr(explored, name, value)
    assert getattr(explored, name) == before
    assert not explored.can_undo


def test_a_refusal_from_the_browser_is_told_on_the_panels_and_taken_back(explored: Exploration) -> None:
    panel = SamplingPanel(explored)
    panel.wait(MINUTE)
    explored.set_state({"settings": {"temperature": -1}})
    assert "temperature" in panel.status["error"]["message"]
    assert explored.sampling == Sampling()
    explored.set_state({"settings": Sampling(temperature=0.7).to_dict()})
    assert panel.status["state"] == "live"
    explored.set_state({"edits": [{"number": 3, "edit": None}]})
    assert "number 3" in panel.status["error"]["message"]


def test_edits_go_to_the_browser_and_back(explored: Exploration) -> None:
    steer = Steer("layers.12.resid_post", torch.ones(576), 2.0)
    explored.edits = [steer, Ablate("layers.5.attn.z", heads=[1])]
    told = explored.get_state()["edits"]
    assert [item["edit"] is None for item in told] == [True, False]
    plain = {"kind": "Scale", "site": "layers.3.mlp_out", "factor": 0.5}
    explored.set_state({"edits": [told[0], {"number": 9, "label": "", "edit": plain}]})
    assert explored.edits == (steer, explorer.Scale("layers.3.mlp_out", 0.5))


def test_undo_and_redo_walk_the_steps(explored: Exploration) -> None:
    states = [explored.value]
    for name, value in (
        ("text", "one two"),
        ("selection", Selection(3, (2,))),
        ("edits", (Ablate("layers.5.attn.z"),)),
        ("settings", Sampling(top_k=5).to_dict()),
    ):
        setattr(explored, name, value)
        states.append(explored.value)
    for state in states[-2::-1]:
        explored.undo()
        assert explored.value == state
    assert (explored.can_undo, explored.can_redo) == (False, True)
    for state in states[1:]:
        explored.redo()
        assert explored.value == state
    explored.undo()
    explored.text = "another way"
    assert not explored.can_redo


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=30))
def test_a_history_gives_back_what_was_left_in_order(steps: list[tuple[str, float]]) -> None:
    now, last, expected = 0.0, None, []
    history = History(clock=lambda: now)
    for number, (name, pause) in enumerate(steps):
        now += pause
        same = last is not None and last[0] == name and now - last[1] < 1.0
        last = (name, now)
        history.left({"state": number}, name)
        if not same:
            expected.append(number)
    present: Any = {"state": len(steps)}
    back = []
    while (state := history.back(present)) is not None:
        back.append(state["state"])
        present = state
    assert back == expected[::-1]
    forward = []
    while (state := history.forward(present)) is not None:
        forward.append(state["state"])
        present = state
    assert forward == [*expected[1:], len(steps)][: len(expected)]


def test_a_conversation_is_read_as_its_template_writes_it(explored: Exploration) -> None:
    said = [{"role": "user", "content": "你好"}]
    explored.messages = said
    tokenizer = explored.model.tokenizer
    ids = tokenizer.apply_chat_template(said, add_generation_prompt=True)["input_ids"]
    assert explored.tokens.ids == list(ids)
    assert explored.trace().tokens.ids == list(ids)
    explored.undo()
    assert (explored.text, explored.special_tokens, explored.messages) == (TEXT, True, None)
    explored.redo()
    assert explored.messages == said
    explored.text += "Hi"
    assert explored.messages is None
    assert not explored.special_tokens, "the text has its special tokens already"


def test_the_name_of_a_special_token_is_read_as_plain_characters_where_asked(explored: Exploration) -> None:
    explored.text = text = "say <|im_start|>"
    tokenizer = explored.model.tokenizer
    token = tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert explored.tokens.ids[-1] == token
    explored.literal = True
    plain = tokenizer(text, split_special_tokens=True)["input_ids"]
    assert token not in plain
    assert explored.tokens.ids == explored.trace().tokens.ids == plain
    made = run(explored, explored.code())
    assert (made.literal, made.tokens.ids) == (True, plain)
    of_trace = Exploration(explored.model.trace(explored.model.read(text, literal=True)))
    assert (of_trace.literal, of_trace.tokens.ids) == (True, plain)
    again = run(explored, of_trace.code())
    assert again.value == of_trace.value
    explored.undo()
    assert (explored.literal, explored.tokens.ids[-1]) == (False, token)
    explored.redo()
    explored.messages = [{"role": "user", "content": "hi"}]
    assert (explored.literal, explored.tokens.ids[0]) == (False, token), "a template means the tokens that it writes"
    for one in (made, of_trace, again):
        one.close()


def test_the_code_makes_the_same_exploration_anew(explored: Exploration, tmp_path: Any) -> None:
    explored.edits = [
        Ablate("layers.5.attn.z", heads=[1]),
        Steer("layers.12.resid_post", torch.arange(576.0), 2.0, positions=[1]),
    ]
    explored.sampling = Sampling(temperature=0.5, seed=3)
    explored.selection = Selection(3, (2, 4), key=1)
    explored.target = 7042
    with pytest.raises(Refused, match="tensors="):
        explored.code()
    made = run(explored, explored.code(tensors=str(tmp_path / "edits.safetensors")))
    assert made.value == explored.value
    made.close()
    explored.edits = [Apply("layers.1.resid_post", lambda value: value)]
    with pytest.raises(Refused, match="function"):
        explored.code()
    explored.edits = ()
    explored.messages = [{"role": "user", "content": 'say "hi"\n'}]
    again = run(explored, explored.code())
    assert again.value == explored.value
    again.close()


def run(explored: Exploration, code: str) -> Exploration:
    """What the code makes, on the model that is open already."""
    opened = code.replace(f"model = {explored.model.origin}\n", "")
    assert opened != code
    names: dict[str, Any] = {"model": explored.model}
    exec(opened, names)
    made: Exploration = names["exploration"]
    return made


def test_it_links_with_ordinary_widgets(explored: Exploration) -> None:
    area, told = ipywidgets.Textarea(), []
    ipywidgets.link((explored, "text"), (area, "value"))
    area.value = "from a text area"
    assert explored.text == "from a text area"
    linked = ipywidgets.jslink((explored, "text"), (area, "value"))
    ipywidgets.interactive_output(lambda state: told.append(state["text"]), {"state": explored})
    explored.text = "again"
    assert told[-1] == area.value == "again"
    explored.value = {"text": "all at once", "target": 5}
    assert (explored.text, explored.target) == ("all at once", 5)
    with pytest.raises(Refused, match="txet"):
        explored.value = {"txet": ""}
    linked.close()  # or it would name an exploration that is closed, in whatever page is written next


def test_a_workbench_shows_panels_of_one_exploration(sample: explorer.Model) -> None:
    bench = Workbench(sample, TEXT)
    bench.wait(2 * MINUTE)
    kinds = (SamplingPanel, AttributionPanel, AttentionPanel)
    assert [isinstance(panel, kind) for panel, kind in zip(bench.panels, kinds, strict=True)] == [True] * 3
    assert all(panel.exploration is bench.exploration and panel.embedded for panel in bench.panels)
    assert bench.get_state()["panels"] == [f"anywidget:{panel.model_id}" for panel in bench.panels]
    assert [token["id"] for token in bench.view["tokens"]] == sample.read(TEXT).ids
    bench.text = "The opposite of hot is"
    bench.wait(2 * MINUTE)
    assert {len(panel.view["tokens"]) for panel in bench.panels} == {5}
    bench._message(bench, {"type": "undo"}, [])
    assert bench.panels[2].text == TEXT
    with pytest.raises(TypeError, match="classes of panels"):
        Workbench(sample, panels=[bench])
    bench.close()


def test_a_closed_panel_lets_go(explored: Exploration) -> None:
    panel = AttentionPanel(explored)
    panel.close()
    explored.text = "somewhere else"
    assert panel.text == TEXT
    assert not explored._panels


def test_own_explorations_close_with_their_panel(sample: explorer.Model) -> None:
    before = len(ipywidgets.Widget._instances) if hasattr(ipywidgets.Widget, "_instances") else None
    panel = AttentionPanel(sample, TEXT)
    exploration = panel.exploration
    panel.close()
    gc.collect()
    assert exploration.comm is None or exploration.source._trace is None
    assert before is None or len(ipywidgets.Widget._instances) == before


@settings(deadline=None, max_examples=15)
@given(st.lists(st.sampled_from([*STATE, "undo", "redo"]), max_size=12))
def test_any_walk_leaves_panels_and_state_alike(sample: explorer.Model, walk: list[str]) -> None:
    values: dict[str, Any] = {
        "text": "a b c",
        "special_tokens": False,
        "literal": True,
        "messages": [{"role": "user", "content": "hi"}],
        "decoder": None,
        "edits": (Ablate("layers.1.mlp_out"),),
        "target": 9,
        "against": 11,
        "position": 0,
        "selection": Selection(2, (1,)),
        "neuron": 3,
        "settings": Sampling(min_p=0.1).to_dict(),
    }
    explored = Exploration(sample, TEXT)
    panel = AttributionPanel(explored)
    try:
        for step in walk:
            if step in ("undo", "redo"):
                getattr(explored, step)()
            else:
                setattr(panel if len(walk) % 2 else explored, step, values[step])
            assert {name: getattr(panel, name) for name in STATE} == explored.value
    finally:
        panel.close()
        explored.close()
