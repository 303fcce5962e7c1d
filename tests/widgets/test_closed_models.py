"""Panels of a model that was closed: they keep their picture, say why there is no new one, and hold nothing back."""

from __future__ import annotations

import weakref

import pytest

import explorer
from explorer.errors import ExplorerError
from tests.conftest import tiny
from tests.tiny_tokenizers import byte_level
from widgets import AttentionPanel

MINUTE = 60.0


def test_a_panel_neither_keeps_a_closed_model_nor_its_thread() -> None:
    tokenizer = byte_level()
    model = explorer.attach(tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    panel = AttentionPanel(model, "one")
    panel.wait(MINUTE)
    picture = panel.view
    thread = panel._worker._thread
    gone = weakref.ref(model.hf)
    model.close()
    thread.join(MINUTE)
    assert gone() is None
    assert not thread.is_alive()
    panel.text = "two"
    assert "was closed" in panel.status["error"]["message"]
    with pytest.raises(ExplorerError, match="was closed"):
        panel.wait(MINUTE)
    assert panel.view == picture
    panel.close()


def test_a_panel_of_a_model_attached_twice_lives_on_in_the_other_model() -> None:
    tokenizer = byte_level()
    hf = tiny("llama", vocab_size=len(tokenizer))
    first, second = explorer.attach(hf, tokenizer), explorer.attach(hf, tokenizer)
    closed, open_ = AttentionPanel(first, "one"), AttentionPanel(second, "one")
    closed.wait(MINUTE)
    open_.wait(MINUTE)
    first.close()
    closed.text = open_.text = "two"
    open_.wait(MINUTE)
    assert [token["text"] for token in open_.view["tokens"]] == [token.text for token in second.read("two")]
    with pytest.raises(ExplorerError, match="was closed"):
        closed.wait(MINUTE)
    closed.close()
    open_.close()
