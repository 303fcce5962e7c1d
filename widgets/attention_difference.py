"""Where heads attend now and did not before: two prompts, with and without edits, what was pinned, two models."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import Tensor

from explorer import Model, Refused, Trace
from explorer.attention_rows import AttentionRows
from explorer.difference import attention_difference
from explorer.note import Note
from explorer.prompt_alignment import Aligned
from explorer.reuse import state_of
from explorer.sites import checked_indices
from explorer.tokens import well_formed
from widgets.attention_cells import MappedView, check_size, together
from widgets.connection import asset, guarded
from widgets.exploration import Exploration
from widgets.pictured import Pictured
from widgets.source import Source
from widgets.worker import Job

if TYPE_CHECKING:
    import pandas as pd

    from widgets.paper import Paper

_HOW = {"only first": "only_before", "only second": "only_now"}
_OTHER_OF_IMAGE = (
    "This is a trace of an image, which the other model has not read; give a trace of that model over the same image."
)
REFERENCES = ("edits", "prompt", "pinned", "other")


class DifferenceView(MappedView):
    """The chosen heads' weights now minus those of a reference, over the positions that stand for the same.

    Positions are aligned by tokens, then by characters (`explorer.prompt_alignment`). Several heads become one on each
    side first, their mean or their largest weight as `combine` says, and then one side is subtracted from the other.

    Attributes:
        reference: what is subtracted: the same prompt without the "edits"; another "prompt", under the same edits; the
            prompt and edits that are "pinned"; or the "other" model or trace.
        other_prompt: the text of the reference "prompt".
        other_name: what `other` is called; empty without one.
        other: a model or a trace, set from Python; None for none. A model reads the same prompt, without the edits.
    """

    _esm = asset("attention-difference.js")
    _css = asset("attention-difference.css")

    _kept = ("reference", "other_prompt")
    _pictures = ("difference",)

    reference = traitlets.Enum(REFERENCES, default_value="edits").tag(sync=True)
    other_prompt = traitlets.Unicode("").tag(sync=True)
    other_name = traitlets.Unicode("").tag(sync=True)
    other = traitlets.Any(None)

    def __init__(self, exploration: Exploration, **traits: Any) -> None:
        self._known: tuple[tuple[Any, ...], Trace] | None = None  # the newest reference's trace, and what it is of
        if "reference" not in traits:
            traits["reference"] = "other" if traits.get("other") is not None else _likely(exploration)
        super().__init__(exploration, **traits)
        # What is pinned is the exploration's alone; it may outlive this view and must not keep it.
        told = weakref.WeakMethod(self._pinned_set)
        self._hears = lambda change: (handle := told()) is not None and handle(change)
        exploration.observe(self._hears, "pinned")

    @traitlets.validate("other")
    def _check_other(self, proposal: Any) -> Any:
        return checked_other(proposal["value"])

    @traitlets.validate("other_prompt")
    def _check_prompt(self, proposal: Any) -> str:
        return well_formed(proposal["value"])[0]

    @traitlets.observe("other")
    @guarded
    def _other_set(self, change: Any) -> None:
        other = change["new"]
        if isinstance(other, Model):  # once it was closed, nothing of its passes is held back
            forget = weakref.WeakMethod(self._forget)
            gone = weakref.finalize(other.hf, lambda: (handle := forget()) is not None and handle())
            gone.atexit = False
        model = other.model if isinstance(other, Trace) else other
        self._publish(other_name="" if model is None else model.name)
        if self._ready:
            self.reference = _likely(self.exploration) if other is None else "other"

    @traitlets.observe("reference", "other_prompt", "other")
    @guarded
    def _reference_set(self, _change: Any) -> None:
        if self._ready:
            self._request()

    @guarded
    def _pinned_set(self, _change: Any) -> None:
        if self._ready and self.reference == "pinned":
            self._request()

    def close(self) -> None:
        """Closes the view and lets go of the traces."""
        if self._ready:
            self._state_of.unobserve(self._hears, "pinned")
        super().close()
        self._known = None

    def _model_closed(self) -> None:
        self._known = None
        super()._model_closed()

    def _draw(self, _job: Job, number: int) -> None:
        now = self._of_image(self.exploration.trace())
        stack, layer, heads, where = self._heads(now)
        facts = {
            "request": number,
            "tokens": self._prompt(now, stack),
            "notes": [],
            "reference": self.reference,
            "layer": layer,
            "heads": heads,
            "combine": self.combine,
        }
        kind = self.selection.kind
        try:
            before = self._reference_trace()
            if before is None:
                self._publish(view=facts)
                return
            before = self._of_image(before)
            theirs = before.attention(layer, stack=stack.name, kind=kind)
            checked_indices("heads", heads, theirs.heads)
        except Refused as error:
            if self.reference != "other":
                raise
            raise Refused(f"{self.other_name} cannot be compared with: {error}") from error
        check_size(where.queries + theirs.queries, where.keys + theirs.keys)
        found = attention_difference(before, now, layer, heads, stack=stack.name, kind=kind)
        first, second = (together(side, self.combine) for side in (found.first, found.second))
        change = second - first
        # What one side alone has does not count as a difference, neither in colours nor as the largest of a block.
        change[:, [not group.first or not group.second for group in found.keys]] = math.nan
        self._publish(
            view={
                **facts,
                "queries": _groups(found.queries),
                "keys": _groups(found.keys),
                "most": _most(change),
                **self._cells(
                    number,
                    torch.stack([change, first, second]),
                    _seen(found.queries, found.keys, theirs, where),
                    ("data", "first", "second"),
                ),
            }
        )

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        from widgets import attention_maps_print

        return attention_maps_print.difference_drawing(self, width)

    def _table(self) -> pd.DataFrame:
        from widgets import attention_maps_print

        return attention_maps_print.difference_table(self)

    def _reference_trace(self) -> Trace | None:
        """The pass that is compared with; None where there is none to make."""
        state, kind = self.exploration, self.reference
        source, special, literal = state.source, self.special_tokens, self.literal
        if kind == "other":
            if self.other is None or isinstance(self.other, Trace):
                return self.other
            if isinstance(source, Pictured):
                raise Refused(Note("other_of_image", _OTHER_OF_IMAGE))
            return self._traced(self.other, self.other.read(self.text, special, literal=literal), ())
        if kind == "edits":
            tokens, edits = state.tokens, ()
            if not state.edits:
                return None
        elif kind == "prompt":
            if not self.other_prompt:
                return None
            tokens, edits = source.tokens(self.other_prompt, special, literal), state.edits
        else:
            pinned = state.pinned
            if pinned is None:
                return None
            kept = pinned.state
            tokens = source.tokens(pinned.text, bool(kept["special_tokens"]), bool(kept["literal"]))
            edits = pinned.edits
        return self._traced(source, tokens, edits)

    def _traced(self, source: Model | Source, tokens: Any, edits: tuple[Any, ...]) -> Trace:
        model = source if isinstance(source, Model) else source.model_for("passes")
        asked = (model, tuple(tokens.ids), tokens.text, edits, state_of(model.hf))
        known = self._known
        if known is None or known[0] != asked:
            ran = source.trace(tokens, edits=edits) if isinstance(source, Model) else source.ran(tokens, edits)
            known = self._known = (asked, ran)
        return known[1]

    def _forget(self) -> None:
        self._known = None


def checked_other(value: Any) -> Model | Trace | None:
    """What can be compared with.

    Raises:
        TypeError: it is something else.
        Refused: it is a model that was closed.
    """
    if isinstance(value, Model):
        _ = value.hf
    if value is not None and not isinstance(value, Model | Trace):
        raise TypeError(f"other is a {type(value).__name__}; a model or a trace is needed, or None.")
    return value


def _likely(exploration: Exploration) -> str:
    """What there is to compare with."""
    return "edits" if exploration.edits else "pinned" if exploration.pinned is not None else "prompt"


def _most(change: Tensor) -> dict[str, Any] | None:
    """The largest difference, and between which groups it is; None where the sides have nothing in common."""
    size = change.abs().nan_to_num(nan=-1.0)
    if not size.numel() or float(size.max()) < 0:
        return None
    query, key = divmod(int(size.argmax()), size.shape[1])
    return {"query": query, "key": key, "change": float(change[query, key])}


def _groups(groups: Sequence[Aligned]) -> list[dict[str, Any]]:
    return [
        {
            "label": group.label,
            "how": _HOW.get(group.how, group.how),
            "before": [group.first.start, group.first.stop],
            "now": [group.second.start, group.second.stop],
        }
        for group in groups
    ]


def _seen(queries: Sequence[Aligned], keys: Sequence[Aligned], before: AttentionRows, now: AttentionRows) -> Tensor:
    """(query group, 2): the groups of keys that a group's queries may see on either side."""
    found = torch.tensor([[len(keys), 0]] * len(queries), dtype=torch.int32)
    for side, where in (("first", before), ("second", now)):
        group_of = [at for at, group in enumerate(keys) for _ in getattr(group, side)]
        seen = where.seen().tolist()
        for at, group in enumerate(queries):
            for query in getattr(group, side):
                first, end = seen[query]
                if end > first:
                    found[at, 0] = min(int(found[at, 0]), group_of[first])
                    found[at, 1] = max(int(found[at, 1]), group_of[end - 1] + 1)
    return found
