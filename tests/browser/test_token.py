"""The token panel in JupyterLab: typing, the special-tokens switch, choosing, and another tokenizer beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from .notebook import Notebook
from .panels import TokenPage


@pytest.fixture
def panel(four: Notebook) -> Iterator[TokenPage]:
    four.run(
        "token.special_tokens, token.literal, token.chosen = True, False, None\n"
        "token.text = 'The capital'\ntoken.wait(60)"
    )
    yield TokenPage(four)
    four.watched.assert_clean()


def test_typing_switching_choosing_and_comparing(panel: TokenPage) -> None:
    rows, pairs = panel.rows, panel.root.locator(".explorer-token-pair")
    panel.type("Two words")
    expect(rows.last).to_contain_text(" words")
    expect(panel.chips).to_have_text(["<|im_start|>", "Two", " words"])
    panel.becomes("[row for row in token.frame['text']]", ["<|im_start|>", "Two", " words"])
    expect(pairs).to_have_count(3)
    expect(pairs.first).to_have_text("<|im_start|>∅")

    switch = panel.root.get_by_label("add special tokens")
    expect(switch).to_be_checked()
    switch.uncheck()
    panel.becomes("token.special_tokens", False)
    expect(panel.chips).to_have_text(["Two", " words"])
    panel.becomes("token.frame['id'].tolist() == model.tokenizer('Two words')['input_ids']", True)
    expect(panel.root.locator(".explorer-token-compare")).to_contain_text("2 of 2 groups are one token in both")
    panel.notebook.run("token.special_tokens = True")
    expect(switch).to_be_checked()
    expect(panel.chips).to_have_count(3)

    rows.nth(2).click()
    panel.becomes("token.chosen", 2)
    expect(panel.chips.nth(2)).to_have_class(re.compile("is-selected"))
    panel.chips.nth(1).click()
    panel.becomes("token.chosen", 1)
    expect(rows.nth(1)).to_have_class(re.compile("is-chosen"))


_CLUSTERS = (
    "👨\u200d👩\u200d👧 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f 🇫🇷🇩🇪 👍🏽 e\u0301 नमस्ते กำ"
)


def test_what_a_reader_sees_as_one_is_one_frame_as_the_browser_itself_cuts_it(panel: TokenPage) -> None:
    panel.notebook.run(f"token.special_tokens = False\ntoken.text = {_CLUSTERS!r}\ntoken.wait(60)")
    expect(panel.chips.last).to_have_text(re.compile("^กำ"))
    whole: list[str] = panel.page.evaluate(
        "text => [...new Intl.Segmenter('en', { granularity: 'grapheme' }).segment(text)].map(one => one.segment)",
        _CLUSTERS,
    )
    ends = [sum(map(len, whole[:end])) for end in range(len(whole) + 1)]
    texts = panel.chip_texts()
    assert "".join(texts) == _CLUSTERS
    assert {sum(map(len, texts[:end])) for end in range(len(texts) + 1)} <= set(ends), (
        "no frame ends inside a character"
    )
    family = panel.chips.filter(has_text="👨").first
    pieces = panel.value("token.frame[token.frame['character'] == 0]['id'].tolist()")
    assert pieces == panel.value("model.tokenizer('👨\u200d👩\u200d👧')['input_ids']")
    expect(family.locator(".explorer-part")).to_have_text(f"1/{len(pieces)}")
    expect(family.locator(".explorer-piece")).to_have_count(len(pieces))


def test_names_of_special_tokens_are_read_as_plain_text_where_asked(panel: TokenPage) -> None:
    panel.put("say <|im_end|>")
    expect(panel.chips.last).to_have_class(re.compile("is-special"))
    expect(panel.root.locator(".explorer-token-notes .is-warning").first).to_contain_text("read as a special token")
    panel.root.get_by_label("read names of special tokens as plain text").check()
    panel.becomes("token.literal", True)
    expect(panel.chips.filter(has_text="<|im_end|>")).to_have_count(0)
    expect(panel.root.locator(".explorer-token-notes .is-warning").first).to_contain_text("read as plain characters")
    ids = "model.tokenizer('say <|im_end|>', split_special_tokens=True)['input_ids']"
    panel.becomes(f"token.frame['id'].tolist()[1:] == {ids}", True)
    panel.notebook.run("token.exploration.undo()")
    expect(panel.chips.last).to_have_class(re.compile("is-special"))


@pytest.mark.parametrize(
    "text",
    [
        "مرحبا بالعالم",
        "שלום עולם",
        "ภาษาไทยง่าย",
        "日本語と中文",
        "   ",
        "a",
        """</script><img src=x onerror=alert(1)><!-- javascript:alert(1) ${alert(1)} {{7*7}} "'`""",
    ],
)
def test_a_text_is_shown_as_it_was_typed_and_does_nothing(panel: TokenPage, text: str) -> None:
    panel.notebook.run("token.special_tokens = False")
    panel.put(text)
    ids = panel.value(f"model.tokenizer({text!r})['input_ids']")
    panel.becomes("token.frame['id'].tolist()", ids)
    expect(panel.rows).to_have_count(min(len(ids), 18))
    assert "".join(panel.chip_texts()) == text
    expect(panel.root.locator("img, script, iframe")).to_have_count(0)
    leftwards = {"مرحبا بالعالم", "שלום עולם"}
    direction = panel.root.get_by_label(panel.strip, exact=True).evaluate("row => getComputedStyle(row).direction")
    assert direction == ("rtl" if text in leftwards else "ltr")


def test_what_cannot_be_seen_is_shown(panel: TokenPage) -> None:
    panel.notebook.run("token.text = 'a\\x00b\\u200b\\u202ec'\ntoken.wait(60)")
    warning = panel.root.locator(".explorer-token-notes .is-warning").first
    expect(warning).to_contain_text("⟨U+0000⟩, ⟨U+200B⟩, ⟨U+202E⟩")
    shown = "".join(panel.chip_texts())
    assert [sign in shown for sign in ("⟨U+0000⟩", "⟨U+200B⟩", "⟨U+202E⟩")] == [True] * 3
    assert not set(shown) & {"\x00", "\u200b", "\u202e"}


def test_a_long_prompt_draws_the_rows_in_sight(panel: TokenPage) -> None:
    panel.notebook.run("token.text = 'word ' * 4000")
    expect(panel.root.locator(".explorer-token-facts").first).to_contain_text("4,002 of")
    body = panel.root.locator(".explorer-token-room")
    body.focus()
    panel.page.keyboard.press("End")
    panel.becomes("token.chosen", 4001)
    expect(panel.root.locator("[data-row='4001']")).to_be_in_viewport()
    assert panel.rows.count() < 60
