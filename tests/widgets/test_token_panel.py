"""The token panel without a browser: what the model is given, token by token, and beside another tokenizer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from transformers import ByT5Tokenizer

import explorer
from explorer import Refused
from tests import tiny_tokenizers as zoo
from tests.conftest import tiny
from widgets import Exploration, TokenPanel, Workbench
from widgets.worker import Job

pytestmark = pytest.mark.model
MINUTE = 60.0
TEXT = "The capital 中🇫🇷 \u202eab"


@pytest.fixture
def show() -> Iterator[Callable[..., Any]]:
    """Opens panels and closes them when the test ends."""
    opened: list[Any] = []

    def make(*args: Any, kind: Callable[..., Any] = TokenPanel, **traits: Any) -> Any:
        opened.append(kind(*args, **traits))
        if isinstance(opened[-1], TokenPanel | Workbench):
            opened[-1].wait(MINUTE)
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture(scope="module")
def beginning() -> explorer.Model:
    """A model whose tokenizer adds a beginning-of-text token."""
    tokenizer = zoo.sentencepiece_bpe()
    return explorer.attach(tiny("llama", vocab_size=len(tokenizer)), tokenizer)


def ints(value: dict[str, Any]) -> list[int]:
    found: list[int] = np.frombuffer(value["data"], dtype=value["dtype"]).tolist()
    return found


def keys(panel: TokenPanel) -> list[str]:
    return [note.key for note in (*panel.view["warnings"], *panel.view["remarks"]) if hasattr(note, "key")]


def test_the_table_is_what_the_tokenizer_says(show: Callable[..., Any], sample: explorer.Model) -> None:
    frame = show(sample, TEXT).frame
    own = sample.tokenizer(TEXT)["input_ids"]
    assert frame["id"].tolist() == own
    assert b"".join(bytes.fromhex(data) for data in frame["bytes"]) == TEXT.encode()
    for row in frame.itertuples():
        whole = frame[(frame["begin"] == row.begin) & (frame["end"] == row.end)]
        spelt = b"".join(bytes.fromhex(data) for data in whole["bytes"])
        assert TEXT[row.begin : row.end] == spelt.decode(), "the pieces of a character spell what stands in their place"
        assert sum(frame["character"] == row.character) == row.parts
    flag = frame[frame["begin"].isin([TEXT.index("🇫"), TEXT.index("🇫") + 1])]
    assert flag["character"].nunique() == 1, "both letters of a flag are one character"
    assert set(flag["text"]) == {"🇫🇷"}


def test_counts(show: Callable[..., Any], sample: explorer.Model) -> None:
    panel = show(sample, "Paris, e\u0301 中国 👨\u200d👩\u200d👧")
    assert panel.view["counts"] == {
        "tokens": len(sample.tokenizer("Paris, e\u0301 中国 👨\u200d👩\u200d👧")["input_ids"]),
        "special": 0,
        "characters": 13,
        "words": 4,
    }


def test_no_pass_is_run_and_none_is_waited_for(show: Callable[..., Any], sample: explorer.Model) -> None:
    calls = []
    handle = sample.hf.register_forward_pre_hook(lambda *_: calls.append(1))
    busy, done = threading.Event(), threading.Event()

    def hold(_job: Job) -> None:
        busy.set()
        done.wait(MINUTE)

    exploration = show(sample, "one", kind=Exploration)
    worker = exploration.source.worker()
    other = show(exploration)
    try:
        worker.submit(other, "slow", hold, rank=0, on_error=other._show_error)
        assert busy.wait(MINUTE)
        panel = show(exploration)
        panel.text = "two words"
        panel.wait(MINUTE)
        assert [token["text"] for token in panel.view["tokens"]] == ["two", " words"]
        assert not done.is_set(), "the model's thread is still busy"
    finally:
        done.set()
        handle.remove()
    assert not calls


def test_special_tokens_can_be_switched_off_and_on(show: Callable[..., Any], beginning: explorer.Model) -> None:
    panel = show(beginning, "ab")
    assert panel.view["adds"] == ["<s>"]
    with_it = panel.frame
    assert with_it["text"].iloc[0] == "<s>"
    assert with_it["begin"].isna().tolist()[:2] == [True, False]
    panel.special_tokens = False
    panel.wait(MINUTE)
    assert panel.frame["id"].tolist() == with_it["id"].tolist()[1:] == panel.exploration.tokens.ids
    assert "no_beginning" in keys(panel)
    panel.special_tokens = True
    panel.wait(MINUTE)
    assert panel.frame["id"].tolist() == with_it["id"].tolist()


def test_names_of_special_tokens_are_read_as_plain_text_where_asked(
    show: Callable[..., Any], sample: explorer.Model, beginning: explorer.Model
) -> None:
    panel = show(sample, "a <|im_end|>", other=beginning)
    assert panel.view["names"] == ["<|im_start|>", "<|im_end|>"]
    assert panel.frame["kind"].tolist()[-1] == "special"
    assert "specials_in_text" in keys(panel)
    panel.literal = True
    panel.wait(MINUTE)
    own = sample.tokenizer("a <|im_end|>", split_special_tokens=True)["input_ids"]
    assert panel.frame["id"].tolist() == own
    assert b"".join(bytes.fromhex(data) for data in panel.frame["bytes"]) == b"a <|im_end|>"
    assert "specials_as_characters" in keys(panel)
    assert "specials_in_text" not in keys(panel)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("<s>ab", "added_beginning"),
        ("ab</s>", "specials_in_text"),
        ("a\u200bb", "hidden_characters"),
        ("a\u202eb\x00", "hidden_characters"),
        ("lost \ufffd", "lost_characters"),
        ("e\u0301", "not_composed"),
        ("龍", "characters_in_pieces"),
    ],
)
def test_what_is_likely_wrong_is_said(show: Callable[..., Any], beginning: explorer.Model, text: str, key: str) -> None:
    assert key in keys(show(beginning, text))
    assert key not in keys(show(beginning, "ab"))


def test_remarks_about_the_sample(show: Callable[..., Any], sample: explorer.Model) -> None:
    panel = show(sample, "Paris")
    assert keys(panel) == ["adds_no_beginning", "no_first_space"]
    bare, inside = sample.tokenizer("Paris")["input_ids"], sample.tokenizer(" Paris")["input_ids"]
    note = panel.view["remarks"][1]
    assert (note.about["bare_id"], note.about["inside_id"]) == (bare[0], inside[0])
    panel.text = "5 is a number"
    panel.wait(MINUTE)
    assert keys(panel) == ["adds_no_beginning"]


def test_a_tokenizer_that_changes_the_text_says_how(show: Callable[..., Any]) -> None:
    tokenizer = zoo.wordpiece()
    model = explorer.attach(tiny("bert", vocab_size=len(tokenizer)), tokenizer)
    panel = show(model, "The CAFÉ ☃")
    assert {"text_changed", "unknown_pieces"} <= set(keys(panel))
    changed = next(note for note in panel.view["remarks"] if note.key == "text_changed")
    assert changed.about["names"] == ["The → the", "CAFÉ → cafe"]
    assert panel.frame["text"].tolist() == ["[CLS]", "The", " CAFÉ", "[UNK]: ☃", "[SEP]"]


def test_a_vocabulary_larger_than_the_models_and_a_full_context(show: Callable[..., Any]) -> None:
    tokenizer = zoo.byte_level()
    model = explorer.attach(tiny("llama", vocab_size=len(tokenizer) - 1, max_position_embeddings=10), tokenizer)
    panel = show(model, "..........")
    assert {"vocabularies_differ", "context_nearly_full"} <= set(keys(panel))
    full = next(note for note in panel.view["warnings"] if note.key == "context_nearly_full")
    assert full.about == {"count": len(panel.frame), "context": model.context}


def test_a_tokenizer_without_offsets_and_one_that_is_not_the_models(show: Callable[..., Any]) -> None:
    panel = show(explorer.attach(tiny("llama", vocab_size=384), ByT5Tokenizer()), "é 中")
    frame = panel.frame
    assert bytes.fromhex("".join(frame["bytes"].dropna())) == "é 中".encode()
    assert frame["text"].tolist() == [*"éé 中中中", "</s>"]
    other = zoo.byte_level()
    panel = show(explorer.attach(tiny("llama", vocab_size=97), other), "a", kind=Exploration)
    panel = TokenPanel(panel)
    panel.text = "capital"
    with pytest.raises(explorer.ExplorerError, match=rf"vocabulary of 97\. The tokenizer has {len(other):,} entries"):
        panel.wait(MINUTE)
    assert "97" in panel.status["error"]["message"]


@pytest.mark.parametrize("wrong", [None, b"\xe4", [1, 2], 7, torch.tensor([1])])
def test_what_is_no_text_is_refused_by_type(show: Callable[..., Any], sample: explorer.Model, wrong: Any) -> None:
    panel = show(sample, "one")
    with pytest.raises((TypeError, traitlets.TraitError), match="text"):
        panel.text = wrong
    assert panel.text == panel.exploration.text == "one"


def test_a_conversation_has_roles_and_what_a_message_smuggles_in_is_told(
    show: Callable[..., Any], sample: explorer.Model
) -> None:
    messages = [
        {"role": "user", "content": "user"},
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": "ok"},
    ]
    panel = show(sample)
    panel.messages = messages
    panel.wait(MINUTE)
    frame = panel.frame
    for role, text in (("user", "userok"), ("assistant", "Yes")):
        assert "".join(frame[frame["role"] == role]["text"]) == text
    assert set(frame[frame["kind"] == "special"]["role"]) == {"template"}
    assert panel.view["tokens"][-1]["role"] == "template"
    assert not {"specials_in_text", "specials_in_message"} & set(keys(panel))
    panel.messages = [{"role": "user", "content": "end <|im_end|> it"}]
    panel.wait(MINUTE)
    assert "specials_in_message" in keys(panel)
    panel.text = "plain"
    panel.wait(MINUTE)
    assert panel.frame["role"].isna().all()


def test_beside_another_tokenizer(show: Callable[..., Any], sample: explorer.Model, beginning: explorer.Model) -> None:
    for other in (beginning, beginning.tokenizer):
        panel = show(sample, TEXT, other=other)
        beside = panel.view["other"]
        assert [token["id"] for token in beside["tokens"]] == beginning.read(TEXT).ids
        groups = np.array(ints(beside["groups"])).reshape(-1, 4)
        assert [p for a, b, *_ in groups for p in range(a, b)] == list(range(len(panel.view["tokens"])))
        assert [p for *_, a, b in groups for p in range(a, b)] == list(range(len(beside["tokens"])))
    panel.text = "other"
    panel.wait(MINUTE)
    assert [token["id"] for token in panel.view["other"]["tokens"]] == beginning.read("other").ids
    with pytest.raises(TypeError, match="other is a str"):
        TokenPanel(sample, other="gpt2")


def test_a_saved_trace_without_its_model(show: Callable[..., Any], sample: explorer.Model, tmp_path: Path) -> None:
    file = sample.trace(TEXT).save(tmp_path / "a.safetensors")
    saved, live = show(explorer.open_trace(file)), show(sample, TEXT)
    same = ["id", "text", "kind", "begin", "end", "character", "word"]
    assert saved.frame[same].equals(live.frame[same])
    assert saved.frame["bytes"].isna().all()
    assert saved.view["adds"] is None
    assert saved.view["names"] is None
    with pytest.raises(Refused, match="saved trace"):
        saved.special_tokens = False


def test_panels_of_one_exploration_are_linked(show: Callable[..., Any], sample: explorer.Model) -> None:
    shared = show(sample, "one", kind=Exploration)
    one, two = show(shared), show(shared)
    one.text = "two words"
    for panel in (one, two):
        panel.wait(MINUTE)
        assert [token["text"] for token in panel.view["tokens"]] == ["two", " words"]
    bench = show(shared, kind=Workbench, panels=(TokenPanel,))
    assert bench.panels[0].view["tokens"] == one.view["tokens"]


def test_an_empty_prompt_is_answered_and_the_picture_stays(show: Callable[..., Any], sample: explorer.Model) -> None:
    panel = show(sample, "one")
    panel.text = ""
    with pytest.raises(explorer.ExplorerError, match="empty"):
        panel.wait(MINUTE)
    assert panel.status["state"] == "error"
    assert [token["text"] for token in panel.view["tokens"]] == ["one"]
