"""What leaves the attention panel in each of its views: tables and what the artists of figures hold, proven anew."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection, PolyCollection, QuadMesh
from numpy.typing import NDArray

import explorer
from explorer import Ablate, Refused
from tests.families.cases import case
from tests.widgets.test_attention_panel import MINUTE, tiny
from widgets import AttentionPanel, Selection
from widgets.colors import table
from widgets.drawings_text import MOST_TOKENS, coloured_text
from widgets.drawings_views import HUES, Between, clear, laid_over, lines_between, measures_map
from widgets.paper import Scale

pytestmark = pytest.mark.model
TEXT = "The cat saw the dog, and the cat"
OTHER = "The big cat saw a dog, and the cat"
SOURCES = Path(__file__).parents[2] / "widgets/frontend/src"


@pytest.fixture(scope="module")
def panel(sample: explorer.Model, exact: Any) -> Iterator[AttentionPanel]:
    # After the copy that `exact` makes: one made during a pass would carry its hooks.
    made = AttentionPanel(sample, TEXT, selection=Selection(11, (2, 4)))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test set on the shared panel is set back."""
    yield
    if "panel" in request.fixturenames:
        panel: AttentionPanel = request.getfixturevalue("panel")
        panel.mode = "matrix"
        usual = {"combine": "mean", "scale": "linear", "reach": "one", "direction": "attends", "hide_sink": False}
        for name, value in {**usual, "edits": (), "selection": Selection(11, (2, 4))}.items():
            setattr(panel, name, value)


@pytest.fixture(scope="module")
def exact(sample: explorer.Model) -> Any:
    """Weights of a text by plain transformers, (layer, head, query, key), float32."""
    eager = copy.deepcopy(sample.hf)
    eager.set_attn_implementation("eager")

    def of(text: str = TEXT) -> NDArray[Any]:
        with torch.no_grad():
            ids = sample.tokenizer(text, return_tensors="pt").input_ids
            found: NDArray[Any] = torch.stack(eager(ids, output_attentions=True).attentions)[:, 0].numpy()
        return found

    return of


def shown(panel: AttentionPanel, mode: str) -> Any:
    """The view of a mode, complete."""
    panel.mode = mode
    panel.wait(MINUTE)
    return panel.panels[0] if panel.panels else panel


def drawn(panel: AttentionPanel, kind: type, **options: Any) -> Any:
    """The artist of a kind in the first axes that have one."""
    figure = panel.figure(6.7, **options)
    return next(one for axes in figure.axes for one in axes.collections if isinstance(one, kind))


def held(artist: Any) -> NDArray[Any]:
    values: NDArray[Any] = np.ma.filled(artist.get_array(), np.nan)
    return values


def texts_of(figure: Any) -> str:
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_what_names_a_picture_that_is_there(panel: AttentionPanel) -> None:
    with pytest.raises(Refused, match=r"what='lines' .* use 'head' or 'heads'; .* panel\.mode is one of .*'lines'"):
        panel.figure(what="lines")
    shown(panel, "lines")
    with pytest.raises(Refused, match=r"what='matrix' .* use 'lines' or 'head' or 'heads'"):
        panel.figure(what="matrix")
    assert "rows attend to columns" in texts_of(panel.figure(what="head"))
    assert "Attention of all heads" in texts_of(panel.figure(what="heads"))
    assert texts_of(panel.figure()) == texts_of(panel.figure(what="lines"))
    assert panel.panels[0].figure().get_figwidth() == pytest.approx(6.7)


def test_the_map_has_the_colours_of_the_screen(panel: AttentionPanel, exact: Any) -> None:
    mean = exact()[11, [2, 4]].mean(axis=0)
    np.testing.assert_allclose(held(drawn(panel, QuadMesh)), mean, atol=1e-5)
    panel.reach = "row"
    rows = held(drawn(panel, QuadMesh))
    np.testing.assert_allclose(rows, mean / mean.max(axis=1, keepdims=True), atol=1e-4)
    panel.combine, panel.reach, panel.scale, panel.hide_sink = "max", "one", "log", True
    mesh = drawn(panel, QuadMesh)
    largest = exact()[11, [2, 4]].max(axis=0)
    np.testing.assert_allclose(held(mesh)[:, 1:], largest[:, 1:], atol=1e-5)
    assert np.isnan(held(mesh)[:, 0]).all()
    high = largest[:, 1:].max()
    assert (mesh.norm.vmin, mesh.norm.vmax) == pytest.approx((high / 1e4, high), rel=1e-4)
    mass = exact()[11, [2, 4]].max(axis=0)[:, 0].sum() / len(mean)
    assert f"hidden: {mass * 100:.0f} %" in texts_of(panel.figure()).replace("\n", " ")


@pytest.mark.parametrize("direction", ["attends", "attended"])
def test_the_text_is_coloured_by_one_tokens_weights(panel: AttentionPanel, exact: Any, direction: str) -> None:
    panel.direction = direction
    panel.selection = Selection(11, (2, 4), query=5, key=2)
    shown(panel, "text")
    weights = exact()[11, [2, 4]]
    line = weights[:, 5] if direction == "attends" else weights[:, :, 2]
    frame = panel.frame
    found = frame.pivot_table("weight", "head", "key" if direction == "attends" else "query")
    np.testing.assert_allclose(found.to_numpy(), line, atol=1e-5)
    assert set(frame["query" if direction == "attends" else "key"]) == {5 if direction == "attends" else 2}
    boxes = drawn(panel, PolyCollection)
    values = held(boxes)
    seen = np.arange(len(values)) <= 5 if direction == "attends" else np.arange(len(values)) >= 2
    np.testing.assert_allclose(values[seen], line.mean(axis=0)[seen], atol=1e-5)
    assert np.isnan(values[~seen]).all()
    tokens = [text.get_text() for text in boxes.axes.texts]
    assert tokens == [token["text"] for token in panel.view["tokens"]]
    panel.reach = "map"
    assert drawn(panel, PolyCollection).norm.vmax == pytest.approx(weights.mean(axis=0).max(), rel=1e-4)


def test_a_text_wraps_keeps_words_together_and_is_refused_as_a_book() -> None:
    tokens = ["It", " goes", " beyond", "able", "ness", ",", "⏎", "and", " on"]
    figure = coloured_text(1.5, tokens, np.linspace(0, 1, len(tokens)), 1, "", Scale())
    lines = [int(text.get_position()[1]) for text in figure.axes[0].texts]
    assert lines[2] == lines[3] == lines[4], "a word stays together"
    assert lines[7] == lines[6] + 1, "a line that ends, ends"
    assert figure.axes[0].texts[-1].get_color() == "#ffffff", "light on the strongest colour"
    right = [box.vertices[:, 0].max() for box in figure.axes[0].collections[0].get_paths()]
    assert max(right) <= figure.axes[0].get_xlim()[1]
    with pytest.raises(Refused, match=r"at most 2000 tokens.*what='head'"):
        coloured_text(3.0, ["a"] * (MOST_TOKENS + 1), np.zeros(MOST_TOKENS + 1), None, "", Scale())


def test_measures_are_means_over_rows_and_filtered_heads_are_small(panel: AttentionPanel, exact: Any) -> None:
    view = shown(panel, "heads")
    weights = exact()
    previous = np.stack([weights[:, :, row, row - 1] for row in range(1, weights.shape[2])]).mean(axis=0)
    least = float(np.sort(previous.ravel())[-20])
    view.order = {"measure": "previous", "least": least - 1e-4}
    figure = panel.figure(6.7)
    values = held(next(one for one in figure.axes[0].collections if isinstance(one, QuadMesh)))
    assert np.isfinite(values).sum() == 20
    np.testing.assert_allclose(values[np.isfinite(values)], previous.T[np.isfinite(values)], atol=1e-5)
    small = figure.axes[0].collections[1].get_offsets()
    assert len(small) == previous.size - 20
    assert "250 of 270 heads" in texts_of(figure).replace("\n", " ")
    np.testing.assert_allclose(panel.frame["previous"].to_numpy(), np.sort(previous.ravel())[::-1][:20], atol=1e-5)


def test_a_measure_that_there_is_none_of_gives_way_as_on_the_screen() -> None:
    chosen = Selection(1, (0,), kind="cross_attn", stack="decoder")
    panel = AttentionPanel(tiny("t5"), "A fox", decoder="jumps", mode="heads", selection=chosen)
    assert "What heads do: first token" in texts_of(panel.figure())
    trace = panel.exploration.trace()
    layers = range(len(panel.view["heads_per_layer"]))
    first = [trace.pattern(at, stack="decoder", kind="cross_attn")[0, :, :, 0].mean(dim=1).numpy() for at in layers]
    np.testing.assert_allclose(held(drawn(panel, QuadMesh)), np.stack(first).T, atol=1e-5)
    np.testing.assert_allclose(panel.frame["first"], np.sort(np.ravel(first))[::-1], atol=1e-5)
    panel.close()


def test_heads_that_are_not_there_and_heads_without_a_number_differ() -> None:
    values = np.array([[0.5, np.nan], [0.2, np.inf]])
    axes = measures_map(3.0, values, np.array([[True, False], [False, False]]), "", Scale()).axes[0]
    mesh, small, crosses = axes.collections
    assert held(mesh)[0, 0] == 0.5
    assert np.isnan(held(mesh)).sum() == 3
    assert small.get_offsets().tolist() == [[1, 0]]
    assert crosses.get_offsets().tolist() == [[0, 1]]


def lines_held(collection: PathCollection) -> dict[tuple[str, int, int], float]:
    """The weight of each line by its colour and its ends, told from how thick it is."""
    names = {hue: at for at, hue in enumerate(HUES)}
    found = {}
    for path, colour, wide in zip(
        collection.get_paths(), collection.get_edgecolors(), collection.get_linewidths(), strict=True
    ):
        hue = "#" + "".join(f"{round(part * 255):02x}" for part in colour[:3])
        ends = (round(path.vertices[0, 1]), round(path.vertices[-1, 1]))
        found[(str(names[hue]), *ends)] = (wide - 0.5) / 1.75
    return found


def test_lines_are_the_weights_above_the_threshold_in_their_heads_colours(panel: AttentionPanel, exact: Any) -> None:
    view = shown(panel, "lines")
    weights = exact()[11, [2, 4]]
    expected = {(str(at[0]), int(at[1]), int(at[2])): float(weights[tuple(at)]) for at in np.argwhere(weights >= 0.05)}
    assert lines_held(drawn(panel, PathCollection)) == pytest.approx(expected, abs=1e-5)
    frame = panel.frame
    np.testing.assert_allclose(frame["weight"], sorted(expected.values(), reverse=True), atol=1e-5)
    assert set(frame["head"]) <= {2, 4}
    panel.hide_sink, view.threshold = True, 0.2
    strong = {at: weight for at, weight in expected.items() if weight >= 0.2 and at[2] != 0}
    assert lines_held(drawn(panel, PathCollection)) == pytest.approx(strong, abs=1e-5)
    panel.selection = Selection(11, (2, 4), query=6)
    mine = {at: weight for at, weight in strong.items() if at[1] == 6}
    figure = panel.figure(6.7)
    assert lines_held(next(one for one in figure.axes[0].collections)) == pytest.approx(mine, abs=1e-5)
    assert [len(panel.frame), set(panel.frame["query"])] == [len(mine), {6}]
    assert "0.05" not in texts_of(figure)


def test_few_strong_weights_lower_the_threshold_as_on_the_screen(panel: AttentionPanel, exact: Any) -> None:
    panel.selection, panel.hide_sink = Selection(24, (5,)), True
    shown(panel, "lines")
    weights = exact()[24, 5].copy()
    weights[:, 0] = 0
    lowest = np.sort(weights.ravel())[::-1][len(weights) - 1]
    assert lowest < 0.05
    assert len(panel.frame) == len(weights)
    assert panel.frame["weight"].min() == pytest.approx(lowest, rel=1e-3)


def test_lines_look_as_on_the_screen_and_what_is_no_number_is_dotted() -> None:
    source = (SOURCES / "attention-lines-drawing.tsx").read_text("utf-8")
    light = re.search(r"const LIGHT = \[(.*)\]", source)
    assert light is not None
    assert tuple(re.findall(r'"(#\w+)"', light[1])) == HUES
    one, two = np.array([0, 0]), np.array([0, 1])
    figure = lines_between(3.0, Between(one, two, two, np.array([0.5, np.nan])), [7], ["a", "b"], ["a", "b"], "")
    (collection,) = figure.axes[0].collections
    broken, whole = collection.get_linestyles()
    assert whole[1] is None
    assert broken[1] is not None


def test_query_times_key_is_in_the_bars(panel: AttentionPanel, sample: explorer.Model) -> None:
    panel.selection = Selection(11, (4,), query=7, key=3)
    shown(panel, "neuron")
    trace = sample.trace(TEXT)
    query = trace["layers.11.attn.q"][0, 7, 4].numpy()
    key = trace["layers.11.attn.k"][0, 3, 1].numpy()  # head 4 of 9 reads key-value head 1 of 3
    score = float(trace["layers.11.attn.scores"][0, 4, 7, 3])
    frame = panel.frame
    for name, values in (("query", query), ("key", key), ("product", query * key)):
        np.testing.assert_allclose(frame[name], values, atol=1e-5)
    assert frame["product"].sum() / 8 == pytest.approx(score, rel=1e-4)
    figure = panel.figure(3.3)
    for axes, values in zip(figure.axes, (query, key, query * key), strict=True):
        np.testing.assert_allclose([bar.get_height() for bar in axes.patches], values, atol=1e-5)
    assert f"sum to {score * 8:.4g}" in texts_of(figure).replace("\n", " ")


def test_rollout_and_computed_rows_of_a_flow_are_mapped(panel: AttentionPanel, exact: Any) -> None:
    panel.selection = Selection(2, (0,))
    view = shown(panel, "depth")
    weights = exact().astype(np.float64)
    count = weights.shape[-1]
    expected = np.eye(count)
    for layer in range(3):
        expected = (0.5 * weights[layer].mean(axis=0) + 0.5 * np.eye(count)) @ expected
    np.testing.assert_allclose(held(drawn(panel, QuadMesh)), expected, atol=1e-5)
    found = panel.frame.pivot_table("value", "query", "key").to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    view.reach = "rest"
    mesh = drawn(panel, QuadMesh)
    assert mesh.norm.vmax == pytest.approx(expected[:, 1:].max(), rel=1e-4)
    assert np.isnan(held(mesh)[:, 0]).all()
    view.reach, view.measure = "map", "flow"
    values = held(drawn(panel, QuadMesh))
    flow = panel.exploration.trace().flow(layer=2, queries=count - 1)
    np.testing.assert_allclose(values[-1], flow[0], atol=1e-6)
    assert np.isnan(values[:-1][np.tril_indices(count - 1, m=count)]).all()
    assert set(panel.frame["query"]) == {count - 1}


def test_a_difference_is_signed_and_says_what_does_not_align(panel: AttentionPanel, exact: Any) -> None:
    panel.selection = Selection(9, (3,))
    view = shown(panel, "difference")
    with pytest.raises(Refused, match="no other prompt was given"):
        panel.figure()
    view.reference = "pinned"
    with pytest.raises(Refused, match=r"nothing is pinned; .*exploration\.pin\(\)"):
        _ = panel.frame
    view.reference, view.other_prompt = "prompt", OTHER
    now, before = exact()[9, 3], exact(OTHER)[9, 3]
    both = [0, *range(2, len(before))]  # " big" is of the other prompt alone
    figure = panel.figure(6.7)
    mesh = next(one for one in figure.axes[0].collections if isinstance(one, QuadMesh))
    expected = now - before[both][:, both]
    np.testing.assert_allclose(held(mesh)[both][:, both], expected, atol=1e-5)
    assert np.isnan(held(mesh)[1]).all()
    assert np.isnan(held(mesh)[:, 1]).all()
    assert (mesh.norm.vmin, mesh.norm.vmax) == pytest.approx(
        (-np.abs(expected).max(), np.abs(expected).max()), rel=1e-4
    )
    said = texts_of(figure).replace("\n", " ")
    assert "Only in the other prompt: “ big”" in said
    assert "In each other's place: “ a → the”" in said
    frame = panel.frame
    assert set(frame[frame["query"] == 1]["query_how"]) == {"only_before"}
    np.testing.assert_allclose(frame.pivot_table("before", "query", "key").to_numpy(), before, atol=1e-5)
    panel.edits = (Ablate("layers.3.attn.z", heads=[0]),)
    view.reference = "edits"
    cut = panel.exploration.trace().pattern(9, heads=[3])[0, 0].numpy()
    np.testing.assert_allclose(held(drawn(panel, QuadMesh)), cut - now, atol=1e-5)


def test_an_image_lies_under_the_weights_of_its_patches() -> None:
    found = case("vit")
    panel = AttentionPanel(found.plain, mode="pictures", selection=Selection(1, (2, 0), query=3))
    twin = copy.deepcopy(found.hf)
    twin.set_attn_implementation("eager")
    with torch.no_grad():
        plain = twin.eval()(pixel_values=found.given["images"], output_attentions=True).attentions[1][0, [2, 0]]
    grid = plain[:, 3, 1:].reshape(2, 2, 2).numpy()
    figure = panel.figure(6.7)
    meshes = [one for axes in figure.axes for one in axes.collections if isinstance(one, QuadMesh)]
    for mesh, expected in zip(meshes, [grid.mean(axis=0), *grid], strict=False):
        np.testing.assert_allclose(held(mesh).reshape(2, 2), expected, atol=1e-5)
    frames = [patch for patch in figure.axes[0].patches if patch.get_edgecolor()[2] > 0.5]
    assert [frame.get_xy() for frame in frames] == [(0, 1)], "position 3 is the patch in row 1, column 0"
    frame = panel.frame
    np.testing.assert_allclose(frame["weight"].to_numpy(), grid.ravel(), atol=1e-5)
    assert frame[["row", "column", "position"]].to_numpy()[:4].tolist() == [[0, 0, 1], [0, 1, 2], [1, 0, 3], [1, 1, 4]]
    panel.close()


def test_colours_over_an_image_are_those_of_the_legend() -> None:
    colours = clear(Scale())(np.linspace(0, 1, 256))
    over = colours[:, :3] * colours[:, 3:] + (1 - colours[:, 3:])
    np.testing.assert_allclose(over, table("explorer_weight") / 255, atol=1e-6)
    image = np.zeros((4, 4, 3), np.uint8)
    figure = laid_over(3.0, image, [("head 0", np.array([[np.nan, 1.0]]))], None, "", Scale())
    assert figure.axes[1].collections[-1].get_offsets().tolist() == [[0.5, 0.5]], "what is no number is crossed out"


@pytest.mark.parametrize("mode", ["text", "heads", "lines", "neuron", "depth"])
def test_files_of_every_view_are_vector_and_say_what_made_them(
    panel: AttentionPanel, tmp_path: Path, mode: str
) -> None:
    shown(panel, mode)
    written = panel.save(tmp_path / "a.svg", width=3.3).read_text("utf-8")
    assert "SmolLM2-135M-Instruct" in written
    assert written.count("<image") <= 1, "the legend's alone"
    assert b"/Type3" not in panel.save(tmp_path / "a.pdf", width=3.3).read_bytes()
