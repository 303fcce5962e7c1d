"""Panels without a browser: what they put on the wire, what they accept, and that they live on."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import explorer
from widgets import AttentionPanel, AttributionPanel, SamplingPanel, Selection
from widgets.panel import Panel
from widgets.wire import Records, array, block_starts, pool_last, tokens, traveling, unit_bytes

pytestmark = pytest.mark.model
PANELS = [AttentionPanel, AttributionPanel, SamplingPanel]
MINUTE = 60.0


@pytest.fixture
def show(sample: explorer.Model) -> Iterator[Callable[..., Any]]:
    """Opens panels and closes them when the test ends."""
    opened: list[Panel] = []

    def open_(kind: type[Panel], *args: Any, model: explorer.Model | None = None, **traits: Any) -> Panel:
        opened.append(kind(model or sample, *args, **traits))
        return opened[-1]

    yield open_
    for panel in opened:
        panel.close()


def decode(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.frombuffer(value["data"], dtype=value["dtype"]).reshape(value["shape"])


def test_the_grid_is_every_heads_pattern(show: Callable[..., Any], sample: explorer.Model) -> None:
    text = "When Mary and John went to the store, John gave a drink to"
    panel = show(AttentionPanel, text)
    panel.wait(MINUTE)
    trace = sample.trace(text)
    grid = decode(panel.view["grid"])
    assert grid.shape == (30, 9, 14, 14)
    for layer in (0, 13, 29):
        expected = trace.pattern(layer)[0].numpy()
        assert np.abs(grid[layer] / 255.0 - expected).max() <= panel.view["grid_max_error"] + 1e-6
    assert [token["text"] for token in panel.view["tokens"]][:3] == ["When", " Mary", " and"]
    assert panel.status["state"] == "live"
    assert panel.status["ms"] > 0


def test_the_chosen_head_is_exact_and_follows_the_selection(show: Callable[..., Any], sample: explorer.Model) -> None:
    panel = show(AttentionPanel, "The capital of France is")
    panel.wait(MINUTE)
    panel.selection = Selection(layer=24, heads=(4,), query=4, key=3)
    panel.wait(MINUTE)
    assert (panel.matrix["layer"], panel.matrix["head"], panel.matrix["block"]) == (24, 4, 1)
    expected = sample.trace("The capital of France is").pattern(24, heads=[4])[0, 0]
    torch.testing.assert_close(torch.tensor(decode(panel.matrix["data"])), expected, atol=1e-6, rtol=0)
    assert panel.get_state()["selection"] == {
        "layer": 24, "heads": [4], "query": 4, "key": 3, "stack": None, "kind": "attn",
    }  # fmt: skip
    panel.set_state({"selection": {"layer": 2, "heads": [1], "query": None, "key": None, "stack": None}})
    assert panel.selection == Selection(2, (1,))
    seen: list[Selection] = []
    panel.observe(lambda change: seen.append(change["new"]), "selection")
    panel.selection = Selection(3, (8,))
    assert seen == [Selection(3, (8,))]


def test_long_prompts_are_sampled_and_pooled_and_say_so(show: Callable[..., Any], sample: explorer.Model) -> None:
    text = "one two three four " * 150
    panel = show(AttentionPanel, text)
    panel.selection = Selection(1, (2,))
    panel.wait(MINUTE)
    trace = sample.trace(text)
    length = len(trace)
    assert length > 512
    assert panel.view["queries_sampled"] == 64
    block, data = panel.matrix["block"], decode(panel.matrix["data"])
    exact = trace.pattern(1, heads=[2])[0, 0]
    assert block == -(-length // 256)
    for row, column in ((0, 0), (data.shape[0] - 1, data.shape[1] - 1), (data.shape[0] - 1, 3)):
        part = exact[row * block : (row + 1) * block, column * block : (column + 1) * block]
        assert data[row, column] == pytest.approx(float(part.max()), abs=1e-6)
    assert data.max() == pytest.approx(float(exact.max()), abs=1e-6), "a single bright cell never vanishes"
    grid = decode(panel.view["grid"])
    assert grid.shape[2] <= 32
    assert grid.shape[3] <= 32


def test_a_shorter_text_lets_go_of_positions_that_are_gone(show: Callable[..., Any]) -> None:
    panel = show(AttentionPanel, "one two three four five")
    panel.wait(MINUTE)
    panel.selection = Selection(1, (1,), query=4, key=4)
    panel.text = "one two"
    panel.wait(MINUTE)
    assert panel.selection == Selection(1, (1,))
    assert len(panel.view["tokens"]) == 2


@pytest.mark.parametrize(
    ("selection", "word"),
    [
        (lambda: Selection(30, (0,)), "layers 0 to 29"),
        (lambda: Selection(0, (9,)), "heads 0 to 8"),
        (lambda: Selection(0, (0,), query=5), "positions 0 to 4"),
        (lambda: Selection(-1), "layer=-1"),
        (lambda: Selection(0, ()), "heads="),
        (lambda: Selection(True), "layer=True"),
    ],
)
def test_selections_out_of_range_are_refused_and_the_old_one_stays(
    show: Callable[..., Any], selection: Callable[[], Selection], word: str
) -> None:
    panel = show(AttentionPanel, "The capital of France is")
    panel.wait(MINUTE)
    with pytest.raises(explorer.Refused, match=word):
        panel.selection = selection()
    assert panel.selection == Selection(0, (0,))
    panel.set_state({"selection": {"layer": 99, "heads": [0]}})  # the browser cannot be raised at
    assert panel.selection == Selection(0, (0,))
    assert "layer=99" in panel.status["error"]["message"]
    panel.set_state({"selection": {"layer": 1, "heads": [0]}})
    assert panel.status["error"] is None, "what was refused is done with"
    panel.set_state({"selection": {"layer": 99, "heads": [0]}})
    panel.text = "The panel lives"
    panel.wait(MINUTE)
    assert panel.status["state"] == "live"


@pytest.mark.parametrize("kind", PANELS)
def test_refused_prompts_keep_the_last_picture_and_the_next_prompt_works(
    show: Callable[..., Any], kind: type[Panel]
) -> None:
    panel = show(kind, "Hello there")
    panel.wait(MINUTE)
    good = panel.view
    for text, word in (("", "empty"), ("x" * 1_000_000, "8,192"), ("x " * 8200, "8,192")):
        panel.text = text
        with pytest.raises(explorer.ExplorerError, match=word):
            panel.wait(MINUTE)
        assert panel.status["state"] == "error"
        assert panel.view is good
    texts = ("  ", "a", "</script><img src=x onerror=alert(1)>", "世界 🏳️‍🌈", "\x00\u202e")
    for text in texts[-2:] if kind is AttributionPanel else texts:  # integrated gradients of each take seconds
        panel.text = text
        panel.wait(MINUTE)
        assert panel.status["state"] == "live", text
        assert panel.view["request"] == panel.status["request"]


@pytest.mark.parametrize("kind", PANELS)
def test_lone_surrogates_are_replaced_with_a_note(show: Callable[..., Any], kind: type[Panel]) -> None:
    panel = show(kind, "a\ud800b")
    panel.wait(MINUTE)
    assert panel.text == "a\ufffdb"
    assert any("\ufffd" in note for note in panel.view["notes"])


@pytest.mark.parametrize("kind", PANELS)
def test_a_defect_is_shown_with_its_traceback_and_the_panel_lives(
    show: Callable[..., Any], sample: explorer.Model, kind: type[Panel]
) -> None:
    panel = show(kind, "Hello there")
    panel.wait(MINUTE)
    broken = sample.hf.model.layers[3].register_forward_pre_hook(lambda *_: 1 / 0)
    try:
        panel.text = "Hello again"
        with pytest.raises(explorer.ExplorerError, match="ZeroDivisionError"):
            panel.wait(MINUTE)
        assert "Traceback" in panel.status["error"]["detail"]
    finally:
        broken.remove()
    panel.text = "Hello once more"
    panel.wait(MINUTE)
    assert panel.status["error"] is None


@pytest.mark.parametrize("kind", PANELS)
def test_many_typed_letters_show_the_last_text_and_leave_the_model_as_it_was(
    show: Callable[..., Any], kind: type[Panel], sample: explorer.Model, unchanged: Callable[[Any], None]
) -> None:
    unchanged(sample)
    panel = show(kind, "x")
    text = "The quick brown fox"
    for end in range(1, len(text) + 1):
        panel.text = text[:end]
    panel.wait(MINUTE)
    shown = "".join(token["text"] for token in panel.view["tokens"])
    assert shown == text


def test_models_without_the_part_are_refused_in_words(show: Callable[..., Any], encoder: explorer.Model) -> None:
    panel = show(AttentionPanel, "Hello 世界", model=encoder)
    panel.wait(MINUTE)
    assert decode(panel.view["grid"]).shape[:2] == (6, 12)
    for kind in (AttributionPanel, SamplingPanel):
        panel = show(kind, "Hello", model=encoder)
        with pytest.raises(explorer.ExplorerError, match="no vocabulary head"):
            panel.wait(MINUTE)


def test_attribution_gives_both_methods_and_their_proof(show: Callable[..., Any], sample: explorer.Model) -> None:
    panel = show(AttributionPanel, "The opposite of hot is")
    panel.wait(MINUTE)
    assert panel.view["next"][0]["text"] == " cold"
    assert panel.view["target"]["text"] == " cold"
    results = panel.view["results"]
    direct = sample.attribute("The opposite of hot is", " cold", method="input_x_gradient")
    assert results["input_x_gradient"]["scores"] == pytest.approx(direct.scores.tolist(), abs=1e-3)
    integrated = results["integrated_gradients"]
    assert integrated["steps"] == 50
    assert abs(integrated["delta"]) < 0.05 * abs(integrated["total"] - integrated["delta"])
    assert panel.results["integrated_gradients"].scores.tolist() == integrated["scores"]
    panel.target_text = " cold and dark"
    assert "3 tokens" in panel.target_error
    panel.target_text = " warm"
    panel.wait(MINUTE)
    assert (panel.view["target"]["text"], panel.target_error) == (" warm", "")
    panel.against = int(sample.tokenizer(" cold").input_ids[0])
    panel.wait(MINUTE)
    assert panel.view["against"]["text"] == " cold"
    assert panel.view["results"]["input_x_gradient"]["difference"] < 0
    panel.target = None  # the likeliest is what it is compared with
    panel.wait(MINUTE)
    assert panel.view["against"] is None
    assert any("explained alone" in note for note in panel.view["notes"])


def test_the_browser_gets_the_whole_row_and_enough_names(show: Callable[..., Any], sample: explorer.Model) -> None:
    text = "the the the cat sat on the"
    panel = show(SamplingPanel, text)
    panel.wait(MINUTE)
    row = sample.next_token(text)
    np.testing.assert_allclose(decode(panel.view["logits"]), row.logits.numpy(), atol=1e-5)
    assert decode(panel.view["prompt_ids"]).tolist() == sorted(set(sample.read(text).ids))
    names = dict(zip(decode(panel.view["label_ids"]).tolist(), panel.view["labels"], strict=True))
    for penalty in (0.5, 1.0, 2.0):
        top = row.under(explorer.Sampling(repetition_penalty=penalty)).top(64)
        assert [names[token]["text"] for token in top["id"]] == top["token"].tolist()


def test_tokens_travel_in_columns_that_hold_all_of_them(show: Callable[..., Any], sample: explorer.Model) -> None:
    panel = show(SamplingPanel, "When 世界 🤗 met")
    panel.wait(MINUTE)
    sent = panel.get_state()["view"]["tokens"]
    columns = {
        name: column if isinstance(column, list) else [column] * sent["length"]
        for name, column in sent["columns"].items()
    }
    assert [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)] == panel.view["tokens"]
    assert columns["id"] == sample.read("When 世界 🤗 met").ids
    assert max(columns["parts"]) == 3
    plain = traveling({"tokens": tokens(sample.read("The capital of"))})["tokens"]
    assert plain["columns"] | {"id": None} == {
        "id": None, "text": ["The", " capital", " of"], "kind": "text", "group": [0, 1, 2], "part": 1, "parts": 1,
    }  # fmt: skip
    assert traveling(Records()) == {"length": 0, "columns": {}}


class Sent:
    """What a panel sends to its views."""

    def __init__(self, panel: Any) -> None:
        self.messages: list[dict[str, Any]] = []
        self.first = threading.Event()
        send = panel.send

        def record(content: dict[str, Any], buffers: Any = None) -> None:
            self.messages.append(json.loads(json.dumps(content)))
            self.first.set()
            send(content, buffers)

        panel.send = record


def test_generation_streams_what_the_engine_writes(show: Callable[..., Any], sample: explorer.Model) -> None:
    panel = show(SamplingPanel, "人工智能是")
    panel.wait(MINUTE)
    sent = Sent(panel)
    asked = {"temperature": 0.8, "top_k": 40, "seed": 5}
    panel._handle_custom_msg({"type": "generate", "max_new_tokens": 12, "settings": asked}, [])
    panel.wait(MINUTE)
    writing = sample.generate("人工智能是", explorer.Sampling(temperature=0.8, top_k=40, seed=5), 12).finish()
    steps = panel.generated["steps"]
    assert [step["id"] for step in steps] == writing.ids
    assert [step["text"] for step in steps] == [token.text for token in writing.tokens]
    assert [step["group"] for step in steps] == [token.group for token in writing.tokens]
    assert steps[3]["probability"] == pytest.approx(writing.steps[3].probability, abs=1e-5)
    assert len(steps[3]["alternatives"]) == 8
    assert panel.generated["state"] == "done"
    assert panel.sampling == explorer.Sampling(temperature=0.8, top_k=40, seed=5)
    streamed: dict[int, Any] = {}
    for message in sent.messages:
        streamed[message["index"]] = message["step"]  # a later message about a step replaces the earlier one
    assert [streamed[index]["text"] for index in range(12)] == [step["text"] for step in steps]
    assert panel.status["state"] == "live"


@pytest.mark.parametrize("how", ["stop", "message", "text"])
def test_generation_stops(show: Callable[..., Any], how: str) -> None:
    panel = show(SamplingPanel, "Once upon a time")
    panel.wait(MINUTE)
    sent = Sent(panel)
    panel.generate(1000)
    assert sent.first.wait(MINUTE)
    if how == "stop":
        panel.stop()
    elif how == "message":
        panel._handle_custom_msg({"type": "stop"}, [])
    else:
        panel.text = "Something else"
    panel.wait(MINUTE)
    assert panel.generated["state"] == "stopped"
    assert 0 < len(panel.generated["steps"]) < 1000
    assert panel.status["state"] == "live", "the bars are complete"


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"temperature": -1}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"top_k": -3}, "top_k"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_settings_out_of_range_are_refused_and_the_old_ones_stay(
    show: Callable[..., Any], settings: dict[str, Any], word: str
) -> None:
    panel = show(SamplingPanel, "Hello")
    panel.wait(MINUTE)
    before = panel.settings
    with pytest.raises(explorer.Refused, match=word):
        panel.settings = {**before, **settings}
    assert panel.settings == before
    panel.set_state({"settings": {**before, **settings}})
    assert panel.settings == before
    assert word in panel.status["error"]["message"]
    panel._handle_custom_msg({"type": "generate", "max_new_tokens": 0, "settings": {}}, [])
    assert "max_new_tokens" in panel.status["error"]["message"]
    panel.sampling = explorer.Sampling(temperature=0.0, top_k=10**9, top_p=0.0)
    panel.generate(2)
    panel.wait(MINUTE)
    assert len(panel.generated["steps"]) == 2


@pytest.mark.parametrize("kind", PANELS)
def test_closing_a_panel_lets_go_of_it(sample: explorer.Model, kind: type[Panel]) -> None:
    panel = kind(sample, "Hello there")
    panel.wait(MINUTE)
    panel.close()
    gone = weakref.ref(panel)
    del panel
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("kind", PANELS)
def test_wrong_arguments_are_refused_in_words(sample: explorer.Model, kind: type[Panel]) -> None:
    with pytest.raises(TypeError, match=r"explorer\.load"):
        kind("gpt2")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="colour"):
        kind(sample, "x", colour="red")


def test_arrays_are_narrowed_on_purpose() -> None:
    for made, dtype in (
        (torch.ones(2, 3, dtype=torch.float64), "float32"),
        (torch.ones(2, dtype=torch.bfloat16), "float32"),
        (torch.arange(3), "int32"),
        (torch.ones(2, dtype=torch.bool), "uint8"),
        (torch.ones(2, dtype=torch.float16), "float16"),
        (torch.arange(6.0).reshape(2, 3).T, "float32"),
    ):
        wire = array(made)
        assert (wire["dtype"], wire["shape"]) == (dtype, list(made.shape))
        np.testing.assert_array_equal(decode(wire), made.float().numpy())
    with pytest.raises(TypeError, match="complex64"):
        array(np.zeros(2, dtype=np.complex64))


def test_pooling_keeps_the_largest_of_each_block() -> None:
    values = torch.tensor([[0.1, 0.9, 0.2, 0.3, 0.5]])
    torch.testing.assert_close(pool_last(values, 3), torch.tensor([[0.9, 0.3, 0.5]]))
    assert torch.equal(pool_last(values, 5), values)
    assert block_starts(5, 3) == [0, 2, 4]
    assert block_starts(4, 32) == [0, 1, 2, 3]
    assert unit_bytes(torch.tensor([0.0, 1.0, 0.5, float("nan"), 2.0])).tolist() == [0, 255, 128, 0, 255]
