"""Makes the peers' attention pages from tensors that are at hand, each in its own environment.

Runs there: it imports neither explorer nor a peer before one is asked for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.limited import ready

_HEAD = '<!doctype html>\n<meta charset="utf-8">\n<body>\n'


def make(tool: str, layers: list[int], tensors: str, page: str, rounds: int) -> dict[str, Any]:
    """Makes a page as often as asked, and leaves the last one.

    Args:
        tool: a name in `TOOLS`.
        layers: whose weights it is given.
        tensors: the folder that `attention_tensors.write` filled.
        page: the file that is written.
        rounds: how many pages are timed.

    Returns:
        `seconds`, a list; `bytes`, of the HTML.
    """
    import numpy

    patterns = [numpy.load(Path(tensors, f"{layer}.npy")) for layer in layers]
    tokens = json.loads(Path(tensors, "tokens.json").read_text("utf-8"))
    draw = TOOLS[tool](patterns, tokens)
    ready()
    taken, html = [], ""
    for _ in range(rounds):
        started = time.perf_counter()
        html = draw()
        taken.append(time.perf_counter() - started)
    with Path(page).open("w", encoding="utf-8") as file:
        file.write(_HEAD)
        file.write(html)
    return {"seconds": taken, "bytes": Path(page).stat().st_size - len(_HEAD)}


Draw = Callable[[], str]


def _bertviz(view: str) -> Callable[[list[Any], list[str]], Draw]:
    def draw(patterns: list[Any], tokens: list[str]) -> Draw:
        import bertviz  # type: ignore[import-untyped]
        import torch

        attention = [torch.from_numpy(pattern)[None] for pattern in patterns]
        return lambda: str(getattr(bertviz, view)(attention, tokens, html_action="return").data)

    return draw


def _circuitsvis(patterns: list[Any], tokens: list[str]) -> Draw:
    import torch
    from circuitsvis.attention import attention_heads  # type: ignore[import-not-found]

    (layer,) = (torch.from_numpy(pattern) for pattern in patterns)
    # What it shows without a connection; with one it is the same, its script aside.
    return lambda: str(attention_heads(layer, tokens).local_src)


def _inspectus(patterns: list[Any], tokens: list[str]) -> Draw:
    import inspectus  # type: ignore[import-not-found]
    import torch
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()  # without one nothing that is displayed could be caught
    attention = [torch.from_numpy(pattern)[None] for pattern in patterns]

    def draw() -> str:
        with capture_output() as shown:
            inspectus.attention(attention, tokens)
        return "".join(output.data["text/html"] for output in shown.outputs)

    return draw


def _attnview(patterns: list[Any], tokens: list[str]) -> Draw:
    import attnview  # type: ignore[import-not-found]

    cache = {f"blocks.{number}.attn.hook_pattern": pattern[None] for number, pattern in enumerate(patterns)}
    return lambda: str(attnview.render_html(attnview.from_cache(cache, tokens=tokens)))


TOOLS: dict[str, Callable[[list[Any], list[str]], Draw]] = {
    "head_view": _bertviz("head_view"),
    "model_view": _bertviz("model_view"),
    "circuitsvis": _circuitsvis,
    "inspectus": _inspectus,
    "attnview": _attnview,
}
