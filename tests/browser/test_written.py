"""What the model writes in the attention panel, step by step; and the decoder's text of an encoder-decoder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from launcher import lab

from .notebook import LONG_MS, Notebook
from .watching import Watched

_ROOT = Path(__file__).resolve().parents[2]
_CELLS = (
    f"import sys\nsys.path.insert(0, {str(_ROOT)!r})\nimport explorer\nfrom widgets import *\n"
    "from tests.widgets.test_attention_panel import tiny",
    "model = explorer.load()\n"
    "bench = Workbench(model, 'The capital of France is', panels=[SamplingPanel, AttentionPanel], language='en')\n"
    "bench.exploration.sampling = explorer.Sampling(temperature=0.0)\nbench",
    "decoding = AttentionPanel(tiny('t5'), 'Hello world', language='en')\ndecoding",
)


@pytest.fixture(scope="module")
def page(jupyter: lab.Lab, open_page: Callable[[], Watched]) -> Notebook:
    """A notebook with a workbench of the sample and an attention panel of a small encoder-decoder, all live."""
    notebook = Notebook(open_page())
    notebook.create(jupyter.address, "written", *_CELLS)
    expect(notebook.panels.locator(".explorer-dot.is-live")).to_have_count(4, timeout=LONG_MS)
    return notebook


def chips(of: Locator, label: str | re.Pattern[str]) -> Locator:
    return of.get_by_label(label, exact=True).locator(".explorer-chip")


def test_the_picture_grows_while_it_writes_and_a_click_goes_back_to_a_step(page: Notebook) -> None:
    bench = page.page.locator(".explorer-bench")
    attention = bench.locator(".explorer-attention")
    grid = attention.locator(".explorer-map")
    expect(grid).to_have_attribute("aria-rowcount", "5")
    expect(attention.get_by_role("button", name="with what was written")).to_have_count(0)
    page.page.evaluate(
        """() => { window.grown = new Set(); const map = document.querySelector(".explorer-bench .explorer-map");
            new MutationObserver(() => window.grown.add(map.getAttribute("aria-rowcount")))
                .observe(map, { attributes: true }); }"""
    )
    bench.get_by_role("button", name="Generate").click()
    page.becomes("bench.panels[0].generated['state']", "done")
    written = page.value("[token.text for token in bench.exploration.written.tokens]")
    whole = str(5 + len(written) - 1)
    expect(grid).to_have_attribute("aria-rowcount", whole)
    expect(chips(attention, "Steps, by the token that each chose")).to_have_count(len(written))
    assert len(page.page.evaluate("() => [...window.grown]")) > 2, "it was drawn while it was written"
    third = chips(attention, "Steps, by the token that each chose").nth(3)
    third.click()
    expect(grid).to_have_attribute("aria-rowcount", "8")
    expect(attention.locator(".explorer-written")).to_contain_text(f"step 3: the last row chose “{written[3]}”")
    page.becomes("bench.panels[1].step", 3)
    third.press("Escape")
    expect(grid).to_have_attribute("aria-rowcount", whole)
    attention.get_by_role("button", name="with what was written").click()
    expect(grid).to_have_attribute("aria-rowcount", "5")
    page.becomes("bench.panels[1].with_written", False)
    attention.get_by_role("button", name="with what was written").press("Enter")
    expect(grid).to_have_attribute("aria-rowcount", whole)
    bench.get_by_label("Prompt", exact=True).fill("The opposite of hot is")
    expect(attention.locator(".explorer-written")).to_have_count(0)
    expect(grid).to_have_attribute("aria-rowcount", "5")
    page.becomes("bench.exploration.written", None)
    page.watched.assert_clean()


def test_what_is_typed_for_the_decoder_is_read_at_once(page: Notebook) -> None:
    panel = page.page.locator(".explorer-attention").last
    expect(page.page.get_by_label("Decoder's text", exact=True)).to_have_count(1)
    panel.get_by_label("Which attention").select_option("decoder/cross_attn")
    panel.get_by_label("Decoder's text", exact=True).fill("The capital")
    ids = "[token.id for token in decoding.exploration.decoder_tokens]"
    page.becomes("decoding.decoder", "The capital")
    expect(chips(panel, "Tokens of the decoder's text")).to_have_count(len(page.value(ids)))
    grid = panel.locator(".explorer-map")
    expect(grid).to_have_attribute("aria-rowcount", str(len(page.value(ids))))
    expect(grid).to_have_attribute("aria-colcount", str(page.value("len(decoding.exploration.tokens)")))
    chips(panel, "Tokens of the decoder's text").nth(1).click()
    page.becomes("decoding.selection.query", 1)
    page.watched.assert_clean()
