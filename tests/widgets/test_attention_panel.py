"""AttentionPanel without a browser: its answers, other kinds of attention, and that it lives on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import explorer
from explorer import Ablate, Scale
from tests import tiny_tokenizers as zoo
from tests.families.configs import FAMILIES
from widgets import AttentionPanel, Selection

MINUTE = 60.0
TEXT = "The quick brown fox jumps over the lazy dog"


def tiny(name: str) -> explorer.Model:
    """A random model of a family that reads text."""
    family = FAMILIES[name]
    more = {"decoder_start_token_id": 0} if family.seq2seq else {}
    built = replace(family, settings={**family.settings, "vocab_size": 600, **more}).build()
    return explorer.attach(built, zoo.byte_level())


class Heard:
    """A panel whose messages to the browser are kept."""

    def __init__(self, panel: AttentionPanel, patch: pytest.MonkeyPatch) -> None:
        self.panel = panel
        self.sent: list[tuple[dict[str, Any], list[bytes]]] = []
        patch.setattr(panel, "send", lambda content, buffers=None: self.sent.append((content, buffers or [])))

    def ask(self, **question: Any) -> dict[str, Any]:
        """What the panel answers, with the weights as an array."""
        self.panel._message(self.panel, {"number": len(self.sent), "picture": self.panel._number, **question}, [])
        self.panel.wait(MINUTE)
        answer, buffers = self.sent[-1]
        if "arrays" in answer:
            shape = answer["arrays"]["weights"]
            answer["weights"] = np.frombuffer(buffers[0], dtype=shape["dtype"]).reshape(shape["shape"])
        return answer


@pytest.fixture
def gpt2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    panel = AttentionPanel(tiny("gpt2"), TEXT)
    panel.wait(MINUTE)
    yield Heard(panel, monkeypatch)
    panel.close()


def exact(panel: AttentionPanel, layer: int, **where: Any) -> torch.Tensor:
    return panel.exploration.trace().pattern(layer, **where)[0].float()


def decode(value: dict[str, Any]) -> torch.Tensor:
    return torch.tensor(np.frombuffer(value["data"], dtype=value["dtype"]).reshape(value["shape"]).copy())


def test_questions_are_answered_with_their_number_and_exactly(gpt2: Heard) -> None:
    pattern = exact(gpt2.panel, 1)
    part = gpt2.ask(type="part", layer=1, heads=[2], rows=[2, 7], columns=[0, 5], block=1)
    assert (part["answer"], part["number"]) == ("part", 0)
    torch.testing.assert_close(torch.tensor(part["weights"]), pattern[2, 2:7, :5])


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ({"type": "part", "rows": [0, 999], "columns": [0, 1], "block": 1}, "rows="),
        ({"type": "part", "rows": [0, 1], "columns": "all", "block": 1}, "columns="),
        ({"type": "part", "rows": [0, 1], "columns": [0, 1], "block": 0}, "block=0"),
        ({"type": "part", "heads": [4]}, "heads="),
        ({"type": "part", "layer": 3}, "layer=3"),
        ({"type": "part", "layer": "x"}, "layer="),
    ],
)
def test_questions_that_make_no_sense_are_answered_in_words(gpt2: Heard, question: dict[str, Any], word: str) -> None:
    answer = gpt2.ask(**{"layer": 0, "heads": [0], **question})
    assert word in answer["error"]
    assert gpt2.panel.status["state"] == "live"


def test_a_question_of_no_known_kind_is_refused(gpt2: Heard) -> None:
    with pytest.raises(explorer.Refused, match="answers part and patch"):
        gpt2.ask(type="everything")


def test_questions_about_a_picture_that_is_gone_are_not_answered(gpt2: Heard) -> None:
    gpt2.panel._message(gpt2.panel, {"type": "part", "number": 1, "picture": 0, "layer": 0, "heads": [0]}, [])
    gpt2.panel.wait(MINUTE)
    assert gpt2.sent == []


def test_several_heads_are_shown_as_their_mean_or_maximum(gpt2: Heard) -> None:
    panel, pattern = gpt2.panel, exact(gpt2.panel, 2)[[1, 3]]
    panel.selection = Selection(2, (1, 3))
    panel.wait(MINUTE)
    torch.testing.assert_close(decode(panel.matrix["data"]), pattern.mean(dim=0))
    panel.combine = "max"
    panel.wait(MINUTE)
    torch.testing.assert_close(decode(panel.matrix["data"]), pattern.amax(dim=0))
    assert (panel.matrix["heads"], panel.matrix["combine"]) == ([1, 3], "max")


def test_a_heads_edits_are_seen_in_later_layers_and_in_the_code(gpt2: Heard) -> None:
    panel, before = gpt2.panel, exact(gpt2.panel, 2)
    for plain, edit in (
        ({"kind": "Ablate", "heads": [2]}, Ablate("layers.0.attn.z", heads=[2])),
        ({"kind": "Scale", "heads": [2], "factor": 3.0}, Scale("layers.0.attn.z", 3.0, heads=[2])),
    ):
        site = panel.view["site"].replace("{}", "0")
        panel.exploration.set_state({"edits": [{"number": 0, "label": "", "edit": {**plain, "site": site}}]})
        panel.selection = Selection(2, (0,))
        panel.wait(MINUTE)
        assert panel.exploration.edits == (edit,)
        expected = panel.exploration.model.trace(TEXT, edits=[edit]).pattern(2)[0]
        torch.testing.assert_close(decode(panel.matrix["data"]), expected[0])
        assert not torch.allclose(expected[0], before[0])
    assert "Scale" in repr(panel.exploration.edits)


def test_every_stack_and_kind_of_attention_can_be_chosen() -> None:
    panel = AttentionPanel(tiny("t5"), TEXT)
    panel.wait(MINUTE)
    assert [(one["stack"], one["kind"]) for one in panel.view["choices"]] == [
        ("encoder", "attn"), ("decoder", "attn"), ("decoder", "cross_attn"),
    ]  # fmt: skip
    for stack, kind, size in (
        ("encoder", "attn", (9, 9)),
        ("decoder", "attn", (1, 1)),
        ("decoder", "cross_attn", (1, 9)),
    ):
        panel.selection = Selection(1, (2,), stack=stack, kind=kind)
        panel.wait(MINUTE)
        length = len(panel.view["tokens"])
        size = tuple(length if side == 9 else side for side in size)
        assert (panel.view["queries"], panel.view["keys"]) == size
        assert panel.view["positions"] == length
        torch.testing.assert_close(decode(panel.matrix["data"]), exact(panel, 1, stack=stack, kind=kind)[2])
    assert panel.view["site"] == "decoder.layers.{}.cross_attn.z"
    panel.close()


def test_a_kind_that_the_layer_lacks_is_refused_and_the_old_one_stays(gpt2: Heard) -> None:
    with pytest.raises(explorer.Refused, match="no cross-attention"):
        gpt2.panel.selection = Selection(0, (0,), kind="cross_attn")
    assert gpt2.panel.selection.kind == "attn"
    with pytest.raises(explorer.Refused, match="kind='self'"):
        Selection(0, kind="self")


def test_learned_sinks_and_windows_are_told() -> None:
    panel = AttentionPanel(tiny("gpt_oss"), TEXT)
    panel.wait(MINUTE)
    assert panel.view["sinks"] == [True] * 3
    assert panel.view["windows"] == [3, None, 3]
    pattern = exact(panel, 0)[0]
    torch.testing.assert_close(decode(panel.matrix["rest"]), 1 - pattern.sum(dim=-1), atol=1e-5, rtol=0)
    assert decode(panel.matrix["rest"]).min() > 0
    assert decode(panel.matrix["seen"])[5].tolist() == [3, 6]
    panel.close()


def test_weights_that_are_not_numbers_are_counted_and_kept_as_such() -> None:
    model = tiny("mistral")
    with torch.no_grad():
        model.hf.model.layers[1].self_attn.q_proj.weight[0, 0] = float("nan")
    panel = AttentionPanel(model, TEXT, selection=Selection(1, (0,)))
    panel.wait(MINUTE)
    assert panel.matrix["not_numbers"] > 0
    assert decode(panel.matrix["data"]).isnan().any()
    assert any("Layer 1" in note for note in panel.view["notes"])
    panel.close()


def test_one_token_is_a_picture_too() -> None:
    panel = AttentionPanel(tiny("gpt2"), "a")
    panel.wait(MINUTE)
    assert decode(panel.matrix["data"]).tolist() == [[1.0]]
    panel.close()


def test_infinite_weights_are_told_and_drawn_as_nothing() -> None:
    model = tiny("mistral")
    with torch.no_grad():
        model.hf.model.layers[1].self_attn.q_proj.weight[0, 0] = float("inf")
    panel = AttentionPanel(model, TEXT, selection=Selection(1, (0,)))
    panel.wait(MINUTE)
    assert panel.matrix["not_numbers"] == int((~torch.isfinite(exact(panel, 1)[0])).sum()) > 0
    assert any("Layer 1" in note for note in panel.view["notes"])
    assert decode(panel.view["grid"])[0].any(), "the layer before is drawn as it is"
    panel.close()


def test_texts_that_were_padded_to_one_length_are_refused_by_their_number(gpt2: Heard) -> None:
    padded = gpt2.panel.exploration.model.trace(["a b c", TEXT])
    with pytest.raises(explorer.Refused, match="holds 2 texts"):
        AttentionPanel(padded)


def test_a_model_without_attention_says_so_in_its_place() -> None:
    panel = AttentionPanel(tiny("mamba"), TEXT)
    with pytest.raises(explorer.ExplorerError, match="has no attention to show"):
        panel.wait(MINUTE)
    assert panel.status["state"] == "error"
    panel.close()


def test_heads_that_the_model_lacks_are_refused_and_the_old_ones_stay(gpt2: Heard) -> None:
    before = gpt2.panel.selection
    for heads in ((99,), (0, 4)):
        with pytest.raises(explorer.Refused, match="heads 0 to 3"):
            gpt2.panel.selection = Selection(1, heads)
    assert gpt2.panel.selection == before


def test_an_image_model_is_refused_a_text() -> None:
    panel = AttentionPanel(explorer.attach(FAMILIES["vit"].build()), TEXT)
    with pytest.raises(explorer.ExplorerError, match="reads images, not text"):
        panel.wait(MINUTE)
    panel.close()


def test_a_token_that_is_markup_stays_text(gpt2: Heard) -> None:
    panel = gpt2.panel
    panel.text = "</script><img src=x onerror=alert(1)>"
    panel.wait(MINUTE)
    assert "".join(token["text"] for token in panel.view["tokens"]) == panel.text
    assert set(panel.frame["key_token"]) == {token["text"] for token in panel.view["tokens"]}


def test_a_head_that_is_chosen_while_all_are_read_stays_chosen(
    sample: explorer.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = AttentionPanel(sample, "one two three", selection=Selection(3, (2,), 2, 1))
    panel.wait()
    read = explorer.Trace.overview

    def chosen_meanwhile(*args: Any, **keywords: Any) -> Any:
        found = read(*args, **keywords)
        panel.selection = Selection(11, (4,))
        return found

    monkeypatch.setattr(explorer.Trace, "overview", chosen_meanwhile)
    panel.text = "one"  # which has no place for the pair of the other text
    panel.wait()
    assert panel.selection == Selection(11, (4,))
    assert (panel.matrix["layer"], panel.matrix["heads"]) == (11, [4])
    panel.close()
