"""What changes around a panel: its room, the screen, the theme, the tab in front, paper, another browser tab."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, TimeoutError, expect

from .notebook import LONG_MS, Notebook
from .panels import AttentionPage, SamplingPage

TEXT = "The capital of France is"
OTHER = "The opposite of hot is"
ROOTS = (".explorer-attention", ".explorer-attribution", ".explorer-sampling", ".explorer-bench", ".explorer-token")

# What of a panel reaches out of it or is cut off, where neither is meant: rows of tokens, tables and code scroll by
# themselves, and a token in a list may end in dots as its whole text is elsewhere.
_CUT = """
root => {
    const right = root.getBoundingClientRect().right + 1;
    const rooms = ".explorer-tokens, .explorer-numbers-room, .explorer-token-room";
    const scrolls = `${rooms}, pre, .explorer-hidden, .explorer-axis, canvas`;
    const dots = ".explorer-sampling-label, .explorer-text, .explorer-weights bdi, .explorer-weights h3";
    const all = [...root.querySelectorAll("*")].filter(one => !one.closest(scrolls) && one.checkVisibility());
    const out = all.filter(one => one.getBoundingClientRect().right > right);
    const cut = all.filter(one =>
        !one.matches(dots) && getComputedStyle(one).overflowX === "hidden" && one.scrollWidth > one.clientWidth + 1);
    const named = (word, found) => found.map(one => `${word}: ${one.outerHTML.slice(0, 90)}`);
    return [...named("out", out), ...named("cut", cut)];
}
"""
# Whether each canvas has a pixel for every pixel of the screen that it covers.
_SHARP = """
root => [...root.querySelectorAll("canvas")].map(({ width, height, clientWidth, clientHeight }) =>
    width > 0 && Math.abs(width - clientWidth * devicePixelRatio) <= 1
    && Math.abs(height - clientHeight * devicePixelRatio) <= 1)
"""


@pytest.fixture
def panels(four: Notebook) -> Iterator[Notebook]:
    """Each panel and a workbench, with one text."""
    four.run(
        f"for panel in (attention, attribution, sampling, bench, token):\n    panel.text = {TEXT!r}\n"
        "sampling.sampling = explorer.Sampling(top_k=30_000, min_p=0.96)\n"
        "bench.exploration.edits = [explorer.Ablate('layers.5.attn.z', heads=[1])]\n"
        "attention.selection = Selection(layer=24, heads=(4,))\n"
        "for panel in (attention, attribution, sampling, bench, token):\n    panel.wait(300)"
    )
    four.page.locator(".explorer-panel details").evaluate_all("all => all.forEach(one => { one.open = false; })")
    yield four
    four.watched.assert_clean()


def sharp(root: Locator) -> None:
    """Waits until a panel's canvases fit the screen."""
    expect(root.locator("canvas").first).to_be_visible()
    root.scroll_into_view_if_needed()
    root.page.wait_for_function(f"root => ({_SHARP})(root).every(fits => fits)", arg=root.element_handle())


def of_all(notebook: Notebook, script: str) -> list[str]:
    """What a script finds in each panel, once it finds nothing or does not change its mind."""
    found: list[str] = []
    for name in ROOTS:
        root = notebook.page.locator(name).first
        root.scroll_into_view_if_needed()  # what cannot be seen need not follow a change of its room
        with contextlib.suppress(TimeoutError):
            nothing = f"root => ({script})(root).length === 0"
            notebook.page.wait_for_function(nothing, arg=root.element_handle(), timeout=5_000)
        found += [f"{name}: {one}" for one in root.evaluate(script)]
    return found


def later(notebook: Notebook, code: str, seconds: float = 1.5) -> None:
    """Lets Python do something by itself, when no cell runs any more."""
    notebook.run(f"import threading\nthreading.Timer({seconds}, lambda: {code}).start()")


@pytest.mark.parametrize("width", [600, 320, 240])
def test_in_a_narrow_room_nothing_is_cut_off(panels: Notebook, width: int) -> None:
    rooms = panels.page.locator(".jp-OutputArea-output")
    rooms.evaluate_all("(rooms, width) => rooms.forEach(room => room.style.maxWidth = `${width}px`)", width)
    try:
        found = of_all(panels, _CUT)
        for root in (ROOTS[0], ROOTS[3]):
            sharp(panels.page.locator(root).first)
    finally:
        rooms.evaluate_all("rooms => rooms.forEach(room => room.style.maxWidth = '')")
    assert not found, "\n".join(found)


def test_at_four_hundred_percent_a_laptops_screen_holds_the_panels(panels: Notebook) -> None:
    page = panels.page
    size = page.viewport_size
    assert size is not None
    # The longest words there are at the ends of a legend.
    panels.run("attention.reach, attention.scale = 'row', 'log'")
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    page.set_viewport_size({"width": 320, "height": 700})  # 1280 pixels at 400 %
    try:
        page.wait_for_function("document.querySelector('.explorer-panel').clientWidth < 320")
        expect(page.locator(".explorer-attention .explorer-legend").first).to_have_text("≤ 1/10000the row's largest")
        found = of_all(panels, _CUT)
    finally:
        page.set_viewport_size(size)
        panels.run("attention.reach, attention.scale = 'one', 'linear'")
    assert not found, "\n".join(found)


def test_targets_are_large_enough_for_a_finger(panels: Notebook) -> None:
    small = """
    root => [...root.querySelectorAll("button, input, select, textarea, summary, [role=grid]")]
        .map(one => (one.type === "checkbox" && one.closest("label")) || one) // all of the label is the target
        .filter(one => one.checkVisibility() && one.getBoundingClientRect().height < 23.9)
        .map(one => one.outerHTML.slice(0, 90))
    """
    found = of_all(panels, small)
    assert not found, "\n".join(found)


def test_nothing_moves_for_those_who_want_stillness(panels: Notebook) -> None:
    page, chip = panels.page, panels.page.locator(".explorer-chip").first
    moving = """
    chip => {
        const line = chip.closest(".explorer-panel").appendChild(document.createElement("div"));
        line.className = "explorer-line is-busy";
        const found = [getComputedStyle(chip).transitionDuration, getComputedStyle(line, "::before").animationName];
        line.remove();
        return found;
    }
    """
    assert chip.evaluate(moving) == ["0s", "none"]
    page.emulate_media(reduced_motion="no-preference")
    try:
        assert chip.evaluate(moving) == ["0.12s, 0.12s", "explorer-wait"]
    finally:
        page.emulate_media(reduced_motion="reduce")


def lightness(attention: AttentionPage, row: int, col: int) -> float:
    """How light a cell of the map is, 0 to 1."""
    return sum(attention.map.pixel(row, col)[:3]) / 765


def test_a_switch_of_the_theme_draws_the_maps_anew(panels: Notebook) -> None:
    attention = AttentionPage(panels)
    # The first token can attend to itself alone: the strongest colour there is.
    assert lightness(attention, 0, 0) < 0.35
    panels.theme("JupyterLab Dark")
    try:
        expect(attention.root).to_have_attribute("data-theme", "dark")
        assert lightness(attention, 0, 0) > 0.75
        surface = [int(part) for part in re.findall(r"\d+", attention.background())][:3]
        assert sum(surface) / 765 < 0.3
    finally:
        panels.theme("JupyterLab Light")
    expect(attention.root).to_have_attribute("data-theme", "light")
    assert lightness(attention, 0, 0) < 0.35


def test_paper_is_white_and_shows_all_whatever_the_theme(panels: Notebook) -> None:
    attention, page = AttentionPage(panels), panels.page
    panels.theme("JupyterLab Dark")
    long = " ".join(["word"] * 300)
    panels.run(f"sampling.text = token.text = {long!r}\nsampling.wait(120)\ntoken.wait(60)")
    sampling = SamplingPage(panels)
    tokens = sampling.root.locator(".explorer-tokens").first
    whole = "one => one.scrollHeight <= one.clientHeight + 1"
    assert not tokens.evaluate(whole)
    page.emulate_media(media="print")
    try:
        expect(attention.root).to_have_attribute("data-theme", "light")
        assert attention.background() == "rgb(255, 255, 255)"
        assert lightness(attention, 0, 0) < 0.35
        assert tokens.evaluate(whole)
        assert sampling.prompt.evaluate(whole)
        for hidden in ("Keys", "Generate", "hide first token"):
            for button in page.get_by_role("button", name=hidden, exact=True).all():
                expect(button).to_be_hidden()
        expect(attention.root.locator("summary").first).to_be_hidden()
        rows = page.locator(".explorer-token [data-row]")
        expect(rows).to_have_count(len(panels.value("token.frame.index.tolist()")))
        assert page.locator(".explorer-token-room").evaluate(whole)
        exact = page.locator(".explorer-panel").first.evaluate("one => getComputedStyle(one).printColorAdjust")
        assert exact == "exact"  # browsers leave backgrounds out otherwise, and colours are the data
    finally:
        page.emulate_media(media="screen")
        panels.theme("JupyterLab Light")
    expect(attention.root).to_have_attribute("data-theme", "light")


def test_the_systems_own_colours_leave_everything_visible(panels: Notebook) -> None:
    attention, page = AttentionPage(panels), panels.page
    page.emulate_media(forced_colors="active", color_scheme="dark")
    try:
        expect(attention.root).to_have_attribute("data-theme", "dark")
        assert lightness(attention, 0, 0) > 0.75
        system = """
        name => {
            const probe = document.body.appendChild(document.createElement("i"));
            probe.style.color = name;
            const { color } = getComputedStyle(probe);
            probe.remove();
            return color;
        }
        """
        text, chosen = page.evaluate(system, "CanvasText"), page.evaluate(system, "Highlight")
        style = "(one, name) => getComputedStyle(one)[name]"
        plain = page.locator(".explorer-sampling .explorer-chip").first
        assert plain.evaluate(style, "color") == text
        pressed = page.locator(".explorer-attribution .explorer-button[aria-pressed=true]").first
        assert pressed.evaluate(style, "backgroundColor") == chosen
        bar = page.locator(".explorer-sampling-bar .explorer-sampling-track > span").first
        assert bar.evaluate(style, "backgroundColor") == chosen
        panels.run("token.chosen = 1")
        row = page.locator(".explorer-token-row.is-chosen")
        assert row.evaluate(style, "outlineStyle") == "solid"  # its colour is the system's
        frame = attention.root.locator(".explorer-heads .explorer-frame.is-chosen")
        assert frame.evaluate(style, "boxShadow") != "none"
    finally:
        page.emulate_media(forced_colors="none", color_scheme="light")
    expect(attention.root).to_have_attribute("data-theme", "light")


def test_a_picture_that_came_while_another_tab_was_in_front_is_there_and_sharp(panels: Notebook) -> None:
    attention, page = AttentionPage(panels), panels.page
    here = page.evaluate("() => window.jupyterapp.shell.currentWidget.id")
    later(panels, f"setattr(attention, 'text', {OTHER + ' not cold'!r})")
    page.evaluate("() => { window.jupyterapp.commands.execute('launcher:create'); }")
    try:
        expect(attention.root).to_be_hidden()
        expect(page.locator(".explorer-attention .explorer-tokens").first).to_have_text(OTHER + " not cold")
    finally:
        page.evaluate("id => window.jupyterapp.shell.activateById(id)", here)
    expect(attention.root).to_be_visible()
    expect(attention.status).to_have_text(attention.finished)
    expect(attention.root.locator(".explorer-map")).to_have_attribute("aria-rowcount", "7")
    sharp(attention.root)
    assert lightness(attention, 0, 0) < 0.35
    assert attention.map.pixel(0, 6)[3] == 0  # the future of the first token stays empty


def test_a_panel_that_began_without_any_room_draws_when_it_gets_some(panels: Notebook) -> None:
    page = panels.page
    page.evaluate(
        """() => {
            const style = document.head.appendChild(document.createElement("style"));
            style.id = "no-room";
            style.textContent = ".jp-CodeCell:last-of-type .jp-OutputArea { display: none }";
        }"""
    )
    try:
        panels.run("unseen = AttentionPanel(model, 'Nobody can see this')\nunseen")
        root = page.locator(".jp-CodeCell").last.locator(".explorer-attention")
        expect(root.locator(".explorer-tokens")).to_have_text("Nobody can see this")
        expect(root.locator(".explorer-dot.is-live")).to_have_count(1, timeout=LONG_MS)
        expect(root).to_be_hidden()
    finally:
        page.evaluate("document.getElementById('no-room').remove()")
    expect(root).to_be_visible()
    sharp(root)
    box = root.locator(".explorer-map canvas").bounding_box()
    assert box is not None
    assert box["width"] > 80
    panels.run("unseen.close()")


def test_zoomed_maps_are_drawn_for_the_screens_own_pixels(panels: Notebook) -> None:
    attention, page = AttentionPage(panels), panels.page
    size = page.viewport_size
    assert size is not None
    session = page.context.new_cdp_session(page)  # what it sets ends with it
    for zoom in (2, 1.5, 1):
        room = {side: int(pixels / zoom) for side, pixels in size.items()}
        session.send("Emulation.setDeviceMetricsOverride", {**room, "deviceScaleFactor": zoom, "mobile": False})
        page.wait_for_function(f"devicePixelRatio === {zoom}")
        sharp(attention.root)
        pixels = attention.map.canvas.evaluate("canvas => canvas.width / canvas.getBoundingClientRect().width")
        assert abs(pixels - zoom) < 0.02
    session.detach()
    page.set_viewport_size(size)


def test_two_browser_tabs_show_one_kernel(panels: Notebook) -> None:
    page = panels.page
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    other = page.context.new_page()
    try:
        other.goto(page.url.replace("/workspaces/four/", "/workspaces/four-again/"))
        there = other.locator(".explorer-sampling").first
        here = page.locator(".explorer-sampling").first
        expect(there.locator(".explorer-dot.is-live")).to_have_count(1, timeout=LONG_MS)
        there.get_by_label("Prompt", exact=True).fill(OTHER)
        panels.becomes("sampling.text", OTHER)
        for root in (here, there):
            expect(root.locator(".explorer-tokens").first).to_have_text(OTHER)
            expect(root.locator(".explorer-status [role=status]")).to_have_text(re.compile("^live"))
        bars = [root.locator(".explorer-sampling-bar").all_text_contents() for root in (here, there)]
        assert bars[0] == bars[1]
    finally:
        other.close()
