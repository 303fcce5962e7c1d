"""Panels of one exploration, in different cells and in a workbench: linked in the page, with or without the kernel."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from launcher import lab

from .notebook import LONG_MS, Notebook
from .watching import Watched

_CELLS = (
    "import explorer\nfrom explorer import Ablate\nfrom widgets import Exploration, SamplingPanel, Workbench",
    "model = explorer.load()\nlinked = Exploration(model, 'The capital of France is')",
    "bench = Workbench(linked)\nbench",
    "alone = SamplingPanel(linked)\nalone",
)


@pytest.fixture(scope="module")
def page_of_three(jupyter: lab.Lab, open_page: Callable[[], Watched]) -> Notebook:
    """A notebook with a workbench in one cell and a panel of the same exploration in another, all live."""
    notebook = Notebook(open_page())
    notebook.create(jupyter.address, "linked", *_CELLS)
    expect(notebook.panels.locator(".explorer-dot.is-live")).to_have_count(5, timeout=LONG_MS)
    return notebook


@pytest.fixture
def linked(page_of_three: Notebook) -> Notebook:
    """The same from a known state."""
    page_of_three.run(
        "linked.text = 'The capital of France is'; linked.edits = (); linked.unpin()\n"
        "linked.sampling = explorer.Sampling(); bench.wait(120); alone.wait(120)"
    )
    return page_of_three


def bench_of(notebook: Notebook) -> Locator:
    return notebook.page.locator(".explorer-bench")


def alone_of(notebook: Notebook) -> Locator:
    """The panel in the cell below the workbench."""
    return notebook.page.locator(".explorer-sampling").last


def test_typing_and_hovering_reach_all_panels_while_the_kernel_is_busy(linked: Notebook) -> None:
    bench, alone = bench_of(linked), alone_of(linked)
    # To run the next cell scrolls the page, and the pointer is then on something else; so every value is remembered.
    linked.run("import time\nhovered = []\nlinked.observe(lambda change: hovered.append(change['new']), 'hover')")
    cell = linked.begin(
        "end = time.time() + 180\nwhile linked.text != 'Enough' and time.time() < end:\n    time.sleep(0.05)"
    )
    bench.get_by_label("Prompt", exact=True).fill("The opposite of hot is")
    expect(alone.get_by_label("Prompt", exact=True)).to_have_value("The opposite of hot is", timeout=2_000)
    expect(bench.locator(".explorer-workbench .explorer-chip").nth(1)).to_have_text(" opposite")
    bench.locator(".explorer-workbench .explorer-chip").nth(2).hover()
    expect(alone.locator(".is-hovered")).to_have_count(1)
    linked.page.wait_for_timeout(500)  # to rest is what Python hears of
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[*]:")  # the cell ends by what is typed next
    alone.get_by_label("Prompt", exact=True).fill("Enough")
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"))
    alone.get_by_label("Prompt", exact=True).fill("The opposite of hot is")
    linked.becomes("linked.text", "The opposite of hot is")
    linked.becomes("2 in hovered", True)
    linked.run("bench.wait(120); alone.wait(120)")
    expect(alone.locator(".explorer-chip")).to_have_count(5)


def test_undo_redo_and_edits_are_shown_and_written(linked: Notebook) -> None:
    bench = bench_of(linked)
    linked.run("linked.edits = [Ablate('layers.5.attn.z', heads=[1])]")
    told = bench.get_by_label("Edits", exact=True)
    expect(told).to_contain_text("Ablate('layers.5.attn.z', heads=(1,))")
    bench.get_by_role("button", name="Undo").click()
    expect(told).to_have_count(0)
    linked.becomes("len(linked.edits)", 0)
    bench.get_by_role("button", name="Redo").click()
    expect(told).to_have_count(1)
    told.get_by_role("button", name="Remove").click()
    linked.becomes("len(linked.edits)", 0)


def test_what_is_pinned_stands_beside_what_is_live_and_the_sliders_move_both(linked: Notebook) -> None:
    bench, alone = bench_of(linked), alone_of(linked)
    likeliest = alone.locator(".explorer-sampling-bar").first.locator(".explorer-sampling-value")
    before = likeliest.inner_text()
    bench.get_by_role("button", name="Pin", exact=True).click()
    strip = bench.get_by_label("Pinned", exact=True)
    expect(strip.locator(".explorer-chip")).to_have_text(["The", " capital", " of", " France", " is"])
    linked.becomes("linked.pinned.text", "The capital of France is")
    linked.becomes("sorted(linked.pinned.shown)", ["attribution", "sampling"])
    bench.get_by_label("Prompt", exact=True).fill("The capital of Italy is")
    linked.run("bench.wait(120); alone.wait(120)")
    expect(strip.locator(".explorer-chip").nth(3)).to_have_text(" France")
    paris = alone.locator(".explorer-sampling-bar").filter(has_text="Paris")
    expect(paris).to_have_attribute("aria-label", re.compile(f"pinned {before}, down by"))
    ghost = paris.locator(".explorer-sampling-ghost")
    width = ghost.evaluate("element => element.style.width")
    alone.get_by_label("temperature", exact=True).first.press("ArrowLeft")
    expect(ghost).not_to_have_attribute("style", f"width: {width};")
    asked = "linked.pinned.shown['sampling'].under(linked.sampling).probabilities[linked.source.token_id(' Paris', '')]"
    linked.becomes("linked.sampling.temperature", 0.99)
    kernels = linked.value(f"{asked}.item()")
    assert float(ghost.evaluate("element => parseFloat(element.style.width)")) == pytest.approx(
        100 * kernels**0.5, abs=0.01
    )
    pinned_scores = bench.locator(".explorer-attribution-pinned")
    expect(pinned_scores.locator(".explorer-chip").nth(3)).to_have_text(" France")
    strip.get_by_role("button", name="Unpin").click()
    expect(ghost).to_have_count(0)
    linked.becomes("linked.pinned", None)
    linked.watched.assert_clean()


def test_the_code_is_shown_as_python_gives_it(linked: Notebook) -> None:
    bench = bench_of(linked)
    bench.get_by_role("button", name="Code").click()
    code = bench.get_by_label("Python that makes this exploration")
    expect(code).to_be_visible()
    assert code.inner_text().strip() == linked.run("print(linked.code())").strip()
    bench.get_by_role("button", name="Code").click()
    expect(code).to_have_count(0)
    linked.watched.assert_clean()


def test_a_restarted_kernel_leaves_the_last_picture_and_says_so(linked: Notebook) -> None:
    alone = alone_of(linked)
    bars = alone.locator(".explorer-chip").count()
    linked.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(alone.locator(".explorer-status")).to_contain_text("no longer live")
    expect(bench_of(linked).locator(".explorer-status").first).to_contain_text("no longer live")
    expect(alone.locator(".explorer-chip")).to_have_count(bars)
    linked.run_all()
    expect(linked.panels.locator(".explorer-dot.is-live")).to_have_count(5, timeout=LONG_MS)
