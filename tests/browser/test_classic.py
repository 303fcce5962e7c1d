"""BertViz's own views in a frame, with every address refused: lines are drawn, and text of tokens stays text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

import explorer
from explorer import Refused
from widgets import classic

from .watching import Watched

HOSTILE = "</script><img src=x onerror=alert(1)> sat"


@pytest.mark.parametrize("view", [classic.head_view, classic.model_view])
def test_lines_are_drawn_without_a_network(
    view: Callable[..., classic.ClassicView],
    open_page: Callable[[], Watched],
    sample: explorer.Model,
    tmp_path: Path,
) -> None:
    trace = sample.trace(HOSTILE)
    path = tmp_path / "notebook.html"
    path.write_text(f"<!DOCTYPE html><meta charset='utf-8'><body>{view(trace)._repr_html_()}", "utf-8")
    watched = open_page()
    asked: list[str] = []
    watched.page.on("request", lambda request: asked.append(request.url))
    watched.page.goto(path.as_uri())
    frame = watched.page.frame_locator("iframe")
    expect(frame.locator("svg line").nth(len(trace) * (len(trace) + 1) // 2)).to_be_attached()
    assert frame.locator("img").count() == 0
    assert [url for url in asked if not url.startswith("about:")] == [path.as_uri()]
    watched.assert_clean()


def test_the_head_view_draws_the_traces_weights(
    open_page: Callable[[], Watched], sample: explorer.Model, tmp_path: Path
) -> None:
    trace = sample.trace("The cat sat")
    path = tmp_path / "head.html"
    path.write_text(classic.head_view(trace, layer=3, heads=[2])._repr_html_(), "utf-8")
    page = open_page().page
    page.goto(path.as_uri())
    lines = page.frame_locator("iframe").locator("svg line")
    expect(lines.first).to_be_attached()
    drawn = [
        float(value)
        for value in lines.evaluate_all(
            "lines => lines.map(line => line.getAttribute('stroke-opacity') ?? line.style.strokeOpacity)"
        )
        if value
    ]
    exact = trace.pattern(3, heads=[2])[0, 0].flatten().tolist()
    assert any(drawn)
    assert all(any(abs(opacity - weight) < 0.001 for weight in exact) for opacity in drawn)


def test_a_long_text_is_sent_to_our_own_view(sample: explorer.Model) -> None:
    trace = sample.trace("word " * 200)
    with pytest.raises(Refused, match=r"AttentionPanel\(trace\).*layers="):
        classic.head_view(trace)
    assert classic.head_view(trace, layers=[0, 1]).height > 1000
    with pytest.raises(Refused, match=r"layers=\[30\].*0 to 29"):
        classic.head_view(trace, layers=[30])
