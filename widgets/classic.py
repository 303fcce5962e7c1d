"""BertViz's head view and model view for those who know them: from a trace, without a network, behind a frame.

BertViz (Jesse Vig, "A Multiscale Visualization of Attention in the Transformer Model", 2019) draws with its own
scripts, read from the installed package. What they would load from elsewhere stands in `static/classic.js`. They run in
a frame that can reach neither the notebook nor a network.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from explorer import Refused, Trace
from widgets.connection import asset

MAX_BYTES = 16_000_000
"""How much of text a view may be: beyond, browsers take seconds for every click."""

_MARKER = "PYTHON_PARAMS"
_ROOT = "bertviz"
# Of a weight as text: BertViz draws it as an opacity, of which a screen has 256.
_DIGITS = 4
_BYTES_A_WEIGHT = 7


class ClassicView:
    """A view of BertViz; shows itself in a notebook.

    Attributes:
        document: the whole page that the frame shows.
        height: of the frame, in pixels.
    """

    def __init__(self, document: str, height: int, words: str) -> None:
        self.document = document
        self.height = height
        self._words = words

    def __repr__(self) -> str:
        return self._words

    def _repr_html_(self) -> str:
        inside = html.escape(self.document, quote=True)
        style = "width:100%;border:0;background:#fff;color-scheme:light;resize:vertical;overflow:auto"
        title = html.escape(self._words, quote=True)
        # Without allow-same-origin its scripts cannot touch the notebook.
        return (
            f'<iframe title="{title}" sandbox="allow-scripts" style="{style}" height="{self.height}" srcdoc="{inside}">'
            "</iframe>"
        )


def head_view(
    trace: Trace, *, layer: int | None = None, heads: Sequence[int] | None = None, layers: Sequence[int] | None = None
) -> ClassicView:
    """Lines between the tokens of a text for the heads of one layer at a time.

    Args:
        trace: of one text.
        layer: shown first.
        heads: that are on at first; None for all.
        layers: that can be chosen; None for all.

    Raises:
        Refused: the view would be too large for a browser, or an index is out of range.
    """
    chosen = _layers(trace, layers)
    if layer is not None and layer not in chosen:
        raise Refused(f"layer={layer} is none of those that are shown: {chosen}.")
    data = _attention(trace, chosen, None)
    count = len(data["attn"][0])
    if heads is not None and not all(0 <= head < count for head in heads):
        raise Refused(f"heads={list(heads)} are out of range: the layers have heads 0 to {count - 1}.")
    params = {
        "attention": [data],
        "default_filter": "0",
        "root_div_id": _ROOT,
        "layer": chosen[0] if layer is None else layer,
        "heads": None if heads is None else list(heads),
        "include_layers": chosen,
    }
    height = 140 + 23 * len(trace)
    return ClassicView(
        _document("head_view.js", params, '<span>Layer: <select id="layer"></select></span>'),
        height,
        _words("head_view", trace),
    )


def model_view(
    trace: Trace, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None, dark: bool = False
) -> ClassicView:
    """All heads of all layers as small pictures of their lines; a click enlarges one.

    Args:
        trace: of one text.
        layers: that are shown; None for all.
        heads: that are shown; None for all.
        dark: whether lines are light on black, as in BertViz.

    Raises:
        Refused: the view would be too large for a browser, or an index is out of range.
    """
    chosen = _layers(trace, layers)
    data = _attention(trace, chosen, heads)
    count = len(data["attn"][0])
    params = {
        "attention": [data],
        "default_filter": "0",
        "display_mode": "dark" if dark else "light",
        "root_div_id": _ROOT,
        "include_layers": chosen,
        "include_heads": list(range(count)) if heads is None else list(heads),
        "total_heads": count,
    }
    return ClassicView(_document("model_view.js", params, ""), 700, _words("model_view", trace))


def _layers(trace: Trace, layers: Sequence[int] | None) -> list[int]:
    stack = trace.anatomy.stack
    if len(trace.batch) != 1 or trace.decoder or stack is None:
        raise Refused("trace holds several texts or stacks; BertViz's views show one text of a model with one stack.")
    there = [layer for layer, heads in enumerate(stack.heads) if heads]
    chosen = there if layers is None else list(layers)
    if not chosen or not set(chosen) <= set(there):
        raise Refused(f"layers={chosen} are not all layers with attention; those are {there[0]} to {there[-1]}.")
    return chosen


def _attention(trace: Trace, layers: Sequence[int], heads: Sequence[int] | None) -> dict[str, Any]:
    stack = trace.anatomy.stack
    assert stack is not None  # `_layers` has looked
    each = {stack.heads[layer] for layer in layers}
    if len(each) != 1:
        raise Refused(
            f"layers={list(layers)} have different numbers of heads, {sorted(each)}; choose layers that agree."
        )
    count = each.pop() if heads is None else len(heads)
    size = len(layers) * count * len(trace) ** 2 * _BYTES_A_WEIGHT
    if size > MAX_BYTES:
        raise Refused(
            f"BertViz's view of {len(layers)} layers with {count} heads and {len(trace)} tokens would be "
            f"{size / 1e6:.0f} MB of text; more than {MAX_BYTES / 1e6:.0f} MB stall a browser. AttentionPanel(trace) "
            "shows texts of any length, or choose fewer with layers=[...]."
        )
    chosen = None if heads is None else list(heads)
    weights = [trace.pattern(layer, heads=chosen)[0].float().cpu().tolist() for layer in layers]
    texts = [token.text for token in trace.tokens]
    rounded = [[[[round(weight, _DIGITS) for weight in row] for row in head] for head in layer] for layer in weights]
    return {"name": None, "attn": rounded, "left_text": texts, "right_text": texts}


def _document(script: str, params: dict[str, Any], above: str) -> str:
    source = files("bertviz").joinpath(script).read_text("utf-8")
    # "<" would let a token's text end the script; JSON and JavaScript read the escape as the same character.
    data = json.dumps(params, ensure_ascii=True).replace("<", "\\u003c")
    if f"= {_MARKER};" not in source:
        raise Refused("The installed bertviz is not one whose views are known here; 1.4 is.")
    # The marker stands in a comment too, where the numbers would be once more.
    drawing = source.replace(f"= {_MARKER};", f"= {data};", 1)
    scripts = [asset("classic.js").default_value, drawing]
    hashes = " ".join(f"'sha256-{_hash(one)}'" for one in scripts)
    policy = f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'"
    return "".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, quote=True)}">',
            '<style>body{margin:0;font-family:"Helvetica Neue",Helvetica,Arial,sans-serif}</style></head><body>',
            f'<div id="{_ROOT}">{above}<div id="vis"></div></div>',
            *(f"<script>{one}</script>" for one in scripts),
            "</body></html>",
        ]
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _words(kind: str, trace: Trace) -> str:
    return f"BertViz {kind} of {len(trace)} tokens"
