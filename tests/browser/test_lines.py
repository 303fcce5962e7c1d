"""Lines between tokens, by mouse and keyboard, against the kernel's weights; attention over an image likewise."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from .notebook import LONG_MS, Notebook

TEXT = "When Mary and John went to the store, John gave a drink to"


@pytest.fixture
def views(four: Notebook) -> Iterator[Notebook]:
    """A panel that shows lines, and one that shows a picture."""
    four.run(
        f"attention.text, attention.mode, attention.hide_sink = {TEXT!r}, 'lines', False\n"
        "attention.selection = Selection(layer=24, heads=(3, 4))\nattention.wait(300)\n"
        "picture.image, picture.selection = 0, Selection(layer=1, heads=(2,))\npicture.wait(300)"
    )
    yield four
    four.run("attention.mode, attention.hide_sink = 'matrix', False\nattention.wait(300)")
    four.watched.assert_clean()


def number(place: Locator, words: str) -> float:
    """The number after some words."""
    found = re.search(re.escape(words) + r"[: ]+([0-9.e-]+)", place.text_content() or "")
    assert found is not None, place.text_content()
    return float(found[1])


def test_lines_follow_pointer_keys_and_the_panel_around(views: Notebook) -> None:
    view = views.page.locator(".explorer-lines")
    said, lines = view.locator(".explorer-lines-said"), view.locator(".explorer-lines-heading span").nth(1)
    expect(view.locator(".is-query [data-index]")).to_have_count(14, timeout=LONG_MS)
    # All lines of at least 0.05, with and without those of the first token.
    for hide in (False, True):
        views.run(f"attention.hide_sink = {hide}")
        count = f"int((model.trace({TEXT!r}).pattern(24, heads=[3, 4])[0, :, :, {int(hide)}:] >= 0.05).sum())"
        expect(lines).to_have_text(re.compile(rf"^{views.value(count)} lines$"))
    exact = views.value(f"model.trace({TEXT!r}).pattern(24, heads=[3, 4])[0, :, 13, 1].tolist()")
    view.locator(".is-query [data-index='13']").hover()
    expect(said).to_contain_text("“ to” attends to")
    assert abs(number(said, "head 4") - exact[1]) <= 0.0005
    view.locator(".is-query [data-index='13']").click()
    view.locator(".is-key [data-index='1']").hover()
    expect(said).to_contain_text("“ to” attends to “ Mary”")
    assert abs(number(said, "head 3") - exact[0]) <= 0.0005
    view.locator(".is-key").focus()
    for key in ("Home", "ArrowDown", "Enter"):
        views.page.keyboard.press(key)
    views.becomes("[attention.selection.query, attention.selection.key]", [13, 1])
    view.locator(".is-key").focus()  # the cell that asked took it
    views.page.keyboard.press("Escape")
    views.becomes("[attention.selection.query, attention.selection.key]", [None, None])
    view.get_by_label("from weight").focus()
    views.page.keyboard.press("End")
    views.becomes("attention.panels[0].threshold", 1.0)


def point_at_second_patch(views: Notebook, view: Locator) -> None:
    """Puts the pointer on the first row's second patch, in the plane of the chosen head."""
    plane = view.locator(".explorer-pictures-plane").nth(1)
    plane.scroll_into_view_if_needed()  # the cell that asked stands below
    box = plane.bounding_box()
    assert box is not None
    views.page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.1)


def test_an_image_carries_the_weights_of_the_patch_that_is_asked(views: Notebook) -> None:
    view = views.page.locator(".explorer-pictures")
    figures, said = view.locator(".explorer-pictures-figures"), view.locator(".explorer-pictures-said")
    expect(view.locator("canvas")).to_have_count(2, timeout=LONG_MS)
    point_at_second_patch(views, view)
    expect(said).to_contain_text("patch 0, 1")
    views.page.mouse.move(0, 0)
    expect(said).to_contain_text("the class token")  # where neither pointer nor keys are at a patch
    figures.focus()
    for key in ("End", "ArrowUp", "Enter"):
        views.page.keyboard.press(key)
    expect(view.locator(".explorer-pictures-asked")).to_have_text("patch 2, 3 attends to")
    views.becomes("picture.selection.query", 12)
    exact = views.value("float(seen.pattern(1, heads=[2])[0, 0, 12, 2])")
    point_at_second_patch(views, view)
    expect(said).to_contain_text("patch 0, 1")
    shown = number(said, "patch 0, 1")
    assert abs(shown - exact) <= max(5e-5, 0.05 * exact)
    # The colours are the image's own: blue fades from left to right.
    pixel = "canvas => [...canvas.getContext('2d').getImageData(canvas.width - 3, 3, 1, 1).data].slice(0, 3)"
    red, green, blue = view.locator("canvas").first.evaluate(pixel)
    assert (red > 230, green < 25, blue < 25) == (True, True, True)
    # The other image is its negative.
    views.page.locator(".explorer-attention").last.get_by_label("Which image").select_option("image 1")
    views.becomes("picture.image", 1)
    expect(view.locator(".explorer-pictures-asked")).to_have_text("patch 2, 3 attends to")
    exact = views.value("float(seen.pattern(1, heads=[2])[1, 0, 12, 2])")
    point_at_second_patch(views, view)
    expect(said).to_contain_text("patch 0, 1")
    views.page.wait_for_function(
        "canvas => canvas.getContext('2d').getImageData(canvas.width - 3, 3, 1, 1).data[0] < 25",
        arg=view.locator("canvas").first.element_handle(),
    )
    assert abs(number(said, "patch 0, 1") - exact) <= max(5e-5, 0.05 * exact)
