"""Texts of every kind in every panel: other scripts, special tokens, markup, too little, too much, and broken ones."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .notebook import Notebook
from .panels import AttentionPage, AttributionPage, PanelPage, SamplingPage

PANELS = [AttentionPage, AttributionPage, SamplingPage]
PLAIN = "The capital of France is"
MARKUP = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(params=PANELS, ids=lambda page: page.name)
def panel(request: pytest.FixtureRequest, tour: Notebook) -> PanelPage:
    """Each of the three panels."""
    made: PanelPage = request.param(tour)
    return made


def test_scripts_spaces_and_special_tokens_are_shown_as_they_were_typed(panel: PanelPage) -> None:
    panel.start(PLAIN)
    text = "人工智能 🤗  two <|im_start|>é"
    panel.put(text)
    # The pieces of a character share a chip; a special token is a chip of its own.
    expect(panel.chips.filter(has_text="<|im_start|>")).to_have_class(re.compile("is-special"))
    assert "".join(panel.chip_texts()) == text
    assert {"人", "工", "能"} <= set(panel.chip_texts())
    assert " two" in panel.chip_texts()
    pieces = panel.chips.filter(has_text="🤗").locator(".explorer-part")
    expect(pieces).to_have_text(re.compile(r"^1/\d$"))
    panel.becomes(f"{panel.name}.text", text)


def test_markup_stays_text(panel: PanelPage) -> None:
    panel.start(PLAIN)
    panel.type(MARKUP)
    panel.shows(MARKUP)
    expect(panel.page.locator(".jp-NotebookPanel img[src='x']")).to_have_count(0)
    expect(panel.page.locator(".jp-Dialog")).to_have_count(0)
    panel.becomes(f"{panel.name}.text", MARKUP)
    panel.chips.nth(1).hover()  # and in the tooltip
    expect(panel.tooltip).to_be_visible()
    expect(panel.root.locator("img, script")).to_have_count(0)


def test_an_empty_prompt_is_answered_and_the_picture_stays(panel: PanelPage) -> None:
    panel.start(PLAIN)
    panel.prompt.click()
    panel.page.keyboard.press("ControlOrMeta+a")
    panel.page.keyboard.press("Backspace")
    expect(panel.fault).to_have_text(re.compile(r"^\S.*[.!]$"))
    expect(panel.status).to_have_text("error")
    assert "".join(panel.chip_texts()) == PLAIN
    expect(panel.root.locator(".explorer-picture.is-dimmed")).to_be_visible()
    panel.page.keyboard.type("Next one")
    panel.shows("Next one")
    expect(panel.root.locator(".is-dimmed")).to_have_count(0)


def test_a_text_past_the_context_is_answered_and_the_picture_stays(panel: PanelPage) -> None:
    panel.start(PLAIN)
    words = " ".join(["word"] * 9000)
    panel.prompt.evaluate(
        """(field, text) => {
            field.focus();
            field.value = text;
            field.dispatchEvent(new InputEvent("input", { bubbles: true, inputType: "insertFromPaste" }));
        }""",
        words,
    )
    expect(panel.fault).to_contain_text("9,000 tokens")
    assert "".join(panel.chip_texts()) == PLAIN
    panel.put("Short again")
    panel.shows("Short again")


def test_only_spaces_and_one_token_have_a_picture(panel: PanelPage) -> None:
    panel.start(PLAIN)
    panel.put("   ")
    panel.shows("   ")
    panel.put("a")
    panel.shows("a")
    expect(panel.chips).to_have_count(1)


def test_half_a_character_is_replaced_and_said(panel: PanelPage) -> None:
    panel.start(PLAIN)
    panel.prompt.evaluate(
        """field => {
            field.focus();
            field.value = "one \\ud83e two";
            field.dispatchEvent(new InputEvent("input", { bubbles: true }));
        }"""
    )
    panel.shows("one \N{REPLACEMENT CHARACTER} two")
    expect(panel.root.locator(".explorer-prompt .explorer-warning")).to_contain_text("half of a character pair")
    panel.becomes(f"{panel.name}.text", "one \N{REPLACEMENT CHARACTER} two")


def test_keys_in_a_panel_are_no_commands_of_the_notebook(panel: PanelPage) -> None:
    panel.start(PLAIN)
    cells = panel.notebook.cells
    before = cells.count()
    keys = panel.page.keyboard
    # "a" and "b" insert cells, "d d" and "x" delete, "m" turns one into text, "z" undoes, Enter edits.
    for part in (panel.chips.first, panel.root.locator("[role=grid], .explorer-sampling-bar, button").last):
        part.focus()
        for key in ("a", "b", "d", "d", "x", "m", "z", "l"):
            keys.press(key)
    panel.prompt.focus()
    keys.press("ControlOrMeta+a")
    keys.type("abddxmz")
    panel.shows("abddxmz")
    keys.press("Escape")
    keys.press("a")
    panel.shows("abddxmza")
    expect(cells).to_have_count(before)
    expect(panel.page.locator(".jp-Notebook.jp-mod-editMode .jp-CodeCell.jp-mod-active .cm-focused")).to_have_count(0)


def test_text_from_python_arrives_and_an_echo_does_not_undo_typing(panel: PanelPage) -> None:
    panel.start(PLAIN)
    expect(panel.prompt).to_have_value(PLAIN)
    panel.type("typed fast and without a pause, letter by letter")
    expect(panel.prompt).to_have_value("typed fast and without a pause, letter by letter")
    panel.shows("typed fast and without a pause, letter by letter")
    panel.notebook.run(f"{panel.name}.text = 'from Python'")
    panel.shows("from Python")
    expect(panel.prompt).to_have_value("from Python")
