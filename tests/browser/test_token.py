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
    four.run("token.special_tokens, token.chosen = True, None\ntoken.text = 'The capital'\ntoken.wait(60)")
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


def test_what_cannot_be_seen_is_shown_and_markup_stays_text(panel: TokenPage) -> None:
    panel.put("a\u202eb </script><img src=x onerror=alert(1)>")
    expect(panel.root.locator(".explorer-token-notes .is-warning").first).to_contain_text("⟨U+202E⟩")
    expect(panel.root.locator("img")).to_have_count(0)


def test_a_long_prompt_draws_the_rows_in_sight(panel: TokenPage) -> None:
    panel.notebook.run("token.text = 'word ' * 4000")
    expect(panel.root.locator(".explorer-token-facts").first).to_contain_text("4,002 of")
    body = panel.root.locator(".explorer-token-room")
    body.focus()
    panel.page.keyboard.press("End")
    panel.becomes("token.chosen", 4001)
    expect(panel.root.locator("[data-row='4001']")).to_be_in_viewport()
    assert panel.rows.count() < 60
