"""Where tokens stand in their text, which of them make up a character or word, and two rows of them side by side."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from transformers import BertJapaneseTokenizer

import explorer
from explorer import Attribution, Refused, Token, Tokens, align
from explorer.text_units import boundaries, units
from explorer.tokens import read_ids, read_text
from tests import tiny_tokenizers as zoo

EXACT = [zoo.byte_level, zoo.byte_level_prefixed, zoo.sentencepiece_bpe]
ALL = [*EXACT, zoo.byte_level_composing, zoo.byte_level_lower, zoo.unigram, zoo.wordpiece]
FAMILY = "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}"
HARD = [
    "The capital of France is",
    "中国的首都是北京。",
    "東京は日本の首都です。",
    "ภาษาไทยง่าย ดี",
    FAMILY,
    "e\u0301te\u0301",
    "ﬁne ﬁ",
    "مرحبا بالعالم",
    "a\u202eb\u200bc\x00d",
    "  two\n\n\tx ",
    "🇩🇪🇫🇷",
    "don't 3.14 a_b",
    "<s> [SEP] <|end|>",
    "É NAÏVE",
    " ",
    "\U0001f98a龍",
]
# Without sentencepiece's own sign for a space, which it cannot tell from one.
TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\u2581"), max_size=20) | st.lists(
    st.sampled_from(HARD), min_size=1, max_size=3
).map("".join)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer written in Python: no offsets, lower case, accents taken off."""
    vocabulary: Path = tmp_path_factory.mktemp("slow") / "vocab.txt"
    letters = [*"abcdefghijklmnopqrstuvwxyz.,'", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary.write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cafe", "un", "##able", "中", *letters])
    )
    return BertJapaneseTokenizer(
        str(vocabulary), word_tokenizer_type="basic", subword_tokenizer_type="wordpiece", do_lower_case=True
    )


@pytest.mark.parametrize("make", EXACT)
@profile(deadline=None, max_examples=120)
@given(text=TEXTS)
def test_places_are_where_the_bytes_of_the_text_stand(make: Callable[[], Any], text: str) -> None:
    tokens = read_text(make(), text)
    places = tokens.places
    assert places is not None
    typed = [
        place
        for place in dict.fromkeys((token.group, place) for token, place in zip(tokens, places, strict=True))
        if place[1]
    ]
    assert "".join(text[place[0] : place[1]] for _, place in typed if place) == text
    for token, place in zip(tokens, places, strict=True):
        if place is not None and token.kind == "text" and token.text.isalnum():
            assert text[place[0] : place[1]] == token.text


def test_places_agree_with_the_tokenizers_own_offsets() -> None:
    text = "The CAFÉ is une\u0301   中 'un'"
    tokenizer = zoo.wordpiece()
    own = tokenizer(text, return_offsets_mapping=True, truncation=False, padding=False)["offset_mapping"]
    places = read_text(tokenizer, text).places
    assert places is not None
    assert places[0] is None
    assert places[-1] is None
    for place, (begin, end) in zip(places[1:-1], own[1:-1], strict=True):
        assert place is not None
        # Ours begins with the white space before a word, and holds the accent that the tokenizer takes off.
        assert text[place[0] : begin].strip() == ""
        assert all(unicodedata.combining(char) for char in text[end : place[1]])


@profile(deadline=None, max_examples=80)
@given(
    words=st.lists(
        st.sampled_from(["the", "Café", "UNABLE", "e\u0301", "中", "𐍈", "x,y", "don't", "\u200bun"]),
        min_size=1,
        max_size=6,
    )
)
def test_a_tokenizer_without_offsets_is_placed_by_what_it_spells(slow: Any, words: list[str]) -> None:
    text = " ".join(words)
    assert not slow.is_fast
    tokens = read_text(slow, text)
    places = tokens.places
    assert places is not None
    before = 0
    for token, place in list(zip(tokens, places, strict=True))[1:-1]:
        assert place is not None
        assert before <= place[0] < place[1], "in order, and each stands for something"
        before = place[1]
        if token.kind == "text":
            assert token.text.strip() == explorer.tokens.visible(text[place[0] : place[1]]).strip()
    assert not set(text[before:].strip()) - {"\u200b"}


def test_what_cannot_be_placed_is_not_guessed(slow: Any) -> None:
    class Odd:
        """Reads every text as the same words."""

        is_fast = False
        all_special_ids = ()
        bos_token_id = unk_token_id = None

        def __call__(self, text: str, **options: Any) -> Any:
            return {"input_ids": [slow.convert_tokens_to_ids("the"), slow.convert_tokens_to_ids("cafe")]}

        def __getattr__(self, name: str) -> Any:
            return getattr(slow, name)

    tokens = read_text(Odd(), "nothing of it")
    assert tokens.places is None
    with pytest.raises(Refused, match="not known"):
        tokens.words()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The capital, isn't it? 3.14", ["The", " capital", ",", " isn't", " it", "?", " 3.14"]),
        ("中国。", ["中", "国", "。"]),
        ("東京カタカナ", ["東", "京", "カタカナ"]),
        ("ภาษาไทย ดี", ["ภาษาไทย", " ดี"]),
        ("한국어 말", ["한국어", " 말"]),
        ("مرحبا بالعالم", ["مرحبا", " بالعالم"]),
        (f"a {FAMILY}🇩🇪🇫🇷", ["a", f" {FAMILY}", "🇩🇪", "🇫🇷"]),
        ("a  b\n\nc", ["a", "  ", "b", "\n", "\n", "c"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    cuts = boundaries(text, "word")
    assert [text[begin:end] for begin, end in pairwise(cuts)] == words


def test_characters_are_what_a_reader_sees_as_one() -> None:
    text = f"e\u0301{FAMILY}🇩🇪ท่\r\n"
    cuts = boundaries(text, "character")
    assert [text[begin:end] for begin, end in pairwise(cuts)] == [
        "e\u0301",
        FAMILY,
        "🇩🇪",
        "ท่",
        "\r\n",
    ]


@pytest.mark.parametrize("make", ALL)
@profile(deadline=None, max_examples=60)
@given(text=TEXTS)
@example(text="ﬁne")
def test_every_token_is_in_one_unit_and_units_end_where_characters_and_words_do(
    make: Callable[[], Any], text: str
) -> None:
    tokens = read_text(make(), text)
    for by in ("character", "word"):
        found = units(tokens, by)
        assert [position for unit in found for position in unit.positions] == list(range(len(tokens)))
        cuts = set(boundaries(text, by))
        placed = [unit for unit in found if unit.begin is not None and unit.end is not None and unit.end > unit.begin]
        for unit, following in pairwise(placed):
            assert unit.end is not None
            assert following.begin is not None
            assert any(unit.end <= cut <= following.begin for cut in cuts)


def test_pieces_and_joined_characters_share_a_unit() -> None:
    tokens = read_text(zoo.byte_level(), f"x{FAMILY}y")
    assert [unit.text for unit in tokens.characters()] == ["x", FAMILY, "y"]
    assert len(tokens.characters()[1].positions) == len(tokens) - 2


@profile(deadline=None, max_examples=60)
@given(text=TEXTS)
def test_what_is_shown_as_one_is_one_character_or_what_a_token_links(text: str) -> None:
    tokens = read_text(zoo.byte_level(), text)
    starts = {unit.positions.start for unit in tokens.characters()}
    for position, token in enumerate(tokens):
        if token.kind != "special" and tokens[max(0, position - 1)].kind != "special":
            assert (token.part == 1) == (position in starts)


@pytest.mark.parametrize("one", ALL)
@pytest.mark.parametrize("other", ALL)
@profile(deadline=None, max_examples=25)
@given(text=TEXTS)
def test_alignment_covers_both_sides_in_order(one: Callable[[], Any], other: Callable[[], Any], text: str) -> None:
    a, b = read_text(one(), text), read_text(other(), text)
    groups = align(a, b)
    assert [position for group in groups for position in group.a] == list(range(len(a)))
    assert [position for group in groups for position in group.b] == list(range(len(b)))
    assert all(group.a or group.b for group in groups)
    if one in EXACT and other in EXACT:
        assert "".join(group.text for group in groups) == text
        for group in groups:
            for tokens, positions in ((a, group.a), (b, group.b)):
                assert tokens.places is not None
                covered = [tokens.places[position] for position in positions if tokens.places[position] is not None]
                if group.text:
                    assert positions, "what one side spells the other spells too"
                    assert text[min(p[0] for p in covered if p) : max(p[1] for p in covered if p)] == group.text
    assert align(a, a) == align(b, b) or one is not other


def test_a_row_beside_itself_is_group_by_group() -> None:
    tokens = read_text(zoo.byte_level(), "Hello 中 world")
    assert [tuple(group.a) for group in align(tokens, tokens)] == [tuple(group.b) for group in align(tokens, tokens)]
    assert max(len(group.a) for group in align(tokens, tokens)) == max(len(group) for group in tokens.groups)


def test_known_alignment() -> None:
    a, b = read_text(zoo.sentencepiece_bpe(), "ab 中"), read_text(zoo.byte_level(), "ab 中")
    groups = align(a, b)
    assert groups[0].text == ""
    assert (groups[0].a, len(groups[0].b)) == (range(1), 0), "<s> has nothing beside it"
    assert groups[-1].text.strip() == "中"
    with pytest.raises(Refused, match="differ from character 1"):
        align(a, read_text(zoo.byte_level(), "ax 中"))


def _attribution(tokens: Tokens, scores: torch.Tensor) -> Attribution:
    return Attribution(tokens, Token(1, "x", "text"), None, "input_x_gradient", scores, 1.0, None, None, "")


@profile(deadline=None, max_examples=60)
@given(text=TEXTS, data=st.data())
def test_sums_keep_the_total_exactly(text: str, data: st.DataObject) -> None:
    tokens = read_text(zoo.byte_level(), text + ".")
    # Quarters are exact in binary, so the total has to come out to the last bit.
    quarters = data.draw(st.lists(st.integers(-4000, 4000), min_size=len(tokens), max_size=len(tokens)))
    scores = torch.tensor(quarters, dtype=torch.float32) / 4
    for by in ("character", "word"):
        frame = _attribution(tokens, scores).summed(by)
        assert math.fsum(frame["score"]) == sum(quarters) / 4
        assert frame["tokens"].sum() == len(tokens)
        for row in frame.itertuples():
            assert row.score == sum(quarters[row.first : row.last + 1]) / 4


def test_another_unit_is_refused() -> None:
    tokens = read_text(zoo.byte_level(), "a")
    with pytest.raises(Refused, match="'sentence' is not one of character, word"):
        _attribution(tokens, torch.ones(1)).summed("sentence")  # type: ignore[arg-type]


def test_ids_alone_have_places_in_what_they_spell() -> None:
    tokenizer = zoo.byte_level()
    ids = read_text(tokenizer, "Hello 中").ids
    tokens = read_ids(tokenizer, [1, *ids])
    assert tokens.places is not None
    assert tokens.places[0] == (0, len("<|start|>"))
    assert tokens.text[tokens.places[-1][0] : tokens.places[-1][1]].strip() == "中"  # type: ignore[index]
