"""The token panel in JupyterLab: typing, the special-tokens switch, choosing, and another tokenizer beside it."""

from __future__ import annotations

import re
from collections.abc import Callable

import nbformat
import pytest
from playwright.sync_api import expect

from launcher import lab

from .notebook import LONG_MS, Notebook
from .panels import PanelPage
from .watching import Watched

_CELLS = (
    "import explorer\nfrom widgets import TokenPanel\nfrom tokenizers import processors",
    "model = explorer.load()",
    # The sample's tokenizer adds nothing by itself; this one begins every text as the Llamas' do.
    "import copy\nbegun = explorer.attach(model.hf, copy.deepcopy(model.tokenizer))\n"
    "begun.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(\n"
    "    single='<|im_start|> $A', special_tokens=[('<|im_start|>', 1)])\n"
    "token = TokenPanel(begun, 'The capital', other=model)\ntoken",
)
_NAME = "token.ipynb"


class TokenPage(PanelPage):
    """The token panel."""

    name = "token"


@pytest.fixture(scope="module")
def panel(jupyter: lab.Lab, open_page: Callable[[], Watched]) -> TokenPage:
    notebook = Notebook(open_page())
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    content = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in _CELLS], metadata={"kernelspec": kernel}
    )
    base, key = re.match(r"(.*?)/lab\b.*?(\?token=.*)?$", jupyter.address).groups()  # type: ignore[union-attr]
    made = notebook.page.request.put(
        f"{base}/api/contents/notebooks/{_NAME}{key or ''}", data={"type": "notebook", "content": content}
    )
    assert made.ok, made.text()
    notebook.open(f"{base}/lab/workspaces/token/tree/notebooks/{_NAME}{key or ''}")
    notebook.run_all()
    expect(notebook.panels.locator(".explorer-dot.is-live")).to_have_count(1, timeout=LONG_MS)
    return TokenPage(notebook)


def test_typing_switching_choosing_and_comparing(panel: TokenPage) -> None:
    rows = panel.root.locator("[data-row]")
    pairs = panel.root.locator(".explorer-token-pair")
    panel.type("Two words")
    expect(rows.last).to_contain_text(" words")
    expect(panel.chips).to_have_text(["<|im_start|>", "Two", " words"])
    panel.becomes("[row for row in token.frame['text']]", ["<|im_start|>", "Two", " words"])
    expect(pairs).to_have_count(3)
    expect(pairs.first).to_have_text("<|im_start|>∅")

    switch = panel.root.get_by_label("add special tokens")
    expect(switch).to_be_checked()
    switch.uncheck()
    panel.becomes("token.special_tokens", False)
    expect(panel.chips).to_have_text(["Two", " words"])
    panel.becomes("token.frame['id'].tolist() == model.tokenizer('Two words')['input_ids']", True)
    expect(panel.root.locator(".explorer-token-compare")).to_contain_text("2 of 2 groups are one token in both")
    panel.notebook.run("token.special_tokens = True")
    expect(switch).to_be_checked()
    expect(panel.chips).to_have_count(3)

    rows.nth(2).click()
    panel.becomes("token.chosen", 2)
    expect(panel.chips.nth(2)).to_have_class(re.compile("is-selected"))
    panel.chips.nth(1).click()
    panel.becomes("token.chosen", 1)
    expect(rows.nth(1)).to_have_class(re.compile("is-chosen"))


def test_what_cannot_be_seen_is_shown_and_markup_stays_text(panel: TokenPage) -> None:
    panel.put("a\u202eb </script><img src=x onerror=alert(1)>")
    expect(panel.root.locator(".explorer-token-notes .is-warning").first).to_contain_text("⟨U+202E⟩")
    expect(panel.root.locator("img")).to_have_count(0)
    panel.notebook.watched.assert_clean()


def test_a_long_prompt_draws_the_rows_in_sight(panel: TokenPage) -> None:
    panel.notebook.run("token.text = 'word ' * 4000")
    expect(panel.root.locator(".explorer-token-facts").first).to_contain_text("4,002 of")
    body = panel.root.locator(".explorer-token-body")
    body.focus()
    panel.page.keyboard.press("End")
    panel.becomes("token.chosen", 4001)
    expect(panel.root.locator("[data-row='4001']")).to_be_in_viewport()
    assert panel.root.locator("[data-row]").count() < 60
