"""The worst day of the attention panel: what goes wrong is said in words in every view, and the next prompt works."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import explorer
from tests.families.cases import case
from tests.widgets.test_attention_panel import MINUTE, TEXT, decode, tiny
from widgets import AttentionPanel, Selection
from widgets.attention import VIEWS

MODES = ("matrix", "text", *VIEWS)
OF_TEXT = tuple(mode for mode in MODES if mode != "pictures")


@pytest.fixture
def opened() -> Iterator[Callable[..., AttentionPanel]]:
    """Makes panels and closes them."""
    made: list[AttentionPanel] = []

    def open_one(*args: Any, **traits: Any) -> AttentionPanel:
        made.append(AttentionPanel(*args, **traits))
        return made[-1]

    yield open_one
    for panel in made:
        panel.close()


def views(panel: AttentionPanel, modes: tuple[str, ...] = OF_TEXT) -> Iterator[tuple[str, Any]]:
    """Chooses one view after the other, and gives its mode and what draws it, drawn."""
    for mode in modes:
        panel.mode = mode
        panel.wait(MINUTE)
        drawn = panel.panels[0] if panel.panels else panel
        assert (drawn.status["state"], drawn.status["error"]) == ("live", None), mode
        yield mode, drawn


def refused(panel: AttentionPanel, modes: tuple[str, ...] = MODES) -> set[str]:
    """What the panel says in each mode, and that it is a sentence and no defect."""
    said = set()
    for mode in modes:
        panel.mode = mode
        for one in (panel, *panel.panels):
            with pytest.raises(explorer.ExplorerError):
                one.wait(MINUTE)
            error = one.status["error"]
            assert (one.status["state"], error["detail"]) == ("error", ""), f"{mode}: {error}"
            said.add(str(error["message"]))
    return said


def goes_on(panel: AttentionPanel, text: str = TEXT) -> None:
    """The next prompt works."""
    panel.text = text
    for _ in views(panel, ("matrix",)):
        assert len(panel.view["tokens"]) > 1


@pytest.fixture(scope="module")
def gpt2() -> explorer.Model:
    return tiny("gpt2")


def test_one_token_is_drawn_in_every_view(gpt2: explorer.Model, opened: Any) -> None:
    panel = opened(gpt2, "a", selection=Selection(1, (0, 2)))
    for mode, drawn in views(panel):
        assert len(drawn.view["tokens"]) == 1, mode
    goes_on(panel)


def test_a_row_of_a_padded_batch_is_refused_by_the_number_of_texts(gpt2: explorer.Model, opened: Any) -> None:
    with pytest.raises(explorer.Refused, match="holds 2 texts; panels show a trace of one"):
        opened(gpt2.trace(["a b c", TEXT]))


def test_padding_in_a_text_is_shown_as_the_tokens_it_is(gpt2: explorer.Model, opened: Any) -> None:
    panel = opened(gpt2.trace([0] * 5), selection=Selection(1, (0,)))
    for _ in views(panel):
        assert len(panel.view["tokens"]) == 5
    goes_on(panel)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named_in_every_view(value: float, opened: Any) -> None:
    model = tiny("mistral")
    with torch.no_grad():
        model.hf.model.layers[1].self_attn.q_proj.weight[0, 0] = value
    panel = opened(model, TEXT, selection=Selection(1, (0,)))
    broken = int((~model.trace(TEXT).pattern(1, heads=[0]).isfinite()).sum())
    assert broken > 0
    for mode, drawn in views(panel):
        assert panel.matrix["not_numbers"] == broken
        assert ("nan_weights", {"layer": 1}) in [(note.key, note.about) for note in panel.view["notes"]]
        told = {
            "lines": lambda view: 0 < view["not_numbers"] <= broken,  # it counts none that the mask hides
            "neuron": lambda view: not np.isfinite(view["weight"]),
            "depth": lambda view: bool(decode(view["data"]).isnan().any()),
            "heads": lambda view: bool(decode(view["values"])[:, 1, 0].isnan().all()),
        }.get(mode, lambda _view: True)
        assert told(drawn.view), mode
    with torch.no_grad():
        model.hf.model.layers[1].self_attn.q_proj.weight[0, 0] = 0.0
    goes_on(panel, "the next prompt")
    assert (panel.matrix["not_numbers"], panel.view["notes"]) == (0, [])


@pytest.mark.parametrize("name", ["mamba", "rwkv"])
def test_a_model_without_attention_says_so_in_every_view(name: str, opened: Any) -> None:
    panel = opened(tiny(name), TEXT)
    assert len(said := refused(panel)) <= 2, said
    assert all("has no attention to show: its layers are recurrent" in one or "read no image" in one for one in said)
    panel.text = "the next prompt"
    assert refused(panel, ("matrix",)) <= said


@pytest.mark.parametrize("heads", [(99,), (0, 4)])
def test_heads_that_there_are_not_are_refused_and_the_old_ones_stay(
    heads: tuple[int, ...], gpt2: explorer.Model, opened: Any
) -> None:
    panel = opened(gpt2, TEXT, selection=Selection(1, (1, 2)), mode="lines")
    before = panel.selection
    with pytest.raises(explorer.Refused, match="heads 0 to 3"):
        panel.selection = Selection(1, heads)
    panel._handle_msg(
        {"content": {"data": {"method": "update", "state": {"selection": {**before.to_wire(), "heads": list(heads)}}}}}
    )
    assert "heads 0 to 3" in panel.status["error"]["message"]
    assert panel.selection == before
    goes_on(panel)


def test_prompts_without_a_token_in_common_have_rows_of_their_own(gpt2: explorer.Model, opened: Any) -> None:
    panel = opened(gpt2, "abc def", selection=Selection(1, (0,)), mode="difference")
    view = panel.panels[0]
    view.reference, view.other_prompt = "prompt", "12345 67890 !!"
    panel.wait(MINUTE)
    groups = view.view["queries"]
    sides = [[place for group in groups for place in range(*group[side])] for side in ("before", "now")]
    assert sides == [list(range(len(gpt2.read(text)))) for text in (view.other_prompt, panel.text)], "each is there"
    assert not any(group["how"] == "same" for group in groups if group["label"].strip())
    goes_on(panel)


def test_an_image_model_is_refused_a_text_in_every_view(opened: Any) -> None:
    panel = opened(case("vit").model, TEXT)
    (said,) = refused(panel)
    assert "reads images, not text" in said


def test_a_filter_that_keeps_no_head_says_so_and_is_taken_back(gpt2: explorer.Model, opened: Any) -> None:
    panel = opened(gpt2, TEXT, mode="heads")
    panel.wait(MINUTE)
    panel.order_by("previous", least=2.0)
    panel.wait(MINUTE)
    assert panel.ranked["heads"] == []
    goes_on(panel, "the next prompt")
    panel.order_by(None)
    panel.wait(MINUTE)
    assert panel.ranked == {}


MARKUP = "<img src=x onerror=alert(1)> </script> {{a}} ${b}"


def test_markup_in_tokens_stays_text(gpt2: explorer.Model, opened: Any) -> None:
    panel = opened(gpt2, MARKUP, selection=Selection(1, (0,)))
    for mode, drawn in views(panel):
        assert "".join(token["text"] for token in drawn.view["tokens"]) == MARKUP, mode
    still = panel._repr_mimebundle_()[0].get("text/html", "")
    assert "<img src=x" not in still
    goes_on(panel)


@pytest.mark.parametrize("kind", ["attn", "cross_attn"])
def test_a_decoder_and_what_it_reads_are_shown_in_every_view(kind: str, opened: Any) -> None:
    model = tiny("bart")
    panel = opened(model, TEXT, decoder="a b", selection=Selection(1, (0,), stack="decoder", kind=kind))
    rows = len(model.trace(TEXT, decoder="a b").decoder[0])
    for _mode, _drawn in views(panel, tuple(mode for mode in OF_TEXT if mode != "depth")):
        assert panel.view["queries"] == rows
    panel.mode = "depth"  # its positions are mixed with another text's
    with pytest.raises(explorer.ExplorerError, match="draws from the encoder as well, so its positions are no mixture"):
        panel.wait(MINUTE)
    panel.panels[0].measure = "norm"
    panel.wait(MINUTE)
    goes_on(panel)


@pytest.mark.parametrize("name", ["mistral", "gpt_oss"])
def test_windows_and_learned_sinks_are_told_in_every_view(name: str, opened: Any) -> None:
    hf = tiny(name)
    panel = opened(hf, TEXT, selection=Selection(0, (0, 1)))
    for _mode, _drawn in views(panel):
        pass
    exact = hf.trace(TEXT).pattern(0, heads=[0, 1])[0].float().mean(0)
    torch.testing.assert_close(decode(panel.matrix["data"]), exact)
    sinks = name == "gpt_oss"
    assert (panel.matrix["sinks"], panel.view["sinks"][0]) == (sinks, sinks)
    rest = 1 - exact.sum(-1)
    assert bool((rest > 1e-3).all()) == sinks
    torch.testing.assert_close(decode(panel.matrix["rest"]), rest, atol=1e-6, rtol=1e-4)
    assert any(window is not None for window in panel.view["windows"]) or name == "gpt_oss"
    goes_on(panel)


def test_a_text_model_has_no_picture_and_says_how_to_have_one(gpt2: explorer.Model, opened: Any) -> None:
    panel = opened(gpt2, TEXT, mode="pictures")
    with pytest.raises(explorer.ExplorerError, match="read no image, so there is no picture"):
        panel.wait(MINUTE)
    assert panel.status["error"] is None, "the panel around it goes on"
    goes_on(panel)


def test_broken_weights_of_an_image_are_counted_in_every_view(opened: Any) -> None:
    hf = copy.deepcopy(case("vit").hf)
    model = explorer.attach(hf)
    with torch.no_grad():
        hf.get_submodule(model.anatomy.stacks[0].layers[1].path).attention.q_proj.bias.fill_(torch.nan)
    panel = opened(model.trace(**case("vit").given), selection=Selection(1, (0,)))
    for mode, drawn in views(panel, MODES):
        if mode in ("pictures", "lines"):
            assert drawn.view["not_numbers"] == 25, mode
