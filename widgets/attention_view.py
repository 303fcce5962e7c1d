"""What stands inside the attention panel when it is chosen there: a picture of its own, its code sent only then."""

from __future__ import annotations

from typing import Any

import traitlets

from explorer import Refused, Trace
from explorer.anatomy import Stack
from explorer.attention_rows import AttentionRows
from explorer.sites import checked_indices, chosen_stack
from widgets import wire
from widgets.connection import guarded
from widgets.exploration import Exploration
from widgets.panel import Panel


class AttentionView(Panel):
    """A view of the chosen heads. A subclass draws in `_draw`, as every panel does.

    Attributes:
        inside: always True: the frame around it is the attention panel's.
    """

    # After the panel around it, whose pass it reads.
    _rank = 2
    # The fields of the selection that a new picture is needed for.
    _chosen_by: tuple[str, ...] = ("layer", "heads", "stack", "kind")
    # What is as it was left when the view is chosen again.
    _kept: tuple[str, ...] = ()

    inside = traitlets.Bool(True).tag(sync=True)

    def __init__(self, exploration: Exploration, **traits: Any) -> None:
        super().__init__(exploration, embedded=True, still=False, **traits)

    @traitlets.observe("selection")
    @guarded
    def _chosen(self, change: Any) -> None:
        if self._ready and any(
            getattr(change["old"], name) != getattr(change["new"], name) for name in self._chosen_by
        ):
            self._request()

    def _heads(self, trace: Trace) -> tuple[Stack, int, list[int], AttentionRows]:
        """The stack, layer and heads that are chosen, and their weights.

        Raises:
            Refused: the model has no such attention, or it was not recorded.
        """
        chosen = self.selection
        if not trace.anatomy.routes_attention or not trace.anatomy.stacks:
            raise Refused(f"{self.about['name']} has no attention to show: {trace.anatomy.missing}.")
        stack = chosen_stack(chosen.stack, trace.anatomy)
        layer = 0 if chosen.layer is None else chosen.layer
        where = trace.attention(layer, stack=stack.name, kind=chosen.kind)
        return stack, layer, checked_indices("heads", list(chosen.heads or (0,)), where.heads), where

    def _sides(self, trace: Trace, stack: Stack) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The tokens that attend, and those that are attended to."""
        prompt = wire.tokens(trace.tokens)
        if not trace.decoder or stack.name != "decoder":
            return prompt, prompt
        written = wire.tokens(trace.decoder[0])
        return written, written if self.selection.kind == "attn" else prompt
