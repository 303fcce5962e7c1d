"""SamplingPanel by mouse and keyboard: bars without the kernel, the kernel's own numbers, generating and stopping."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from playwright.sync_api import expect

from .panels import SamplingPage

PROMPT = "The best thing about living by the sea is"
PLAIN = "explorer.Sampling()"

# Remembers how many frames had gone to the kernel when a bar first said something else.
_WATCH_BARS = """
list => {
    window.barsChanged = null;
    new MutationObserver((_changes, observer) => {
        window.barsChanged = { after: window.framesSent };
        observer.disconnect();
    }).observe(list, { subtree: true, childList: true, characterData: true });
}
"""


def assert_equal_to_the_kernel(sampling: SamplingPage, settings: str) -> None:
    """The bars that can be drawn say what the kernel computes, to the last digit they show."""
    code = f"model.next_token(sampling.text).under(explorer.Sampling({settings})).top(30)"
    expected = sampling.value(f"[[token, p] for token, p in {code}[['token', 'probability']].values.tolist()]")
    shown = sampling.kept()
    assert shown
    assert [label for label, _ in shown] == [token for token, _ in expected[: len(shown)]]
    for (_, value), (_, exact) in zip(shown, expected, strict=False):
        assert abs(float(value) - exact) <= 0.5 * 10 ** -len(value.partition(".")[2]) + 1e-6


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A kernel that computes nothing and answers nobody."""
    kernel = psutil.Process(pid)
    kernel.suspend()
    try:
        yield
    finally:
        kernel.resume()


def test_bars_follow_the_slider_while_the_kernel_is_frozen(sampling: SamplingPage) -> None:
    sampling.start(PROMPT, sampling=PLAIN)
    assert_equal_to_the_kernel(sampling, "")
    pid = sampling.value("__import__('os').getpid()")
    before = sampling.kept()[0]
    slider = sampling.slider("temperature")
    with frozen(pid):
        slider.focus()
        for _ in range(40):
            sampling.page.keyboard.press("ArrowLeft")
        expect(sampling.number("temperature")).to_have_value("0.60")
        expect(sampling.bars.first.locator(".explorer-sampling-value")).not_to_have_text(before[1])
        frozen_bars = sampling.kept()
    assert frozen_bars[0][0] == before[0]
    assert float(frozen_bars[0][1]) > float(before[1])
    # The same once the kernel has the settings, and the same as it computes by itself.
    expect(sampling.status).to_have_text(sampling.finished)
    sampling.becomes("sampling.sampling.temperature", 0.6)
    assert sampling.kept() == frozen_bars
    assert_equal_to_the_kernel(sampling, "temperature=0.6")


def test_bars_change_before_anything_is_sent(sampling: SamplingPage) -> None:
    sampling.start(PROMPT, sampling=PLAIN)
    slider = sampling.slider("temperature")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    sampling.root.locator(".explorer-sampling-chart > ol").evaluate(_WATCH_BARS)
    sent = sampling.page.evaluate("framesSent")
    mouse = sampling.page.mouse
    mouse.move(box["x"] + box["width"] / 2, middle)  # 1.00, the neutral value, is in the middle of 0 to 2
    mouse.down()
    mouse.move(box["x"] + 0.75 * box["width"], middle, steps=8)
    sampling.page.wait_for_function("barsChanged !== null")
    mouse.up()
    assert sampling.page.evaluate("barsChanged.after") == sent
    shown = sampling.number("temperature").input_value()
    assert 1.4 <= float(shown) <= 1.6
    # The hand has let go, and the last value reaches Python.
    sampling.becomes("sampling.sampling.temperature", float(shown))
    assert_equal_to_the_kernel(sampling, f"temperature={shown}")


@pytest.mark.parametrize(
    "settings",
    [
        "temperature=0.7, top_k=50, top_p=0.9",
        "min_p=0.05, repetition_penalty=1.3",
        "top_k=5",
        "temperature=0",
        "temperature=1e9",
        "top_k=10**6",
        "top_p=0",
    ],
)
def test_settings_from_python_move_the_sliders_and_the_bars(sampling: SamplingPage, settings: str) -> None:
    sampling.start(PROMPT, sampling="explorer.Sampling(temperature=0.5, top_p=0.5)")
    expect(sampling.number("temperature")).to_have_value("0.50")
    sampling.notebook.run(f"sampling.sampling = explorer.Sampling({settings})")
    for name, neutral in (("temperature", 1.0), ("top_k", 0), ("top_p", 1.0), ("min_p", 0.0)):
        given = re.search(rf"\b{name}=([^,]+)", settings)
        if given is None:
            field = sampling.number(name.replace("_", "-"))
            expect(field).to_have_value("1.00" if name == "temperature" else "off")
            assert sampling.value(f"sampling.settings['{name}']") == neutral
    if "1e9" not in settings:  # where nearly all are equal, rounding decides who is likeliest
        assert_equal_to_the_kernel(sampling, settings)
    expect(sampling.fault).to_have_count(0)


def test_what_is_cut_is_said(sampling: SamplingPage) -> None:
    sampling.start(PROMPT, sampling="explorer.Sampling(top_k=5)")
    lines = sampling.root.locator(".explorer-sampling-line.is-cut")
    expect(lines).to_have_count(1)
    expect(lines).to_contain_text("cut by top-k 5")
    expect(lines).to_contain_text("49,147 tokens")
    expect(sampling.root.locator(".explorer-sampling-bar.is-kept")).to_have_count(5)
    expect(sampling.root.locator(".explorer-sampling-facts").first).to_contain_text("5 of 49,152 tokens possible")


def test_a_number_that_is_none_is_answered_by_a_sentence(sampling: SamplingPage) -> None:
    sampling.start(PROMPT, sampling=PLAIN)
    before = sampling.kept()
    field = sampling.number("temperature")
    field.click()
    field.fill("-1")
    field.press("Enter")
    expect(sampling.root.locator(".explorer-sampling-problem")).to_contain_text("temperature must be")
    assert sampling.kept() == before
    field.press("Escape")
    expect(sampling.root.locator(".explorer-sampling-problem")).to_have_count(0)
    assert sampling.value("sampling.sampling.temperature") == 1.0


def at_most(sampling: SamplingPage, count: int) -> None:
    field = sampling.root.get_by_label("at most", exact=True)
    field.click()
    field.fill(str(count))
    field.press("Enter")


def test_generating_streams_and_stops(sampling: SamplingPage) -> None:
    sampling.start(PROMPT, sampling="explorer.Sampling(seed=3)")
    at_most(sampling, 1000)
    button = sampling.root.get_by_role("button", name="Generate", exact=True)
    button.click()
    stop = sampling.root.get_by_role("button", name="Stop", exact=True)
    # Tokens come one by one while it runs: at least three after the prompt's last six.
    expect(sampling.generated.nth(8)).to_be_visible()
    expect(stop).to_be_visible()
    stop.click()
    expect(button).to_be_visible()
    said = sampling.root.locator(".explorer-sampling-go [role=status]")
    expect(said).to_have_text(re.compile(r"^stopped after \d[\d,]* tokens$"))
    generated = sampling.value("[sampling.generated['state'], len(sampling.generated['steps'])]")
    assert generated[0] == "stopped"
    assert said.text_content() == f"stopped after {generated[1]:,} tokens"
    assert 3 <= generated[1] < 1000
    expect(sampling.status).to_have_text(sampling.finished)


def test_what_is_generated_is_what_the_kernel_generates(sampling: SamplingPage) -> None:
    settings = "explorer.Sampling(temperature=0.7, top_k=50, seed=7)"
    sampling.start(PROMPT, sampling=settings)
    at_most(sampling, 8)
    sampling.root.get_by_role("button", name="Generate", exact=True).click()
    expect(sampling.root.locator(".explorer-sampling-go [role=status]")).to_have_text("8 tokens")
    expected = sampling.value(
        f"[[s.token.text, s.probability] for s in model.generate({PROMPT!r}, {settings}, max_new_tokens=8)]"
    )
    texts = sampling.generated.locator(".explorer-text").evaluate_all("all => all.map(one => one.textContent)")
    assert texts == [" about", " living", " by", " the", " sea", " is", *(text for text, _ in expected)]
    last = sampling.generated.last
    last.hover()
    expect(sampling.tooltip.locator("b").first).to_have_text(re.compile(r"^[\d.e−]+$"))
    shown = float(sampling.tooltip.locator("b").first.text_content().replace("−", "-"))
    assert shown == pytest.approx(expected[-1][1], rel=0.06, abs=0.0006)
    assert sampling.tooltip.locator(".explorer-sampling-choice").count() >= 2
    # Another prompt leaves what was written, and says that it is the earlier one's.
    sampling.type("Hello")
    sampling.shows("Hello")
    expect(sampling.root.locator(".explorer-sampling-output")).to_contain_text("continues the earlier prompt")
