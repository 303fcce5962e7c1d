"""Panels on a trace: a saved one without its model shows what was recorded and says what it cannot; a live one all."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import traitlets

import explorer
from explorer import Ablate, Refused, Sampling
from explorer.saved import SavedTrace
from tests.conftest import tiny
from tests.tiny_tokenizers import byte_level
from widgets import AttentionPanel, AttributionPanel, Exploration, SamplingPanel, Selection, Workbench
from widgets.panel import Panel

pytestmark = pytest.mark.model
MINUTE = 60.0
TEXT = "Mary gave 中🇫🇷 to"
EDIT = Ablate("layers.5.attn.z", heads=[1, 3])


@pytest.fixture(scope="module")
def file(sample: explorer.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "a.safetensors"
    return sample.trace(TEXT, edits=[EDIT]).save(path, include=["logits"])


@pytest.fixture
def saved(file: Path) -> SavedTrace:
    return explorer.open_trace(file)


@pytest.fixture
def show() -> Iterator[Callable[..., Any]]:
    """Makes panels or explorations and closes them when the test ends."""
    opened: list[Any] = []

    def make(kind: Callable[..., Any], *args: Any, **traits: Any) -> Any:
        opened.append(kind(*args, **traits))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_a_saved_trace_is_the_same_on_the_wire_as_its_model(
    show: Callable[..., Any], sample: explorer.Model, saved: SavedTrace
) -> None:
    selection = Selection(24, (4,), query=5, key=1)
    kinds = (SamplingPanel, AttentionPanel)
    here = show(Workbench, saved, selection=selection, panels=kinds)
    there = show(Workbench, sample, TEXT, edits=[EDIT], selection=selection, panels=kinds)
    here.wait(MINUTE)
    there.wait(2 * MINUTE)
    assert here.about == there.about
    assert here.get_state()["edits"] == there.get_state()["edits"]
    for one, other in zip((here, *here.panels), (there, *there.panels), strict=True):
        assert {**one.view, "request": 0} == {**other.view, "request": 0}
    assert {**here.panels[1].matrix, "request": 0} == {**there.panels[1].matrix, "request": 0}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("text", "another", "This is a saved trace; open the model to change the text."),
        ("text", "", "change the text"),
        ("special_tokens", False, "change the special tokens"),
        ("messages", [{"role": "user", "content": "hi"}], "change the conversation"),
        ("edits", (), "change the edits"),
        ("edits", (Ablate("layers.5.attn.z", heads=[1]),), "change the edits"),
        ("selection", Selection(30), "layers 0 to 29"),
        ("position", 99, "positions 0 to"),
        ("target", 49_152, "49151"),
    ],
)
def test_what_a_saved_trace_cannot_take_is_refused_and_the_old_stays(
    show: Callable[..., Any], saved: SavedTrace, name: str, value: Any, words: str
) -> None:
    explored = show(Exploration, saved)
    before = getattr(explored, name)
    with pytest.raises((Refused, traitlets.TraitError), match=words):
        setattr(explored, name, value)
    assert getattr(explored, name) == before
    assert not explored.can_undo
    with pytest.raises(Refused, match="change the text"):
        Exploration(saved, "another")


def test_the_browser_takes_a_refused_text_back_and_may_write_the_same_edits(
    show: Callable[..., Any], saved: SavedTrace
) -> None:
    explored = show(Exploration, saved)
    panel = show(SamplingPanel, explored)
    panel.wait(MINUTE)
    panel.set_state({"text": TEXT + "!"})
    assert panel.text == explored.text == TEXT
    said = "This is a saved trace; open the model to change the text."
    assert panel.status["error"]["message"] == said
    told = {"key": "saved_is_fixed", "about": {"name": "text"}, "text": said}
    assert panel.get_state()["status"]["error"]["message"] == told, "the browser words it in its language"
    explored.set_state({"edits": explored.get_state()["edits"]})
    assert panel.status["state"] == "live"
    explored.set_state({"edits": []})
    assert "change the edits" in panel.status["error"]["message"]
    assert explored.edits == (EDIT,)


def test_the_next_token_of_any_position_needs_included_logits(
    show: Callable[..., Any], sample: explorer.Model, saved: SavedTrace, tmp_path: Path
) -> None:
    panel = show(SamplingPanel, saved, position=4)
    panel.wait(MINUTE)
    row = torch.frombuffer(bytearray(panel.view["logits"]["data"]), dtype=torch.float32)
    torch.testing.assert_close(row, sample.trace(TEXT, edits=[EDIT]).logits[0, 4], atol=2e-4, rtol=0)
    plain = explorer.open_trace(sample.trace(TEXT).save(tmp_path / "plain.safetensors"))
    panel = show(SamplingPanel, plain)
    panel.wait(MINUTE)
    last = panel.view
    panel.position = 4
    with pytest.raises(explorer.ExplorerError, match=r"include=\['logits'\]"):
        panel.wait(MINUTE)
    assert panel.view == last
    panel.position = None
    panel.wait(MINUTE)
    assert panel.view["logits"] == last["logits"]


def test_generating_says_why_not(show: Callable[..., Any], saved: SavedTrace) -> None:
    panel = show(SamplingPanel, saved)
    panel.wait(MINUTE)
    with pytest.raises(Refused, match="New tokens need the weights of SmolLM2"):
        panel.generate()
    panel._message(panel, {"type": "generate", "settings": {"temperature": 0.5}}, [])
    assert "New tokens need the weights" in panel.status["error"]["message"]
    assert panel.generated["state"] == "none"
    assert panel.sampling == Sampling(temperature=0.5)
    panel.set_state({"settings": Sampling(temperature=0.7).to_dict()})
    assert panel.status["state"] == "live"


def test_attribution_says_why_not_beside_the_likeliest_tokens(
    show: Callable[..., Any], sample: explorer.Model, saved: SavedTrace
) -> None:
    panel = show(AttributionPanel, saved)
    panel.wait(MINUTE)
    assert "gradients of attribution need the weights" in panel.view["unavailable"]
    assert (panel.view["results"], panel.results) == ({}, {})
    likeliest = sample.trace(TEXT, edits=[EDIT]).next_tokens(12)
    assert [token["id"] for token in panel.view["next"]] == likeliest["id"].tolist()
    known = next(token for token in panel.view["next"] if token["kind"] == "text")
    panel.target_text = known["text"]
    assert (panel.target, panel.target_error) == (known["id"], "")
    panel.target_text = " antidisestablishment"
    assert "cannot be told from a saved trace" in panel.target_error
    assert panel.target == known["id"]
    panel.target, panel.against = 7042, 9
    panel.wait(MINUTE)
    assert (panel.view["target"]["id"], panel.view["against"]["id"]) == (7042, 9)


def test_undo_walks_selection_and_settings(show: Callable[..., Any], saved: SavedTrace) -> None:
    explored = show(Exploration, saved)
    begun = explored.value
    explored.selection = Selection(3, (2,))
    explored.sampling = Sampling(top_k=5)
    changed = explored.value
    explored.undo()
    explored.undo()
    assert (explored.value, explored.can_undo) == (begun, False)
    explored.redo()
    explored.redo()
    assert explored.value == changed


def test_the_code_opens_the_file_again(show: Callable[..., Any], file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(file.read_bytes())
    explored = show(Exploration, explorer.open_trace(copy), target=7042, selection=Selection(3, (2,)))
    names: dict[str, Any] = {}
    exec(explored.code(), names)
    again = names["exploration"]
    assert again.value == explored.value
    assert again.source.trace(again.tokens, again.edits).path == copy
    again.close()
    copy.unlink()
    with pytest.raises(Refused, match="no longer there"):
        explored.code()


def test_layers_that_were_not_recorded_are_told(
    show: Callable[..., Any], sample: explorer.Model, tmp_path: Path
) -> None:
    trace = sample.trace(TEXT, record=["layers.3.attn.z", "layers.7.attn.z"])
    panel = show(AttentionPanel, explorer.open_trace(trace.save(tmp_path / "two.safetensors")))
    panel.wait(MINUTE)
    assert [layer for layer, heads in enumerate(panel.view["heads_per_layer"]) if heads] == [3, 7]
    assert any("not recorded: 0, 1, 2, 4," in note for note in panel.view["notes"])
    assert (panel.selection, panel.matrix["layer"]) == (Selection(3, (0,)), 3)
    panel.set_state({"selection": {"layer": 0, "heads": [0]}})
    panel._worker.wait(panel, MINUTE)
    assert "layers.0.attn.pattern was not recorded" in panel.status["error"]["message"]
    panel.set_state({"selection": {"layer": 7, "heads": [2]}})
    panel.wait(MINUTE)
    assert (panel.matrix["layer"], panel.status["state"]) == (7, "live")
    empty = sample.trace(TEXT, record=["layers.0.resid_pre"]).save(tmp_path / "none.safetensors")
    panel = show(AttentionPanel, explorer.open_trace(empty))
    with pytest.raises(explorer.ExplorerError, match="was not recorded"):
        panel.wait(MINUTE)


def test_closing_gives_back_the_trace_and_its_thread(file: Path) -> None:
    trace: SavedTrace | None = explorer.open_trace(file)
    bench = Workbench(trace)
    bench.wait(MINUTE)
    gone, thread = weakref.ref(trace), bench._worker._thread  # type: ignore[arg-type]
    bench.close()
    trace = None
    gc.collect()
    thread.join(MINUTE)
    assert gone() is None, "a closed workbench that is still held keeps no trace"
    assert not thread.is_alive()
    with pytest.raises(Refused, match="was closed"):
        bench.exploration.trace()


def test_a_trace_with_its_model_is_shown_itself_and_can_be_changed(
    show: Callable[..., Any], sample: explorer.Model, file: Path
) -> None:
    trace = sample.trace(TEXT, edits=[EDIT])
    for given in (trace, explorer.open_trace(file, model=sample)):
        explored = show(Exploration, given)
        assert (explored.text, explored.edits, explored.special_tokens) == (TEXT, (EDIT,), True)
        assert explored.trace() is given
        explored.edits = ()
        explored.text = "The capital of France is"
        assert torch.equal(explored.trace().last_logits, sample.trace("The capital of France is").last_logits)
    names = {"model": sample}
    exec(explored.code().replace(f"model = {sample.origin}\n", ""), names)
    assert names["exploration"].value == explored.value  # type: ignore[attr-defined]
    names["exploration"].close()  # type: ignore[attr-defined]


def test_a_trace_that_recorded_less_is_run_again(show: Callable[..., Any], sample: explorer.Model) -> None:
    less = sample.trace(TEXT, record=["layers.3.resid_pre"])
    panel = show(AttentionPanel, less)
    panel.wait(MINUTE)
    assert panel.view["heads_per_layer"] == [9] * 30


def test_ids_that_no_text_gives_are_shown_as_they_are() -> None:
    tokenizer = byte_level()
    model = explorer.attach(tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    text = "the"
    ids = [one for character in text for one in model.read(character, False).ids]
    assert ids != model.read(text, False).ids
    panel = AttributionPanel(model.trace(ids))
    panel.wait(MINUTE)
    assert set(panel.view["results"]) == {"input_x_gradient", "integrated_gradients"}
    assert [token["id"] for token in panel.view["tokens"]] == ids
    with pytest.raises(Refused, match="no text makes this"):
        panel.exploration.code()
    panel.text = text + " "
    panel.wait(MINUTE)
    assert [token["id"] for token in panel.view["tokens"]] == model.read(text + " ").ids
    panel.close()


@pytest.mark.parametrize("kind", [Exploration, AttentionPanel, Workbench])
def test_traces_of_several_texts_and_other_things_are_refused(kind: type[Panel], sample: explorer.Model) -> None:
    with pytest.raises(Refused, match="holds 2 texts"):
        kind(sample.trace(["one", "two"]))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model is a str"):
        kind("gpt2")  # type: ignore[arg-type]
