"""What heads do, in the attention panel: measured, sorted, filtered, and patched from what was pinned."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from .notebook import LONG_MS, Notebook

TEXT = "When Mary and John went to the store, John gave a book to"
OTHER = "When Anna and Paul went to the store, Anna gave a book to"


@pytest.fixture
def heads(four: Notebook) -> Iterator[Locator]:
    """The attention panel in the view of what heads do, with the probe's measures."""
    four.run(
        f"attention.text = {TEXT!r}\nattention.selection = Selection(layer=17, heads=(3,))\n"
        "attention.mode = 'heads'\nattention.wait(300)"
    )
    root = four.page.locator(".explorer-attention").first
    expect(root.locator(".explorer-measures .explorer-dot.is-live")).to_have_count(1, timeout=LONG_MS)
    yield root
    four.run(
        "attention.edits = ()\nattention.exploration.unpin()\nattention.order_by(None)\n"
        "attention.mode = 'matrix'\nattention.wait(300)"
    )
    four.watched.assert_clean()


def test_heads_are_sorted_filtered_and_chosen_by_what_they_do(four: Notebook, heads: Locator) -> None:
    view = heads.locator(".explorer-measures")
    view.get_by_label("Measure", exact=True).select_option("probe_induction")
    least = view.get_by_label("at least", exact=True)
    least.fill("0.5")
    least.press("Enter")
    view.get_by_role("button", name="sort the thumbnails").click()
    exact = "model.head_measures().query('induction >= 0.5').sort_values('induction', ascending=False)"
    expected = four.value(f"{exact}[['layer', 'head']].to_numpy().tolist()")
    names = [f"{layer}.{head}" for layer, head in expected]
    expect(heads.locator(".explorer-heads .explorer-number.is-name")).to_have_text(names)
    expect(view.locator("tbody th[scope=row]")).to_have_text(names)
    values = four.value(f"{exact}['induction'].tolist()")
    assert view.locator("tbody td.is-sorted").all_text_contents() == [f"{value:.3f}" for value in values]
    view.locator("tbody").get_by_role("button", name=names[1], exact=True).focus()
    four.page.keyboard.press("Enter")
    expect(heads.locator(".explorer-subtitle").first).to_have_text("layer {} · head {}".format(*expected[1]))
    heads.locator(".explorer-heads").focus()
    four.page.keyboard.press("ArrowRight")
    four.becomes("[attention.selection.layer, list(attention.selection.heads)]", [expected[2][0], [expected[2][1]]])
    view.get_by_role("button", name="by what they attend to here").click()
    expect(view.locator(".explorer-measures-alike li")).to_have_count(10)
    _picture(heads, "sorted")
    least.fill("0.99")
    least.press("Enter")
    expect(view.locator(".explorer-measures-kept")).to_contain_text("No head has a value of at least 0.990")
    _picture(heads, "none")
    heads.get_by_role("button", name="back to layers").click()
    expect(heads.locator(".explorer-heads .explorer-number.is-name")).to_have_count(0)
    least.fill("")
    least.press("Enter")
    _picture(heads, "layers")


def test_heads_are_patched_from_what_was_pinned(four: Notebook, heads: Locator) -> None:
    button = heads.get_by_role("button", name="patch", exact=True)
    expect(button).to_be_disabled()
    four.run(f"attention.exploration.pin()\nattention.text = {OTHER!r}\nattention.wait(300)")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    patched = f"model.trace({OTHER!r}, edits=[explorer.Patch('layers.17.attn.z', model.trace({TEXT!r}), heads=[3])])"
    four.becomes(
        f"attention.wait(300) or bool(({patched}.logits - attention.exploration.trace().logits).abs().max() < 1e-4)",
        True,
    )
    expect(heads.locator(".explorer-heads .is-edited")).to_have_count(1)
    _picture(heads, "patched")
    button.click()
    four.becomes("len(attention.edits)", 0)


def _picture(root: Locator, name: str) -> None:
    """Kept for whoever wants to look."""
    if folder := os.environ.get("EXPLORER_PICTURES"):
        root.screenshot(path=Path(folder) / f"{name}.png")
