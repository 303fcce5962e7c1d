"""Work that takes long in a real notebook: it is told, it can be stopped, and panels go on while a cell runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, expect

from launcher import lab

from .notebook import LONG_MS, Notebook
from .watching import Watched

_CELLS = (
    "import time, explorer\nfrom widgets import AttributionPanel, SamplingPanel\nmodel = explorer.load()",
    "why = AttributionPanel(model, 'The capital of France is')\nwhy",
    "bars = SamplingPanel(model, 'The capital of France is')\nbars",
)
# Integrated gradients of this many tokens take minutes on two cores.
_LONG = "'one two three four five ' * 60"
# Cells that run until the panel's text says so: however slow the machine, what is seen before was seen meanwhile.
_ENOUGH = "That is enough"
_BUSY = {
    how: f"end = time.time() + 180\nwhile bars.text != {_ENOUGH!r} and time.time() < end:\n    {step}"
    for how, step in (("computes", "pass"), ("sleeps", "time.sleep(0.05)"))
}


@pytest.fixture(scope="module")
def opened_here(jupyter: lab.Lab, open_page: Callable[..., Watched]) -> Notebook:
    notebook = Notebook(open_page())
    notebook.create(jupyter.address, "control", *_CELLS)
    expect(notebook.panels.locator(".explorer-dot.is-live")).to_have_count(2, timeout=LONG_MS)
    return notebook


@pytest.fixture
def notebook(opened_here: Notebook) -> Iterator[Notebook]:
    """A notebook with two panels, each of its own; what a test leaves running is stopped."""
    opened_here.run("for p in (why, bars):\n    p.text = 'The capital of France is'\n    p.wait(120)")
    yield opened_here
    opened_here.run("for p in (why, bars):\n    p.stop()\n    p.wait(120)")
    opened_here.watched.assert_clean()


def why_of(notebook: Notebook) -> Locator:
    return notebook.page.locator(".explorer-attribution").first


def bars_of(notebook: Notebook) -> Locator:
    return notebook.page.locator(".explorer-sampling").first


def stop_of(panel: Locator) -> Locator:
    return panel.get_by_role("button", name="Stop what is being computed")


def words_of(panel: Locator) -> Locator:
    return panel.locator(".explorer-status")


def test_integrated_gradients_say_how_long_they_take_and_stop_by_the_keyboard(notebook: Notebook) -> None:
    why = why_of(notebook)
    notebook.run(f"why.text = {_LONG}")
    why.get_by_role("button", name="Integrated gradients").click()
    expect(words_of(why)).to_contain_text(re.compile(r"integrated gradients.*about \d+ (s|min) left"))
    picture = notebook.value("why.view['request']")
    stop_of(why).focus()
    notebook.page.keyboard.press("Enter")
    expect(words_of(why)).to_have_text(re.compile("^stopped"))
    expect(stop_of(why)).to_have_count(0)
    notebook.run("why.wait(60)")
    assert notebook.value("[why.view['request'], list(why.results)]") == [picture, ["input_x_gradient"]]
    notebook.run("why.method = 'input_x_gradient'")
    notebook.run("why.text = 'The opposite of hot is'\nwhy.wait(120)")
    expect(words_of(why)).to_have_text(re.compile("^live"))
    assert notebook.value("sorted(why.results)") == ["input_x_gradient", "integrated_gradients"]


def test_generation_is_stopped_from_the_status_line(notebook: Notebook) -> None:
    bars = bars_of(notebook)
    notebook.run("bars.generate(1000)")
    expect(words_of(bars)).to_contain_text(re.compile(r"generating.*left"))
    stop_of(bars).click()
    notebook.becomes("bars.generated['state']", "stopped")
    expect(words_of(bars)).to_have_text(re.compile("^live"))
    assert notebook.value("0 < len(bars.generated['steps']) < 1000")


def test_interrupting_the_kernel_ends_the_waiting_and_not_the_work(notebook: Notebook) -> None:
    why = why_of(notebook)
    cell = notebook.begin(f"why.text = {_LONG}; why.method = 'integrated_gradients'\nwhy.wait()")
    expect(words_of(why)).to_contain_text("integrated gradients")
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    expect(cell.locator(".jp-OutputArea-output")).to_contain_text("KeyboardInterrupt")
    expect(words_of(why)).to_contain_text("integrated gradients")
    stop_of(why).click()
    expect(words_of(why)).to_have_text(re.compile("^stopped"))
    notebook.run("why.method = 'input_x_gradient'")


@pytest.mark.parametrize("how", _BUSY)
def test_panels_compute_while_a_cell_runs(notebook: Notebook, how: str) -> None:
    bars = bars_of(notebook)
    prompt = bars.get_by_label("Prompt", exact=True)
    cell = notebook.begin(_BUSY[how])
    for text, answer in (("The opposite of hot is", " cold"), ("The capital of Spain is", " Madrid")):
        prompt.fill(text)
        expect(bars.locator(".explorer-sampling-chart")).to_contain_text(answer.strip())
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[*]:")
    prompt.fill(_ENOUGH)
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"))
    notebook.becomes("[bars.text, time.time() < end]", [_ENOUGH, True])


def test_without_subshells_a_panel_says_that_it_waits_for_the_cell_and_catches_up(
    jupyter: lab.Lab, open_page: Callable[..., Watched]
) -> None:
    notebook = Notebook(open_page())
    base, token = notebook.at(jupyter.address)
    setting = f"{base}/lab/api/settings/@jupyterlab/apputils-extension:kernels-settings{token}"
    said = notebook.page.request.put(setting, data={"raw": '{"commsOverSubshells": "disabled"}'})
    assert said.ok, said.text()
    try:
        notebook.create(jupyter.address, "no_subshells", _CELLS[0], _CELLS[2], "import threading\nheard = set()")
        bars = bars_of(notebook)
        expect(words_of(bars)).to_have_text(re.compile("^live"), timeout=LONG_MS)
        notebook.run("bars.observe(lambda change: heard.add(threading.current_thread().name), 'text')")
        cell = notebook.begin("end = time.time() + 6\nwhile time.time() < end:\n    pass")
        bars.get_by_label("Prompt", exact=True).fill("The capital of Spain is")
        expect(words_of(bars)).to_have_text("waiting for a running cell")
        expect(cell.locator(".jp-InputPrompt")).to_have_text("[*]:")
        expect(bars.locator(".explorer-sampling-chart")).to_contain_text("Madrid")
        expect(words_of(bars)).to_have_text(re.compile("^live"))
        notebook.becomes("[bars.text, sorted(heard)]", ["The capital of Spain is", ["MainThread"]])
        notebook.watched.assert_clean()
    finally:
        notebook.page.request.put(setting, data={"raw": "{}"})
