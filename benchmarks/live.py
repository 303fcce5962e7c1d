"""How fast the panels answer, measured in a real JupyterLab: from an event in the browser to new bars in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import live_use
from benchmarks.labs import LabPage, opened
from benchmarks.measuring import Spread, paired, spread
from benchmarks.painting import PaintError
from benchmarks.table import Table, say

TOKENS = 1024
_IMPORTS = "import torch, transformers\nimport explorer, widgets\nfrom widgets import SamplingPanel, Workbench"
_TEXT = "The capital of France is"
# Runs in the kernel, between two events, while nothing else does.
_PLAIN = """
import json, threading, time
from transformers import AutoModelForCausalLM, DynamicCache
from explorer import samples
from benchmarks.inputs import random_text
from widgets.worker import worker_of
plain = AutoModelForCausalLM.from_pretrained(str(samples.folder()), dtype=torch.float32)
def text_of(tokens, seed):
    return random_text(model.tokenizer, tokens, seed)
def there(work):
    # In the panels' own thread: OpenMP gives each Python thread that computes a pool, and where pools have more threads
    # than there are cores they sleep between two multiplications, which makes the passes of both half as slow again.
    told, gone = [], threading.Event()
    def run(_job):
        try:
            told.append(work())
        finally:
            gone.set()
    worker_of(model.hf, model.name).submit(told, "plain", run, on_error=lambda error: told.append(error))
    gone.wait()
    if isinstance(told[0], BaseException):
        raise told[0]
    return told[0]
def cached(text):
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    cache = DynamicCache(config=plain.config)
    with torch.no_grad():
        plain(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache
def one_pass(cache):
    with torch.no_grad():
        started = time.perf_counter()
        plain(input_ids=torch.tensor([[260]]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        taken = time.perf_counter() - started
    cache.crop(-1)
    return taken
def scratch(text):
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    with torch.no_grad():
        started = time.perf_counter()
        plain(input_ids=ids, use_cache=False, logits_to_keep=1)
        return time.perf_counter() - started
"""
# Puts a text into the prompt as a person does, and tells after how many ms the bars were others and painted.
_TYPE = """
([text]) => new Promise((resolve) => {
    const field = document.querySelector(".explorer-prompt textarea");
    const bars = document.querySelector(".explorer-sampling-chart > ol");
    field.value = text;
    const started = performance.now();
    new MutationObserver((_changes, watch) => {
        watch.disconnect();
        requestAnimationFrame(() => resolve(performance.now() - started));
    }).observe(bars, { subtree: true, childList: true, characterData: true, attributes: true });
    field.dispatchEvent(new Event("input", { bubbles: true }));
})
"""
# Moves a slider and tells how many ms of script that took: its handler's, and those of the next frame.
_SLIDE = """
([position]) => new Promise((resolve) => {
    const slider = document.querySelector(".explorer-sampling input[type=range]");
    const bars = document.querySelector(".explorer-sampling-chart > ol");
    let changed = false, began = 0;
    const watch = new MutationObserver(() => { changed = true; });
    watch.observe(bars, { subtree: true, characterData: true, attributes: true });
    requestAnimationFrame(() => { began = performance.now(); });
    const started = performance.now();
    slider.value = position;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    const handled = performance.now() - started;
    requestAnimationFrame(() => {
        const script = performance.now() - began;
        watch.disconnect();
        resolve({ ms: handled + script, changed });
    });
})
"""


def tables(quick: bool) -> Iterator[Table]:
    """The tables, each as soon as it is measured."""
    try:
        yield _answers(4 if quick else 12)
        yield _typing()
        yield _use(300 if quick else 2000)
    except PaintError as error:
        table = Table("Live panels", "Measured in JupyterLab.", ("figure", "value"))
        table.add("not measured", str(error))
        yield table


def _answers(rounds: int) -> Table:
    say("cold start")
    table = Table(
        "Live panels: from an event in the browser to the picture in it",
        "The sample model in JupyterLab, Chromium without a window. Appended: one token at the end of a prompt of "
        f"{TOKENS:,}.\nThe cached pass is plain transformers' with a DynamicCache, one token, in the same kernel "
        "between the events.",
        ("figure", "ms", "beside", "ratio", "goal"),
    )
    with opened([_IMPORTS]) as lab:
        cold = lab.show(f"model = explorer.load()\nbench = Workbench(model, {_TEXT!r})\nbench", 4)
        table.add("cold start to four live panels", f"{1000 * cold:,.0f}", "", "", "under 3,000")
        lab.run("bench.wait(300)")
        for name, milliseconds in _slides(lab, rounds).items():
            table.add(f"script of one slider's step, {name}", spread(milliseconds).words(1), "", "", "under 16")
        lab.run("bench.close()")
        lab.run("from IPython.display import clear_output")
    for name, panel in (("next tokens alone", "SamplingPanel"), ("all panels", "Workbench")):
        say(f"typing at {TOKENS} tokens, {name}")
        _typed(table, name, type_at_the_end(panel, rounds))
    return table


def _slides(lab: LabPage, rounds: int) -> Mapping[str, Sequence[float]]:
    """Milliseconds of script of each step of the temperature's slider, without and with something pinned."""
    taken: dict[str, list[float]] = {}
    for name, code in (
        ("nothing pinned", "bench.exploration.unpin()"),
        ("beside what is pinned", "bench.exploration.pin()"),
    ):
        lab.run(code)
        lab.wait("true")
        taken[name] = []
        for step in range(-3, 10 * rounds):
            told = lab.page.evaluate(_SLIDE, [90 - (step + 3) % 60])
            if not told["changed"]:
                raise RuntimeError("The slider moved and the bars did not.")
            if step >= 0:
                taken[name].append(told["ms"])
    return taken


def type_at_the_end(panel: str, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each round: of the event, of a cached pass beside it, of a whole new text and of a plain pass."""
    taken: dict[str, list[float]] = {"appended": [], "cached": [], "new": [], "plain": []}
    with opened([_IMPORTS, f"model = explorer.load()\npanel = {panel}(model)\npanel"]) as lab:
        lab.run(_PLAIN)
        lab.wait("document.querySelector('.explorer-sampling-chart') !== null")
        for number in range(-1, rounds):
            text = json.loads(lab.run(f"print(json.dumps(text_of({TOKENS}, {number})))"))
            new = lab.page.evaluate(_TYPE, [text])
            _settle(lab)
            lab.run("cache = there(lambda: cached(panel.text))")
            cached = json.loads(lab.run("print(there(lambda: sorted(one_pass(cache) for _ in range(5))[2]))"))
            appended = []
            for word in (" the", " of", " and"):
                text += word
                appended.append(lab.page.evaluate(_TYPE, [text]))
                _settle(lab)
                if lab.value("panel.text") != text:
                    raise RuntimeError("The kernel has another text than the browser.")
            plain = json.loads(lab.run("print(there(lambda: scratch(panel.text)))"))
            if number >= 0:
                taken["appended"].append(sorted(appended)[1])
                taken["cached"].append(1000 * cached)
                taken["new"].append(new)
                taken["plain"].append(1000 * plain)
    return taken


def _settle(lab: LabPage) -> None:
    """Waits until the next tokens are live; other panels may still be at work, as they are when a person types."""
    lab.wait("document.querySelector('.explorer-sampling .explorer-dot.is-live') !== null")


def _typed(table: Table, name: str, taken: Mapping[str, Sequence[float]]) -> None:
    appended, cached, new = taken["appended"], taken["cached"], taken["new"]
    over = spread([event - 1.5 * plain for event, plain in zip(appended, cached, strict=True)])
    table.add(
        f"one token appended, {name}",
        spread(appended).words(0),
        f"cached pass {spread(cached).words(0)}",
        f"{paired(appended, cached).words()}; {_signed(over)} ms over 1.5x",
        "1.5x + 50 ms",
    )
    table.add(
        f"a wholly new text, {name}",
        spread(new).words(0),
        f"plain pass {spread(taken['plain']).words(0)}",
        f"{paired(new, appended).words(1)} of appended",
        "at least 8",
    )


def _signed(over: Spread) -> str:
    return f"{over.median:+.0f} ({over.low:+.0f} to {over.high:+.0f})"


def _typing() -> Table:
    table = Table(
        "A hundred letters typed in two seconds",
        "Passes counted by hooks of the benchmark's own. Of layers, those count that a pass still finished after the "
        "next letter had come.",
        (
            "at the end of",
            "passes begun",
            "finished",
            "at once",
            "layers after the next letter",
            "last shown",
            "passes by sliders",
        ),
    )
    for tokens in (64, 512):
        say(f"a hundred letters after {tokens} tokens")
        told: Any = hundred(tokens)
        late = max(told["late"], default=0)
        right = "yes" if told["right"] else "no"
        table.add(f"{tokens} tokens", told["begun"], told["completed"], told["most"], late, right, told["by_slider"])
    return table


def _use(interactions: int) -> Table:
    say(f"{interactions} interactions")
    return live_use.table(interactions)


# A hundred letters in two seconds, at the end of what stands in the prompt.
_HUNDRED = """
([letters]) => new Promise((resolve) => {
    const field = document.querySelector(".explorer-prompt textarea");
    let typed = 0;
    const clock = setInterval(() => {
        field.value += letters[typed++];
        field.dispatchEvent(new Event("input", { bubbles: true }));
        if (typed === letters.length) { clearInterval(clock); resolve(field.value); }
    }, 2000 / letters.length);
})
"""
_WATCHED = """
from benchmarks.passes import Passes
passes = Passes(model.hf, list(model.hf.model.layers))
bench.exploration.observe(lambda _change: passes.superseded(), "text")
"""


def hundred(tokens: int) -> dict[str, object]:
    """What a hundred typing events in two seconds made the model do, at the end of a prompt of so many tokens."""
    letters = [" the cat sat on a mat and "[number % 26] for number in range(100)]
    cell = "bench = Workbench(model, panels=(SamplingPanel, widgets.AttentionPanel))\nbench"
    with opened([_IMPORTS, f"model = explorer.load()\n{cell}"]) as lab:
        lab.run(_PLAIN)
        lab.run(f"bench.text = text_of({tokens}, 'hundred')\nbench.wait(300)\n{_WATCHED}")
        text = lab.page.evaluate(_HUNDRED, [letters])
        last = "document.querySelector('.explorer-workbench .explorer-tokens')?.textContent.endsWith"
        lab.wait(f"{last}({json.dumps(text[-20:])})")
        lab.run("bench.wait(300)")
        told = lab.value("passes.told()")
        likeliest = lab.value(
            "(lambda row: [model.tokenizer.decode([int(row.argmax())]), row.softmax(-1).max().item()])("
            "plain(input_ids=torch.tensor([model.tokenizer(bench.text)['input_ids']])).logits[0, -1].detach())"
        )
        bar = lab.page.locator(".explorer-sampling-bar").first
        value = float(bar.locator(".explorer-sampling-value").inner_text())
        shown = bar.locator(".explorer-sampling-label").inner_text()
        right = shown.strip() == likeliest[0].strip() and abs(value - likeliest[1]) < 2e-3
        begun = told["begun"]
        frames = lab.page.evaluate("framesSent")
        for step in range(20):
            lab.page.evaluate(_SLIDE, [60 + step])
        slid = lab.value("passes.told()")["begun"] - begun
        return {**told, "right": right, "by_slider": slid, "frames": lab.page.evaluate("framesSent") - frames}
