"""Encoder-decoders on panels: the decoder's text is state like the prompt, and its numbers are plain transformers'."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import processors

import explorer
from explorer import Refused
from explorer.inputs import decoder_tokens
from tests import tiny_tokenizers as zoo
from tests.families.configs import FAMILIES
from tests.widgets.test_attention_panel import decode, tiny
from widgets import AttentionPanel, Exploration, SamplingPanel, Selection, Workbench

MINUTE = 60.0
TEXT = "The quick brown fox"
WRITTEN = "Hello world"


def ending(tokenizer: Any) -> Any:
    """The tokenizer, ending every text as T5's does."""
    tokenizer = copy.deepcopy(tokenizer)
    template = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", tokenizer.eos_token_id)])
    tokenizer.backend_tokenizer.post_processor = template
    return tokenizer


def seq2seq(tokenizer: Any, start: int, name: str = "t5") -> explorer.Model:
    settings = {**FAMILIES[name].settings, "vocab_size": len(tokenizer), "decoder_start_token_id": start}
    return explorer.attach(replace(FAMILIES[name], settings=settings).build(), tokenizer)


@pytest.mark.parametrize(
    ("tokenizer", "start", "before", "after"),
    [
        (ending(zoo.unigram()), 0, 0, 1),  # T5: <pad> in front, and no </s>
        (zoo.sentencepiece_bpe(), 2, 1, 0),  # bart begins with </s> <s>
        (zoo.byte_level(), 0, 0, 0),
    ],
)
def test_a_decoders_text_is_what_the_shifted_labels_are(tokenizer: Any, start: int, before: int, after: int) -> None:
    model = seq2seq(tokenizer, start)
    labels = tokenizer(WRITTEN)["input_ids"]
    assert len(labels) == before + len(tokenizer(WRITTEN, add_special_tokens=False)["input_ids"]) + after
    ids = [start, *labels[: len(labels) - after]]
    read = decoder_tokens(model, WRITTEN)
    assert (read.ids, read.source) == (ids, WRITTEN)
    assert [token.group for token in read] == sorted(token.group for token in read)
    assert model.trace(TEXT, decoder=WRITTEN).decoder[0].ids == ids
    assert decoder_tokens(model, "").ids == model.trace(TEXT).decoder[0].ids == [start]
    assert decoder_tokens(model, read) is read


def test_a_first_token_that_the_tokenizer_writes_is_not_doubled() -> None:
    model = seq2seq(zoo.wordpiece(), start=2)
    assert decoder_tokens(model, "the cafe").ids == zoo.wordpiece()("the cafe", truncation=False)["input_ids"][:3]


@pytest.fixture(params=["t5", "bart"])
def bench(request: pytest.FixtureRequest) -> Iterator[Workbench]:
    whole = Workbench(tiny(request.param), TEXT, panels=[SamplingPanel, AttentionPanel])
    whole.wait(MINUTE)
    yield whole
    whole.close()


def plain(bench: Workbench) -> tuple[list[int], Any]:
    """What plain transformers gives for the two texts, with the ids put together by hand."""
    model = bench.exploration.model
    tokenizer = model.tokenizer
    written = tokenizer(WRITTEN, add_special_tokens=False)["input_ids"]
    ids = [model.hf.config.decoder_start_token_id, *written]
    hf = copy.deepcopy(model.hf)
    hf.set_attn_implementation("eager")
    with torch.no_grad():
        return ids, hf(
            input_ids=torch.tensor([tokenizer(TEXT)["input_ids"]]),
            decoder_input_ids=torch.tensor([ids]),
            output_attentions=True,
        )


def test_cross_attention_and_the_decoders_own_follow_what_is_typed(bench: Workbench) -> None:
    sampling, attention = bench.panels
    assert bench.decoder == ""
    assert len(bench.view["decoder_tokens"]) == 1
    bench.exploration.set_state({"decoder": WRITTEN})
    bench.wait(MINUTE)
    ids, expected = plain(bench)
    assert [token["id"] for token in bench.view["decoder_tokens"]] == ids
    for stack, kind, patterns in (
        ("encoder", "attn", expected.encoder_attentions),
        ("decoder", "attn", expected.decoder_attentions),
        ("decoder", "cross_attn", expected.cross_attentions),
    ):
        rows, columns = patterns[1].shape[2:]
        bench.selection = Selection(1, (2,), rows - 1, columns - 1, stack=stack, kind=kind)
        bench.wait(MINUTE)
        torch.testing.assert_close(decode(attention.matrix["data"]), patterns[1][0, 2], atol=2e-6, rtol=1e-4)
        assert bench.selection.query == rows - 1
        with pytest.raises(Refused, match="decoder's text" if stack == "decoder" else "prompt"):
            bench.selection = Selection(1, (2,), rows, 0, stack=stack, kind=kind)
    torch.testing.assert_close(decode(sampling.view["logits"]), expected.logits[0, -1], atol=1e-4, rtol=1e-4)
    assert [token["id"] for token in sampling.view["decoder_tokens"]] == ids
    assert sorted(set(ids)) == decode(sampling.view["prompt_ids"]).tolist(), "a penalty counts what the decoder wrote"
    bench.position = 1
    bench.wait(MINUTE)
    torch.testing.assert_close(decode(sampling.view["logits"]), expected.logits[0, 1], atol=1e-4, rtol=1e-4)
    with pytest.raises(Refused, match="decoder's text"):
        bench.position = len(ids)


def test_it_is_undone_written_as_code_and_saved_with_the_rest(bench: Workbench) -> None:
    exploration = bench.exploration
    assert "decoder" not in exploration.code()
    bench.decoder = WRITTEN
    assert "decoder='Hello world'" in exploration.code()
    assert exploration.value["decoder"] == WRITTEN
    again = Exploration(exploration.model, **exploration.value)
    assert again.decoder == WRITTEN
    again.close()
    exploration.undo()
    bench.wait(MINUTE)
    assert (bench.decoder, len(bench.view["decoder_tokens"])) == ("", 1)
    exploration.redo()
    assert bench.decoder == WRITTEN
    bench.decoder = None
    assert bench.decoder == ""


def test_writing_on_is_refused_in_words(bench: Workbench) -> None:
    sampling = bench.panels[0]
    sampling.generate(3)
    with pytest.raises(explorer.ExplorerError, match="reads a text with an encoder"):
        sampling.wait(MINUTE)
    assert bench.exploration.written is None


def test_a_trace_with_a_decoders_text_can_be_explored() -> None:
    model = tiny("t5")
    for decoder in (WRITTEN, [0, 7, 9], None):
        trace = model.trace(TEXT, decoder=decoder)
        panel = AttentionPanel(trace, selection=Selection(0, (1,), stack="decoder", kind="cross_attn"))
        panel.wait(MINUTE)
        assert panel.exploration.trace() is trace
        torch.testing.assert_close(decode(panel.matrix["data"]), trace.pattern(0, kind="cross_attn")[0, 1])
        panel.close()


def test_a_saved_trace_shows_its_decoders_text_and_keeps_it(tmp_path: Path) -> None:
    trace = tiny("t5").trace(TEXT, decoder=WRITTEN)
    panel = AttentionPanel(explorer.open_trace(trace.save(tmp_path / "trace.safetensors")))
    panel.selection = Selection(1, (0,), 2, 3, stack="decoder", kind="cross_attn")
    panel.wait(MINUTE)
    assert panel.decoder == WRITTEN
    torch.testing.assert_close(decode(panel.matrix["data"]), trace.pattern(1, kind="cross_attn")[0, 0])
    with pytest.raises(Refused, match="saved trace"):
        panel.decoder = "else"
    panel.close()


def test_a_model_without_a_decoder_has_none() -> None:
    panel = AttentionPanel(tiny("gpt2"), TEXT)
    assert panel.decoder is None
    with pytest.raises(Refused, match="no decoder"):
        panel.decoder = "x"
    panel.close()
