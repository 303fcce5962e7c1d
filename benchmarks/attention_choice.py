"""How long another head takes in JupyterLab, from a click on its small map until it is painted large."""

from __future__ import annotations

import random
from collections.abc import Iterable

from benchmarks.labs import PATIENCE_MS, opened
from benchmarks.painting import changed

_CELLS = (
    "import explorer\nfrom widgets import AttentionPanel\nmodel = explorer.load()",
    "panel = AttentionPanel(model)\npanel",
)
_LAYERS, _HEADS = 30, 9
_NAME = 'document.querySelector(".explorer-subtitle").textContent'
# Until its weights are there the head is shown as the small map has it, in few cells.
_EXACT = 'document.querySelector(".explorer-map.is-waiting") === null'
# The small maps fill the canvas evenly: layers are columns, heads are rows.
_CLICK = f"""
const box = document.querySelector(".explorer-heads > canvas").getBoundingClientRect();
document.querySelector(".explorer-heads").dispatchEvent(new MouseEvent("click", {{
    bubbles: true,
    clientX: box.left + ((LAYER + 0.4) / {_LAYERS}) * box.width,
    clientY: box.top + ((HEAD + 0.4) / {_HEADS}) * box.height,
}}))"""


def measure(lengths: Iterable[int], clicks: int) -> dict[int, list[float]]:
    """Seconds of each click on a head that was not the chosen one, by length of the text.

    Args:
        lengths: tokens of the texts; all are shown by one panel.
        clicks: how many for each.

    Raises:
        PaintError: this machine has no Chrome or Chromium that starts, or Playwright is missing.
    """
    taken: dict[int, list[float]] = {}
    with opened(_CELLS) as lab:
        lab.run("from benchmarks.inputs import random_text")
        for tokens in lengths:
            lab.run(f"panel.text = random_text(model.tokenizer, {tokens}, 'choice')\npanel.wait(600)")
            draw = random.Random(tokens)
            heads = draw.sample([(layer, head) for layer in range(_LAYERS) for head in range(_HEADS)], clicks + 1)
            seconds = [
                changed(
                    lab.page,
                    _CLICK.replace("LAYER", str(layer)).replace("HEAD", str(head)),
                    f'{_NAME} === "layer {layer} · head {head}" && {_EXACT}',
                    PATIENCE_MS / 1000,
                )
                for layer, head in heads
            ]
            taken[tokens] = seconds[1:]  # the first one also waited for the first picture of this text
    return taken
