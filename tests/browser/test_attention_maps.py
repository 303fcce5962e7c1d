"""The views over depth and of differences, by mouse and keyboard, and their numbers in Python."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from .panels import AttentionPage, Grid

TEXT = "The capital of France is"
NUMBER = re.compile(r"^[0-9.e-]+$")


def test_rollout_and_norms_are_those_of_python(attention: AttentionPage) -> None:
    attention.start(TEXT, mode="'matrix'", selection="Selection(layer=11, heads=(3,))")
    attention.notebook.run("attention.mode = 'depth'")
    view = attention.root.locator(".explorer-depth")
    grid = Grid(view.locator(".explorer-map"), 5, 5)
    value = view.locator(".explorer-tooltip .explorer-value")
    expect(view.locator(".explorer-subtitle")).to_have_text("rollout · layers 0 to 11")
    grid.hover(4, 3)
    expect(value).to_have_text(NUMBER)
    shown = float(value.inner_text())  # before a cell is run: that moves the page under the pointer
    exact = attention.value(f"float(model.trace({TEXT!r}).rollout(layer=11)[4, 3])")
    assert abs(shown - exact) <= 0.0005 + 1e-6
    view.get_by_label("Measure").select_option("norm-weighted")
    expect(view.locator(".explorer-subtitle")).to_have_text("norm-weighted · layer 11 · head 3")
    view.get_by_label("layer", exact=True).press("ArrowRight")
    attention.becomes("attention.selection.layer", 12)
    expect(view.locator(".explorer-subtitle")).to_have_text("norm-weighted · layer 12 · head 3")
    view.locator(".explorer-map").focus()
    attention.page.keyboard.press("Enter")
    attention.becomes("(attention.selection.query, attention.selection.key)", [4, 0])
    view.get_by_label("Measure").select_option("flow")
    expect(view.locator(".explorer-aside")).to_contain_text("1 of 5 rows computed")
    view.get_by_role("button", name="all rows").click()
    expect(view.locator(".explorer-aside")).not_to_contain_text("rows computed")
    attention.notebook.run("attention.mode = 'matrix'")


def test_a_second_prompt_is_typed_and_hovering_says_both_sides(attention: AttentionPage) -> None:
    attention.start(TEXT, mode="'matrix'", edits="()", selection="Selection(layer=9, heads=(3,))")
    attention.notebook.run("attention.mode = 'difference'")
    view = attention.root.locator(".explorer-difference")
    view.get_by_label("Compared with").select_option("another prompt")
    field = view.get_by_label("The other prompt", exact=True)
    field.click()
    attention.page.keyboard.type("The big capital of Italy is")
    expect(field).to_have_value("The big capital of Italy is")
    attention.becomes("attention.panels[0].other_prompt", "The big capital of Italy is")
    attention.notebook.run("attention.wait(120)")  # what is shown before is of a part of the prompt
    expect(view.locator(".explorer-aside")).to_contain_text("only the other prompt, hatched: “ big”")
    grid = Grid(view.locator(".explorer-map"), 6, 6)
    grid.hover(5, 4)
    value = view.locator(".explorer-tooltip .explorer-value")
    expect(value).to_contain_text("the other prompt")
    text = value.inner_text()
    now = attention.value(f"float(model.trace({TEXT!r}).pattern(9, heads=[3])[0, 0, 4, 3])")
    before = attention.value("float(model.trace('The big capital of Italy is').pattern(9, heads=[3])[0, 0, 5, 4])")
    said = re.match(r"([+−]?)([0-9.e-]+) \(the other prompt ([0-9.e-]+), this prompt ([0-9.e-]+)\)", text)
    assert said is not None, text
    change = float(said[2]) * (-1 if said[1] == "−" else 1)
    for number, exact in ((change, now - before), (float(said[3]), before), (float(said[4]), now)):
        assert abs(number - exact) <= 0.0005 + 1e-6
    grid.hover(5, 1)
    expect(value).to_contain_text("only the other prompt")
    attention.notebook.run("attention.mode = 'matrix'")


def test_cells_of_a_long_text_follow_the_zoom_down_to_exact_numbers(attention: AttentionPage) -> None:
    text = "One two three four five six seven eight nine ten. " * 27  # 297 tokens and more: blocks of 2
    attention.start("one", mode="'matrix'", edits="()", selection="Selection(layer=9, heads=(3, 5))", combine="'max'")
    attention.notebook.run(f"attention.text = {text!r}; attention.mode = 'depth'; attention.panels[0].measure = 'norm'")
    view = attention.root.locator(".explorer-depth")
    aside = view.locator(".explorer-aside")
    expect(view.locator(".explorer-subtitle")).to_have_text("norm-weighted · layer 9 · largest of heads 3, 5")
    expect(aside).to_contain_text("each cell is the largest of 2 × 2 numbers")
    view.get_by_role("button", name="Zoom in").click()
    expect(aside).not_to_contain_text("each cell")
    expect(aside).not_to_contain_text("finer cells")
    view.locator(".explorer-map").focus()
    attention.page.keyboard.press("Enter")  # the last row and first column of what is seen
    attention.becomes("attention.selection.query is None", False)
    query, key = attention.value("(attention.selection.query, attention.selection.key)")
    exact = attention.value(
        "float(__import__('explorer.norm_weighted', fromlist=['']).norm_weighted("
        f"attention.exploration.trace(), 9, heads=[3, 5])[0, :, {query}, {key}].amax())"
    )
    shown = view.locator("[role=gridcell]").first.inner_text().split()[-1]
    assert abs(float(shown) - exact) <= 0.0005 * max(1.0, exact) + 1e-6
    view.get_by_label("What several heads are shown as").select_option("mean")
    attention.becomes("attention.combine", "mean")
    expect(view.locator(".explorer-subtitle")).to_have_text("norm-weighted · layer 9 · mean of heads 3, 5")
    attention.notebook.run("attention.mode = 'matrix'")
