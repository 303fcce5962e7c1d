"""The panels' words: in the language of the browser, or of the exploration, from one moment to the next."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from launcher import lab

from .notebook import LONG_MS, Notebook
from .watching import Watched

_CELLS = (
    "import explorer\nfrom widgets import Exploration, SamplingPanel, Workbench",
    "model = explorer.load()\nlinked = Exploration(model, 'The capital of France is')",
    "bench = Workbench(linked)\nbench",
    "alone = SamplingPanel(model, 'The opposite of hot is', language='zh')\nalone",
)
# What each part of the workbench says, and what is noted about a text that begins with half a character.
_SAID = {
    "en": {
        ".explorer-workbench .explorer-title": "Workbench",
        ".explorer-sampling .explorer-title": "Next token",
        ".explorer-attribution .explorer-title": "Attribution",
        ".explorer-workbench .explorer-actions": re.compile(r"^UndoRedoPinCodelive · \d+ ms\?$"),
        ".explorer-sampling-knobs label": "temperature",
        ".explorer-sampling-facts >> nth=0": re.compile(r"^49,152 of 49,152 tokens possible"),
        ".explorer-workbench .explorer-note": re.compile("^Characters that are not valid text were replaced by"),
    },
    "zh": {
        ".explorer-workbench .explorer-title": "工作台",
        ".explorer-sampling .explorer-title": "下一个词元",
        ".explorer-attribution .explorer-title": "归因",
        ".explorer-workbench .explorer-actions": re.compile(r"^撤销重做固定代码实时 · \d+ ms\?$"),
        ".explorer-sampling-knobs label": "温度",
        ".explorer-sampling-facts >> nth=0": re.compile("^49,152 个词元中可选 49,152 个"),
        ".explorer-workbench .explorer-note": re.compile("^有 1 处无效文本已替换为"),
    },
}


def shows(root: Locator, language: str) -> None:
    """Waits until everything under `root` is said in a language."""
    tag = {"en": "en", "zh": "zh-Hans"}[language]
    for panel in root.locator(".explorer-panel").all():
        expect(panel).to_have_attribute("lang", tag)
    for part, words in _SAID[language].items():
        expect(root.locator(part).first).to_have_text(words)


@pytest.mark.parametrize(("locale", "browsers", "other"), [("zh-CN", "zh", "en"), ("en-GB", "en", "zh")])
def test_panels_speak_the_browsers_language_until_they_are_told_another(
    jupyter: lab.Lab, open_page: Callable[..., Watched], locale: str, browsers: str, other: str
) -> None:
    notebook = Notebook(open_page(locale))
    notebook.create(jupyter.address, f"languages-{browsers}", *_CELLS)
    expect(notebook.panels.locator(".explorer-dot.is-live")).to_have_count(5, timeout=LONG_MS)
    bench = notebook.page.locator(".explorer-bench")
    notebook.run("linked.text = '\\ud800 The capital of France is'\nbench.wait(120)")
    shows(bench, browsers)

    notebook.run(f"linked.language = {other!r}")  # and nothing is computed again for it
    shows(bench, other)
    notebook.run("linked.language = ''")
    shows(bench, browsers)

    # A panel that was made in a language keeps it in any browser.
    alone = notebook.page.locator(".explorer-sampling").last
    expect(alone).to_have_attribute("lang", "zh-Hans")
    alone.get_by_role("button", name="生成", exact=True).click()
    expect(alone.locator(".explorer-sampling-go [role=status]")).to_have_text(
        re.compile("^(40 个词元|序列结束，共 [0-9]+ 个词元)$"), timeout=LONG_MS
    )
    notebook.watched.assert_clean()
