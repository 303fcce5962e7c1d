"""What heads do, as the panel shows it: the engine's measures, the order, the likes, and patches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import explorer
from explorer import Patch, Refused
from explorer.head_measures import MEASURES
from explorer.similar_heads import nearest_heads
from tests.widgets.test_attention_panel import MINUTE
from widgets import AttentionPanel
from widgets.attention_measures import MeasuresView
from widgets.selection import Selection

TEXT = "The cat saw the dog, and the cat ran; the dog saw the cat"
ENGLISH = Path(__file__).parents[2] / "widgets/frontend/src/shared/words/en.ts"


@pytest.fixture(scope="module")
def panel(sample: explorer.Model) -> Iterator[AttentionPanel]:
    made = AttentionPanel(sample, TEXT, mode="heads")
    made.wait(MINUTE)
    yield made
    made.close()


def view_of(panel: AttentionPanel) -> MeasuresView:
    (view,) = panel.panels
    assert isinstance(view, MeasuresView)
    return view


def values_of(view: MeasuresView) -> dict[str, np.ndarray]:
    array = view.view["values"]
    values = np.frombuffer(array["data"], np.float32).reshape(array["shape"])
    return dict(zip(view.view["measures"], values, strict=True))


def test_what_is_shown_is_a_mean_over_rows_of_the_models_own_weights(
    sample: explorer.Model, panel: AttentionPanel
) -> None:
    shown = values_of(view_of(panel))
    ids = sample.read(TEXT).ids
    for layer in (0, 11, 29):
        weights = sample.trace(TEXT).pattern(layer)[0].double().cpu()
        rows = range(1, len(ids))
        assert shown["previous"][layer] == pytest.approx(
            torch.stack([weights[:, q, q - 1] for q in rows]).mean(0).numpy(), abs=1e-5
        )
        assert shown["self"][layer] == pytest.approx(
            torch.stack([weights[:, q, q] for q in rows]).mean(0).numpy(), abs=1e-5
        )
        assert shown["first"][layer] == pytest.approx(weights[:, 1:, 0].mean(1).numpy(), abs=1e-5)
        after = [(q, [k for k in range(1, q) if ids[k - 1] == ids[q]]) for q in rows]
        looked = [weights[:, q, keys].sum(-1) for q, keys in after if keys]
        assert shown["induction"][layer] == pytest.approx(torch.stack(looked).mean(0).numpy(), abs=1e-5)
        apart = torch.tensor([[abs(q - k) for k in range(len(ids))] for q in range(len(ids))])
        assert shown["distance"][layer] == pytest.approx((weights * apart).sum(-1)[:, 1:].mean(1).numpy(), rel=1e-4)


def test_the_probe_is_the_engines_own(sample: explorer.Model, panel: AttentionPanel) -> None:
    shown, probe = values_of(view_of(panel)), sample.head_measures()
    for name in ("duplicate", "induction"):
        told = probe[name].to_numpy(np.float32)
        assert (shown[f"probe_{name}"][probe["layer"], probe["head"]] == told).all()
    assert view_of(panel).view["probe"] == {"state": "ready", "why": "", "edited": True}


def test_the_order_of_the_thumbnails_is_that_of_the_measure(sample: explorer.Model, panel: AttentionPanel) -> None:
    panel.order_by("previous", least=0.3, count=5)
    panel.wait(MINUTE)
    frame = sample.trace(TEXT).head_measures()
    expected = frame[frame["previous"] >= 0.3].nlargest(5, "previous")[["layer", "head"]].to_numpy().tolist()
    assert panel.ranked["heads"] == expected == panel.ranking[["layer", "head"]].to_numpy().tolist()
    view = view_of(panel)
    assert view.order == panel.order
    assert view.frame[["layer", "head"]].to_numpy().tolist() == expected
    view._handle_msg({"content": {"data": {"method": "update", "state": {"order": {**view.order, "least": 0.99}}}}})
    panel.wait(MINUTE)
    assert (panel.ranked["heads"], len(panel.ranking)) == ([], 0)
    panel.order_by(None)
    assert panel.ranked == {}
    with pytest.raises(Refused, match="measure='loudness' is not known; use one of previous"):
        panel.order_by("loudness")
    with pytest.raises(Refused, match="count=0 is not a whole number of at least 1"):
        panel.order_by("previous", count=0)


@pytest.mark.parametrize("by", ["weights", "measures"])
def test_the_heads_like_one_are_the_engines(sample: explorer.Model, panel: AttentionPanel, by: str) -> None:
    view = view_of(panel)
    panel.order_by(None)
    view.order = {**view.order, "measure": "entropy", "least": None, "count": None}
    view.like = {"layer": 17, "head": 3, "by": by}
    view.wait(MINUTE)
    trace = sample.trace(TEXT)
    expected = trace.similar_heads(17, 3) if by == "weights" else nearest_heads(view.frame, 17, 3)
    heads = np.frombuffer(view.alike["heads"]["data"], np.int32).reshape(-1, 2)
    assert heads.tolist() == expected[["layer", "head"]].to_numpy().tolist()
    distances = np.frombuffer(view.alike["distances"]["data"], np.float32)
    assert distances == pytest.approx(expected["distance"].to_numpy(), rel=1e-5)
    view.like = {}
    assert view.alike == {}


def test_a_patch_from_what_is_pinned_is_a_plain_patch(sample: explorer.Model) -> None:
    other = TEXT.replace("cat", "boy")
    panel = AttentionPanel(sample, other)
    with pytest.raises(Refused, match="Nothing is pinned"):
        panel.patch_heads(11, [1])
    panel.exploration.pin()
    panel.text = TEXT
    panel.selection = Selection(layer=11, heads=(1, 4))
    panel.send_state()
    panel._handle_msg(
        {"content": {"data": {"method": "custom", "content": {"type": "patch", "layer": 11, "heads": [1, 4]}}}}
    )
    panel.wait(MINUTE)
    plain = sample.trace(TEXT, edits=[Patch("layers.11.attn.z", sample.trace(other), heads=[1, 4])])
    torch.testing.assert_close(panel.exploration.trace().logits, plain.logits)
    told = panel.exploration.get_state("edits")["edits"]
    assert [edit["acts"] for edit in told] == [{"kind": "Patch", "site": "layers.11.attn.z", "heads": [1, 4]}]
    panel.patch_heads()
    assert len(panel.edits) == 1, "the same heads are patched once"
    panel.close()


def test_texts_of_other_lengths_are_patched_where_they_stand_for_the_same(
    sample: explorer.Model, tmp_path: Path
) -> None:
    before, now = "Yesterday, the cat saw the dog", "the cat saw the dog"
    panel = AttentionPanel(sample, before)
    panel.exploration.pin()
    panel.text = now
    patch = panel.patch_heads(11, [1])
    shift = len(sample.read(before)) - len(sample.read(now))
    same = [at for at, id in enumerate(sample.read(now).ids) if sample.read(before).ids[at + shift] == id]
    assert set(same) <= set(patch.positions or ())
    theirs = sample.trace(before)["layers.11.attn.z"]
    for at in same:
        torch.testing.assert_close(patch.source[0, at], theirs[0, at + shift])
    panel.wait(MINUTE)
    assert "Patch('layers.11.attn.z'" in panel.exploration.code(tensors=str(tmp_path / "held.safetensors"))
    panel.close()


def test_heads_with_weights_that_are_no_numbers_are_told_of_the_thumbnails(sample: explorer.Model) -> None:
    length = len(sample.read(TEXT))
    broken = torch.full((1, 9, length, length), torch.nan)
    panel = AttentionPanel(sample, TEXT, edits=[Patch("layers.2.attn.pattern", broken, heads=[4])])
    panel.wait(MINUTE)
    assert [2, 4] in panel.view["not_numbers"]
    assert [0, 4] not in panel.view["not_numbers"]
    panel.close()


def test_the_panel_says_of_a_measure_what_the_engine_says() -> None:
    words = ENGLISH.read_text("utf-8")
    for measure in MEASURES.values():
        said = re.search(rf"    {measure.name}: \[\s*\"(.*?)\",\s*\"(.*?)\",\s*\"(.*?)\",?\s*\]", words)
        assert said is not None, measure.name
        assert said.groups() == (measure.definition, measure.unit, measure.source)
