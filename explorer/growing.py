"""What a generation records: each pass adds the rows of the positions it read, and keeps each of them once.

Attention sees the whole cache at every step; only the rows that are new are kept, and which older keys a sliding
window hid from them. What cannot be joined to the rows before it is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explorer import adapters
from explorer.attention import AttentionCall
from explorer.edits import Apply, Edit
from explorer.errors import Refused
from explorer.inputs import prepare
from explorer.plans import Plan, Recording
from explorer.reading import INSTEAD, Reading
from explorer.record import Keeper
from explorer.reuse import Start, state_of
from explorer.rows import Rows
from explorer.segments import like, tensors_of
from explorer.sites import matching
from explorer.trace import Trace

if TYPE_CHECKING:
    from explorer.model import Model

_NO_STATE = -1  # no hash is -1, so no state of a model equals it


class Growing:
    """Recordings of one text's passes, one after another, as one.

    Attributes:
        ids: of the positions that were read.
    """

    def __init__(self, model: Model, todo: Plan, edits: Sequence[Edit], keeper: Keeper | None, positions: int) -> None:
        self.ids: list[int] = []
        self._model = model
        self._keeper = keeper
        self._positions = positions if model.context is None else min(positions, model.context)
        self._narrow = todo.narrow_call
        self._columns: dict[tuple[str, ...], Rows] = {}
        self._facts: dict[str, _Facts] = {}
        self._shapes: dict[str, Any] = {}
        self._windowed: set[str] = set()
        self._state = _NO_STATE
        self._adapted = adapters.State()
        self._last: Tensor | None = None
        self._late = model.accepts("logits_to_keep") and model.anatomy.backbone is not None
        self._guard = threading.Lock()  # rows are added and read in different threads; never held during a pass
        self._watched = {
            site.address.rpartition(".")[0]
            for edit in edits
            if isinstance(edit, Apply)
            for site in matching(edit.site, model.anatomy)
            if site.part.endswith((".k", ".v"))
        }
        self._pass = Reading([], 0, 0)

    @property
    def logits_to_keep(self) -> int:
        """For the model's forward: the last position's logits, or all (0) where they cannot be computed later."""
        return 1 if self._late else 0

    def into(self, todo: Plan, ids: Sequence[int], fed: int, adapted: adapters.State) -> Plan:
        """The plan, keeping of each attention call what is new. Hold the lock.

        Args:
            todo: the plan of the pass.
            ids: of all positions that will have been read after it.
            fed: how many of them the pass is given; the others are in its cache.
            adapted: the adapters that act in it.
        """
        self._adapted = adapted
        state = state_of(self._model.hf)
        self._state = state if not self.ids or state == self._state else _NO_STATE
        self._pass = Reading(list(ids), fed, len(ids) - len(self.ids))
        return replace(todo, narrow_call=self._cut)

    def take(self, seen: Recording, logits: Tensor) -> None:
        """Adds what a pass recorded.

        Raises:
            Refused: something cannot be joined to what was recorded before it.
        """
        if self._keeper is not None:
            self._keeper.finish(seen)
        found: dict[tuple[str, ...], tuple[Tensor, int]] = {}
        for site, value in seen.hidden.items():
            axis = -3 if value.dim() == 4 else -2  # what heads add, where it was edited
            found["hidden", site] = self._pass.new_rows(site, value, axis), axis
        for prefix, calls in seen.attention.items():
            if len(calls) != 1:
                raise Refused(f"{prefix} attends {len(calls)} times in a pass, which cannot be joined; {INSTEAD}.")
            self._take_call(prefix, calls[0], found)
        for path, output in seen.outputs.items():
            try:
                tensors = tensors_of(output)
                self._shapes.setdefault(path, like(output, [tensor.new_empty(0) for tensor in tensors]))
                for number, tensor in enumerate(tensors):
                    found["output", path, str(number)] = self._pass.new_rows(path, tensor), -2
            except (TypeError, AttributeError, IndexError) as error:
                raise Refused(f"{path} returns something that cannot be joined step by step; {INSTEAD}.") from error
        if not self._late:
            found["logits",] = logits[:, -self._pass.new :], -2
        with self._guard, torch.inference_mode(False), torch.no_grad():
            self._write(found)
            self._last = logits[:, -1:].detach().clone()  # all of a longer row would stay in memory
            self.ids = self._pass.ids
            self._pass = Reading([], 0, 0)  # its masks are as long as the text is wide

    def trace(self, edits: tuple[Edit, ...], fired: Sequence[int], length: int | None = None) -> Trace:
        """What was recorded so far, as a trace of the text that was read, or of so many of its first positions."""
        with self._guard:
            ids, state, last = self.ids[:length], self._state, self._last
            if last is not None and len(ids) < len(self.ids):
                last = last[:, :0]  # these are of a later position; those of this one are computed when they are read
            views = {name: rows.view(len(ids)) for name, rows in self._columns.items()}
            windowed = set(self._windowed)
        if not ids:
            raise Refused("Nothing is recorded yet; take a first step with next(generation).")
        given = prepare(self._model, ids)
        trace = Trace(
            self._model,
            given,
            self._recording(views, windowed, len(ids)),
            last if self._late else views["logits",],
            edits,
            Start(given.arguments, state=state),
            self._keeper,
            self._adapted,
            growing=True,
        )
        trace.fired = tuple(fired)
        return trace

    def _recording(self, views: dict[tuple[str, ...], Tensor], windowed: set[str], length: int) -> Recording:
        attention: dict[str, list[AttentionCall]] = {}
        for prefix, facts in self._facts.items():
            scores, pattern = views.get(("scores", prefix)), views.get(("pattern", prefix))
            call = AttentionCall(
                query=views["q", prefix],
                key=views["k", prefix],
                value=views["v", prefix],
                z=views["z", prefix],
                mask=None,
                causal=True,
                since=views["since", prefix] if prefix in windowed else None,
                changed_scores=None if scores is None else scores[..., :length],
                changed_pattern=None if pattern is None else pattern[..., :length],
                scaling=facts.scaling,
                softcap=facts.softcap,
                sinks=facts.sinks,
                sparse=facts.sparse,
            )
            attention[prefix] = [call]
        outputs = {
            path: like(shape, [views["output", path, str(number)] for number in range(len(tensors_of(shape)))])
            for path, shape in self._shapes.items()
        }
        hidden = {name[1]: view for name, view in views.items() if name[0] == "hidden"}
        return Recording(hidden=hidden, attention=attention, outputs=outputs)

    def _cut(self, prefix: str, call: AttentionCall) -> AttentionCall:
        """The part of an attention call that belongs to new positions."""
        new, end = self._pass.new, len(self._pass.ids)
        if call.bias is not None:
            raise Refused(f"{prefix} adds a bias of its own to each step, which cannot be joined; {INSTEAD}.")
        if call.query.shape[0] != 1 or call.queries != self._pass.fed or not new <= call.keys <= end:
            raise Refused(
                f"{prefix} saw {call.queries} queries and {call.keys} keys in a step that reads {self._pass.fed} of "
                f"{end} positions, so they cannot be told apart; {INSTEAD}."
            )
        self._check_older(prefix, call)
        scores, pattern = call.changed_scores, call.changed_pattern
        around = (end - call.keys, self._positions - end)  # keys that the cache has dropped, and those to come
        if scores is not None:
            scores = torch.nn.functional.pad(scores[:, :, -new:], around, value=-torch.inf)
        if pattern is not None:
            pattern = torch.nn.functional.pad(pattern[:, :, -new:], around)
        cut = call.replaced(
            query=call.query[:, :, -new:],
            key=call.key[:, :, -new:],
            value=call.value[:, :, -new:],
            z=call.z[:, -new:],
            mask=None,
            causal=True,
            changed_scores=scores,
            changed_pattern=pattern,
            since=self._pass.since(prefix, call)[-new:],
        )
        return cut if self._narrow is None else self._narrow(prefix, cut)

    def _check_older(self, prefix: str, call: AttentionCall) -> None:
        """Makes sure that the older keys a step saw are the last of those recorded, where that is not plain."""
        new, end = self._pass.new, len(self._pass.ids)
        start, watched = end - call.keys, prefix in self._watched
        if not self.ids or call.keys == new or not (watched or (start and prefix not in self._windowed)):
            return
        for name, values in (("k", call.key), ("v", call.value)):
            recorded = self._columns[name, prefix].view(end - new)[:, :, start:]
            older = values[:, :, :-new].to(recorded)
            allowed = torch.finfo(older.dtype).eps ** 0.5 * float(older.abs().max())
            if not bool((older - recorded).abs().max() <= allowed):
                raise Refused(
                    f"{prefix}: an edit changes the keys or values of earlier positions as the text grows, so what "
                    f"was recorded of them no longer holds; generate without record=, or {INSTEAD}."
                    if watched
                    else f"{prefix}: the cache does not hold the last keys in their order; {INSTEAD}."
                )

    def _take_call(self, prefix: str, call: AttentionCall, found: dict[tuple[str, ...], tuple[Tensor, int]]) -> None:
        facts = _Facts(call.scaling, call.softcap, call.sinks, call.sparse)
        if self._facts.setdefault(prefix, facts).scaling != facts.scaling:
            raise Refused(
                f"{prefix} scales its scores by the length of the text, so steps cannot be joined; {INSTEAD}."
            )
        assert call.since is not None  # each call was cut
        since = call.since.to(call.query.device)
        for name, value, axis in (
            ("q", call.query, -2),
            ("k", call.key, -2),
            ("v", call.value, -2),
            ("z", call.z, -3),
            ("since", since, -1),
            ("scores", call.changed_scores, -2),
            ("pattern", call.changed_pattern, -2),
        ):
            if value is not None:
                found[name, prefix] = value, axis

    def _write(self, found: dict[tuple[str, ...], tuple[Tensor, int]]) -> None:
        before = len(self.ids)
        if before and found.keys() != self._columns.keys():
            odd = sorted(" ".join(name) for name in found.keys() ^ self._columns.keys())
            raise Refused(f"{odd[0]} was not seen in every step, so steps cannot be joined; {INSTEAD}.")
        # One tensor is often two sites (a layer's output is the next one's input): kept once, as long as it is.
        written: dict[tuple[Any, ...], Rows] = {}
        taken: set[int] = set()
        for name, (value, axis) in found.items():
            rows = self._columns.get(name)
            same = (id(rows), value.data_ptr(), value.shape, value.stride(), value.dtype, value.device)
            if same not in written:
                if rows is None:
                    rows = Rows(value.detach(), axis, self._positions)
                else:
                    if id(rows) in taken:
                        rows = Rows(rows.view(before).clone(), axis, self._positions)
                    rows.write(before, value)
                taken.add(id(rows))
                written[same] = rows
            self._columns[name] = written[same]
        self._windowed |= self._pass.windowed


@dataclass(frozen=True)
class _Facts:
    """What is the same in every step of an attention."""

    scaling: float
    softcap: float | None
    sinks: Tensor | None
    sparse: bool
