"""Saved pages, opened from the disk with every other address refused: what they show, and what still moves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

import explorer
from explorer import Ablate, Sampling
from widgets import AttentionPanel, AttributionPanel, SamplingPanel, Selection, TokenPanel, Workbench

from .watching import Watched

TEXT = "The capital of France is"
HOSTILE = "</script><img src=x onerror=alert(1)> <!-- \u2028 ]]> & 你好"
NAMES = "elements => elements.map(element => element.textContent)"


class Opened:
    """A page that was opened from a file, and all that it asked for."""

    def __init__(self, watched: Watched, path: Path) -> None:
        self.watched = watched
        self.page: Page = watched.page
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        expect(self.page.locator(".explorer-panel").first).to_be_visible()

    def panel(self, name: str) -> Locator:
        return self.page.locator(f".explorer-{name}")

    def assert_clean(self, path: Path) -> None:
        """Fails where anything but the file itself was fetched, or anything was said on the console."""
        self.watched.assert_clean()
        # "blob:" is what the page makes of its own scripts.
        assert [url for url in self.asked if not url.startswith(("blob:", "data:"))] == [path.as_uri()]


@pytest.fixture
def opened(open_page: Callable[..., Watched], tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Saves a panel, closes it, and opens the page; in the end the page must be clean."""
    pages: list[tuple[Opened, Path]] = []

    def save_and_open(panel: Any, locale: str = "en-US", **options: Any) -> Opened:
        path = panel.save(tmp_path / f"{len(pages)}.html", **options)
        panel.close()
        pages.append((Opened(open_page(locale), path), path))
        return pages[-1][0]

    yield save_and_open
    for page, path in pages:
        page.assert_clean(path)


def likeliest(panel: Locator) -> Locator:
    return panel.locator(".explorer-sampling-row").first


def test_a_workbench_is_linked_without_a_kernel(
    opened: Callable[..., Opened], sample: explorer.Model, tmp_path: Path
) -> None:
    """Panels follow each other, which they only can by the one exploration that all of them refer to."""
    saved = opened(Workbench(sample, TEXT))
    assert (tmp_path / "0.html").stat().st_size < 1_500_000
    top = sample.trace(TEXT).next_token().top(1).iloc[0]
    expect(saved.panel("sampling")).to_contain_text(f"{top['probability']:.3f}")
    saved.panel("workbench").locator(".explorer-chip").nth(3).hover()
    expect(saved.panel("attribution").locator(".is-hovered")).to_have_count(1)
    expect(saved.panel("attention")).to_contain_text(re.compile("France\\S attends to"))


def test_what_would_ask_the_model_is_disabled_and_says_why(
    opened: Callable[..., Opened], sample: explorer.Model
) -> None:
    page = opened(Workbench(sample, TEXT, edits=[Ablate("layers.5.attn.z", heads=[1])])).page
    for name in ("Undo", "Code", "Generate", re.compile("^Remove "), re.compile("Paris")):
        button = page.get_by_role("button", name=name).first
        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", re.compile("asks the model"))
    expect(page.get_by_label("Prompt", exact=True)).not_to_be_editable()
    expect(page.locator(".explorer-status").first).to_have_text(
        re.compile(r"^saved page: SmolLM2.* · \d{4}-\d\d-\d\d$")
    )


def test_sliders_move_the_bars_from_the_row_in_the_page(opened: Callable[..., Opened], sample: explorer.Model) -> None:
    panel = opened(SamplingPanel(sample, TEXT)).panel("sampling")
    slider = panel.get_by_role("slider", name="temperature")
    before = slider.get_attribute("aria-valuenow") or slider.input_value()
    slider.focus()
    for _ in range(5):
        slider.press("ArrowLeft")
    temperature = float(slider.get_attribute("aria-valuenow") or slider.input_value())
    assert str(temperature) != before
    shown = panel.get_by_label("temperature, typed").input_value()
    row = sample.next_token(TEXT).under(Sampling(temperature=float(shown))).top(1)
    expect(panel).to_contain_text(f"{row['probability'].iloc[0]:.3f}")


def test_any_head_can_be_chosen_and_is_exact_to_what_the_page_says(
    opened: Callable[..., Opened], sample: explorer.Model
) -> None:
    panel = opened(AttentionPanel(sample, TEXT, selection=Selection(0, (0,)))).panel("attention")
    heads = panel.get_by_role("grid").last
    heads.focus()
    heads.press("ArrowRight")
    heads.press("ArrowDown")
    heads.press("Enter")
    expect(panel.locator(".explorer-subtitle")).to_have_text("layer 1 · head 1")
    expect(panel).to_contain_text("in this page weights are within 0.00")
    panel.get_by_text("the map as a table").click()
    numbers = panel.locator(".explorer-numbers td, table td").evaluate_all(NAMES)
    pattern = sample.trace(TEXT).pattern(1, heads=[1])[0, 0]
    expected = [float(pattern[row, col]) for row in range(5) for col in range(row + 1)]
    shown = [float(text) for text in numbers if re.fullmatch(r"[<]?\d*\.?\d+", text)]
    assert torch.allclose(torch.tensor(shown), torch.tensor(expected), atol=0.0026)


def test_the_text_is_coloured_by_any_token_and_head_of_the_page(
    opened: Callable[..., Opened], sample: explorer.Model
) -> None:
    panel = opened(AttentionPanel(sample, TEXT, selection=Selection(11, (3,)))).panel("attention")
    panel.get_by_role("radio", name="Text").click()
    chips = panel.locator(".explorer-text-view .explorer-chip")
    pattern = sample.trace(TEXT).pattern(11)[0]
    expect(chips.nth(3)).to_have_attribute("aria-label", re.compile(f"{float(pattern[3, 4, 3]):.3f}$"))
    chips.nth(2).click()
    panel.get_by_role("button", name="all 9 heads").click()
    value, head = pattern[:, 2, 1].max(dim=0)
    said = re.compile(rf"at most (0\.\d+), by head {int(head)}$")
    expect(chips.nth(1)).to_have_attribute("aria-label", said)
    shown = said.search(chips.nth(1).get_attribute("aria-label") or "")
    assert shown is not None
    assert abs(float(shown[1]) - float(value)) <= 0.0026


def test_tokens_are_looked_through_and_not_read_anew(opened: Callable[..., Opened], sample: explorer.Model) -> None:
    saved = opened(TokenPanel(sample, "say <|im_end|> 你好", other=sample), locale="zh-CN")
    panel = saved.panel("token")
    rows = panel.locator("[data-row]")
    ids = sample.tokenizer("say <|im_end|> 你好")["input_ids"]
    assert [int(row.locator("[role=cell]").nth(1).inner_text()) for row in rows.all()] == ids
    switch = panel.get_by_label("将特殊词元的名称读作普通文字")
    expect(switch).to_be_disabled()
    expect(panel.locator(".explorer-token-switch").last).to_have_attribute("title", re.compile("需要模型"))
    expect(panel.locator(".explorer-token-notes")).to_contain_text("被读作特殊词元")
    panel.locator(".explorer-token-room").press("End")
    expect(rows.last).to_have_class(re.compile("is-chosen"))
    expect(panel.locator(".explorer-tokens .is-selected")).to_have_attribute("data-index", str(len(ids) - 1))


def test_tokens_that_are_markup_stay_text(opened: Callable[..., Opened], sample: explorer.Model) -> None:
    saved = opened(Workbench(sample, HOSTILE))
    expect(saved.page.get_by_label("Prompt", exact=True)).to_have_value(HOSTILE)
    assert saved.page.locator("img").count() == 0
    assert (
        saved.page.title().endswith(HOSTILE[:60].replace("\u2028", "\u2028").strip())
        or HOSTILE[:20] in saved.page.title()
    )


def test_a_page_is_dark_where_the_reader_wants_it(opened: Callable[..., Opened], sample: explorer.Model) -> None:
    page = opened(SamplingPanel(sample, TEXT)).page
    expect(page.locator(".explorer-sampling")).to_have_attribute("data-theme", "light")
    page.emulate_media(color_scheme="dark")
    expect(page.locator(".explorer-sampling")).to_have_attribute("data-theme", "dark")


def test_a_page_speaks_the_readers_language_and_says_what_made_it(
    opened: Callable[..., Opened], sample: explorer.Model
) -> None:
    page = opened(AttributionPanel(sample, TEXT), locale="zh-CN").page
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    page.get_by_text("此页面的来源").click()
    made = page.locator("footer dl")
    for fact in ("SmolLM2-135M-Instruct", "float32", torch.__version__, "权重 SHA-256"):
        expect(made).to_contain_text(fact)


def test_panels_of_a_saved_trace_leave_as_pages_too(
    opened: Callable[..., Opened], sample: explorer.Model, tmp_path: Path
) -> None:
    trace = explorer.open_trace(sample.trace(TEXT).save(tmp_path / "trace.safetensors", include=["logits"]))
    saved = opened(Workbench(trace))
    expect(saved.panel("sampling")).to_contain_text("Paris")
    expect(saved.page.locator("footer dl")).to_contain_text(trace.provenance.weights[:16])
