"""Generation equals transformers' own, shows every choice, and leaves nothing behind."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, T5Config, T5ForConditionalGeneration

from explorer import Cancelled, Model, Refused, Sampling, attach
from explorer.control import controlled
from explorer.generation import Generation, Step, generate
from tests import tiny_tokenizers as zoo
from tests.conftest import TINY_CAUSAL, tiny

PROMPT = "Hello there 世"
SIZE = 400  # the tokenizer's entries and one more
NEVER = 399  # an id that the tokenizer does not have: an end that is not met by accident

# Families that keep no cache, or one of another kind, beside those that the engine's tests use.
OTHERS: dict[str, dict[str, Any]] = {
    "openai-gpt": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32},
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 4,
    },
}


def made(family: str, **changes: Any) -> Model:
    """A tiny random model of a family with a byte-level tokenizer."""
    if family in OTHERS:
        torch.manual_seed(0)
        ends = {"bos_token_id": 1, "eos_token_id": NEVER, "pad_token_id": 0}
        config = AutoConfig.for_model(family, **{"vocab_size": SIZE, **ends, **OTHERS[family], **changes})
        config.initializer_range = 0.2
        hf = AutoModelForCausalLM.from_config(config).eval()
    else:
        hf = tiny(family, vocab_size=SIZE, eos_token_id=NEVER, **changes)
    return attach(hf, zoo.byte_level())


@pytest.fixture(scope="module")
def llama() -> Model:
    return made("llama")


@contextmanager
def saying(model: Model, ids: Sequence[int]) -> Iterator[None]:
    """A user's own hook that makes the model say these ids, one a pass."""
    said = iter(ids)

    def say(_module: Any, _args: Any, output: Any) -> Any:
        output.logits[:, -1] = -5.0
        output.logits[:, -1, next(said)] = 5.0
        return output

    handle = model.hf.register_forward_hook(say)
    try:
        yield
    finally:
        handle.remove()


# --- parity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [*TINY_CAUSAL, *OTHERS])
def test_greedy_equals_transformers(family: str) -> None:
    model = made(family)
    ids = torch.tensor([model.read(PROMPT).ids])
    expected = model.hf.generate(ids, max_new_tokens=12, do_sample=False, attention_mask=torch.ones_like(ids))
    ours = generate(model, PROMPT, Sampling(temperature=0), 12).finish()
    assert ours.ids == expected[0, ids.shape[1] :].tolist()
    assert ours.ended == "12 tokens"


@pytest.mark.parametrize(
    "settings",
    [
        Sampling(seed=1),
        Sampling(temperature=0.6, seed=2),
        Sampling(temperature=3.0, top_k=20, seed=3),
        Sampling(top_p=0.7, seed=4),
        Sampling(min_p=0.1, seed=5),
        Sampling(repetition_penalty=1.7, seed=6),
        Sampling(temperature=1.5, top_k=50, top_p=0.9, min_p=0.02, repetition_penalty=1.3, seed=7),
    ],
    ids=str,
)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_sampling_equals_transformers(family: str, settings: Sampling) -> None:
    model = made(family)
    ids = torch.tensor([model.read(PROMPT).ids])
    assert settings.seed is not None
    torch.manual_seed(settings.seed)
    expected = model.hf.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=25,
        do_sample=True,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        min_p=settings.min_p,
        repetition_penalty=settings.repetition_penalty,
    )
    assert generate(model, PROMPT, settings, 25).finish().ids == expected[0, ids.shape[1] :].tolist()


def test_greedy_with_a_repetition_penalty_equals_transformers(llama: Model) -> None:
    ids = torch.tensor([llama.read(PROMPT).ids])
    expected = llama.hf.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False, repetition_penalty=1.5
    )
    ours = generate(llama, PROMPT, Sampling(temperature=0, repetition_penalty=1.5), 20).finish()
    assert ours.ids == expected[0, ids.shape[1] :].tolist()


def test_probabilities_are_those_of_passes_without_a_cache(llama: Model) -> None:
    settings = Sampling(temperature=0.9, top_k=30, seed=3)
    ours = generate(llama, PROMPT, settings, 10).finish()
    so_far = list(ours.prompt.ids)
    for step in ours.steps:
        plain = llama.next_token(so_far).under(settings)
        assert step.probability == pytest.approx(float(plain.probabilities[step.id]), rel=1e-4)
        assert [token.id for token, _ in step.alternatives] == plain.likeliest(8)
        so_far.append(step.id)


@pytest.mark.model
def test_the_sample_writes_what_transformers_writes(sample: Model, unchanged: Callable[[Any], None]) -> None:
    unchanged(sample)
    text = "The capital of France is"
    ids = torch.tensor([sample.read(text).ids])
    expected = sample.hf.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=15, do_sample=False)
    ours = sample.generate(text, Sampling(temperature=0), 15).finish()
    assert ours.ids == expected[0, ids.shape[1] :].tolist()
    assert ours.steps[0].text == " Paris"
    assert ours.text == sample.tokenizer.decode(ours.ids)
    assert str(ours.tokens).startswith(" Paris")


@pytest.mark.model
def test_the_sample_ends_its_answer(sample: Model) -> None:
    prompt = sample.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Answer with one word: what is the capital of France?"}],
        add_generation_prompt=True,
        tokenize=False,
    )
    ours = sample.generate(prompt, Sampling(temperature=0), 60).finish()
    assert ours.ended == "end of sequence"
    assert ours.steps[-1].token.kind == "special"
    assert ours.steps[-1].text == ""
    assert "Paris" in ours.text
    assert "<|im_end|>" not in ours.text


# --- what a step says -------------------------------------------------------------------------------------------


def test_a_step_shows_its_choice(llama: Model) -> None:
    ours = generate(llama, PROMPT, Sampling(seed=1), 5, alternatives=3)
    steps = list(ours)
    assert [step.index for step in steps] == [0, 1, 2, 3, 4]
    assert steps == ours.steps
    for step in steps:
        assert isinstance(step, Step)
        assert step.token.id == step.id
        assert len(step.alternatives) == 3
        shares = [share for _, share in step.alternatives]
        assert shares == sorted(shares, reverse=True)
        assert 0 < step.probability <= max(shares)
    assert generate(llama, PROMPT, Sampling(seed=1), 1, alternatives=0).finish().steps[0].alternatives == ()


def test_greedy_reports_how_sure_the_model_was(llama: Model) -> None:
    step = next(generate(llama, PROMPT, Sampling(temperature=0, top_k=1), 1))
    plain = llama.next_token(PROMPT).under(Sampling())
    assert step.probability == pytest.approx(float(plain.probabilities.max()))
    assert step.probability < 1
    assert len(step.alternatives) == 8


def test_a_character_grows_out_of_its_pieces(llama: Model) -> None:
    pieces = zoo.byte_level()("世x")["input_ids"]
    assert len(pieces) == 4
    with saying(llama, pieces):
        ours = generate(llama, PROMPT, Sampling(temperature=0), 4)
        steps = list(ours)
    shown = [(step.token.text, step.token.kind, step.token.part, step.token.parts, step.text) for step in steps]
    assert shown == [
        ("⟨E4⟩", "byte", 1, 1, ""),
        ("⟨E4 B8⟩", "byte", 2, 2, ""),
        ("世", "byte", 3, 3, "世"),
        ("x", "text", 1, 1, "x"),
    ]
    assert [(token.text, token.group, token.part, token.parts) for token in ours.tokens] == [
        ("世", 0, 1, 3),
        ("世", 0, 2, 3),
        ("世", 0, 3, 3),
        ("x", 1, 1, 1),
    ]
    assert ours.text == ours.tokens.text == "世x"


def test_a_character_that_is_never_finished(llama: Model) -> None:
    tokenizer = zoo.byte_level()
    first, _, _, x = tokenizer("世x")["input_ids"]
    with saying(llama, [first, x, first, tokenizer.bos_token_id, first]):
        ours = generate(llama, PROMPT, Sampling(temperature=0), 5).finish()
    assert [step.text for step in ours.steps] == ["", "\ufffdx", "", "\ufffd", ""]
    assert [token.text for token in ours.tokens] == ["⟨E4⟩", "x", "⟨E4⟩", "<|start|>", "⟨E4⟩"]
    assert [token.group for token in ours.tokens] == [0, 1, 2, 3, 4]


def test_ids_that_the_tokenizer_lacks_are_shown_as_numbers(llama: Model) -> None:
    with saying(llama, [NEVER]):
        ours = generate(llama, PROMPT, Sampling(temperature=0), 5).finish()
    assert ours.tokens[0].text == "⟨id 399⟩"
    assert ours.ended == "end of sequence"


def test_nothing_written_becomes_markup(llama: Model) -> None:
    with saying(llama, zoo.byte_level()("<img src=x>")["input_ids"]):
        ours = generate(llama, PROMPT, Sampling(temperature=0), 8).finish()
    assert "<img" not in ours._repr_html_()
    assert "8 tokens" in repr(ours)


# --- seeds ------------------------------------------------------------------------------------------------------


def test_the_seed_that_was_used_gives_the_same_text(llama: Model) -> None:
    first = generate(llama, PROMPT, Sampling(temperature=2.0), 12).finish()
    again = generate(llama, PROMPT, Sampling(temperature=2.0, seed=first.seed), 12).finish()
    assert again.ids == first.ids
    other = generate(llama, PROMPT, Sampling(temperature=2.0), 12)
    assert other.seed != first.seed, "without a seed each run has a new one"


def test_where_the_device_may_sum_in_another_order_the_seed_is_no_promise(
    llama: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = generate(llama, PROMPT, Sampling(seed=7), 1)
    assert here.reproducible
    assert "seed 7:" in repr(here)
    monkeypatch.setattr(Model, "device", torch.device("cuda"))  # there is none on most machines
    assert not here.reproducible
    assert "seed 7 (cuda may give another text)" in repr(here)
    assert "seed 7 (cuda may give another text)" in here._repr_html_()
    torch.use_deterministic_algorithms(True)
    try:
        assert here.reproducible
    finally:
        torch.use_deterministic_algorithms(False)


def test_two_generations_side_by_side_do_not_disturb_each_other(llama: Model) -> None:
    alone = [generate(llama, text, Sampling(seed=5), 8).finish().ids for text in (PROMPT, "café")]
    one, two = (generate(llama, text, Sampling(seed=5), 8) for text in (PROMPT, "café"))
    for _ in zip(one, two, strict=True):
        pass
    assert [one.ids, two.ids] == alone


# --- endings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_list", [False, True])
def test_an_end_of_sequence_ends_it_where_transformers_ends(as_list: bool) -> None:
    model = made("llama")
    free = generate(model, PROMPT, Sampling(temperature=0), 10).finish().ids
    end = free[3]
    model.hf.generation_config.eos_token_id = [NEVER, end] if as_list else end
    ids = torch.tensor([model.read(PROMPT).ids])
    expected = model.hf.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False)
    ours = generate(model, PROMPT, Sampling(temperature=0), 10).finish()
    assert ours.ids == expected[0, ids.shape[1] :].tolist()
    assert ours.ids[-1] == end
    assert ours.ended == "end of sequence"


def test_the_tokenizer_says_the_end_where_the_model_does_not() -> None:
    model = made("llama")
    model.hf.generation_config.eos_token_id = None
    with saying(model, [5, zoo.byte_level().eos_token_id]):
        assert generate(model, PROMPT, Sampling(temperature=0), 5).finish().ended == "end of sequence"


def test_a_full_context_ends_it() -> None:
    model = made("llama", max_position_embeddings=12)
    prompt = model.read(PROMPT)
    ours = generate(model, PROMPT, Sampling(temperature=0), 100).finish()
    assert len(prompt) + len(ours.ids) == 13, "the last token is written but not read"
    assert ours.ended == "the context of 12 tokens is full"
    unlimited = generate(made("llama"), PROMPT, Sampling(temperature=0), 20).finish()
    assert unlimited.ids[: len(ours.ids)] == ours.ids


def test_stop_ends_it_before_the_next_token(llama: Model) -> None:
    ours = generate(llama, PROMPT, Sampling(seed=1), 30)
    next(ours)
    next(ours)
    ours.stop()
    ours.stop()
    assert list(ours) == []
    assert ours.ended == "stopped"
    assert len(ours.steps) == 2


def test_the_cancel_event_ends_it(llama: Model) -> None:
    cancel = threading.Event()
    ours = generate(llama, PROMPT, Sampling(seed=1), 30, cancel=cancel)
    next(ours)
    cancel.set()
    assert list(ours) == []
    assert ours.ended == "stopped"
    assert generate(llama, PROMPT, Sampling(), 3, cancel=cancel).finish().steps == []


@contextmanager
def after_first_layer(model: Model, act: Callable[[], None]) -> Iterator[list[int]]:
    """Lists the layers that run, and acts when the first one has."""
    ran: list[int] = []

    def hook(index: int) -> None:
        ran.append(index)
        if index == 0:
            act()

    layers = enumerate(model.hf.model.layers)
    handles = [layer.register_forward_hook(lambda *_, index=index: hook(index)) for index, layer in layers]
    try:
        yield ran
    finally:
        for handle in handles:
            handle.remove()


def test_stop_ends_a_running_pass_before_its_next_layer(llama: Model, unchanged: Callable[[Any], None]) -> None:
    unchanged(llama)
    ours = generate(llama, PROMPT, Sampling(seed=1), 5)
    with after_first_layer(llama, ours.stop) as ran:
        assert list(ours) == []
    assert ran == [0]
    assert ours.ended == "stopped"


def test_whoever_runs_a_step_can_cancel_it(llama: Model, unchanged: Callable[[Any], None]) -> None:
    unchanged(llama)

    class Work:
        ended = False

        def end(self) -> None:
            self.ended = True

        def cancelled(self) -> bool:
            return self.ended

        def progress(self, done: float, note: str) -> None: ...

        def passing(self, done: float) -> None: ...

    work = Work()
    ours = generate(llama, PROMPT, Sampling(seed=1), 5)
    next(ours)
    with after_first_layer(llama, work.end) as ran, controlled(work), pytest.raises(Cancelled):
        next(ours)
    assert ran == [0]
    assert ours.ended == "stopped"
    assert list(ours) == [], "its cache may hold half a step: it does not go on"


# --- nothing is left --------------------------------------------------------------------------------------------


def lock_is_free(model: Model) -> bool:
    """Whether another thread can take the model's lock."""
    taken: list[bool] = []

    def take() -> None:
        if got := model.lock.acquire(timeout=0):
            model.lock.release()
        taken.append(got)

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return taken[0]


def test_nothing_is_held_between_two_steps(llama: Model, unchanged: Callable[[Any], None]) -> None:
    unchanged(llama)
    before = dict(contextvars.copy_context().items())
    ours = generate(llama, PROMPT, Sampling(seed=1), 10)
    for _ in range(3):
        next(ours)
        assert lock_is_free(llama)
        assert torch.is_grad_enabled()
        assert dict(contextvars.copy_context().items()) == before


def test_an_abandoned_generation_gives_its_cache_back(llama: Model) -> None:
    ours = generate(llama, PROMPT, Sampling(seed=1), 10)
    next(ours)
    assert ours._cache is not None
    cache = weakref.ref(ours._cache[1])
    del ours
    gc.collect()
    assert cache() is None
    done = generate(llama, PROMPT, Sampling(seed=1), 2).finish()
    assert done._cache is None


def test_a_model_in_training_mode_writes_as_in_evaluation_and_stays_in_training() -> None:
    model = made("gpt2", resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5)
    calm = generate(model, PROMPT, Sampling(temperature=0), 8).finish().ids
    model.hf.train()
    assert generate(model, PROMPT, Sampling(temperature=0), 8).finish().ids == calm
    assert all(module.training for module in model.hf.modules())


def test_it_goes_on_in_another_thread(llama: Model) -> None:
    expected = generate(llama, PROMPT, Sampling(seed=9), 6).finish().ids
    ours = generate(llama, PROMPT, Sampling(seed=9), 6)
    next(ours)
    thread = threading.Thread(target=ours.finish)
    thread.start()
    thread.join()
    assert ours.ids == expected


# --- refusals ---------------------------------------------------------------------------------------------------


def test_logits_that_are_no_numbers_end_it_with_a_sentence(llama: Model, unchanged: Callable[[Any], None]) -> None:
    unchanged(llama)

    def spoil(_module: Any, _args: Any, output: Any) -> Any:
        output.logits[...] = float("nan")
        return output

    ours = generate(llama, PROMPT, Sampling(seed=1), 5)
    next(ours)
    handle = llama.hf.register_forward_hook(spoil)
    try:
        with pytest.raises(Refused, match="NaN"):
            next(ours)
    finally:
        handle.remove()
    assert ours.ended is not None
    assert "NaN" in ours.ended
    assert list(ours) == []
    assert len(ours.steps) == 1
    assert lock_is_free(llama)


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ({"text": ""}, Refused, "empty"),
        ({"text": "word " * 200}, Refused, "context"),
        ({"text": None}, TypeError, "text"),
        ({"max_new_tokens": 0}, Refused, "max_new_tokens"),
        ({"max_new_tokens": 2.0}, TypeError, "max_new_tokens"),
        ({"max_new_tokens": True}, TypeError, "max_new_tokens"),
        ({"alternatives": -1}, Refused, "alternatives"),
        ({"settings": {"temperature": 1}}, TypeError, "settings"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(
    llama: Model, arguments: dict[str, Any], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        generate(llama, **{"text": PROMPT, **arguments})


def test_models_that_do_not_write_on_are_refused() -> None:
    config = T5Config(vocab_size=SIZE, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0)
    model = attach(T5ForConditionalGeneration(config), zoo.byte_level())
    with pytest.raises(Refused):
        generate(model, PROMPT)


@pytest.mark.model
def test_the_sample_encoder_is_refused(encoder: Model) -> None:
    with pytest.raises(Refused, match="next token"):
        encoder.generate("Hello")


def test_a_generation_is_an_iterator(llama: Model) -> None:
    ours = generate(llama, PROMPT)
    assert isinstance(ours, Generation)
    assert iter(ours) is ours
    assert ours.text == ""
    assert len(ours.tokens) == 0
    assert ours.settings == Sampling()
