"""Panels together: one prompt, one history, everything linked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import traitlets

from explorer import Model, Trace
from widgets import wire
from widgets.attention import AttentionPanel
from widgets.attribution import AttributionPanel
from widgets.connection import asset, guarded
from widgets.exploration import Exploration
from widgets.panel import Panel
from widgets.sampling import SamplingPanel
from widgets.worker import Job

_PANELS: tuple[type[Panel], ...] = (SamplingPanel, AttributionPanel, AttentionPanel)


def _references(panels: Sequence[Panel], _widget: Any) -> list[str]:
    return [f"anywidget:{panel.model_id}" for panel in panels]


class Workbench(Panel):
    """Several panels on one exploration.

    Attributes:
        panels: the panels, in the order in which they are shown.
    """

    _esm = asset("workbench.js")
    _css = asset("workbench.css")
    # The prompt's tokens need no pass. They come after the next tokens all the same: to draw hundreds of them takes the
    # page longer than those take the model.
    _drawn_from = ("text", "special_tokens", "literal", "decoder")
    _rank = 1

    panels = traitlets.Tuple().tag(sync=True, to_json=_references)

    def __init__(
        self,
        model: Model | Trace | Exploration,
        text: str | None = None,
        *,
        panels: Sequence[type[Panel]] = _PANELS,
        **traits: Any,
    ) -> None:
        kinds = tuple(panels)
        for kind in kinds:
            if not (isinstance(kind, type) and issubclass(kind, Panel)) or issubclass(kind, Workbench):
                raise TypeError(f"panels holds {kind!r}; classes of panels are needed, such as AttentionPanel.")
        super().__init__(model, text, **traits)
        self.panels = tuple(kind(self.exploration, embedded=True) for kind in kinds)
        for panel in self.panels:
            panel.keeper = self
        self.on_msg(self._message)

    def _page_offer(self) -> str:
        return "".join(dict.fromkeys(panel._page_offer() for panel in self.panels))

    def _draw(self, _job: Job, number: int) -> None:
        tokens, written = self.exploration.tokens, self.exploration.decoder_tokens
        view = {"request": number, "tokens": wire.tokens(tokens), "notes": self._notes(tokens)}
        self._publish(view={**view, "decoder_tokens": None if written is None else wire.tokens(written)})

    @guarded
    def _message(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("type") == "undo":
            self.exploration.undo()
        elif content.get("type") == "redo":
            self.exploration.redo()
        elif content.get("type") == "pin":
            self.exploration.pin()
        elif content.get("type") == "unpin":
            self.exploration.unpin()
        elif content.get("type") == "code":
            self.send({"type": "code", "text": self.exploration.code()})
