"""The kernel's sampling equals transformers', and says in words what it cannot do."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

from explorer import ExplorerError, NextToken, Refused, Sampling
from explorer.sampling import Cut

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures" / "sampling").glob("*.json"))

finite = {"allow_nan": False, "allow_infinity": False}
any_settings = st.builds(
    Sampling,
    temperature=st.floats(0.05, 20.0),
    top_k=st.integers(0, 60),
    top_p=st.floats(0.0, 1.0),
    min_p=st.floats(0.0, 1.0),
    repetition_penalty=st.floats(0.3, 3.0),
)


@pytest.fixture(scope="module")
def tiny() -> GPT2LMHeadModel:
    config = GPT2Config(vocab_size=50, n_positions=16, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config).eval()


def row(seed: int, size: int = 50) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 3


# --- parity -----------------------------------------------------------------------------------------------------


@profile(deadline=None, max_examples=150)
@given(settings=any_settings, seed=st.integers(0, 10_000), ids=st.lists(st.integers(0, 49), min_size=1, max_size=8))
def test_equals_the_processors_that_generate_would_use(
    tiny: GPT2LMHeadModel, settings: Sampling, seed: int, ids: list[int]
) -> None:
    config = GenerationConfig(
        do_sample=True,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        min_p=settings.min_p,
        repetition_penalty=settings.repetition_penalty,
    )
    theirs = tiny._get_logits_processor(config, input_ids_seq_length=len(ids), device="cpu", model_kwargs={})
    logits = row(seed)
    scores = theirs(torch.tensor([ids]), logits[None].clone())[0]
    ours = NextToken(logits, ids).under(settings)
    assert torch.equal(ours.scores, scores)
    assert torch.equal(ours.probabilities, scores.softmax(-1))
    assert torch.equal(settings.processors()(torch.tensor([ids]), logits[None].clone())[0], scores)


def test_greedy_has_the_processors_of_generate_without_sampling(tiny: GPT2LMHeadModel) -> None:
    config = GenerationConfig(do_sample=False, repetition_penalty=1.3)
    theirs = tiny._get_logits_processor(config, input_ids_seq_length=2, device="cpu", model_kwargs={})
    ours = Sampling(temperature=0, top_k=3, top_p=0.5, min_p=0.1, repetition_penalty=1.3).processors()
    assert [type(p) for p in ours] == [type(p) for p in theirs]


def fixture_cases() -> list[Any]:
    found = []
    for path in FIXTURES:
        content = json.loads(path.read_text(encoding="utf-8"))
        found += [pytest.param(content, case, id=f"{path.stem}: {case['name']}") for case in content["cases"]]
    return found


@pytest.mark.parametrize(("content", "case"), fixture_cases())
def test_shared_fixtures(content: dict[str, Any], case: dict[str, Any]) -> None:
    logits = torch.tensor([-math.inf if value is None else value for value in content["logits"]])
    ours = NextToken(logits, content["prompt_ids"]).under(Sampling.from_dict(case["settings"]))
    assert torch.nonzero(ours.kept).flatten().tolist() == case["ids"]
    assert ours.probabilities[case["ids"]].tolist() == pytest.approx(case["probabilities"], rel=1e-5, abs=1e-9)
    assert [(cut.filter, cut.count) for cut in ours.cuts] == [(cut["filter"], cut["count"]) for cut in case["cuts"]]
    assert [cut.mass for cut in ours.cuts] == pytest.approx([cut["mass"] for cut in case["cuts"]], rel=1e-5)
    assert ours.entropy == pytest.approx(case["entropy"], rel=1e-5, abs=1e-6)


def test_there_are_shared_fixtures() -> None:
    assert FIXTURES


# --- what a distribution says -----------------------------------------------------------------------------------


def test_a_distribution_known_on_paper() -> None:
    logits = torch.log(torch.tensor([0.5, 0.25, 0.125, 0.125]))
    plain = NextToken(logits, []).under(Sampling())
    assert plain.entropy == pytest.approx(1.75)
    assert plain.cuts == ()
    assert plain.likeliest(4) == [0, 1, 2, 3]

    cut = NextToken(logits, []).under(Sampling(top_p=0.6))
    assert cut.kept.tolist() == [True, True, False, False]
    assert cut.probabilities.tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert cut.cuts == (Cut("top_p", 2, pytest.approx(0.25)),)  # type: ignore[arg-type]

    both = NextToken(logits, []).under(Sampling(top_k=2, min_p=0.6))
    assert [(c.filter, c.count) for c in both.cuts] == [("top_k", 2), ("min_p", 1)]
    assert both.cuts[1].mass == pytest.approx(1 / 3), "measured in the distribution before the filter"


@profile(deadline=None, max_examples=100)
@given(settings=any_settings, seed=st.integers(0, 1000))
def test_every_distribution_adds_up(settings: Sampling, seed: int) -> None:
    ours = NextToken(row(seed), [1, 2, 3]).under(settings)
    assert float(ours.probabilities.sum()) == pytest.approx(1, abs=1e-5)
    assert int(ours.kept.sum()) + sum(cut.count for cut in ours.cuts) == 50
    assert 0 <= ours.entropy <= math.log2(50) + 1e-6
    assert bool((ours.probabilities[~ours.kept] == 0).all())
    frame = ours.top(50)
    assert len(frame) == int(ours.kept.sum())
    assert frame["probability"].is_monotonic_decreasing
    assert ours.kept[ours.sample(torch.Generator().manual_seed(seed))]


def test_greedy_takes_the_lowest_id_on_a_tie() -> None:
    ours = NextToken(torch.tensor([1.0, 3.0, 3.0, 0.0]), []).under(Sampling(temperature=0))
    assert ours.probabilities.tolist() == [0, 1, 0, 0]
    assert ours.entropy == 0
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    assert ours.sample(generator) == 1
    assert torch.equal(generator.get_state(), before), "greedy draws nothing"


def test_extreme_settings_have_their_documented_meaning() -> None:
    token = NextToken(row(3), [])
    best = int(row(3).argmax())
    hot = token.under(Sampling(temperature=1e9))
    assert float(hot.probabilities.max()) == pytest.approx(1 / 50, rel=1e-5)
    assert hot.likeliest(1) == [best]
    assert token.under(Sampling(top_p=0)).likeliest(50) == [best]
    assert int(token.under(Sampling(top_k=10**6)).kept.sum()) == 50
    for temperature in (1e-10, 1e-30, 1e-46, 5e-324):
        cold = token.under(Sampling(temperature=temperature))
        assert float(cold.probabilities[best]) == 1
    tied = NextToken(torch.tensor([2.0, 1.0, 2.0]), []).under(Sampling(temperature=1e-40))
    assert tied.probabilities.tolist() == [0.5, 0, 0.5]


def test_minus_infinity_is_a_token_that_is_never_said() -> None:
    logits = torch.tensor([0.0, -math.inf, 1.0, -math.inf])
    settings = Sampling(temperature=0.7, top_k=4, top_p=0.99, min_p=0.01, repetition_penalty=1.2)
    ours = NextToken(logits, [1, 2]).under(settings)
    assert math.isfinite(ours.entropy)
    assert ours.kept.tolist() == [True, False, True, False]
    assert ours.cuts == ()
    assert sorted(ours.top(4)["id"]) == [0, 2]


def test_ids_beyond_the_vocabulary_are_not_penalised() -> None:
    ours = NextToken(row(1), [49, 50, 999]).under(Sampling(repetition_penalty=1.5))
    plain = NextToken(row(1), [49]).under(Sampling(repetition_penalty=1.5))
    assert torch.equal(ours.scores, plain.scores)


def test_the_same_seed_draws_the_same_tokens() -> None:
    ours = NextToken(row(5), []).under(Sampling(temperature=2.0))
    draws = [[ours.sample(g) for _ in range(20)] for g in (torch.Generator().manual_seed(4) for _ in range(2))]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) > 3


def test_top_has_at_most_n_rows_and_names_tokens() -> None:
    frame = NextToken(torch.tensor([0.0, 2.0, 1.0]), []).top(2)
    assert list(frame.columns) == ["rank", "id", "token", "probability"]
    assert frame["id"].tolist() == [1, 2]
    assert frame["rank"].tolist() == [1, 2]
    assert len(NextToken(torch.tensor([0.0, 2.0, 1.0]), []).under(Sampling(top_k=1)).top(10)) == 1


def test_what_was_read_does_not_reach_back() -> None:
    logits = row(2)
    token = NextToken(logits, [1])
    before = token.under(Sampling()).probabilities.clone()
    logits.zero_()
    token.logits.zero_()
    assert torch.equal(token.under(Sampling(temperature=1)).probabilities, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_formats_are_read_as_float32(dtype: torch.dtype) -> None:
    token = NextToken(row(2).to(dtype), [])
    assert token.logits.dtype == torch.float32
    assert token.under(Sampling(top_k=3)).probabilities.dtype == torch.float32


def test_no_text_becomes_markup() -> None:
    class Hostile:
        """The least that a tokenizer is, with a hostile vocabulary."""

        all_special_ids: tuple[int, ...] = ()
        bos_token_id = None
        is_fast = False

        def __len__(self) -> int:
            return 2

        def tokenize(self, text: str) -> list[str]:
            return [text]

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return ["<img src=x onerror=alert(1)>", "</script>"][: len(ids)]

        def convert_tokens_to_string(self, tokens: list[str]) -> str:
            return "".join(tokens)

    token = NextToken(torch.tensor([0.0, 1.0]), [], Hostile())
    page = token._repr_html_()
    assert "<img" not in page
    assert "</script" not in page
    assert "&lt;img" in page
    assert "Distribution(" in repr(token)


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", 10**400),
        ("top_k", -1),
        ("top_p", -0.1),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("min_p", -0.1),
        ("min_p", 2),
        ("repetition_penalty", 0),
        ("repetition_penalty", -1),
        ("repetition_penalty", math.nan),
        ("seed", -1),
        ("seed", 2**53),
    ],
)
def test_values_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(Refused, match=name) as caught:
        Sampling(**{name: value})  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ExplorerError)


@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed"])
@pytest.mark.parametrize("value", [True, "1", None, [1], 1j])
def test_values_of_a_wrong_type_are_refused_by_name(name: str, value: Any) -> None:
    if name == "seed" and value is None:
        assert Sampling(seed=None).seed is None
        return
    with pytest.raises(TypeError, match=name):
        Sampling(**{name: value})


def test_numbers_of_any_kind_become_the_stated_types() -> None:
    settings = Sampling(temperature=1, top_k=np.int64(5), top_p=np.float32(0.5), min_p=Fraction(1, 4), seed=np.int32(3))  # type: ignore[arg-type]
    assert settings == Sampling(1.0, 5, 0.5, 0.25, 1.0, 3)
    assert [type(value) for value in settings.to_dict().values()] == [float, int, float, float, float, int]
    with pytest.raises(TypeError, match="top_k"):
        Sampling(top_k=5.0)  # type: ignore[arg-type]


def test_the_wire_form_goes_both_ways() -> None:
    settings = Sampling(temperature=0.8, top_k=50, top_p=0.95, min_p=0.01, repetition_penalty=1.1, seed=7)
    assert Sampling.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert Sampling.from_dict({}) == Sampling()
    assert Sampling.from_dict({"temperature": 1}) == Sampling()
    with pytest.raises(TypeError, match="temprature"):
        Sampling.from_dict({"temprature": 1})
    with pytest.raises(TypeError, match="mapping"):
        Sampling.from_dict([("temperature", 1)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("logits", "sentence"),
    [
        (torch.tensor([0.0, math.nan, math.nan]), r"NaN for 2 of 3 tokens \(id 1\)"),
        (torch.tensor([0.0, math.inf]), r"\+inf for 1 of 2"),
        (torch.tensor([-math.inf, -math.inf]), "-inf for all 2"),
        (torch.zeros(2, 3), "shape"),
        (torch.zeros(0), "shape"),
    ],
)
def test_rows_without_a_distribution_are_refused(logits: torch.Tensor, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        NextToken(logits, [])


def test_a_setting_that_breaks_the_numbers_is_named() -> None:
    with pytest.raises(Refused, match="repetition_penalty=1e-300"):
        NextToken(torch.tensor([1.0, 2.0]), [0, 1]).under(Sampling(repetition_penalty=1e-300))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="logits"):
        NextToken([1.0], [])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="settings"):
        NextToken(row(1), []).under({"temperature": 1})  # type: ignore[arg-type]
    with pytest.raises(Refused, match="n=0"):
        NextToken(row(1), []).top(0)
    with pytest.raises(Refused, match="prompt_ids"):
        NextToken(row(1), [-1])
