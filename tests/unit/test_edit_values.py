"""Edits as values: comparing, showing, travelling, composing, being refused; and a model they never change."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import explorer
from explorer import Ablate, Apply, Patch, Refused, Scale, Steer
from explorer.edit_json import from_json, to_json
from explorer.edits import Edit
from tests.conftest import snapshot, tiny

IDS = [5, 17, 3, 88, 41, 9, 60]
RESID = "layers.1.resid_post"
VECTOR = torch.linspace(-1, 1, 32)


@pytest.fixture(scope="module")
def llama() -> explorer.Model:
    return explorer.attach(tiny("llama"))


def every_kind() -> list[Edit]:
    return [
        Ablate("layers.0.attn.z", heads=[1, 0]),
        Ablate("layers.0.attn.z", by="mean"),
        Ablate(RESID, by=VECTOR, positions=range(2)),
        Scale(RESID, 2.0, neurons=[3]),
        Patch(RESID, VECTOR, positions=1),
        Steer(RESID, VECTOR, 4.0, positions=[0]),
        Steer(RESID, VECTOR, 4.0, [0], relative=True),
        Ablate("layers.0.router.weights", experts=[2, 0]),
        Patch("layers.0.router.weights", torch.ones(5), experts=1, positions=[3]),
    ]


def test_equal_edits_are_equal_and_hash_alike_and_different_ones_are_not() -> None:
    for number, (one, other) in enumerate(zip(every_kind(), every_kind(), strict=True)):
        assert one == other
        assert hash(one) == hash(other)
        assert copy.deepcopy(one) == one
        assert [edit == one for edit in every_kind()] == [index == number for index in range(len(every_kind()))]
    assert Steer(RESID, VECTOR, 1.0) != Steer(RESID, VECTOR + 1, 1.0)
    assert Steer(RESID, VECTOR, 1.0) != Steer(RESID, VECTOR.double(), 1.0)
    assert Ablate(RESID) != Scale(RESID, 0.0)
    assert Ablate(RESID) != "Ablate"
    assert Ablate(RESID, heads=1) == Ablate(RESID, heads=np.array([1])) == Ablate(RESID, heads=(np.int64(1),))


def test_edits_show_what_they_do_and_cannot_be_changed() -> None:
    assert repr(Ablate("layers.0.attn.z", heads=[1])) == "Ablate('layers.0.attn.z', heads=(1,))"
    assert repr(Scale("layers.0.router.weights", 0.5, experts=2)) == (
        "Scale('layers.0.router.weights', experts=(2,), factor=0.5)"
    )
    assert repr(Steer(RESID, VECTOR, 4)) == f"Steer('{RESID}', vector=tensor(32,), strength=4.0)"
    with pytest.raises(AttributeError):
        Ablate(RESID).site = "embed"  # type: ignore[misc]
    vector = VECTOR.clone()
    edits = [Steer(RESID, vector), Patch(RESID, vector), Ablate(RESID, by=vector)]
    vector.zero_()
    assert edits == [Steer(RESID, VECTOR), Patch(RESID, VECTOR), Ablate(RESID, by=VECTOR)]


def test_edits_travel_as_json(llama: explorer.Model) -> None:
    plain, tensors = to_json(every_kind())
    assert from_json(json.loads(json.dumps(plain)), tensors) == tuple(every_kind())
    trace = llama.trace(IDS)
    for edit in (Apply(RESID, torch.tanh), Patch(RESID, trace), Ablate(RESID, by=trace)):
        with pytest.raises(Refused, match="does not travel as JSON"):
            to_json([edit])


@pytest.mark.parametrize(
    "hostile",
    [
        {"kind": "Ablate"},
        "Ablate",
        [5],
        [{}],
        [{"kind": "Edit", "site": RESID}],
        [{"kind": "Apply", "site": RESID, "function": "os.system"}],
        [{"kind": "__class__", "site": RESID}],
        [{"kind": ["Ablate"], "site": RESID}],
        [{"kind": "Ablate"}],
        [{"kind": "Ablate", "site": 5}],
        [{"kind": "Ablate", "site": {"tensor": "t"}}],
        [{"kind": "Ablate", "site": RESID, "by": "mode"}],
        [{"kind": "Ablate", "site": RESID, "by": 5}],
        [{"kind": "Ablate", "site": RESID, "__class__": "x"}],
        [{"kind": "Ablate", "site": RESID, "heads": [-1]}],
        [{"kind": "Ablate", "site": RESID, "heads": "01"}],
        [{"kind": "Ablate", "site": RESID, "heads": [[0]]}],
        [{"kind": "Ablate", "site": RESID, "experts": [0.5]}],
        [{"kind": "Scale", "site": RESID, "factor": "2"}],
        [{"kind": "Scale", "site": RESID, "factor": float("nan")}],
        [{"kind": "Scale", "site": RESID, "factor": 10**400}],
        [{"kind": "Scale", "site": RESID}],
        [{"kind": "Steer", "site": RESID, "vector": [1, 2]}],
        [{"kind": "Steer", "site": RESID, "vector": {"tensor": "none"}}],
        [{"kind": "Steer", "site": RESID, "vector": {"tensor": ["t"]}}],
        [{"kind": "Steer", "site": RESID, "vector": {"tensor": "t", "path": "/"}}],
        [{"kind": "Steer", "site": RESID, "vector": {"tensor": "t"}, "relative": "yes"}],
        [{"kind": "Patch", "site": RESID, "source": {"tensor": "no tensor"}}],
    ],
)
def test_hostile_json_is_refused(hostile: Any) -> None:
    with pytest.raises(Refused):
        from_json(hostile, {"t": VECTOR, "no tensor": "text"})  # type: ignore[dict-item]


@pytest.mark.parametrize("name", ["heads", "positions", "neurons", "experts"])
@pytest.mark.parametrize("wrong", [-1, [0, -2], [1, 1], True, [False], [], "0", 1.5, [1.0], slice(1), {0}, [None]])
def test_indices_that_are_none_are_refused_when_the_edit_is_made(name: str, wrong: Any) -> None:
    with pytest.raises(Refused, match=rf"{name}=.*{RESID}"):
        Ablate(RESID, **{name: wrong})


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (Ablate("layers.1.attn.z", heads=[4]), "heads=.*out of range at layers.1.attn.z: allowed are 0 to 3"),
        (Ablate("layers.1.attn.k", heads=[2]), "heads=.*out of range at layers.1.attn.k: allowed are 0 to 1"),
        (Ablate(RESID, positions=[0, 7]), f"positions=.*out of range at {RESID}: allowed are 0 to 6"),
        (Ablate(RESID, neurons=32), f"neurons=.*out of range at {RESID}: allowed are 0 to 31"),
        (Ablate("layers.1.attn.pattern", neurons=7), "neurons=.*out of range at layers.1.attn.pattern"),
        (Ablate(RESID, heads=[0]), f"heads=.*no meaning at {RESID}"),
        (Patch(RESID, torch.zeros(31)), rf"source has the shape \(31,\), which does not fit {RESID}"),
        (Steer(RESID, torch.zeros(2, 3, 32)), rf"vector has the shape \(2, 3, 32\), which does not fit {RESID}"),
        (Patch(RESID, torch.zeros(5, 32)), f"5 positions and this pass has 7 at {RESID}.*positions="),
        (Patch(RESID, torch.zeros(5, 32), positions=5), f"5 positions and positions=.*{RESID}; allowed are 0 to 4"),
        (Apply(RESID, lambda v: v[:, 1:]), rf"tensor \(1, 6, 32\).*{RESID}"),
        (Apply(RESID, lambda v: v.double()), f"float64.*{RESID}.*float32"),
        (Apply(RESID, lambda v: v.to("meta")), f"on meta at {RESID}"),
        (Apply(RESID, lambda v: (v,)), f"a tuple at {RESID}"),
        (Apply(RESID, lambda v: None), f"a NoneType at {RESID}"),
        (Ablate("logits"), "site='logits' can be read but not edited"),
        (Ablate("layers.1.attn.scores"), "the edits leave head 0 no key to attend to at row 0"),
        (Ablate("layers.1.attn.head_out", heads=4), "heads=.*out of range at layers.1.attn.head_out: .* 0 to 3"),
        (Ablate("layers.1.attn.head_out", neurons=32), "neurons=.*out of range at layers.1.attn.head_out: .* 0 to 31"),
        (Ablate("layers.7.attn.z"), "is not a site of this model"),
        (Ablate("*.nothing"), "matches no site"),
    ],
)
def test_edits_that_cannot_be_done_are_refused_with_the_site_and_what_to_do(
    llama: explorer.Model, edit: Edit, sentence: str, unchanged: Callable[[explorer.Model], None]
) -> None:
    unchanged(llama)
    with pytest.raises(Refused, match=sentence):
        llama.trace(IDS, edits=[Scale("embed", 0.5), edit])


def test_things_that_are_no_edits_are_type_errors(llama: explorer.Model) -> None:
    for wrong in (None, "Ablate", 5, [Ablate], VECTOR, [None]):
        with pytest.raises(TypeError):
            llama.trace(IDS, edits=wrong)  # type: ignore[arg-type]
    for make in (
        lambda: Patch(RESID, [1.0]),
        lambda: Ablate(RESID, by=None),
        lambda: Steer(RESID, [1.0], 1.0),  # type: ignore[arg-type]
        lambda: Apply(RESID, 5),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="needed"):
            make()
    for make in (lambda: Scale(RESID, float("inf")), lambda: Scale(RESID, True), lambda: Ablate("")):
        with pytest.raises(Refused):
            make()


def test_texts_of_unequal_length_are_patched_by_position_only(llama: explorer.Model) -> None:
    short = llama.trace(IDS[:4])
    for edit in (Patch(RESID, short), Ablate(RESID, by=short)):
        with pytest.raises(Refused, match=r"4 positions and this pass has 7.*trace\.tokens.*positions="):
            llama.trace(IDS, edits=edit)
    after = llama.trace(IDS, edits=Patch(RESID, short, positions=[1, 3]))
    assert torch.equal(after[RESID][:, [1, 3]], short[RESID][:, [1, 3]])
    assert not torch.equal(after[RESID][:, 2], short[RESID][:, 2] * 0)
    with pytest.raises(Refused, match=r"positions=.*asks for more"):
        llama.trace(IDS, edits=Patch(RESID, short, positions=[4]))


def test_texts_of_one_pass_are_edited_as_alone_and_padding_is_no_text(llama: explorer.Model) -> None:
    texts = [IDS, IDS[:4]]
    edits = [Scale(RESID, 0.5, positions=[1]), Steer("layers.0.mlp_out", VECTOR, 0.5, relative=True)]
    both = llama.trace(texts, edits=edits)
    for row, ids in enumerate(texts):
        alone = llama.trace(ids, edits=edits)
        torch.testing.assert_close(both.logits[row, : len(ids)], alone.logits[0], atol=2e-5, rtol=1e-4)
    with pytest.raises(Refused, match="average over the padding"):
        llama.trace(texts, edits=Ablate(RESID, by="mean"))
    equal = llama.trace([IDS, IDS[::-1]], edits=Ablate(RESID, by="mean"))
    torch.testing.assert_close(equal.logits[1:], llama.trace(IDS[::-1], edits=Ablate(RESID, by="mean")).logits)


def test_an_edit_that_fires_nowhere_is_refused(llama: explorer.Model) -> None:
    hf = tiny("llama")
    model = explorer.attach(hf)
    hf.config.num_hidden_layers = 2  # the last layer is not run any more
    with pytest.raises(Refused, match=r"Ablate\('layers.2.mlp_out'\) fired nowhere"):
        model.trace(IDS, edits=[Ablate("layers.0.mlp_out"), Ablate("layers.2.mlp_out")])
    trace = llama.trace(IDS, edits=[Ablate("layers.*.mlp_out"), Scale("layers.0.attn.z", 2.0)])
    assert trace.fired == (3, 1)


def test_edits_compose_in_their_order_and_later_sites_see_earlier_ones(llama: explorer.Model) -> None:
    add, double = Steer(RESID, VECTOR, 1.0), Scale(RESID, 2.0)
    before = llama.trace(IDS)[RESID]
    torch.testing.assert_close(llama.trace(IDS, edits=[add, double])[RESID], (before + VECTOR) * 2)
    torch.testing.assert_close(llama.trace(IDS, edits=[double, add])[RESID], before * 2 + VECTOR)
    late_first = [Scale("layers.2.mlp_out", 3.0), Ablate("layers.0.attn.z", heads=0)]
    assert torch.equal(llama.trace(IDS, edits=late_first).logits, llama.trace(IDS, edits=late_first[::-1]).logits)
    twice = [Ablate("layers.0.attn.z", heads=0)] * 2
    assert torch.equal(llama.trace(IDS, edits=twice).logits, llama.trace(IDS, edits=twice[0]).logits)
    both = llama.trace(IDS, edits=[Ablate("embed", positions=0), Ablate("layers.0.resid_pre", positions=1)])
    assert (both["embed"] == 0).all(-1).tolist()[0][:2] == [True, False]
    assert (both["layers.0.resid_pre"] == 0).all(-1).tolist()[0][:2] == [True, True]


def test_patching_everything_from_another_text_gives_that_texts_answer(llama: explorer.Model) -> None:
    other = llama.trace([7, 2, 55, 31, 90, 12, 4])
    for site in ("embed", "layers.1.resid_pre", RESID, "layers.2.resid_post", "final_norm"):
        torch.testing.assert_close(llama.trace(IDS, edits=Patch(site, other)).logits, other.logits)


SITES = st.sampled_from(
    [
        "embed",
        RESID,
        "layers.*.mlp_out",
        "layers.0.attn.z",
        "layers.1.attn.pattern",
        "layers.0.attn.scores",
        "layers.0.attn.head_out",
        "layers.2.attn.k",
        "logits",
        "x",
    ]
)
INDICES = st.none() | st.lists(st.integers(0, 8), min_size=1, max_size=2, unique=True)
CHOSEN = st.fixed_dictionaries({"heads": INDICES, "positions": INDICES, "neurons": INDICES})


def _raises(_value: torch.Tensor) -> torch.Tensor:
    raise ZeroDivisionError


def _in_place(value: torch.Tensor) -> torch.Tensor:
    return value.mul_(2)


EDITS = st.one_of(
    st.builds(lambda s, c, by: Ablate(s, by=by, **c), SITES, CHOSEN, st.sampled_from(["zero", "mean", VECTOR])),
    st.builds(lambda s, c, f: Scale(s, f, **c), SITES, CHOSEN, st.floats(-2, 2)),
    st.builds(lambda s, c, n: Patch(s, torch.ones(n), **c), SITES, CHOSEN, st.sampled_from([1, 8, 32])),
    st.builds(lambda s, c, r: Steer(s, VECTOR, 2.0, relative=r, **c), SITES, CHOSEN, st.booleans()),
    st.builds(Apply, SITES, st.sampled_from([torch.tanh, _raises, _in_place, torch.sum])),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(EDITS, max_size=4))
def test_any_sequence_of_edits_leaves_the_model_as_it_was(llama: explorer.Model, edits: list[Edit]) -> None:
    before, plain = snapshot(llama.hf), llama.trace(IDS)
    with contextlib.suppress(Refused, ZeroDivisionError):
        llama.trace(IDS, edits=edits)
    assert snapshot(llama.hf) == before
    after = llama.trace(IDS, edits=[])
    assert torch.equal(after.logits, plain.logits)
    assert all(torch.equal(after[site], plain[site]) for site in ("embed", RESID, "layers.1.attn.z"))
