"""Tokens are shown as what a person typed, whichever way a tokenizer spells its entries."""

from __future__ import annotations

import gc
import json
import re
import weakref
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from tokenizers import pre_tokenizers
from transformers import BertJapaneseTokenizer, ByT5Tokenizer, CanineTokenizer

from explorer._visible import is_control, visible
from explorer.tokens import Token, Tokens, labels, read_ids, read_text, well_formed
from tests import tiny_tokenizers as zoo

byt5, canine = cache(ByT5Tokenizer), cache(CanineTokenizer)
BYTE_LEVEL = [zoo.byte_level, zoo.byte_level_prefixed, zoo.byte_level_composing]
ALL = [
    *BYTE_LEVEL,
    zoo.byte_level_lower,
    zoo.sentencepiece_bpe,
    zoo.unigram,
    zoo.wordpiece,
    byt5,
    canine,
]

FAMILY = "👨‍👩‍👧"
SCOTLAND = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
HARD = [
    "",
    " ",
    "   ",
    "a",
    "中",
    "Hello 世界 x",
    f"{FAMILY} ❤️‍🔥 🇩🇪 🏴󠁧󠁢󠁳󠁣󠁴󠁿 👍🏽 1️⃣",
    "e\u0301 ﬁ ① ½ Ⅷ",
    "مرحبا بالعالم שלום สวัสดี नमस्ते क्‍ष",
    "a\u202eb\u200bc\u2066d\x00e\x7ff\u0085g\ufeff",
    "a\r\n\tb\n\n\n  c",
    "\u0301\u0301 \u200d\ufe0f",
    "<|end|><|start|></s><s>[MASK] <0x41> ##x ▁y Ġz ä¸Ń ⟨E4⟩ ⏎ ◌",
    "</script><img src=x onerror=alert(1)> ${x} {{y}} ' \" &",
    "\ue000\U000f0000\uffff\ufffd",
    "\ud800 \ude00\ud83d \ud83d\ude00",
]
# Characters that are shown as something else, or that the test's own reading of escapes would mistake.
PLAIN = st.characters(blacklist_categories=("Cs",), blacklist_characters="⟨⟩⏎⇥␍◌")


def typed_again(shown: str) -> str:
    """What was typed, from what is shown."""
    shown = shown.replace("⏎", "\n").replace("⇥", "\t").replace("␍", "\r").replace("◌", "")
    return re.sub(r"⟨U\+([0-9A-F]+)⟩", lambda match: chr(int(match[1], 16)), shown)


def described(tokens: Tokens) -> list[str]:
    """A short form to compare: text, and what is not plain about it."""
    found = []
    for token in tokens:
        marks = "" if token.kind == "text" else f" {token.kind}"
        found.append(f"{token.text}{marks}" + (f" {token.part}/{token.parts}" if token.parts > 1 else ""))
    return found


def assert_partition(tokens: Tokens) -> None:
    """Every token is in exactly one group; groups count up; the parts of each are 1..n and look the same."""
    position = 0
    for number, group in enumerate(tokens.groups):
        assert [token.group for token in group] == [number] * len(group)
        assert [token.part for token in group] == list(range(1, len(group) + 1))
        assert {token.parts for token in group} == {len(group)}
        assert len({token.text for token in group}) == 1
        assert tokens[position : position + len(group)] == group
        position += len(group)
    assert position == len(tokens)


# --- properties -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", BYTE_LEVEL)
@profile(deadline=None, max_examples=150)
@given(text=st.text(PLAIN, max_size=25) | st.lists(st.sampled_from(HARD[:11]), max_size=4).map("".join))
@example(text="\u0301a")
@example(text="  " + FAMILY)
def test_byte_level_shows_exactly_what_was_typed(make: Callable[[], Any], text: str) -> None:
    tokenizer = make()
    text = text.replace("<|", "< |")  # no special token by accident
    tokens = read_text(tokenizer, text)
    assert_partition(tokens)
    assert not any("\ufffd" in token.text for token in tokens if "\ufffd" not in text)
    shown = typed_again(str(tokens))
    if make is zoo.byte_level_prefixed and shown != text:
        assert tokens[0].text == " ", "a space of its own was put in front"
        shown = shown[1:]
    assert shown == text


@pytest.mark.parametrize("make", ALL)
@profile(deadline=None, max_examples=60)
@given(text=st.text(max_size=20) | st.sampled_from(HARD) | st.lists(st.sampled_from(HARD), max_size=3).map("".join))
def test_any_text_on_any_tokenizer(make: Callable[[], Any], text: str) -> None:
    tokenizer = make()
    tokens = read_text(tokenizer, text)
    assert tokens.ids == tokenizer(well_formed(text)[0], padding=False, truncation=False)["input_ids"]
    assert_partition(tokens)
    assert all(token.text for token in tokens)
    assert tokens.source == tokens.text == well_formed(text)[0]
    for token in tokens:
        assert not is_control(token.text)
        assert visible(token.text) == token.text, "what is shown has a shape and is shown as it is"
    for one in (repr(tokens), str(tokens), tokens._repr_html_()):
        one.encode()


@pytest.mark.parametrize("make", ALL)
@profile(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_ids_on_any_tokenizer(make: Callable[[], Any], data: st.DataObject) -> None:
    tokenizer = make()
    last = 0x110002 if make is canine else len(tokenizer) + 5
    ids = data.draw(st.lists(st.integers(0, last), max_size=12))
    tokens = read_ids(tokenizer, ids)
    assert tokens.ids == ids
    assert_partition(tokens)
    singly = labels(tokenizer, ids)
    assert [token.id for token in singly] == ids
    assert all((token.group, token.part, token.parts) == (0, 1, 1) for token in singly)
    assert all(visible(token.text) == token.text for token in (*tokens, *singly))


@profile(deadline=None, max_examples=100)
@given(text=st.text(st.characters(blacklist_categories=("Cs",)), max_size=15))
def test_ids_read_the_same_as_the_text_that_made_them(text: str) -> None:
    text = text.replace("<|", "< |")
    tokens = read_text(zoo.byte_level(), text)
    again = read_ids(zoo.byte_level(), tokens.ids)
    assert again == tokens
    assert again.text == text
    assert again.source is None


# --- spellings --------------------------------------------------------------------------------------------------


def test_byte_level_groups_the_bytes_of_a_character() -> None:
    tokens = read_text(zoo.byte_level(), "Hello 世x")
    assert described(tokens) == ["Hello", " ", "世 byte 1/3", "世 byte 2/3", "世 byte 3/3", "x"]
    assert [token.group for token in tokens] == [0, 1, 2, 2, 2, 3]


def test_a_piece_across_characters_joins_them() -> None:
    tokens = read_text(zoo.byte_level(), "Café")
    assert described(tokens) == ["C", "a", "fé byte 1/2", "fé byte 2/2"]


def test_bytes_that_are_no_character_are_shown_as_bytes() -> None:
    tokenizer = zoo.byte_level()
    ids = read_text(tokenizer, "世x").ids
    assert described(read_ids(tokenizer, ids[:2])) == ["⟨E4 B8⟩ byte 1/2", "⟨E4 B8⟩ byte 2/2"]
    assert described(read_ids(tokenizer, [ids[1], ids[3]])) == ["⟨B8⟩ byte", "x"]
    assert described(read_ids(tokenizer, [ids[0], ids[3], ids[1]])) == ["⟨E4⟩ byte", "x", "⟨B8⟩ byte"]
    assert [token.text for token in labels(tokenizer, ids)] == ["⟨E4⟩", "⟨B8⟩", "⟨96⟩", "x"]
    assert read_ids(tokenizer, ids[:2]).text == "\ufffd"


def test_a_word_after_a_special_token_keeps_its_first_letter() -> None:
    tokens = read_text(zoo.byte_level_prefixed(), "a<|end|>The capital")
    assert str(tokens).lstrip() == "a<|end|>The capital"
    assert tokens.places == [(0, 0), (0, 1), (1, 8), (8, 11), (11, 19)]


def test_normalised_text_is_shown_as_typed() -> None:
    assert described(read_text(zoo.byte_level_composing(), "e\u0301")) == ["e\u0301 byte 1/2", "e\u0301 byte 2/2"]
    shown = str(read_text(zoo.byte_level_lower(), "Paris  PARIS 中 é"))
    assert shown == "Paris PARIS 中 é"


def test_sentencepiece_shows_typed_spaces_and_bytes() -> None:
    tokens = read_text(zoo.sentencepiece_bpe(), "Hello 世")
    assert described(tokens)[0] == "<s> special"
    assert str(tokens) == "<s> Hello 世" or str(tokens) == "<s>Hello 世"
    assert described(tokens)[-3:] == ["世 byte 1/3", "世 byte 2/3", "世 byte 3/3"]
    assert described(read_text(zoo.sentencepiece_bpe(), "is"))[1:] != [" is"], "the space was not typed"
    assert read_ids(zoo.sentencepiece_bpe(), tokens.ids[1:]).text == " Hello 世", "ids alone show the piece"


def test_unigram_shows_folded_characters_and_the_unknown_as_typed() -> None:
    tokens = read_text(zoo.unigram(), "ﬁ Qq")
    assert described(tokens)[1:3] == ["ﬁ 1/2", "ﬁ 2/2"]
    assert "<unk>: Qq special" in described(tokens)
    assert any("not in the vocabulary" in note for note in tokens.notes)


def test_wordpiece_shows_case_accents_and_spaces_as_typed() -> None:
    tokenizer = zoo.wordpiece()
    tokens = read_text(tokenizer, "The Café is\n unBelievable 世.")
    assert described(tokens) == [
        "[CLS] special",
        "The",
        " Café",
        " is",
        " un",
        "Believ",
        "able",
        "[UNK]: 世 special",
        ".",
        "[SEP] special",
    ]
    assert str(read_ids(tokenizer, tokens.ids)) == "[CLS] the cafe is unbelievable[UNK].[SEP]"
    assert [token.text for token in labels(tokenizer, tokenizer.convert_tokens_to_ids(["the", "##able", "."]))] == [
        " the",
        "able",
        ".",
    ]


def test_a_tokenizer_keeps_its_settings_and_cuts_nothing() -> None:
    tokenizer = zoo.wordpiece.__wrapped__()  # a fresh one: the others' settings were reset by plain calls
    backend = tokenizer.backend_tokenizer
    before = (backend.truncation, backend.padding, backend.encode_special_tokens)
    assert before[0]["max_length"] == 8
    assert len(read_text(tokenizer, "a b c d e f g h i j k l", literal=True)) == 14
    assert len(read_text(tokenizer, "a")) == 3
    assert (backend.truncation, backend.padding, backend.encode_special_tokens) == before


def test_what_a_tokenizer_removes_is_noted() -> None:
    tokens = read_text(zoo.wordpiece(), "a\u200bb\x00 e\u0301")
    assert tokens.notes == ["The tokenizer drops ⟨U+200B⟩, ⟨U+0000⟩: the model does not see it, or not whole."]
    assert described(tokens)[-2] == " e\u0301"


def test_byte_and_character_models() -> None:
    assert described(read_text(byt5(), "é中")) == [
        *("é byte 1/2", "é byte 2/2"),
        *("中 byte 1/3", "中 byte 2/3", "中 byte 3/3"),
        "</s> special",
    ]
    assert described(read_text(canine(), "é😀"))[1:-1] == ["é", "😀"]
    assert described(read_ids(canine(), [0xD800, 0x110001])) == ["⟨ED A0 80⟩ byte", "⟨id 1114113⟩ special"]


def test_a_tokenizer_written_in_python_is_read_by_what_it_does(tmp_path: Any) -> None:
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##able", "a"]))
    tokenizer = BertJapaneseTokenizer(
        str(vocabulary), word_tokenizer_type="basic", subword_tokenizer_type="wordpiece", do_lower_case=True
    )
    assert described(read_text(tokenizer, "Unable A")) == ["[CLS] special", "Un", "able", " A", "[SEP] special"]
    tokens = read_text(tokenizer, "x\u200bA UNÁBLE 中")
    assert described(tokens) == [
        "[CLS] special",
        "[UNK]: x⟨U+200B⟩A special",
        " UN",
        "ÁBLE",
        "[UNK]: 中 special",
        "[SEP] special",
    ]
    assert tokens.places == [None, (0, 3), (3, 6), (6, 10), (11, 12), None]


def test_a_python_sentencepiece_tokenizer(tmp_path: Any) -> None:
    import sentencepiece
    from transformers import BertGenerationTokenizer

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(zoo.SENTENCES),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=320,
        byte_fallback=True,
        character_coverage=0.98,
        minloglevel=2,
    )
    tokenizer = BertGenerationTokenizer(str(tmp_path / "spm.model"))
    assert not tokenizer.is_fast
    tokens = read_text(tokenizer, "Hello world 龍")
    assert str(tokens).removeprefix(" ") == "Hello world 龍", "the space in front is shown only as a piece of its own"
    assert described(tokens)[-3:] == ["龍 byte 1/3", "龍 byte 2/3", "龍 byte 3/3"]
    assert str(read_ids(tokenizer, tokens.ids)).startswith(" Hello world")


def test_entries_that_are_bytes() -> None:
    class Ranks:
        """As tokenizers that come with a model's own code do: entries are bytes objects."""

        all_special_ids = (256,)
        bos_token_id = unk_token_id = None
        is_fast = False

        def __len__(self) -> int:
            return 257

        def __call__(self, text: str, **_options: Any) -> dict[str, list[int]]:
            return {"input_ids": list(text.encode())}

        def convert_ids_to_tokens(self, ids: list[int]) -> list[bytes]:
            return [b"<end>" if id == 256 else bytes([id]) for id in ids]

    assert described(read_text(Ranks(), "aé")) == ["a", "é byte 1/2", "é byte 2/2"]
    assert described(read_ids(Ranks(), [97, 256])) == ["a", "<end> special"]


def test_without_a_tokenizer_ids_are_numbers() -> None:
    assert described(read_ids(None, [5, 6])) == ["⟨id 5⟩", "⟨id 6⟩"]
    assert [token.text for token in labels(None, [5])] == ["⟨id 5⟩"]


# --- special tokens and notes -----------------------------------------------------------------------------------


def test_a_special_token_that_was_typed_is_visible_and_can_be_split() -> None:
    tokenizer = zoo.byte_level()
    tokens = read_text(tokenizer, "a<|end|>")
    assert described(tokens) == ["a", "<|end|> special"]
    assert "read as a special token" in tokens.notes[0]
    plain = read_text(tokenizer, "a<|end|>", literal=True)
    assert plain.ids == tokenizer("a<|end|>", split_special_tokens=True)["input_ids"] != tokens.ids
    assert {token.kind for token in plain} == {"text"}
    assert str(plain) == "a<|end|>"
    assert plain.notes[0].startswith("<|end|> in the text was read as plain characters")
    assert read_text(tokenizer, "a<|end|>") == tokens, "the choice does not last"


@pytest.mark.parametrize(
    ("make", "name"),
    [(zoo.byte_level_prefixed, "<|end|>"), (zoo.sentencepiece_bpe, "</s>"), (zoo.wordpiece, "[SEP]")],
)
def test_a_special_tokens_name_read_literally_spells_what_was_typed(make: Callable[[], Any], name: str) -> None:
    tokenizer = make()
    id = tokenizer.convert_tokens_to_ids(name)
    assert id in read_text(tokenizer, f"is {name}", False).ids
    plain = read_text(tokenizer, f"is {name}", False, literal=True)
    assert id not in plain.ids
    assert plain.ids == tokenizer(f"is {name}", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert len(read_text(tokenizer, f"is {name}", True, literal=True)) >= len(plain), "what the tokenizer adds it adds"


def test_a_tokenizer_whose_own_rules_make_the_special_token_says_so() -> None:
    plain = read_text(zoo.unigram(), "is </s>", literal=True)
    assert plain.ids[-1] == zoo.unigram().eos_token_id
    assert [note for note in plain.notes if "</s> in the text is a special token even with literal=True" in note]
    assert not [note for note in plain.notes if "read as plain characters, as" in note]


def test_a_group_is_what_a_reader_sees_as_one_character() -> None:
    for text in (FAMILY, SCOTLAND, "🇫🇷", "👍🏽", "e\u0301", "क्षि", "ก็", "각"):
        for tokens in (read_text(zoo.byte_level(), f"x{text}y"), read_text(byt5(), f"x{text}y", False)):
            assert [group[0].text for group in tokens.groups] == ["x", visible(text), "y"], text
            pieces = tokens.groups[1]
            assert [(token.part, token.parts) for token in pieces] == [(n + 1, len(pieces)) for n in range(len(pieces))]
            assert {token.text for token in pieces} == {visible(text)}
        ids = zoo.byte_level()(f"x{text}y", add_special_tokens=False)["input_ids"]
        assert read_ids(zoo.byte_level(), ids) == read_text(zoo.byte_level(), f"x{text}y", False)
    two = read_text(zoo.byte_level(), "🇫🇷🇩🇪")
    assert [group[0].text for group in two.groups] == ["🇫🇷", "🇩🇪"]


def test_an_accent_after_a_special_token_does_not_join_it() -> None:
    tokens = read_text(zoo.byte_level(), "<|end|>\u0301e\u0301")
    assert [group[0].text for group in tokens.groups] == ["<|end|>", "◌\u0301", "e\u0301"]


def test_added_tokens_that_are_not_special_are_text() -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=zoo._byte_level())
    tokenizer.add_tokens(["<think>", "é  ü"])
    tokens = read_text(tokenizer, "<think>é  ü")
    assert described(tokens) == ["<think>", "é  ü"]


def test_a_vocabulary_that_grows_is_read_again() -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=zoo._byte_level())
    assert described(read_text(tokenizer, "<x>")) == ["<", "x", ">"]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<x>"]})
    assert described(read_text(tokenizer, "<x>")) == ["<x> special"]
    tokenizer.add_special_tokens({"mask_token": "H"})
    assert labels(tokenizer, [tokenizer.mask_token_id])[0].kind == "special"


def test_the_beginning_of_text_token() -> None:
    tokenizer = zoo.sentencepiece_bpe()
    assert read_text(tokenizer, "is").notes == []
    doubled = read_text(tokenizer, "<s>is").notes
    assert "two <s> at the beginning" in doubled[0]
    assert "add_special_tokens=False" in doubled[0]
    assert read_text(tokenizer, "<s>is", add_special_tokens=False).ids[0] == tokenizer.bos_token_id
    assert any("no <s>" in note for note in read_text(tokenizer, "is", add_special_tokens=False).notes)
    assert "two <s>" in read_ids(tokenizer, [1, 1, 5]).notes[0]
    assert read_ids(tokenizer, [5]).notes == []
    assert read_text(zoo.byte_level(), "is").notes == [], "this one does not add its own by itself"


def test_lone_surrogates_are_replaced_and_noted() -> None:
    assert well_formed("a\ud800b\udc00\udc00") == ("a\ufffdb\ufffd\ufffd", 3)
    assert well_formed("\ud83d\ude00") == ("😀", 0)
    assert well_formed("plain 😀") == ("plain 😀", 0)
    tokens = read_text(zoo.byte_level(), "a\ud800")
    assert str(tokens) == "a\ufffd"
    assert "lone surrogate" in tokens.notes[0]
    assert "2 lone surrogates" in read_text(zoo.byte_level(), "\ud800a\ud800").notes[0]


# --- what has no shape ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b", "a b"),
        ("\n", "⏎"),
        ("\r\n\t", "␍⏎⇥"),
        ("\x00", "⟨U+0000⟩"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("\u200b", "⟨U+200B⟩"),
        (FAMILY, FAMILY),
        ("❤️‍🔥", "❤️‍🔥"),
        ("\u200d", "⟨U+200D⟩"),
        ("👨\u200d", "👨⟨U+200D⟩"),
        ("\u200d👩", "⟨U+200D⟩👩"),
        ("\ufe0f", "⟨U+FE0F⟩"),
        ("❤️", "❤️"),
        ("❤️\ufe0f", "❤️⟨U+FE0F⟩"),
        ("\u0301", "◌\u0301"),
        ("e\u0301", "e\u0301"),
        (" \u0301", " ◌\u0301"),
        ("क्‍ष", "क्‍ष"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("🏴\U000e0067", "🏴⟨U+E0067⟩"),
        (SCOTLAND, SCOTLAND),
        (f"{SCOTLAND}\U000e0067", f"{SCOTLAND}⟨U+E0067⟩"),
        ("\U0001f3f4\U000e0061\U000e007f", "🏴⟨U+E0061⟩⟨U+E007F⟩"),
        ("\ue000\uffff", "⟨U+E000⟩⟨U+FFFF⟩"),
        ("\u2028", "⟨U+2028⟩"),
        ("\u3000\u00a0", "\u3000\u00a0"),
        ("\U0001fae8", "\U0001fae8"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_control_is_a_kind_only_where_nothing_else_is_there() -> None:
    assert [token.kind for token in read_text(zoo.byte_level(), "\n\x00a")] == ["control", "control", "text"]


# --- the sequence -----------------------------------------------------------------------------------------------


def test_tokens_are_a_sequence_that_knows_its_text() -> None:
    tokens = read_text(zoo.byte_level(), "Hello 世")
    assert len(tokens) == len(tokens.ids) == len(list(tokens))
    assert tokens[0] == Token(tokens.ids[0], "Hello", "text", 0, 1, 1)
    assert tokens[-3:] == tuple(tokens)[-3:]
    assert [len(group) for group in tokens.groups] == [1, 1, 3]
    assert tokens == read_text(zoo.byte_level(), "Hello 世")
    assert hash(tokens) == hash(read_text(zoo.byte_level(), "Hello 世"))
    assert repr(tokens) == "Tokens(5: 'Hello', ' ', '世' (3 pieces))"
    assert tokens.text == "Hello 世"


def test_ids_of_every_container() -> None:
    tokenizer = zoo.byte_level()
    ids = read_text(tokenizer, "Hello").ids
    for container in (tuple(ids), iter(ids), np.array(ids), torch.tensor(ids)):
        assert read_ids(tokenizer, container).ids == ids
    for wrong in ("12", [1.5], [[1]], torch.tensor([[1]]), [None]):
        with pytest.raises(TypeError, match="ids"):
            read_ids(tokenizer, wrong)


@pytest.mark.parametrize("wrong", [None, b"bytes", 5, ["a"], torch.tensor([1])])
def test_text_of_another_type_is_named(wrong: Any) -> None:
    with pytest.raises(TypeError, match=type(wrong).__name__):
        read_text(zoo.byte_level(), wrong)


def test_a_chip_of_spaces_is_seen() -> None:
    assert ">␣␣␣</span>" in Tokens([Token(1, "   ", "text")], "   ")._repr_html_()


def test_no_text_becomes_markup() -> None:
    class Elements(HTMLParser):
        found: list[tuple[str, tuple[str, ...]]]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found.append((tag, tuple(name for name, _ in attrs)))

    for text in ("</script><img src=x onerror=alert(1)>", "'\"><svg/onload=alert(1)>", "<!--", "${x}`{{y}}"):
        for make in (zoo.byte_level, zoo.wordpiece, zoo.unigram):
            parser = Elements()
            parser.found = []
            parser.feed(read_text(make(), text)._repr_html_())
            assert set(parser.found) <= {("div", ("style",)), ("div", ()), ("span", ("title", "style")), ("sub", ())}


def test_tokens_cross_the_wire_as_plain_values() -> None:
    from dataclasses import asdict

    token = read_text(zoo.byte_level(), "世")[1]
    wire = json.loads(json.dumps(asdict(token)))
    assert wire == {"id": token.id, "text": "世", "kind": "byte", "group": 0, "part": 2, "parts": 3}


def test_reading_holds_no_tokenizer_alive() -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=zoo._byte_level())
    kept = (read_text(tokenizer, "Hello 世"), labels(tokenizer, range(100)))
    alive = weakref.ref(tokenizer)
    del tokenizer
    gc.collect()
    assert alive() is None
    assert kept


# --- the sample models' tokenizers ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2() -> Any:
    from transformers import AutoTokenizer

    from explorer import samples

    return AutoTokenizer.from_pretrained(samples.folder("smollm2"))


@pytest.fixture(scope="module")
def minilm() -> Any:
    from transformers import AutoTokenizer

    from explorer import samples

    return AutoTokenizer.from_pretrained(samples.folder("minilm"))


def smollm2_letters(char: str) -> str:
    """The letters of byte-level spelling for a character, from the library that defines it."""
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(char)[0][0]


@pytest.mark.model
@profile(deadline=None, max_examples=100)
@given(text=st.text(PLAIN, max_size=40))
@example(text="The quick 棕色 fox 🦊 naïve ﬁ\n\n    def f(x):\n\treturn x")
def test_the_sample_shows_exactly_what_was_typed(smollm2: Any, text: str) -> None:
    bytes_known = set("".join(token for token in smollm2.get_vocab() if len(token) == 1))
    text = "".join(char for char in text if set(smollm2_letters(char)) <= bytes_known)
    text = text.replace("<", "‹")  # no special token by accident
    tokens = read_text(smollm2, text)
    assert_partition(tokens)
    assert typed_again(str(tokens)) == text
    assert read_ids(smollm2, tokens.ids).text == text


@pytest.mark.model
def test_bytes_that_the_sample_has_no_entry_for_are_noted(smollm2: Any) -> None:
    tokens = read_text(smollm2, "a\U00040000")
    assert described(tokens) == ["a", "⟨80⟩ byte", "⟨80⟩ byte", "⟨80⟩ byte"]
    assert "drops \U00040000" in tokens.notes[0]
    assert read_text(smollm2, "\x16").ids == []
    assert "drops ⟨U+0016⟩" in read_text(smollm2, "\x16").notes[0]


@pytest.mark.model
def test_the_whole_vocabulary_of_the_sample_has_labels(smollm2: Any) -> None:
    shown = labels(smollm2, range(len(smollm2)))
    assert len(shown) == len(smollm2) == 49152
    assert not any(sign in token.text for token in shown for sign in "Ġ▁")
    assert shown[smollm2.convert_tokens_to_ids("ĠParis")].text == " Paris"
    assert shown[smollm2.convert_tokens_to_ids("<|im_start|>")].kind == "special"
    broken = [token for token in shown if "\ufffd" in token.text]
    assert all(smollm2.decode([token.id]) == token.text for token in broken), "only entries that are U+FFFD itself"


@pytest.mark.model
def test_the_sample_encoder_shows_words_as_typed(minilm: Any) -> None:
    tokens = read_text(minilm, "Café unbelievableness, 世界!")
    assert str(tokens).startswith("[CLS]Café unbelievableness, 世")
    assert not any("##" in token.text for token in tokens)
    assert len(read_text(minilm, "word " * 300)) == 302, "the tokenizer's own limit of 128 does not cut"
