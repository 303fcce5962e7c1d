"""Panels without a mouse, without colours, and as axe-core judges them; their keys are theirs alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from .accessible import judged
from .notebook import LONG_MS, Notebook
from .panels import AttentionPage, AttributionPage, PanelPage, SamplingPage, TokenPage

TEXT = "The capital of France is"
NAMES = ("attention", "attribution", "sampling", "bench", "token")
THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")
PAGES: dict[str, type[PanelPage]] = {
    "attention": AttentionPage,
    "attribution": AttributionPage,
    "sampling": SamplingPage,
    "token": TokenPage,
}

# The views inside the attention panel: what holds each in the kernel, and its element.
VIEWS = {
    "text": ("attention", ".explorer-text-view"),
    "heads": ("attention", ".explorer-measures"),
    "lines": ("attention", ".explorer-lines"),
    "neuron": ("attention", ".explorer-neuron"),
    "depth": ("attention", ".explorer-depth"),
    "difference": ("attention", ".explorer-difference"),
    "pictures": ("picture", ".explorer-pictures"),
}
# Stops where keys do more than the browser's own.
_OWN_KEYS = """
() => window.stops.map((stop, at) => [stop, at])
    .filter(([stop]) => stop.matches(":not(button, input, select, textarea, summary)")).map(([, at]) => at)
"""

# Where Tab stops, as elements of the page; a row of tokens or bars is one stop.
_STOPS = """
root => {
    window.stops = [...root.querySelectorAll("button, input, select, textarea, summary, [tabindex]")]
        .filter(one => one.tabIndex >= 0 && !one.disabled && one.checkVisibility());
    const looks = one => {
        const { outlineStyle, outlineColor, boxShadow, borderColor } = getComputedStyle(one);
        return JSON.stringify([outlineStyle === "none" ? "" : outlineColor, boxShadow, borderColor]);
    };
    document.activeElement.blur();
    const before = window.stops.map(looks);
    window.stopNow = () => {
        const at = window.stops.indexOf(document.activeElement);
        return { at, shown: at >= 0 && looks(window.stops[at]) !== before[at] };
    };
    return window.stops.map(one => one.outerHTML.slice(0, 120));
}
"""

# Those that the notebook is made with.
_CELLS = 7
# All that keys could do to a notebook.
_NOTEBOOK = """
() => {
    const { content, sessionContext } = window.jupyterapp.shell.currentWidget;
    return JSON.stringify({
        cells: content.widgets.map(({ model }) =>
            [model.id, model.type, model.sharedModel.source, model.executionCount]),
        open: window.jupyterapp.shell.currentWidget.id,
        mode: content.mode,
        kernel: sessionContext.session.kernel.id,
        dialogs: document.querySelectorAll(".jp-Dialog, .lm-Menu, .jp-Toolbar-item.lm-mod-active").length,
        sidebars: document.querySelectorAll(".jp-SideBar .lm-mod-current").length,
    });
}
"""
# "0 0" restarts the kernel, "i i" interrupts it, "d d" deletes; with Shift a cell runs or all outputs go.
_KEYS = (
    *("a", "b", "d", "d", "c", "x", "v", "Shift+v", "y", "m", "r", "z", "l", "o", "f", "h", "j", "k", "1", "6"),
    *("0", "0", "i", "i", "Shift+m", "Shift+l", "Shift+o", "ArrowUp", "ArrowDown", "Home", "End"),
    *("Shift+Enter", "Control+Enter", "Alt+Enter", "Control+b", "Control+Shift+c", "Shift+ArrowDown", "Escape"),
)


def root_of(notebook: Notebook, name: str) -> Locator:
    """A panel of its own, or the workbench with all that it holds."""
    return notebook.page.locator(f".explorer-{name}").first


@pytest.fixture
def panels(four: Notebook) -> Iterator[Notebook]:
    """Each panel and a workbench in a known state."""
    four.run(
        f"for panel in (attention, attribution, sampling, bench, token):\n    panel.text = {TEXT!r}\n"
        "attention.selection = Selection(layer=24, heads=(4,))\n"
        "attribution.against = None\nattribution.target = None\nattribution.method = 'input_x_gradient'\n"
        "sampling.sampling = explorer.Sampling()\ntoken.special_tokens, token.chosen = False, None\n"
        "bench.exploration.edits = attention.edits = ()\n"
        "for panel in (attention, bench.panels[2]):\n    panel.mode, panel.hide_sink = 'matrix', False\n"
        "for panel in (attention, attribution, sampling, bench, token):\n    panel.wait(300)"
    )
    four.page.locator(".explorer-panel details").evaluate_all("all => all.forEach(one => { one.open = false; })")
    yield four
    four.watched.assert_clean()


def test_axe_finds_nothing_serious(panels: Notebook) -> None:
    attention, attribution, sampling, bench, token = (root_of(panels, name) for name in NAMES)
    # With everything that can be opened, chosen, cut, generated and edited.
    panels.run(
        "attention.selection = Selection(layer=24, heads=(4,), query=4, key=3)\n"
        "attribution.against = model.tokenizer.encode(' London')[0]\n"
        "sampling.sampling = explorer.Sampling(top_k=5, seed=3)\n"
        "bench.exploration.edits = [explorer.Ablate('layers.5.attn.z', heads=[1])]\n"
        "token.text, token.special_tokens, token.chosen = 'a\\u202eb 世 cafe', True, 2"
    )
    sampling.get_by_label("at most", exact=True).click()
    sampling.get_by_label("at most", exact=True).fill("3")
    sampling.get_by_label("at most", exact=True).press("Enter")
    sampling.get_by_role("button", name="Generate", exact=True).click()
    expect(sampling.locator(".explorer-sampling-go [role=status]")).to_have_text("3 tokens", timeout=LONG_MS)
    bench.get_by_role("button", name="Code").click()
    token.get_by_role("button", name="Keys").click()
    for root in (attention, attribution, sampling):
        for summary in root.locator("summary").all():
            summary.click()
        root.get_by_role("button", name="Keys").click()
    expect(attribution.locator(".explorer-dot.is-live")).to_have_count(1, timeout=LONG_MS)
    found: list[str] = []
    for theme in THEMES:
        panels.theme(theme)
        for name in NAMES:
            verdict = judged(root_of(panels, name))
            assert verdict.legible > 20, f"{name}: contrast was judged of {verdict.legible} texts alone"
            found += [f"{name} in {theme}: {one}" for one in verdict.serious]
    panels.theme(THEMES[0])
    for root in (attention, attribution, sampling):
        root.locator("details").evaluate_all("all => all.forEach(one => { one.open = false; })")
        root.get_by_role("button", name="Keys").click()
    token.get_by_role("button", name="Keys").click()
    bench.get_by_role("button", name="Code").click()
    assert not found, "\n".join(found)


def test_axe_finds_nothing_serious_in_a_panel_that_failed(panels: Notebook) -> None:
    found: list[str] = []
    panels.run("for panel in (attention, attribution, sampling, bench, token):\n    panel.text = ''")
    for name in NAMES:
        expect(root_of(panels, name).locator(".explorer-fault").first).to_be_visible()
    for theme in THEMES:
        panels.theme(theme)
        for name in NAMES:
            found += [f"{name} in {theme}: {one}" for one in judged(root_of(panels, name)).serious]
    panels.theme(THEMES[0])
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", NAMES)
def test_tab_comes_to_every_control_in_order_and_is_seen_there(panels: Notebook, name: str) -> None:
    root, keys = root_of(panels, name), panels.page.keyboard
    stops = root.evaluate(_STOPS)
    assert len(stops) > 3
    panels.page.evaluate("window.stops[1].focus()")
    keys.press("Shift+Tab")
    for place, stop in enumerate(stops):
        now = panels.page.evaluate("window.stopNow()")
        assert now["at"] == place, f"Tab came to stop {now['at']} and not to {place}: {stop}"
        assert now["shown"], f"the keyboard's place is not to be seen: {stop}"
        keys.press("Tab")
    assert panels.page.evaluate("window.stopNow().at") == -1  # and out again: no trap


@pytest.mark.parametrize("name", NAMES)
def test_keys_anywhere_in_a_panel_leave_the_notebook_alone(panels: Notebook, name: str) -> None:
    root, page = root_of(panels, name), panels.page
    before = page.evaluate(_NOTEBOOK)
    pid = panels.value("__import__('os').getpid()")
    count = len(root.evaluate(_STOPS))
    for place in range(count):
        if not page.evaluate("place => window.stops[place].isConnected", place):
            continue  # what stood there went with what an earlier stop's keys did
        page.evaluate("place => window.stops[place].focus()", place)
        for key in _KEYS:
            page.keyboard.press(key)
        inside = root.evaluate("root => root.contains(document.activeElement)")
        assert inside, f"the keyboard fell out of the panel at stop {place}"
    after, known = json.loads(page.evaluate(_NOTEBOOK)), json.loads(before)
    # The cell that asked for the process is the only one that ran.
    assert after["cells"][:_CELLS] == known["cells"][:_CELLS]
    assert {**after, "cells": []} == {**known, "cells": []}
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    assert panels.value("__import__('os').getpid()") == pid


@pytest.fixture
def view(four: Notebook, request: pytest.FixtureRequest) -> Iterator[Locator]:
    """A view inside the attention panel, drawn, with something pinned to compare with."""
    mode = request.param
    name, element = VIEWS[mode]
    four.run(
        f"attention.edits, attention.text = (), {TEXT!r}\nattention.selection = Selection(layer=24, heads=(4,))\n"
        "attention.wait(300)\nattention.exploration.pin()\nattention.text = 'The capital of Italy is'\n"
        f"{name}.mode = {mode!r}\n{name}.wait(300)"
    )
    root = four.page.locator(element).first
    expect(root.locator(".explorer-dot.is-live").first).to_be_visible()
    yield root
    root.locator("details").evaluate_all("all => all.forEach(one => { one.open = false; })")
    four.run("attention.exploration.unpin()\nattention.mode = 'matrix'\nattention.wait(300)")
    four.watched.assert_clean()


@pytest.mark.parametrize("view", VIEWS, indirect=True)
def test_a_view_of_attention_is_all_at_the_keyboard_and_for_who_listens(four: Notebook, view: Locator) -> None:
    page, keys = four.page, four.page.keyboard
    before = page.evaluate(_NOTEBOOK)
    stops = view.evaluate(_STOPS)
    assert stops
    page.evaluate("window.stops[0].focus()")
    keys.press("Tab")
    keys.press("Shift+Tab")  # so that the browser shows where the keyboard is
    for place, stop in enumerate(stops):
        now = page.evaluate("window.stopNow()")
        assert now["at"] == place, f"Tab came to stop {now['at']} and not to {place}: {stop}"
        assert now["shown"], f"the keyboard's place is not to be seen: {stop}"
        keys.press("Tab")
    assert page.evaluate("window.stopNow().at") == -1
    for place in page.evaluate(_OWN_KEYS):
        page.evaluate("place => window.stops[place].isConnected && window.stops[place].focus()", place)
        for key in _KEYS:
            keys.press(key)
        assert view.evaluate("view => view.contains(document.activeElement)"), f"the keyboard fell out at {place}"
    assert page.evaluate(_NOTEBOOK) == before
    # What is drawn has a table of its numbers behind it.
    for summary in view.locator("summary").all():
        summary.focus()
        keys.press("Enter")
    expect(view.locator("table tbody tr").first).to_be_visible()
    found = []
    for theme in THEMES[:2]:
        four.theme(theme)
        verdict = judged(view)
        assert verdict.legible > 5, f"contrast was judged of {verdict.legible} texts alone"
        found += [f"{theme}: {one}" for one in verdict.serious]
    four.theme(THEMES[0])
    assert not found, "\n".join(found)


def test_the_map_says_each_cell_as_python_gives_it_and_so_does_its_table(panels: Notebook) -> None:
    attention = AttentionPage(panels)
    exact = attention.value(f"model.trace({TEXT!r}).pattern(24, heads=[4])[0, 0].tolist()")
    tokens = attention.value(f"[token.text for token in model.read({TEXT!r})]")

    def words(weight: float) -> str:
        return "<0.001" if 0 < weight < 0.0005 else f"{weight:.3f}"

    attention.map.root.focus()
    keys = attention.page.keyboard
    keys.press("PageUp")
    keys.press("Home")
    said = attention.map.root.locator("[aria-live=polite] [role=gridcell]")
    for query in range(len(tokens)):
        for key in range(len(tokens)):
            value = words(exact[query][key]) if key <= query else "masked: it comes later"
            expect(said).to_have_text(f"“{tokens[query]}” → “{tokens[key]}” {value}")
            keys.press("ArrowRight")
        keys.press("Home")
        keys.press("ArrowDown")
    # Space chooses what was walked to, as Enter does.
    keys.press("Space")
    attention.selects(layer=24, head=4, query=len(tokens) - 1, key=0)

    summary = attention.root.locator(".explorer-numbers > summary")
    summary.focus()
    keys.press("Enter")
    table = attention.root.locator(".explorer-numbers table")
    expect(table).to_be_visible()
    rows = [row.locator("td").all_text_contents() for row in table.locator("tbody tr").all()]
    shown = [
        [words(value) if key <= query else "–" for key, value in enumerate(row)] for query, row in enumerate(exact)
    ]
    assert [[text.removesuffix("masked: it comes later") for text in row] for row in rows] == shown
    summary.focus()
    keys.press("Space")
    expect(table).to_have_count(0)


def test_bars_and_scores_have_tables_of_what_python_gives(panels: Notebook) -> None:
    attribution, sampling = AttributionPage(panels), SamplingPage(panels)
    attribution.root.get_by_role("button", name="token", exact=True).click()
    panels.run("sampling.sampling = explorer.Sampling(top_k=5)")
    for panel in (attribution, sampling):
        panel.root.locator(".explorer-numbers > summary").focus()
        panel.page.keyboard.press("Enter")
    expect(sampling.root.locator(".explorer-numbers tbody tr").nth(5).locator("td").last).to_have_text("top-k 5")
    under = f"model.next_token({TEXT!r}).under(explorer.Sampling(top_k=5)).top(5)"
    exact = panels.value(f"{under}[['token', 'id', 'probability']].values.tolist()")
    rows = [
        row.locator("th, td").all_text_contents() for row in sampling.root.locator(".explorer-numbers tbody tr").all()
    ]
    assert [(row[1], int(row[2])) for row in rows[:5]] == [(token, number) for token, number, _ in exact]
    for row, (_, _, probability) in zip(rows[:5], exact, strict=True):
        assert float(row[3]) == pytest.approx(probability, rel=1e-3)
        assert row[4] == ""
    ask = f"model.attribute({TEXT!r}, target=attribution.view['target']['id'], method='input_x_gradient')"
    scores = panels.value(f"{ask}.scores.tolist()")
    cells = attribution.root.locator(".explorer-numbers tbody tr td:nth-child(4)").all_text_contents()
    assert [float(cell.replace("−", "-")) for cell in cells] == pytest.approx(scores, abs=0.0051)
    for panel in (attribution, sampling):
        panel.root.locator(".explorer-numbers > summary").press("Enter")


def test_a_sign_and_a_cut_are_no_colours_alone(panels: Notebook) -> None:
    attribution, sampling = AttributionPage(panels), SamplingPage(panels)
    said = attribution.chips.evaluate_all(
        "chips => chips.map(one => [one.getAttribute('aria-label'), getComputedStyle(one).borderBottomStyle])"
    )
    assert {("−" in label, style) for label, style in said} <= {(True, "dashed"), (False, "solid")}
    assert len({style for _, style in said}) == 2
    panels.run("sampling.sampling = explorer.Sampling(top_k=3)")
    cut = sampling.root.locator(".explorer-sampling-bar.is-cut").first
    expect(cut).to_have_attribute("aria-label", re.compile(", cut$"))
    drawn = "bar => getComputedStyle(bar.querySelector('.explorer-sampling-track > span')).backgroundImage"
    assert cut.evaluate(drawn).startswith("repeating-linear-gradient")
    assert sampling.root.locator(".explorer-sampling-bar.is-kept").first.evaluate(drawn) == "none"
    expect(sampling.root.locator(".explorer-sampling-line.is-cut")).to_contain_text("cut by top-k 3")


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_stays_where_it_is_when_the_picture_changes(panels: Notebook, name: str) -> None:
    panel = PAGES[name](panels)
    panels.run(
        f"import threading\nthreading.Timer(3, lambda: setattr({name}, 'text', 'The opposite of hot is')).start()"
    )
    stop = panel.root.locator(
        "[role=grid], .explorer-attribution-choices [tabindex='0'], .explorer-sampling-bar[tabindex='0'], "
        ".explorer-token-room"
    )
    stop.first.focus()
    panel.shows("The opposite of hot is")
    assert panel.root.evaluate("root => root.contains(document.activeElement) && document.activeElement !== root")
