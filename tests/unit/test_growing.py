"""What a generation records is, after every step, what a fresh trace of the text so far is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from explorer import Ablate, Apply, Model, Record, Refused, Sampling, Trace
from explorer.attention import AttentionCall
from explorer.edits import Edit
from explorer.generation import Generation
from explorer.reading import first_seen
from tests.conftest import snapshot
from tests.model.test_generation import PROMPT, lock_is_free, made
from tests.unit.test_editing_generations import edits_for, reaching
from tests.unit.test_editing_generations import made as made_deep
from tests.unit.test_reuse import storages

GREEDY = Sampling(temperature=0.0)
# Of each rule of attention, and of families that keep no cache, a state, or weights of their own only.
REPLAYED = ("bloom", "openai-gpt", "gpt_neo")
FAMILIES = ["llama", "mistral", "gemma2", "gpt_oss", "gpt2", "opt", "granite", "mamba", *REPLAYED]


@pytest.fixture(scope="module")
def llama() -> Model:
    return made("llama")


def read(run: Generation) -> list[int]:
    """The ids the model has read: all but the last one that was written."""
    return [*run.prompt.ids, *run.ids[:-1]]


def assert_equal(grown: Trace, fresh: Trace, without: tuple[str, ...] = ()) -> None:
    assert grown.ids.tolist() == fresh.ids.tolist()
    assert grown.tokens == fresh.tokens
    assert grown.sites() == [site for site in fresh.sites() if not site.endswith(without or ("-",))]
    for site in grown.sites():
        torch.testing.assert_close(
            grown[site], fresh[site], atol=3e-5, rtol=1e-4, msg=lambda text, site=site: f"{site}: {text}"
        )
    torch.testing.assert_close(grown.last_logits, fresh.last_logits, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_after_every_step_it_is_a_fresh_trace_of_the_text_so_far(family: str, unchanged: Callable[[Any], None]) -> None:
    model = made(family)
    unchanged(model)
    without = (".attn.pattern",) if family in REPLAYED else ()
    plain = model.generate(PROMPT, GREEDY, 12).finish()
    run = model.generate(PROMPT, GREEDY, 12, record=True)
    traces = [(run.trace(), read(run)) for _ in run]
    assert run.ids == plain.ids, "recording does not change what is written"
    for step in range(0, 12, 3):  # read at the end, so that later steps would show in them
        trace, ids = traces[step]
        fresh = model.trace(ids)
        assert_equal(trace, fresh, without)
        assert_equal(run.trace(step), fresh, without)


@pytest.mark.parametrize("step", [-1, 3, True, 1.0])
def test_a_step_that_was_not_taken_has_no_trace(llama: Model, step: Any) -> None:
    run = llama.generate(PROMPT, GREEDY, 3, record=True).finish()
    with pytest.raises(Refused, match="3 steps were"):
        run.trace(step)


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gpt_oss"])
def test_single_rows_and_heads_of_patterns_are_read_while_it_is_written(family: str) -> None:
    model = made(family)
    layers = len(model.hf.model.layers)
    run = model.generate(PROMPT, GREEDY, 9, record=["layers.*.attn.q"])
    windowed = 0
    for _ in run:
        trace, fresh = run.trace(), model.trace(read(run))
        last = len(trace) - 1
        for layer in range(layers):
            for heads, queries in (([2], [last]), ([0, 3], [last, 1]), (None, slice(-2, None))):
                given = trace.pattern(layer, heads=heads, queries=queries)
                expected = fresh.pattern(layer, heads=heads, queries=queries)
                torch.testing.assert_close(given, expected, atol=2e-6, rtol=1e-4)
            windowed += int((trace.pattern(layer, queries=last)[..., 0] == 0).all())
    assert (windowed > 0) == (family != "llama"), "a window of 5 hides the first token in the end"


@pytest.mark.parametrize(
    "family", ["llama", "mistral", "gemma2", "gpt_oss", "gpt2", "opt", "gptj", "openai-gpt", "mamba"]
)
def test_with_edits_it_is_a_trace_with_the_same_edits(family: str) -> None:
    model = made_deep(family)
    length = len(model.read(PROMPT))
    split = Apply("layers.1.resid_pre", lambda value: value * 1.5, positions=[length + 1])
    alone = [Apply("layers.1.attn.k", torch.tanh), Apply("layers.1.attn.v", torch.tanh)] if family == "llama" else []
    lists: list[list[Edit]] = [*edits_for(model, length), [split], *([one] for one in alone)]
    for edits in lists:
        run = model.generate(PROMPT, GREEDY, 6, edits=edits, record=True).finish()
        ids = read(run)
        reached = [here for edit in edits if (here := reaching(edit, len(ids))) is not None]
        trace, fresh = run.trace(), model.trace(ids, edits=reached)
        assert trace.edits == tuple(edits)
        assert trace.fired == tuple(run.fired)
        assert_equal(trace, fresh, (".attn.pattern",) if family in ("gptj", "openai-gpt") else ())


def test_an_edit_that_changes_earlier_keys_as_the_text_grows_is_refused(llama: Model) -> None:
    before = snapshot(llama.hf)
    edit = Apply("layers.1.attn.k", lambda value: value - value.mean(dim=1, keepdim=True))
    run = llama.generate(PROMPT, GREEDY, 6, edits=edit, record=True)
    next(run)
    with pytest.raises(Refused, match=r"layers\.1\.attn: an edit changes the keys or values of earlier positions"):
        next(run)
    assert len(run.trace()) == len(run.prompt), "what was recorded before stays readable"
    assert len(llama.generate(PROMPT, GREEDY, 6, edits=edit).finish().ids) == 6, "without recording it is done"
    assert snapshot(llama.hf) == before


# --- each position once -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "opt", "bloom", "openai-gpt"])
def test_each_position_is_kept_once(family: str) -> None:
    model = made(family)
    run = model.generate(PROMPT, GREEDY, 40, record=True)
    for _ in run:
        trace = run.trace()
        held, rows = storages(trace), len(trace)
        needed = bytes_of_rows(trace)
        # What is not needed yet is room to grow: half of it, or a few rows.
        assert sum(held.values()) <= needed * max(1.5, (rows + 17) / rows) + 1
    assert sum(storages(run.trace()).values()) == bytes_of_rows(run.trace())


def bytes_of_rows(trace: Trace) -> int:
    """What the distinct values a trace holds have to take."""
    seen = trace._recording
    tensors = [*seen.hidden.values()]
    for calls in seen.attention.values():
        tensors += [getattr(calls[0], name) for name in ("query", "key", "value", "z")]
    for output in seen.outputs.values():
        tensors += [value for value in (output.values() if hasattr(output, "values") else output) if value is not None]
    return sum({(t.data_ptr(), t.shape): t.nbytes for t in tensors}.values())


def test_memory_grows_with_the_tokens_and_not_with_their_square() -> None:
    model = made("llama", max_position_embeddings=512)
    sizes = []
    for count in (60, 120, 240):
        run = model.generate(PROMPT, GREEDY, count, record=True).finish()
        sizes.append(sum(storages(run.trace()).values()) / len(run.trace()))
    assert sizes[0] == sizes[1] == sizes[2]


def test_a_key_row_is_written_a_few_times_however_long_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from explorer.rows import Rows

    copied: list[int] = []
    plain = Rows.view

    def counted(rows: Rows, length: int) -> torch.Tensor:
        copied.append(length)
        return plain(rows, length)

    model = made("llama", max_position_embeddings=512)
    run = model.generate(PROMPT, GREEDY, 300, record=["layers.0.attn.k"])
    monkeypatch.setattr(Rows, "view", counted)  # while it is written, only what grows reads rows
    run.finish()
    columns = len(run._growing._columns)  # type: ignore[union-attr]
    assert 0 < sum(copied) / columns < 3.5 * 300


def test_dropping_a_generation_gives_its_memory_back(llama: Model) -> None:
    import gc
    import weakref

    run = llama.generate(PROMPT, GREEDY, 4, record=True)
    next(run)
    key = weakref.ref(run._growing._columns["k", "layers.0.attn"]._buffer)  # type: ignore[union-attr]
    del run
    gc.collect()
    assert key() is None


# --- what is kept -----------------------------------------------------------------------------------------------


def test_nothing_is_kept_unless_it_is_asked_for(llama: Model) -> None:
    for record in (None, False):
        run = llama.generate(PROMPT, GREEDY, 2, record=record).finish()
        assert run._growing is None
        with pytest.raises(Refused, match="record=True"):
            run.trace()
    with pytest.raises(Refused, match="first step"):
        llama.generate(PROMPT, GREEDY, 2, record=True).trace()


@pytest.mark.parametrize(
    "record",
    [
        ["layers.*.mlp.neurons", "layers.1.attn.pattern"],
        "layers.0.resid_post",
        Record(layers=[1]),
        Record("layers.*.attn.v", layers=0, device="cpu"),
        Record(dtype="float64"),
        Record(["layers.*.resid_post", "layers.*.attn.pattern"], dtype="bfloat16"),
    ],
    ids=str,
)
@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_record_means_what_it_means_in_a_trace(family: str, record: Any) -> None:
    model = made(family)
    run = model.generate(PROMPT, GREEDY, 8, record=record).finish()
    trace, fresh = run.trace(), model.trace(read(run), record=record)
    assert trace.sites() == fresh.sites()
    rough = isinstance(record, Record) and record.dtype == torch.bfloat16
    for site in trace.sites():
        assert trace[site].dtype == fresh[site].dtype
        torch.testing.assert_close(trace[site], fresh[site], atol=2e-2 if rough else 3e-5, rtol=2e-2 if rough else 1e-4)


def test_what_a_growing_text_does_not_have_is_refused_before_anything_runs(llama: Model) -> None:
    ran: list[int] = []
    bloom = made("bloom")
    handles = [model.hf.register_forward_pre_hook(lambda *_: ran.append(1)) for model in (llama, bloom)]
    for model, record, sentence in (
        (llama, Record(positions=[0]), "has no last position yet"),
        (llama, ["layers.9.attn.q"], "is not a site of this model"),
        (llama, Record(layers=9), "layers="),
        (bloom, ["layers.*.attn.pattern"], "record names layers.0.attn.pattern, which this family gives only"),
        (bloom, "*", "record names layers.0.attn.pattern"),
    ):
        with pytest.raises(Refused, match=sentence):
            model.generate(PROMPT, GREEDY, 4, record=record)
    with pytest.raises(TypeError, match="record=5 is a int"):
        llama.generate(PROMPT, GREEDY, 4, record=5)  # type: ignore[arg-type]
    for handle in handles:
        handle.remove()
    assert ran == []


def test_weights_that_are_no_part_of_the_passes_are_refused_with_the_way_to_get_them() -> None:
    model = made("bloom")
    run = model.generate(PROMPT, GREEDY, 4, record=True).finish()
    trace = run.trace()
    with pytest.raises(Refused, match=r"layers\.0\.attn\.pattern was not recorded while the text was written"):
        trace.pattern(0)
    assert model.trace(trace.ids, edits=trace.edits).pattern(0).shape[-1] == len(trace)


def call_with(mask: torch.Tensor | None, queries: int, keys: int) -> AttentionCall:
    query, key = torch.zeros(1, 2, queries, 4), torch.zeros(1, 2, keys, 4)
    return AttentionCall(query, key, key, query.transpose(1, 2), mask=mask, scaling=1.0, causal=True)


def test_masks_are_told_by_the_first_key_each_query_sees_or_not_at_all() -> None:
    full = torch.ones(1, 1, 3, 5, dtype=torch.bool).tril(2)
    window = full & ~torch.ones(1, 1, 3, 5, dtype=torch.bool).tril(0)
    added = torch.where(window, 0.0, torch.finfo(torch.float32).min)
    longer = torch.cat([window, torch.zeros(1, 1, 3, 2, dtype=torch.bool)], dim=-1)
    for mask, expected in (
        (None, [0, 0, 0]),
        (full, [0, 0, 0]),
        (window, [1, 2, 3]),
        (added, [1, 2, 3]),
        (longer, [1, 2, 3]),
    ):
        found = first_seen(call_with(mask, 3, 5))
        assert found is not None
        assert found.tolist() == expected
    hole, ahead, slope, nothing = full.clone(), full.clone(), added.clone(), full.clone()
    hole[0, 0, 2, 2] = False
    ahead[0, 0, 0, 4] = True
    slope[0, 0, 2, 4] = -0.5
    nothing[0, 0, 0] = False
    unlike = torch.cat([full, window], dim=1)
    for mask in (hole, ahead, slope, nothing, unlike):
        assert first_seen(call_with(mask, 3, 5)) is None


# --- while it is written ----------------------------------------------------------------------------------------


def test_a_step_that_fails_leaves_what_was_recorded_before(llama: Model, unchanged: Callable[[Any], None]) -> None:
    unchanged(llama)
    calls: list[int] = []

    def third(value: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError("in an edit")
        return value

    run = llama.generate(PROMPT, GREEDY, 5, edits=Apply("layers.1.mlp_out", third), record=True)
    with pytest.raises(ZeroDivisionError):
        run.finish()
    assert len(run.steps) == 2
    ids = [*run.prompt.ids, *run.ids[:-1]]
    assert_equal(run.trace(), llama.trace(ids))


def test_it_can_be_read_within_a_step_and_from_other_threads(llama: Model) -> None:
    lengths: list[int] = []
    shown = threading.Event()

    def look(value: torch.Tensor) -> torch.Tensor:
        if run.steps:
            lengths.append(len(run.trace()))
            thread = threading.Thread(target=lambda: lengths.append(len(run.trace())))
            thread.start()
            thread.join(timeout=60)
            shown.set()
        return value

    run = llama.generate(PROMPT, GREEDY, 3, edits=Apply("layers.1.mlp_out", look), record=True)
    run.finish()
    count = len(run.prompt)
    assert shown.is_set()
    assert lengths == [count, count, count + 1, count + 1]


def test_nothing_is_held_between_two_steps_that_record(llama: Model, unchanged: Callable[[Any], None]) -> None:
    unchanged(llama)
    before = snapshot(llama.hf)
    run = llama.generate(PROMPT, Sampling(seed=3), 6, record=True)
    for _ in range(3):
        next(run)
        run.trace().pattern(1)
        assert lock_is_free(llama)
        assert snapshot(llama.hf) == before


def test_what_is_read_is_a_copy(llama: Model) -> None:
    run = llama.generate(PROMPT, GREEDY, 4, record=True)
    next(run)
    trace = run.trace()
    for site in trace.sites():
        trace[site].fill_(7.0)
    plain = llama.generate(PROMPT, GREEDY, 4).finish()
    assert run.finish().ids == plain.ids
    assert_equal(run.trace(), llama.trace(read(run)))


def test_a_trace_continues_from_what_was_written(llama: Model) -> None:
    run = llama.generate(PROMPT, GREEDY, 7, record=True).finish()
    ids = [*run.prompt.ids, *run.ids, 9]
    trace = llama.trace(ids, reuse=run.trace())
    assert trace.reused == len(ids) - 2
    assert_equal(trace, llama.trace(ids))


def test_a_model_that_changed_meanwhile_is_not_continued() -> None:
    model = made("llama")
    run = model.generate(PROMPT, GREEDY, 3, record=True)
    next(run)
    with torch.no_grad():
        model.hf.model.layers[1].mlp.down_proj.weight.mul_(1.5)
    run.finish()
    trace = model.trace([*run.prompt.ids, 7], reuse=run.trace())
    assert (trace.reused, "have changed" in trace.reuse_note) == (0, True)


def test_the_lens_and_logit_attribution_read_it(llama: Model) -> None:
    run = llama.generate(PROMPT, GREEDY, 5, record=True).finish()
    trace, fresh = run.trace(), llama.trace(read(run))
    torch.testing.assert_close(trace.lens_logits(0), fresh.lens_logits(0), atol=3e-5, rtol=1e-4)
    assert trace.next_tokens(5)["id"].tolist() == fresh.next_tokens(5)["id"].tolist()
    assert trace.next_tokens(1)["id"].item() == run.ids[-1]
    given, expected = (one.logit_attribution(run.ids[-1]).frame for one in (trace, fresh))
    assert given["part"].tolist() == expected["part"].tolist()
    assert given["contribution"].tolist() == pytest.approx(expected["contribution"].tolist(), abs=1e-4)


def test_mixtures_keep_their_routers() -> None:
    model = made("gpt_oss")
    run = model.generate(PROMPT, GREEDY, 6, record=True, edits=Ablate("layers.0.attn.z", heads=1)).finish()
    trace = run.trace()
    fresh = model.trace(read(run), edits=run.edits)
    routers = [site for site in trace.sites() if site.endswith("router.probs")]
    assert routers == [site for site in fresh.sites() if site.endswith("router.probs")]
    assert len(routers) == len(model.hf.model.layers)
    for site in routers:
        torch.testing.assert_close(trace[site], fresh[site], atol=3e-5, rtol=1e-4)
    assert torch.equal(trace.experts(0), fresh.experts(0))
