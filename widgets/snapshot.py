"""A panel as one file: a page that shows it, and lets it move, without a kernel and without a network."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from explorer import Refused, Trace
from explorer.provenance import Provenance, provenance_of
from explorer.saved import SavedTrace
from widgets.connection import Connected, asset

if TYPE_CHECKING:
    from widgets.panel import Panel

MAX_BYTES = 12_000_000
"""How large a page may become unless it is said otherwise: what a mail or a course's page still takes."""

# What only Jupyter's widget manager and anywidget's own loader read.
_PLUMBING = ("layout", "tooltip", "tabbable", "comm")
# A view into the page's buffer begins where any number may.
_ALIGNED = 8
_DIGITS = 16


@dataclass(frozen=True)
class PageLimits:
    """What of a panel goes into a page.

    Attributes:
        max_bytes: how large the page may become.
        layers: whose heads are carried; None for all.
        cells: how many cells a head's map has at most each way, each the largest weight of its block; None for one
            per pair of tokens.
    """

    max_bytes: int = MAX_BYTES
    layers: tuple[int, ...] | None = None
    cells: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_bytes", "cells"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise Refused(f"{name}={value!r} is no size; use a whole number of at least 1.")


@dataclass
class _Bytes:
    """Everything of a page that is not text of its own: arrays and scripts, one behind the other."""

    parts: list[bytes] = field(default_factory=list)
    length: int = 0
    known: dict[bytes, list[int]] = field(default_factory=dict)

    def add(self, data: bytes) -> list[int]:
        """Where it lies, as offset and length; the same bytes lie there once."""
        key = hashlib.sha256(data).digest()
        if key not in self.known:
            self.known[key] = [self.length, len(data)]
            padded = data + b"\0" * (-len(data) % _ALIGNED)
            self.parts.append(padded)
            self.length += len(padded)
        return self.known[key]

    def packed(self) -> str:
        # Without a time, so that the same panel gives the same page.
        return base64.b64encode(gzip.compress(b"".join(self.parts), 6, mtime=0)).decode("ascii")


def page(panel: Panel, limits: PageLimits | None = None) -> str:
    """The page of a panel, as HTML.

    Args:
        panel: the panel; what it shows is complete.
        limits: what of it goes into the page.

    Raises:
        Refused: the page would be larger than allowed; the sentence says what can be left out.
    """
    with ExitStack() as undo:
        for one in list(_panels(panel)):
            one._ready_page(undo)
        return _page(panel, limits or PageLimits())


def _page(panel: Panel, limits: PageLimits) -> str:
    pool = _Bytes()
    modules: list[list[int]] = []
    styles: dict[str, None] = {}
    models: dict[str, Any] = {}
    carried: list[str] = []
    for widget in _parts(panel):
        script, style = _text(widget, "_esm"), _text(widget, "_css")
        extra, said = widget._for_page(limits) if _is_panel(widget) else ({}, "")
        carried += [said] if said else []
        module = None
        if _is_panel(widget):
            span = pool.add(script.encode("utf-8"))
            module = modules.index(span) if span in modules else len(modules)
            modules += [span] if module == len(modules) else []
            styles[style] = None
        state = {**_state(widget), **extra}
        buffers = [{"path": path, "span": pool.add(data)} for path, data in _lifted(state)]
        models[widget.model_id] = {"state": state, "buffers": buffers, "module": module}
    now = datetime.now(UTC)
    facts = panel.exploration.source.facts
    content = {
        "root": panel.model_id,
        "language": panel.language,
        "saved": {"model": facts.name, "date": f"{now:%Y-%m-%d}"},
        "facts": [*_facts(provenance_of_panel(panel), panel), *(("accuracy", said) for said in carried)],
        "models": models,
        "modules": modules,
    }
    written = _html(_title(panel, facts.name), list(styles), content, pool.packed())
    size = len(written.encode("utf-8"))
    if size > limits.max_bytes:
        raise Refused(
            f"The page would have {size / 1e6:.1f} MB, and max_bytes={limits.max_bytes} allows "
            f"{limits.max_bytes / 1e6:.1f}. Allow more with max_bytes={-(-size // 1_000_000)}_000_000"
            f"{panel._page_offer()}."
        )
    return written


def _is_panel(widget: Connected) -> bool:
    return hasattr(widget, "_for_page")


def _parts(panel: Panel) -> Iterator[Connected]:
    """A panel, those inside it, and the exploration that all refer to."""
    yield from _panels(panel)
    yield panel._state_of


def _panels(panel: Panel) -> Iterator[Panel]:
    yield panel
    for inside in (*panel.panels, *panel._page_panels):
        yield from _panels(inside)


def _text(widget: Connected, name: str) -> str:
    return str(getattr(widget, name, "") or "")


def _state(widget: Connected) -> dict[str, Any]:
    """The synced traits as the browser gets them, without what the page holds elsewhere. Nobody points at it."""
    state: dict[str, Any] = widget.get_state()
    plain = {name: value for name, value in state.items() if not name.startswith("_") and name not in _PLUMBING}
    return {**plain, **({"hover": None} if "hover" in plain else {})}


def _lifted(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[list[str | int], bytes]]:
    """Takes the bytes out of nested dictionaries and lists, in place, and says where they were."""
    named: Iterable[tuple[str | int, Any]] = (
        list(value.items()) if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, inner in named:
        if isinstance(inner, bytes | bytearray | memoryview):
            value[name] = None
            yield [*path, name], bytes(inner)
        elif isinstance(inner, dict | list):
            value[name] = inner.copy()  # the trait's own value keeps its bytes
            yield from _lifted(value[name], (*path, name))


def provenance_of_panel(panel: Panel) -> Provenance:
    """Where the numbers of a panel came from."""
    trace: Trace = panel.read()
    return trace.provenance if isinstance(trace, SavedTrace) else provenance_of(trace)


def _facts(made: Provenance, panel: Panel) -> list[tuple[str, str]]:
    """What made the picture, one fact a line; the names are keys that the page words."""
    shown = panel.settings.items()
    facts = {
        "model": f"{made.model} ({made.family})",
        "source": made.source,
        "revision": made.revision,
        "weights": made.weights[:_DIGITS],
        "dtype": made.dtype,
        "device": made.device,
        "kernel": made.kernel,
        "adapters": ", ".join(made.adapters),
        "tokens": " + ".join(str(len(ids)) for ids in (*made.ids, *made.decoder_ids)),
        "edits": ", ".join(made.edits),
        "seed": "" if made.seed is None else str(made.seed),
        "settings": ", ".join(f"{name} {value:g}" for name, value in shown if isinstance(value, int | float)),
        "made": made.made,
        "versions": ", ".join(f"{name} {number}" for name, number in made.versions),
    }
    return [(name, value) for name, value in facts.items() if value]


def _title(panel: Panel, name: str) -> str:
    kind = panel.title or type(panel).__name__.removesuffix("Panel")
    return f"{kind} · {name} · {panel.text[:60]}"


def _html(title: str, styles: list[str], content: dict[str, Any], packed: str) -> str:
    host, around = asset("host.js").default_value, asset("host.css").default_value
    styles = [around, *styles]
    # "<" would let a token's text end the element; JSON reads the escape as the same character.
    data = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    for inlined, end in ((host, "</script"), *((style, "</style") for style in styles)):
        if end in inlined.lower():
            raise ValueError(f"What is built holds {end}, which would end its element in a page.")
    policy = (
        f"default-src 'none'; script-src {_hash(host)} blob:; style-src {' '.join(map(_hash, styles))}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f'<html lang="{"zh-Hans" if content["language"] == "zh" else "en"}">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, quote=True)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            '<link rel="icon" href="data:,">',
            f"<title>{html.escape(title)}</title>",
            *(f"<style>{style}</style>" for style in styles),
            "</head>",
            "<body>",
            "<main></main>",
            "<noscript>This page unpacks itself with a script, which this browser does not run.</noscript>",
            f'<script type="application/json" id="explorer-page">{data}</script>',
            f'<script type="text/plain" id="explorer-bytes">{packed}</script>',
            f'<script type="module">{host}</script>',
            "</body>",
            "</html>",
            "",
        ]
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
