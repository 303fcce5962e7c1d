"""Figures, tables and pages of panels: the numbers are the model's, and the files are what their readers ask for."""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

import explorer
from explorer import Refused, Sampling
from widgets import AttentionPanel, AttributionPanel, Exploration, SamplingPanel, Selection, Workbench
from widgets.attention_page import all_heads
from widgets.colors import table
from widgets.drawings import token_map
from widgets.panel import Panel
from widgets.paper import Paper
from widgets.snapshot import PageLimits

pytestmark = pytest.mark.model
TEXT = "The $price$ of 你好 & <b> is"


@pytest.fixture(scope="module")
def shared(sample: explorer.Model) -> Iterator[Exploration]:
    exploration = Exploration(sample, TEXT, selection=Selection(3, (2,)), sampling=Sampling(temperature=0.8, top_k=6))
    yield exploration
    exploration.close()


@pytest.fixture(scope="module")
def attention(shared: Exploration) -> AttentionPanel:
    return AttentionPanel(shared)


@pytest.fixture(scope="module")
def attribution(shared: Exploration) -> AttributionPanel:
    return AttributionPanel(shared)


@pytest.fixture(scope="module")
def sampling(shared: Exploration) -> SamplingPanel:
    return SamplingPanel(shared)


@pytest.fixture(scope="module")
def panels(attention: AttentionPanel, attribution: AttributionPanel, sampling: SamplingPanel) -> tuple[Panel, ...]:
    return attention, attribution, sampling


def test_the_table_of_attention_is_the_chosen_heads_weights(attention: AttentionPanel, sample: explorer.Model) -> None:
    trace = sample.trace(TEXT)
    frame = attention.frame
    pattern = trace.pattern(3, heads=[2])[0, 0].numpy()
    assert np.array_equal(frame.pivot_table("weight", "query", "key").to_numpy(), pattern.astype(np.float64))
    assert frame["key_token"][:3].tolist() == [token.text for token in trace.tokens][:3]


def test_the_table_of_next_tokens_has_them_before_and_under_the_settings(
    sampling: SamplingPanel, sample: explorer.Model
) -> None:
    frame = sampling.frame
    logits = sample.trace(TEXT).logits[0, -1]
    before = logits.softmax(-1)[torch.tensor(frame["id"].tolist())]
    assert np.allclose(frame["probability_before"], before, atol=1e-6)
    six = (logits.topk(6).values / 0.8).softmax(-1)
    assert np.allclose(frame["probability"][:6], six, atol=1e-6)
    assert not frame["kept"][6:].any()
    assert not frame["probability"][6:].any()


def test_the_table_of_scores_is_the_result(attribution: AttributionPanel) -> None:
    frame = attribution.frame
    assert frame["score"].tolist() == attribution.results[attribution.method].scores.tolist()
    assert set(frame["method"]) == {attribution.method}


def test_svg_holds_the_tokens_as_text(panels: tuple[Panel, ...], tmp_path: Path) -> None:
    for panel in panels:
        path = panel.save(tmp_path / "a.svg", width=6.7)
        root = ElementTree.parse(path).getroot()
        assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(6.7 * 72, abs=0.5)
        texts = {element.text.strip() for element in root.iter() if element.tag.endswith("text") and element.text}
        wanted = {"&", "<"} if panel is not panels[2] else {"is", "not"} & set(panel.frame["token"].str.strip())
        assert wanted <= texts
        assert any("SmolLM2-135M-Instruct" in text for text in texts)
        assert "SmolLM2" not in panel.save(path, caption=False).read_text("utf-8")


def test_pdf_embeds_its_fonts_as_publishers_take_them(panels: tuple[Panel, ...], tmp_path: Path) -> None:
    for panel in panels:
        data = panel.save(tmp_path / "a.pdf").read_bytes()
        streams = [inflated(part) for part in re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL)]
        whole = b"".join([data, *streams])
        assert b"/FontFile2" in whole
        assert b"/Type3" not in whole
        assert data == panel.save(tmp_path / "b.pdf").read_bytes()


def inflated(part: bytes) -> bytes:
    try:
        return zlib.decompress(part)
    except zlib.error:
        return b""


def test_pixels_have_the_colours_of_the_screen() -> None:
    weights = np.array([[1.0, 0.0], [0.25, 0.75]])
    drawn = io.BytesIO()
    figure = token_map(3.0, weights, ["a", "b"], ["c", "d"], "")
    figure.savefig(drawn, format="png")
    image = np.asarray(Image.open(drawn).convert("RGB"))
    axes = figure.axes[0]
    colours = table("explorer_weight")
    for (row, col), weight in np.ndenumerate(weights):
        x, y = axes.transData.transform((col, row))
        assert np.abs(image[image.shape[0] - int(y), int(x)].astype(int) - colours[round(weight * 255)]).max() <= 1


def test_a_character_without_a_font_is_its_code_point_and_said() -> None:
    paper = Paper(3, 2)
    assert paper.shown("a\U00012345é") == "a⟨U+12345⟩é"  # cuneiform
    paper.caption("made by")
    assert "⟨U+12345⟩" in paper._supxlabel.get_text()
    assert paper.shown(" ") == "␣"


def test_no_figure_touches_matplotlibs_settings(attention: AttentionPanel, tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    attention.save(tmp_path / "a.png", what="heads")
    assert dict(mpl.rcParams) == before


def test_a_page_carries_every_head_within_the_error_it_states(
    attention: AttentionPanel, sample: explorer.Model
) -> None:
    trace = sample.trace(TEXT)
    state, said = all_heads(trace, "", "attn", PageLimits())
    carried = state["carried"]
    length, heads = len(trace), carried["heads"]
    levels = np.frombuffer(carried["levels"]["data"], np.uint8).reshape(30, heads, -1)
    scale = np.frombuffer(carried["scale"]["data"], np.float32).reshape(30, heads)
    assert carried["causal"]
    assert levels.shape[-1] == length * (length + 1) // 2
    for layer in (0, 17, 29):
        exact = trace.pattern(layer)[0].numpy()
        keys, queries = np.triu_indices(length)
        off = np.abs(levels[layer] / 255 * scale[layer][:, None] - exact[:, queries, keys]).max()
        assert off <= carried["error"] + 1e-6
        edges = (
            np.frombuffer(carried[name]["data"], np.float16).reshape(30, heads, length) for name in ("first", "rest")
        )
        for found, wanted in zip(edges, (exact[..., 0], 1 - exact.sum(-1)), strict=True):
            assert np.abs(found[layer].astype(np.float32) - wanted).max() < 1e-3
    assert f"{carried['error']:.4f}" in said


def test_a_page_that_is_too_large_is_refused_with_an_offer(attention: AttentionPanel, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"max_bytes=100000 .*max_bytes=1_000_000, carry fewer with layers=.*cells="):
        attention.save(tmp_path / "a.html", max_bytes=100_000)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_saved_is_named(attention: AttentionPanel, shared: Exploration, tmp_path: Path) -> None:
    bench = Workbench(shared)
    for call, words in (
        (lambda: attention.save(tmp_path / "a.gif"), r"\.html, \.htm, \.svg, \.pdf, \.png"),
        (lambda: attention.save(tmp_path / "no" / "a.svg"), "there is no folder"),
        (lambda: attention.figure(0.2), "width=0.2.*1 to 20"),
        (lambda: attention.figure(what="tail"), "what='tail'.*'head' or 'heads'"),
        (lambda: attention.save(tmp_path / "a.html", layers=[31]), "no attention of layer 31"),
        (lambda: attention.save(tmp_path / "a.html", cells=0), "cells=0"),
        (bench.figure, r"bench\.panels\[0\]"),
        (lambda: bench.frame, r"bench\.panels\[0\]"),
    ):
        with pytest.raises(Refused, match=words):
            call()
    bench.close()


def test_plain_viewers_get_words_and_the_picture_that_is_there(
    panels: tuple[Panel, ...], sample: explorer.Model
) -> None:
    for panel in panels:
        panel.wait()
        shown = panel._repr_mimebundle_()
        assert shown is not None
        data = shown[0]
        assert data["text/plain"] == f"{type(panel).__name__}(SmolLM2-135M-Instruct, {TEXT!r})"
        assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.model_id
        picture = base64.b64decode(data["image/png"])
        assert len(picture) <= 150_000
        assert Image.open(io.BytesIO(picture)).width == 960
        assert panel._repr_mimebundle_()[0]["image/png"] is data["image/png"]  # drawn once


def test_no_picture_is_waited_for_and_none_kept_unasked(sampling: SamplingPanel, sample: explorer.Model) -> None:
    plain = SamplingPanel(sampling.exploration, still=False)
    plain.wait()
    assert "image/png" not in plain._repr_mimebundle_()[0]
    plain.still = True
    plain.status = {**plain.status, "state": "working"}
    assert "image/png" not in plain._repr_mimebundle_()[0]
    plain.close()
