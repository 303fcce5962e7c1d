"""What a pass needs is told before it runs: against the real bytes, and against the memory that is free."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import explorer
from explorer import Apply, Record, Refused, budget
from explorer.inputs import prepare
from explorer.planning import plan
from explorer.record import resolved
from explorer.spent import NotEnoughMemory
from tests.conftest import TINY_CAUSAL, snapshot, tiny
from tests.unit.test_checking import tiny_bert, tiny_t5
from tests.unit.test_record import held

IDS = [1 + index % 90 for index in range(60)]
GPTJ = {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4, "n_positions": 64}
RECORDS = [None, Record(layers=1), Record(dtype="float16"), Record(positions=[7, 59]), Record("*.mlp.neurons")]


def kept(model: explorer.Model, inputs: Any, record: Record | None = None, decoder: Any = None) -> int:
    given = prepare(model, inputs, decoder)
    sites, keeper = resolved(record, model.anatomy, given)
    todo = plan(model.anatomy, record=sites)
    return budget.estimate(model, given, todo if keeper is None else keeper.into(todo, []), keeper).kept


@pytest.mark.parametrize("family", [*TINY_CAUSAL, "mixtral"])
def test_the_estimate_is_what_a_trace_holds(family: str) -> None:
    model = explorer.attach(tiny(family))
    for record in RECORDS:
        if record is not None and record.sites and model.anatomy.experts:
            continue  # a mixture's neurons live on its experts
        real = held(model.trace(IDS, record=record))
        rel = 0.12 if family == "opt" else 0.015  # whose stream is narrower outside of the layers
        assert kept(model, IDS, record) == pytest.approx(real, rel=rel), record


@pytest.mark.parametrize(
    ("family", "sizes"), [("phi3", {}), ("gpt_neox", {}), ("gptj", GPTJ)], ids=["phi3", "gpt_neox", "gptj"]
)
def test_projections_made_at_once_and_replayed_attention_are_near(family: str, sizes: dict[str, Any]) -> None:
    model = explorer.attach(tiny(family, **sizes))
    assert kept(model, IDS) == pytest.approx(held(model.trace(IDS)), rel=0.25)


def test_encoders_decoders_and_batches_are_counted() -> None:
    bert, t5, llama = explorer.attach(tiny_bert()), explorer.attach(tiny_t5()), explorer.attach(tiny("llama"))
    assert kept(bert, IDS) == held(bert.trace(IDS))
    assert kept(t5, IDS, decoder=[0, 5, 6]) == pytest.approx(held(t5.trace(IDS, decoder=[0, 5, 6])), rel=0.02)
    assert kept(llama, [IDS, IDS[:30]]) == held(llama.trace([IDS, IDS[:30]])) == 2 * kept(llama, IDS)


def test_what_is_kept_grows_with_the_text_and_not_with_its_square() -> None:
    model = explorer.attach(tiny("llama", max_position_embeddings=2048))
    short, long = held(model.trace([7] * 256)), held(model.trace([7] * 2048))
    assert long == 8 * short


def test_of_what_is_taken_over_the_cache_alone_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = explorer.attach(tiny("llama"))
    old = model.trace(IDS[:57])
    given, todo = prepare(model, IDS), plan(model.anatomy, record=None)
    needs = budget.estimate(model, given, todo, taken=57)
    attention = model.anatomy.stacks[0].layers[0].attn
    assert attention is not None
    cache = 3 * 60 * attention.kv_heads * (attention.head_width + attention.value_width) * 4
    assert needs.kept == held(model.trace(IDS[:3])) + cache
    crowded(monkeypatch, needs.kept + needs.passing)
    assert model.trace(IDS, reuse=old).reused == 57, "there is no room for all of it, which is there already"
    with pytest.raises(Refused, match="would need about"):
        model.trace(IDS)
    monkeypatch.setattr(budget, "free_bytes", lambda _device: needs.kept + needs.passing - 1)
    with pytest.raises(Refused, match="would need about"):
        model.trace(IDS, reuse=old)


def crowded(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(budget, "free_bytes", lambda _device: free)
    monkeypatch.setattr(budget, "SMALL", 0)


def test_a_trace_that_does_not_fit_is_refused_with_an_offer_that_works(
    monkeypatch: pytest.MonkeyPatch, unchanged: Callable[[explorer.Model], None]
) -> None:
    model = explorer.attach(tiny("llama"))
    unchanged(model)
    needs = budget.estimate(model, prepare(model, IDS), plan(model.anatomy, record=None))
    ran: list[int] = []
    model.hf.model.layers[0].register_forward_hook(lambda *_: ran.append(1))
    unchanged_hooks = snapshot(model.hf)
    crowded(monkeypatch, needs.kept + needs.passing - 1)
    with pytest.raises(Refused, match=r"would need about 211\.2 kB, and 211\.2 kB are free on cpu\. Keep fewer layers"):
        model.trace(IDS)
    assert not ran, "it was refused before anything ran"
    assert len(model.trace(IDS, record=Record(layers=[0, 1], dtype="float16"))) == 60
    assert len(model.trace(IDS[:30])) == 30
    monkeypatch.setattr(budget, "free_bytes", lambda _device: needs.kept + needs.passing)
    assert len(model.trace(IDS)) == 60
    monkeypatch.setattr(budget, "free_bytes", lambda _device: None)
    assert len(model.trace(IDS)) == 60, "where the system does not say, nothing is refused"
    after = snapshot(model.hf)
    assert after == unchanged_hooks
    model.hf.model.layers[0]._forward_hooks.clear()


def test_all_heads_and_rows_at_once_are_refused_where_they_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = explorer.attach(tiny("llama")).trace(IDS)
    whole = 4 * 60 * 60 * 8  # heads, queries, keys; scores and their softmax in float32
    crowded(monkeypatch, whole - 1)
    with pytest.raises(Refused, match=r"pattern would need about 115\.2 kB.*fewer heads= or fewer queries="):
        trace.pattern(1)
    assert trace.pattern(1, heads=[0, 2]).shape == (1, 2, 60, 60)
    assert trace.pattern(1, queries=slice(-5, None)).shape == (1, 4, 5, 60)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
)
def test_running_out_in_a_pass_is_said_in_a_sentence_and_the_next_pass_works(
    error: Exception, unchanged: Callable[[explorer.Model], None]
) -> None:
    model = explorer.attach(tiny("llama"))
    unchanged(model)
    expected = model.trace(IDS).logits

    def spent(_value: torch.Tensor) -> torch.Tensor:
        raise error

    with pytest.raises(NotEnoughMemory, match=r"Memory ran out in the middle of a pass .*Keep fewer layers") as caught:
        model.trace(IDS, edits=Apply("layers.1.resid_post", spent))
    assert isinstance(caught.value, explorer.ExplorerError)
    assert torch.equal(model.trace(IDS).logits, expected)


def test_a_real_allocation_that_fails_lets_go_of_the_pass() -> None:
    model = explorer.attach(tiny("llama"))

    def spent(_value: torch.Tensor) -> torch.Tensor:
        big = torch.ones(4_321)
        return torch.cat([big, torch.empty(1 << 60)])

    with pytest.raises(NotEnoughMemory) as caught:
        model.trace(IDS, edits=Apply("layers.1.resid_post", spent))
    gc.collect()
    alive = [value for value in gc.get_objects() if isinstance(value, torch.Tensor) and value.shape == (4_321,)]
    assert not alive, "a notebook keeps the last error, and its frames would keep the tensors"
    del caught


def test_other_errors_stay_what_they_are() -> None:
    model = explorer.attach(tiny("llama"))

    def wrong(_value: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied") as caught:
        model.trace(IDS, edits=Apply("layers.1.resid_post", wrong))
    assert not isinstance(caught.value, NotEnoughMemory)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="2026-11: resident memory is read from /proc")
def test_a_hundred_traces_leave_no_hook_and_no_memory(unchanged: Callable[[explorer.Model], None]) -> None:
    model = explorer.attach(tiny("llama", max_position_embeddings=1024))
    unchanged(model)
    ids = [7] * 1000

    def once() -> int:
        trace = model.trace(ids)
        trace.pattern(1, heads=[0])
        return held(trace)

    for _ in range(10):
        size = once()
    before = resident()
    for _ in range(100):
        once()
    gc.collect()
    assert resident() - before < 10 * size, "of a hundred traces, ten would be too many to be left"
