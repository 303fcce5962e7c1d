"""The tour in JupyterLab as a reader meets it: it opens, runs, lives, follows the theme, and keeps to this machine."""

from __future__ import annotations

from playwright.sync_api import expect

from .notebook import Notebook
from .panels import AttentionPage


def test_the_tour_opens_with_a_kernel_and_nothing_in_the_way(opened: Notebook) -> None:
    expect(opened.page.get_by_role("tab", name="00_tour.ipynb")).to_be_visible()
    expect(opened.page.locator(".jp-KernelName:visible")).to_have_text("Python 3 (ipykernel)")
    opened.page.wait_for_load_state("networkidle")
    expect(opened.page.locator(".jp-Dialog")).to_have_count(0)
    expect(opened.page.locator(".Toastify__toast")).to_have_count(0)


def test_every_cell_runs_and_every_panel_is_live(tour: Notebook) -> None:
    expect(tour.waiting).to_have_count(0)
    # No traceback, and no warning either: neither ours nor of what stands below.
    for kind in ("application/vnd.jupyter.error", "application/vnd.jupyter.stderr"):
        expect(tour.page.locator(f".jp-OutputArea-output[data-mime-type='{kind}']")).to_have_count(0)
    # What stays under a cell is what it says, not how long something took to load.
    expect(tour.page.locator(".jp-OutputArea-output .widget-hbox")).to_have_count(0)
    titles = tour.panels.locator(".explorer-title").all_text_contents()
    assert titles == ["Attention", "Attribution", "Next token", "Attention"]
    expect(tour.panels.locator(".explorer-fault")).to_have_count(0)
    expect(tour.panels.locator(".explorer-skeleton")).to_have_count(0)
    expect(tour.page.locator(".jp-Dialog")).to_have_count(0)
    expect(tour.page.locator(".Toastify__toast")).to_have_count(0)


def test_no_two_parts_of_the_page_have_the_same_id(tour: Notebook) -> None:
    """A label, a description or an active cell would otherwise be another panel's."""
    ids: list[str] = tour.panels.locator("[id]").evaluate_all("all => all.map(one => one.id)")
    assert ids
    assert sorted(ids) == sorted(set(ids))
    for panel, title in zip(tour.panels.all(), ("Attention", "Attribution", "Next token", "Attention"), strict=True):
        expect(panel).to_have_accessible_name(title)


def test_a_panel_answers_while_a_cell_runs(tour: Notebook, attention: AttentionPage) -> None:
    attention.start("Before the cell")  # what a cell wrote last must not decide where the answer goes
    cell = tour.begin(
        "import threading\n"
        "arrived = threading.Event()\n"
        "watch = lambda change: change['new'] == 'While it runs' and arrived.set()\n"
        "attention.observe(watch, 'text')\n"
        "print('it came' if arrived.wait(30) else 'nothing came')\n"
        "attention.unobserve(watch, 'text')"
    )
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[*]:")
    attention.type("While it runs")
    attention.shows("While it runs")
    expect(cell.locator(".jp-OutputArea-output")).to_have_text("it came")


def test_panels_follow_the_theme(tour: Notebook, attention: AttentionPage) -> None:
    attention.start("Dark and light", selection="Selection(layer=0, heads=(0,))")
    light, surface = attention.map.pixel(0, 0), attention.background()
    tour.theme("JupyterLab Dark")
    try:
        for panel in tour.panels.all():
            expect(panel).to_have_attribute("data-theme", "dark")
            expect(panel).not_to_have_css("background-color", surface)
        # The first token can attend to itself only: the darkest blue on white, the lightest on black.
        dark = attention.map.pixel(0, 0)
        assert sum(light[:3]) < 200
        assert sum(dark[:3]) > 600
    finally:
        tour.theme("JupyterLab Light")
    expect(attention.root).to_have_css("background-color", surface)
    assert attention.map.pixel(0, 0) == light


def test_a_panel_fits_a_narrow_column(tour: Notebook, attention: AttentionPage) -> None:
    tour.page.set_viewport_size({"width": 900, "height": 1000})
    try:
        for panel in tour.panels.all():
            spill: int = panel.evaluate("panel => panel.scrollWidth - panel.clientWidth")
            assert spill <= 0
    finally:
        tour.page.set_viewport_size({"width": 1280, "height": 1000})
