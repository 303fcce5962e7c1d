"""AttributionPanel by mouse and keyboard: the question, the colours, the proof."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from .panels import AttributionPage

PROMPT = "The opposite of hot is"
PLAIN = {"target": "None", "against": "None", "target_text": "''", "method": "'input_x_gradient'"}


def number(text: str) -> float:
    """A number as the panel writes it, with a true minus sign."""
    return float(text.replace("−", "-"))


def test_the_likeliest_tokens_are_the_kernels(attribution: AttributionPage) -> None:
    attribution.start(PROMPT, **PLAIN)
    expected = attribution.value(f"model.next_token({PROMPT!r}).top(12)[['token', 'probability']].values.tolist()")
    texts = attribution.choices.locator(".explorer-text").evaluate_all("all => all.map(one => one.textContent)")
    assert texts == [token for token, _ in expected]
    for shown, (_, exact) in zip(attribution.choices.locator("small").all_text_contents(), expected, strict=True):
        assert abs(float(shown) - exact) <= 0.5 * 10 ** -len(shown.partition(".")[2]) + 1e-6
    expect(attribution.choices.first).to_have_attribute("aria-pressed", "true")
    expect(attribution.why).to_contain_text(expected[0][0].strip())


def test_another_token_is_another_target_and_another_map(attribution: AttributionPage) -> None:
    attribution.start(PROMPT, **PLAIN)
    before = attribution.colors()
    third = attribution.choices.nth(2)
    text = third.locator(".explorer-text").text_content().strip()
    chosen = int(third.get_attribute("data-id") or 0)
    third.click()
    expect(attribution.why).to_contain_text(text)
    expect(attribution.root.locator(".explorer-attribution-answer")).not_to_have_class(re.compile("is-old"))
    attribution.becomes("attribution.target", chosen)
    assert attribution.colors() != before
    # Every chip says its score, and it is the one that the kernel attributes.
    scores = attribution.value(f"model.attribute({PROMPT!r}, {chosen}, method='input_x_gradient').scores.tolist()")
    labels = attribution.chips.evaluate_all("chips => chips.map(chip => chip.getAttribute('aria-label'))")
    for label, score in zip(labels, scores, strict=True):
        assert abs(number(label.rpartition(", ")[2]) - score) <= 0.006
    # A second click lets go: the likeliest is asked for again.
    third.click()
    expect(attribution.choices.first).to_have_attribute("aria-pressed", "true")
    attribution.becomes("attribution.target", None)


def test_against_compares_two_tokens(attribution: AttributionPage) -> None:
    attribution.start(PROMPT, **PLAIN)
    attribution.choices.nth(1).click(modifiers=["Shift"])
    expect(attribution.why).to_contain_text("and not")
    against = int(attribution.choices.nth(1).get_attribute("data-id") or 0)
    attribution.becomes("attribution.against", against)
    first = int(attribution.choices.first.get_attribute("data-id") or 0)
    expect(attribution.fact("Explained").locator("bdi")).to_have_count(2)
    exact = attribution.value(f"model.attribute({PROMPT!r}, {first}, against={against}).difference")
    assert abs(number(attribution.fact("Explained").locator("b").text_content()) - exact) <= 0.006


def test_a_click_with_shift_selects_no_cells(attribution: AttributionPage) -> None:
    """To the notebook it means all cells from the active one to this, which the next run or deletion would take."""
    attribution.start(PROMPT, **PLAIN)
    attribution.choices.nth(1).click(modifiers=["Shift"])
    expect(attribution.why).to_contain_text("and not")
    expect(attribution.page.locator(".jp-Cell.jp-mod-selected")).to_have_count(1)


def test_integrated_gradients_arrive_with_their_delta(attribution: AttributionPage) -> None:
    attribution.start(PROMPT, **PLAIN)
    button = attribution.method("integrated gradients")
    expect(button).not_to_have_class(re.compile("is-waiting"))
    before = attribution.colors()
    button.click()
    expect(attribution.fact("Convergence delta")).to_be_visible()
    attribution.becomes("attribution.method", "integrated_gradients")
    shown = number(attribution.fact("Convergence delta").locator("b").text_content())
    delta = attribution.value("attribution.results['integrated_gradients'].convergence_delta")
    assert abs(shown - delta) <= max(0.006, 0.06 * abs(delta))
    assert attribution.colors() != before
    # The proof: the scores add up to what changed between the baseline and the prompt.
    total, _, explained = attribution.fact("Completeness").locator("b").text_content().partition(" of ")
    baseline = number(attribution.fact("Baseline").locator("b").text_content())
    assert abs(number(total) - (number(explained) - baseline) - shown) <= 0.03
    attribution.method("input × gradient").click()
    expect(attribution.fact("Convergence delta")).to_have_count(0)


def test_a_typed_token_is_the_target_and_two_tokens_are_answered_by_a_sentence(attribution: AttributionPage) -> None:
    attribution.start(PROMPT, **PLAIN)
    field = attribution.root.get_by_label("Explain another token")
    field.click()
    attribution.page.keyboard.type(" warm")
    attribution.page.keyboard.press("Enter")
    expect(attribution.why).to_contain_text("warm")
    attribution.becomes("attribution.target == model.tokenizer.encode(' warm')[0]", True)
    field.fill(" encyclopaedic zebra")
    field.press("Enter")
    sentence = attribution.root.locator(".explorer-attribution-question [role=alert]")
    expect(sentence).to_contain_text("tokens")
    expect(attribution.why).to_contain_text("warm")  # the last answer stays
    expect(attribution.fault).to_have_count(0)
    field.fill(" dry")
    field.press("Enter")
    expect(attribution.why).to_contain_text("dry")
    expect(sentence).to_have_count(0)


def test_a_new_prompt_has_new_next_tokens(attribution: AttributionPage) -> None:
    attribution.start(PROMPT, **PLAIN)
    attribution.type("The capital of France is")
    attribution.shows("The capital of France is")
    expect(attribution.why).to_contain_text("Paris")
    attribution.becomes("attribution.results['input_x_gradient'].target.text", " Paris")
