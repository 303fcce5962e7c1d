"""What stands inside the attention panel when it is chosen there: a picture of its own, sent only then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets

from explorer import Refused, Tokens, Trace
from explorer.anatomy import Anatomy, Stack
from explorer.attention_rows import AttentionRows
from explorer.note import Note
from explorer.positions import positions, reads_images
from explorer.sites import checked_indices, chosen_stack, heads_of
from widgets import wire
from widgets.connection import guarded
from widgets.exploration import Exploration
from widgets.panel import Panel
from widgets.snapshot import PageLimits

if TYPE_CHECKING:
    from widgets.attention import AttentionPanel


def prompt_of(trace: Trace, stack: Stack) -> Tokens:
    """The prompt; of a stack that reads images their patches."""
    return positions(trace, stack) if reads_images(trace, stack) else trace.tokens


def no_attention(anatomy: Anatomy, name: str) -> Refused:
    """Why a model shows no attention."""
    stack = anatomy.stack
    recurrent = stack is not None and all(layer.recurrent for layer in stack.layers)
    why = "" if recurrent else anatomy.missing
    reason = "its layers are recurrent and have no softmax attention" if recurrent else why
    sentence = f"{name} has no attention to show: {reason}. What it says next is shown by SamplingPanel."
    return Refused(Note("no_attention", sentence, model=name, why=why))


class AttentionView(Panel):
    """A view of the chosen heads. A subclass draws in `_draw`, as every panel does.

    Attributes:
        inside: always True: the frame around it is the attention panel's.
        around: the attention panel, whose settings the view reads in the browser, also where there is no kernel.
    """

    # After the panel around it, whose pass it reads.
    _rank = 3
    # The fields of the selection that a new picture is needed for.
    _chosen_by: tuple[str, ...] = ("layer", "heads", "stack", "kind")
    # Those that a page follows by itself: it has the picture of each.
    _page_follows: tuple[str, ...] = ()
    # What is as it was left when the view is chosen again.
    _kept: tuple[str, ...] = ()

    inside = traitlets.Bool(True).tag(sync=True)
    around = traitlets.Unicode("").tag(sync=True)
    keeper: AttentionPanel | None

    def __init__(self, exploration: Exploration, keeper: AttentionPanel | None = None, **traits: Any) -> None:
        self.keeper = keeper
        around = "" if keeper is None else f"anywidget:{keeper.model_id}"
        super().__init__(exploration, embedded=True, still=False, around=around, **traits)

    def read(self) -> Trace:
        """The pass that the attention panel around it shows; of several images the one that is chosen there."""
        return self._of_image(super().read() if self.keeper is None else self.keeper.read())

    def _of_image(self, trace: Trace) -> Trace:
        return trace if self.keeper is None else self.keeper.of_image(trace)

    @traitlets.observe("selection")
    @guarded
    def _chosen(self, change: Any) -> None:
        if self._ready and any(
            getattr(change["old"], name) != getattr(change["new"], name) for name in self._chosen_by
        ):
            self._request()

    def _for_page(self, _limits: PageLimits) -> tuple[dict[str, Any], str]:
        """What the picture is drawn for, so that a page can say where something else is chosen."""
        by = [name for name in self._chosen_by if name not in self._page_follows]
        return {"saved_for": {"selection": self.selection.to_wire(), "by": by}}, ""

    def _heads(self, trace: Trace) -> tuple[Stack, int, list[int], AttentionRows]:
        """The stack, layer and heads that are chosen, and their weights.

        Raises:
            Refused: the model has no such attention, or it was not recorded.
        """
        chosen = self.selection
        if not trace.anatomy.routes_attention or not trace.anatomy.stacks:
            raise no_attention(trace.anatomy, self.about["name"])
        stack = chosen_stack(chosen.stack, trace.anatomy)
        attending = (at for at, one in enumerate(stack.layers) if heads_of(one, chosen.kind) is not None)
        layer = next(attending, 0) if chosen.layer is None else chosen.layer  # the first of some hybrids has none
        where = trace.attention(layer, stack=stack.name, kind=chosen.kind)
        return stack, layer, checked_indices("heads", list(chosen.heads or (0,)), where.heads), where

    def _prompt(self, trace: Trace, stack: Stack) -> list[dict[str, Any]]:
        """What stands in the strip: the prompt's tokens, or the patches of an image in their place."""
        return wire.tokens(prompt_of(trace, stack))

    def _is_prompt(self, trace: Trace, stack: Stack) -> bool:
        """Whether the tokens that attend are those of the prompt."""
        return not trace.decoder or stack.name != "decoder"

    def _sides(self, trace: Trace, stack: Stack) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What attends, and what is attended to: tokens, or the patches of an image."""
        asking = wire.tokens(positions(trace, stack))
        cross = self.selection.kind != "attn" and not self._is_prompt(trace, stack)
        return asking, wire.tokens(trace.tokens) if cross else asking

    def _both_texts(self, trace: Trace, stack: Stack) -> dict[str, Any]:
        """The prompt's tokens, and what attends and is attended to where that is something else."""
        asking, asked = self._sides(trace, stack)
        own = self._is_prompt(trace, stack)
        return {
            "tokens": asking if own else wire.tokens(trace.tokens),
            "query_tokens": None if own else asking,
            "key_tokens": None if asked is asking else asked,
        }
