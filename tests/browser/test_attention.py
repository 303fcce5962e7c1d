"""AttentionPanel by mouse and keyboard, and its selection in Python."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from .panels import AttentionPage

PROMPT = "The capital of France is"
FIRST = "Selection(layer=0, heads=(0,))"


def test_typing_draws_a_new_picture(attention: AttentionPage) -> None:
    attention.start(PROMPT, selection=FIRST)
    attention.type("The cat sat on the mat")
    attention.shows("The cat sat on the mat")
    assert attention.chip_texts() == ["The", " cat", " sat", " on", " the", " mat"]
    rows = attention.root.locator(".explorer-axis.is-row").all_text_contents()
    assert rows == ["The", "cat", "sat", "on", "the", "mat"]
    expect(attention.prompt).to_have_value("The cat sat on the mat")
    expect(attention.prompt).to_be_focused()
    attention.becomes("attention.text", "The cat sat on the mat")
    # What the picture shows is what a cell gets, and the exact map has replaced the thumbnail's.
    attention.map.hover(4, 1)
    expect(attention.tooltip.locator(".explorer-value")).to_have_text(re.compile(r"^[0-9.e-]+$"))


def test_hovering_a_cell_says_query_key_and_the_kernels_weight(attention: AttentionPage) -> None:
    text = "When Mary and John went to the store, John gave a drink to"
    attention.start(text, selection="Selection(layer=24, heads=(4,))")
    for query, key, words in ((13, 1, "“ to” → “ Mary”"), (2, 0, "“ and” → “When”")):
        attention.map.hover(query, key)
        expect(attention.tooltip.locator("bdi")).to_have_text(words)
        shown = float(attention.tooltip.locator(".explorer-value").text_content())
        exact = attention.value(f"float(model.trace({text!r}).pattern(24, heads=[4])[0, 0, {query}, {key}])")
        assert abs(shown - exact) <= 0.0005 + 1e-6
    attention.map.hover(1, 2)
    expect(attention.tooltip).to_contain_text("it comes later")


def test_clicking_a_thumbnail_and_a_cell_is_a_selection_in_python(attention: AttentionPage) -> None:
    attention.start(PROMPT, selection=FIRST)
    attention.heads.click(row=6, col=17)
    expect(attention.head).to_have_text("layer 17 · head 6")
    attention.selects(layer=17, head=6, query=None, key=None)
    attention.map.click(3, 2)
    expect(attention.root.locator(".explorer-map .explorer-frame.is-chosen")).to_be_visible()
    attention.selects(layer=17, head=6, query=3, key=2)
    attention.map.click(3, 2)  # once more lets go
    expect(attention.root.locator(".explorer-map .explorer-frame.is-chosen")).to_have_count(0)
    attention.selects(layer=17, head=6, query=None, key=None)


def test_a_selection_set_in_python_moves_the_panel(attention: AttentionPage) -> None:
    attention.start(PROMPT, selection=FIRST)
    attention.notebook.run("attention.selection = Selection(layer=12, heads=(3,), query=4, key=1)")
    expect(attention.head).to_have_text("layer 12 · head 3")
    expect(attention.root.locator(".explorer-axis.is-row.is-chosen")).to_have_text("is")
    expect(attention.root.locator(".explorer-axis.is-col.is-chosen")).to_have_text("capital")
    exact = attention.value(f"float(model.trace({PROMPT!r}).pattern(12, heads=[3])[0, 0, 4, 1])")
    said = attention.root.locator("p[aria-live=polite]")
    expect(said).to_have_text(f"layer 12 · head 3 · “ is” → “ capital” {exact:.3f}")


def test_arrows_walk_layers_and_heads_and_escape_lets_go(attention: AttentionPage) -> None:
    attention.start(PROMPT, selection="Selection(layer=0, heads=(0,), query=4, key=1)")
    attention.heads.root.focus()
    keys = attention.page.keyboard
    for key, shown in (
        ("ArrowRight", "layer 1 · head 0"),
        ("ArrowDown", "layer 1 · head 1"),
        ("ArrowLeft", "layer 0 · head 1"),
        ("ArrowLeft", "layer 0 · head 1"),  # stops at the edge
        ("End", "layer 29 · head 1"),
        ("ArrowUp", "layer 29 · head 0"),
    ):
        keys.press(key)
        expect(attention.head).to_have_text(shown)
    chosen = attention.root.locator(".explorer-map .explorer-frame.is-chosen")
    expect(chosen).to_be_visible()
    keys.press("Escape")
    expect(chosen).to_have_count(0)
    attention.selects(layer=29, head=0, query=None, key=None)


def test_arrows_walk_the_cells_of_the_map_and_enter_chooses(attention: AttentionPage) -> None:
    attention.start(PROMPT, selection="Selection(layer=5, heads=(2,), query=2, key=1)")
    attention.map.root.focus()
    keys = attention.page.keyboard
    keys.press("ArrowDown")
    keys.press("ArrowLeft")
    expect(attention.tooltip.locator("bdi")).to_have_text("“ France” → “The”")
    keys.press("Enter")
    expect(attention.root.locator(".explorer-axis.is-row.is-chosen")).to_have_text("France")
    attention.selects(layer=5, head=2, query=3, key=0)


def test_a_click_on_a_token_asks_for_its_row(attention: AttentionPage) -> None:
    attention.start(PROMPT, selection=FIRST)
    attention.chips.nth(2).click()
    expect(attention.root.locator(".explorer-weights h3")).to_have_text("“ of” attends to")
    attention.selects(layer=0, head=0, query=2, key=None)


def test_a_click_that_comes_a_picture_too_late_is_done_with_at_the_next(attention: AttentionPage) -> None:
    attention.start("When Mary and John went to the store, John gave a drink to", selection=FIRST)
    # The browser is busy while the kernel answers, so the click still meets the picture of fourteen tokens.
    attention.prompt.evaluate(
        """(field, [x, y]) => {
            field.focus();
            field.value = "Hello there";
            field.dispatchEvent(new InputEvent("input", { bubbles: true }));
            const end = performance.now() + 3000;
            while (performance.now() < end);
            document.elementFromPoint(x, y).dispatchEvent(
                new MouseEvent("click", { bubbles: true, clientX: x, clientY: y }));
        }""",
        list(attention.map.point(13, 1)),
    )
    expect(attention.root.get_by_label(attention.strip, exact=True)).to_have_text("Hello there")
    attention.map.click(1, 0)
    attention.selects(layer=0, head=0, query=1, key=0)
    attention.shows("Hello there")
    expect(attention.root.locator(".is-dimmed")).to_have_count(0)


def test_zooming_a_long_text_shows_the_kernels_single_weights(attention: AttentionPage) -> None:
    text = "one two three four five six seven eight nine ten " * 30
    attention.start(text.strip(), selection="Selection(layer=11, heads=(2,))")
    aside = attention.root.locator(".explorer-aside")
    expect(aside).to_contain_text("each cell is the largest of 2 × 2 weights")
    attention.map.root.focus()
    for _ in range(4):
        attention.page.keyboard.press("+")
    expect(aside).not_to_contain_text("each cell is the largest")
    expect(aside).not_to_contain_text("being computed")
    rows, cols = attention.map.rows, attention.map.cols
    assert rows < 100
    attention.map.hover(rows - 1, cols // 2)
    expect(attention.tooltip.locator(".explorer-value")).to_have_text(re.compile(r"^[0-9.e-]+$|later"))
    attention.map.click(rows - 1, 0)
    query, key = attention.value("[attention.selection.query, attention.selection.key]")
    shown = attention.root.locator("p[aria-live=polite]").text_content() or ""
    exact = attention.value(f"float(attention.exploration.trace().pattern(11, heads=[2])[0, 0, {query}, {key}])")
    assert abs(float(shown.split()[-1]) - exact) <= 0.0005 + 1e-6
    attention.page.keyboard.press("Escape")
    attention.map.root.focus()
    attention.page.keyboard.press("Home")
    expect(aside).to_contain_text("each cell is the largest of 2 × 2 weights")


def test_the_text_is_coloured_by_the_kernels_row_and_column(attention: AttentionPage) -> None:
    attention.start(PROMPT, selection="Selection(layer=12, heads=(3,), query=4)")
    attention.root.get_by_role("radio", name="Text").click()
    chips = attention.root.locator(".explorer-text-view .explorer-chip")
    for direction, at in (("attends", "4, 1"), ("attended", "1, 4")):
        attention.root.get_by_label("Direction").select_option(direction)
        if direction == "attended":
            chips.nth(4).click()
        exact = attention.value(f"float(model.trace({PROMPT!r}).pattern(12, heads=[3])[0, 0, {at}])")
        expected = "not seen" if at == "1, 4" else f"{exact:.3f}"
        expect(chips.nth(1)).to_have_attribute("aria-label", re.compile(f"{re.escape(expected)}$"))
    attention.root.get_by_label("Direction").select_option("attends")
    attention.root.get_by_role("radio", name="Matrix").click()
    expect(attention.map.root).to_be_visible()


def test_a_long_text_is_found_in_and_walked_while_only_what_is_in_sight_is_drawn(attention: AttentionPage) -> None:
    text = "one two three four five six seven eight nine ten. " * 60 + "the <b>last</b> word"
    attention.start(PROMPT, selection="Selection(layer=11, heads=(2,))")
    attention.notebook.run(f"attention.mode, attention.text = 'text', {text!r}\nattention.wait(300)")
    room = attention.root.get_by_role("listbox", name="Text")
    expect(room.locator(".explorer-text-block").nth(1)).to_be_attached()
    tokens = attention.value("len(attention.view['tokens'])")
    room.locator("[data-index='0']").focus()
    assert 0 < room.locator(".explorer-chip").count() < tokens
    attention.page.keyboard.press("/")
    attention.page.keyboard.type("<B>last")
    expect(attention.root.locator(".explorer-text-found")).to_have_text("1 / 1")
    expect(room.locator(".is-found").first).to_be_in_viewport()
    found = int(room.locator(".is-found").last.get_attribute("data-index") or -1)
    room.locator(f"[data-index='{found}']").focus()
    attention.page.keyboard.press("Enter")
    attention.becomes("attention.selection.query", found)
    exact = attention.value(f"float(model.trace({text!r}).pattern(11, heads=[2])[0, 0, {found}, {found - 1}])")
    shown = f"{exact:.3f}" if exact >= 0.0005 else f"{exact:.1e}".replace("e-0", "e-")
    before = room.locator(f"[data-index='{found - 1}']")
    expect(before).to_have_attribute("aria-label", re.compile(f"{re.escape(shown)}$"))
    room.locator(f"[data-index='{found}']").focus()
    for key, index in (("ArrowLeft", found - 1), ("Home", 0), ("End", tokens - 1)):
        attention.page.keyboard.press(key)
        expect(room.locator(f"[data-index='{index}']")).to_be_focused()
    attention.page.keyboard.press("ArrowUp")
    expect(room.locator(f"[data-index='{tokens - 1}']")).not_to_be_focused()
    assert 0 < int(room.locator(":focus").get_attribute("data-index") or -1) < tokens - 1
    attention.notebook.run("attention.mode = 'matrix'")


def test_ablating_a_head_from_the_panel_is_an_edit_in_python(attention: AttentionPage) -> None:
    attention.start(PROMPT, selection="Selection(layer=3, heads=(1,))")
    attention.heads.root.focus()
    attention.page.keyboard.press("Shift+ArrowDown")
    expect(attention.head).to_have_text("layer 3 · mean of heads 1, 2")
    attention.root.get_by_role("button", name="ablate").click()
    attention.becomes("repr(attention.exploration.edits)", "(Ablate('layers.3.attn.z', heads=(1, 2)),)")
    expect(attention.heads.root.locator(".is-edited")).to_have_count(2)
    attention.root.get_by_role("button", name="ablate").click()
    attention.becomes("len(attention.exploration.edits)", 0)
