"""Whatever is asked of a model, and however it ends, the model is afterwards what it was, bit for bit."""

from __future__ import annotations

import contextvars
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import explorer
from explorer import Ablate, Apply, Cancelled, Model, Patch, Refused, Sampling, Scale, Steer, control
from explorer.edits import Edit
from explorer.generation import Generation
from explorer.planning import plan
from explorer.recording import recording, session
from tests import tiny_tokenizers as zoo
from tests.conftest import snapshot, tiny, weights
from tests.unit.test_trace import Stopping

TEXTS = ["Hello there 世", "café", "The capital of France is"]
GREEDY = Sampling(temperature=0.0)
TOO_MUCH = 1 << 50  # bytes; more than an address can name


class BrokenError(Exception):
    """A user's own error."""


def lived_in(family: str) -> Model:
    """A model as somebody left it: partly in training, partly frozen, with hooks and an attention of its own."""
    hf = tiny(family, vocab_size=400, eos_token_id=399, attention_dropout=0.5, attn_pdrop=0.5, resid_pdrop=0.5)
    model = explorer.attach(hf, zoo.byte_level())
    modules = list(hf.modules())
    for module in modules[::2]:
        module.training = True
    for parameter in list(hf.parameters())[::3]:
        parameter.requires_grad_(False)
    for module in modules[1::3]:
        module.register_forward_hook(lambda *_: None)
        module.register_forward_pre_hook(lambda _module, args, _keywords: None, with_kwargs=True)
        module.register_full_backward_hook(lambda *_: None)
        module.register_forward_hook(lambda _module, _args, _keywords, output: output, with_kwargs=True, prepend=True)
    return model


def state(model: Model) -> dict[str, Any]:
    context = contextvars.copy_context().items()
    ours = {name.name: value for name, value in context if name.name.startswith("explorer") and value is not None}
    return {**snapshot(model.hf), "context": ours}


def failing(kind: str) -> Callable[[Tensor], Tensor]:
    def function(value: Tensor) -> Tensor:
        if kind == "error":
            raise BrokenError("in an edit")
        if kind == "interrupt":
            raise KeyboardInterrupt
        if kind == "memory":
            raise MemoryError("none left")
        if kind == "allocation":  # what torch itself raises
            return value + torch.empty(TOO_MUCH, dtype=torch.uint8).sum()
        if kind == "shape":
            return value[..., :1]
        return value * 1.0

    return function


FAULTS = ["error", "interrupt", "memory", "allocation", "shape"]
FAILURES = (BrokenError, KeyboardInterrupt, MemoryError, Refused, Cancelled, RuntimeError)
SITES = ["layers.1.resid_post", "layers.0.mlp_out", "layers.1.attn.z", "layers.2.attn.q", "layers.1.resid_mid"]
EDITS: list[Edit] = [
    Ablate("layers.1.attn.z", heads=[1]),
    Scale("layers.*.mlp_out", 0.5),
    Steer("layers.1.resid_post", torch.linspace(-1, 1, 32), 2.0, positions=[1]),
    Scale("layers.0.attn.pattern", 0.5, heads=[2]),
    Patch("layers.2.resid_pre", torch.zeros(32)),
    Ablate("layers.1.attn.z", heads=[99]),
    Ablate("layers.7.attn.z"),
]
edits = st.lists(st.sampled_from(EDITS), max_size=2)
faults = st.none() | st.tuples(st.sampled_from(FAULTS), st.sampled_from(SITES))
stops = st.none() | st.integers(0, 5)
modes = st.sampled_from(["grad", "no_grad", "inference"])
calls = st.one_of(
    st.tuples(st.just("trace"), st.sampled_from(TEXTS), edits, faults, stops, modes),
    st.tuples(st.just("next_token"), st.sampled_from(TEXTS), edits, faults, stops, modes),
    st.tuples(st.just("attribute"), st.sampled_from(TEXTS), edits, faults, stops, modes),
    st.tuples(st.just("generate"), st.sampled_from(TEXTS), edits, faults, stops, modes),
    st.tuples(st.just("step"), st.integers(0, 3), stops),
    st.tuples(st.just("abandon"), st.integers(0, 3)),
    st.tuples(st.just("late"), st.sampled_from(TEXTS)),
)


def mode(name: str) -> AbstractContextManager[Any]:
    return {"grad": nullcontext, "no_grad": torch.no_grad, "inference": torch.inference_mode}[name]()


def stopping(at: int | None) -> AbstractContextManager[Any]:
    return nullcontext() if at is None else control.controlled(Stopping(at))


def do(model: Model, call: tuple[Any, ...], open_: list[Generation]) -> None:
    """One call of a user's session; generations that it began stay open."""
    name, *rest = call
    if name in ("step", "abandon"):
        if open_:
            run = open_[rest[0] % len(open_)]
            if name == "abandon":
                open_.remove(run)
                return
            with stopping(rest[1]):
                next(run, None)
        return
    if name == "late":
        trace = model.trace(rest[0])
        assert trace.logits.shape[1] == len(trace)
        trace.head_out(1)
        trace.lens(k=1)
        return
    text, changes, fault, stop, grad = rest
    if fault is not None:
        changes = [*changes, Apply(fault[1], failing(fault[0]))]
    with mode(grad), stopping(stop):
        if name == "generate":
            run = model.generate(text, GREEDY, 4, edits=changes, record=len(changes) < 2)
            open_.append(run)
            next(run)
        elif name == "attribute":
            if grad == "inference":  # gradients need tensors that autograd may use
                return
            model.attribute(text, edits=changes, steps=2)
        else:
            getattr(model, name)(text, edits=changes)


@pytest.fixture(scope="module", params=["llama", "gpt2", "gemma2"])
def model(request: pytest.FixtureRequest) -> Model:
    return lived_in(request.param)


@settings(max_examples=20, deadline=None)
@given(session_=st.lists(calls, min_size=1, max_size=8))
def test_any_session_leaves_the_model_bit_identical(model: Model, session_: list[tuple[Any, ...]]) -> None:
    expected, bits = model.trace(TEXTS[0]).logits, weights(model.hf)
    before = state(model)
    open_: list[Generation] = []
    for call in session_:
        with suppress(*FAILURES):
            do(model, call, open_)
        assert state(model) == before, call
    open_.clear()
    gc.collect()
    assert state(model) == before
    assert weights(model.hf) == bits
    assert torch.equal(model.trace(TEXTS[0]).logits, expected)


# --- out of memory ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "allocation"])
@pytest.mark.parametrize("call", ["trace", "next_token", "generate", "attribute"])
def test_running_out_of_memory_within_a_pass_is_told_and_leaves_the_next_call_right(
    model: Model, kind: str, call: str
) -> None:
    expected = {text: model.generate(text, GREEDY, 4).finish().ids for text in TEXTS}
    scores = model.attribute(TEXTS[0], target=7, steps=2).scores
    before = state(model)
    edit = Apply("layers.1.mlp_out", failing(kind))
    asked = (lambda *a, **k: next(model.generate(*a, record=True, **k))) if call == "generate" else getattr(model, call)
    with pytest.raises((MemoryError, RuntimeError), match=r"none left|memory|allocate"):
        asked(TEXTS[0], edits=edit)
    assert state(model) == before
    assert {text: model.generate(text, GREEDY, 4).finish().ids for text in TEXTS} == expected
    assert torch.equal(model.attribute(TEXTS[0], target=7, steps=2).scores, scores)


# --- steps within steps, blocks that are left behind -----------------------------------------------------------------


def test_a_step_within_a_step_is_refused(model: Model) -> None:
    before = state(model)
    run = model.generate(TEXTS[0], GREEDY, 3, edits=Apply("layers.1.mlp_out", lambda value: (next(run), value)[1]))
    with pytest.raises(Refused, match="A step of this generation is running"):
        next(run)
    assert state(model) == before


def test_what_is_abandoned_inside_a_block_is_put_back(model: Model) -> None:
    before = state(model)

    def watching() -> Iterator[int]:
        with model.lock, recording(model.hf, plan(model.anatomy, record=None)):
            yield 1
            yield 2

    run = watching()
    next(run)
    assert state(model) != before
    del run
    gc.collect()
    assert state(model) == before
    assert session() is None


# --- several threads --------------------------------------------------------------------------------------------


def test_several_threads_get_the_numbers_each_gets_alone(model: Model) -> None:
    def traced() -> list[Tensor]:
        trace = model.trace(TEXTS[2])
        return [trace.logits, trace.pattern(1), trace["layers.2.resid_post"]]

    def written() -> list[Tensor]:
        run = model.generate(TEXTS[0], Sampling(seed=3), 5, record=True)
        patterns = [run.trace().pattern(1, queries=[0, 3]) for _ in run]
        return [torch.tensor(run.ids), *patterns, run.trace()["layers.0.attn.k"]]

    def attributed() -> list[Tensor]:
        return [model.attribute(TEXTS[1], target=7, steps=3).scores]

    def edited() -> list[Tensor]:
        run = model.generate(TEXTS[2], GREEDY, 4, edits=Ablate("layers.1.attn.z", heads=[1])).finish()
        return [torch.tensor(run.ids), model.next_token(TEXTS[0], edits=Scale("layers.1.mlp_out", 0.5)).logits]

    work = [traced, written, attributed, edited]
    alone = [one() for one in work]
    before, wrong = state(model), []
    together = threading.Barrier(len(work))

    def run_all(number: int) -> None:
        together.wait()
        for turn in range(len(work) * 2):
            index = (number + turn) % len(work)
            try:
                given = work[index]()
                if not all(torch.equal(one, other) for one, other in zip(given, alone[index], strict=True)):
                    wrong.append(work[index].__name__)
            except Exception as error:  # noqa: BLE001 - shown below, in the test's own thread
                wrong.append(repr(error))

    threads = [threading.Thread(target=run_all, args=(number,), daemon=True) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=240)
    assert not any(thread.is_alive() for thread in threads), "a deadlock"
    assert wrong == []
    assert state(model) == before


def test_one_generation_in_several_threads_is_one_text(model: Model) -> None:
    expected = model.generate(TEXTS[0], Sampling(seed=3), 12, record=True).finish()
    run = model.generate(TEXTS[0], Sampling(seed=3), 12, record=True)
    threads = [threading.Thread(target=run.finish, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=240)
    assert run.ids == expected.ids
    assert torch.equal(run.trace()["layers.1.attn.k"], expected.trace()["layers.1.attn.k"])
