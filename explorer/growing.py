"""What a generation records: each pass adds the rows of the positions it read, and keeps each of them once.

Attention sees the whole cache at every step; only the rows that are new are kept, and which older keys a sliding
window hid from them. Rows of one site lie one after another in one tensor, which grows by half when it is full, so
that reading copies nothing and writing costs little more than the rows themselves.
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
from explorer.planning import Firings, chosen_sites, layers_of, needs_stream, plan
from explorer.record import Keeper, Record, resolved
from explorer.recording import Plan, Recording
from explorer.reuse import Start, state_of
from explorer.segments import like, tensors_of
from explorer.sites import matching
from explorer.trace import Trace

if TYPE_CHECKING:
    from explorer.model import Model

_SPARE = 16
_NO_STATE = -1  # no hash is -1, so no state of a model equals it
_INSTEAD = "trace the finished text instead: model.trace([*generation.prompt.ids, *generation.ids[:-1]])"


def growing_plan(model: Model, edits: Sequence[Edit], record: Sequence[str] | None) -> Plan:
    """The plan of a generation's passes; `at_step` makes its edits those of one pass."""
    needed = needs_stream(edits, model.anatomy)
    stops = [layer.path for layer in layers_of(model.anatomy)]
    sites = None if record is None else [*record, *needed]
    return plan(model.anatomy, record=sites, edits=edits, growing=True, stops=stops)


def at_step(todo: Plan, model: Model, edits: Sequence[Edit], firings: Firings, offset: int) -> Plan:
    """The plan of a pass that reads on from position `offset`."""
    if not edits:
        return todo
    changed = plan(model.anatomy, record=[], edits=edits, firings=firings, offset=offset, growing=True)
    return replace(todo, changes=changed.changes, heads=changed.heads)


def started(
    model: Model, record: Any, edits: Sequence[Edit], prompt: Sequence[int], positions: int
) -> tuple[Plan, Growing | None]:
    """The plan of a generation and what it records; None where it records nothing.

    Args:
        model: the model.
        record: what was asked for, see `explorer.generation.generate`.
        edits: how the passes are changed.
        prompt: ids of the prompt.
        positions: how many positions are read at most.

    Raises:
        Refused: a site does not exist, or cannot be kept while a text grows.
    """
    if record is None or record is False:
        return growing_plan(model, edits, []), None
    if not isinstance(record, bool | str | Record | Sequence):
        raise TypeError(f"record={record!r} is a {type(record).__name__}; True, sites or a Record are needed.")
    if isinstance(record, Record) and record.positions is not None:
        raise Refused(
            f"record has positions={record.positions!r}, but a text that grows has no last position yet; leave "
            f"positions out, or {_INSTEAD}."
        )
    anatomy = model.anatomy
    sites, keeper = resolved(None if isinstance(record, bool) else record, anatomy, prepare(model, list(prompt)))
    named = record.sites if isinstance(record, Record) else () if isinstance(record, bool) else record
    for site in chosen_sites(anatomy, named or ()):
        if site.part.endswith(".pattern") and site.heads is not None and site.heads.how == "replay":
            raise Refused(
                f"record names {site.address}, which this family gives only when a whole text is read; {_INSTEAD}."
            )
    todo = growing_plan(model, edits, sites)
    # Without weights to be computed again there is no reason to leave the model's usual kernel.
    todo = replace(todo, replays={}, attention="recorded" if todo.attention == "recorded" else "usual")
    if keeper is not None:
        todo = keeper.into(todo, needs_stream(edits, anatomy))
    return todo, Growing(model, todo, edits, keeper, positions)


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
        self._columns: dict[tuple[str, ...], _Rows] = {}
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
        self._pass = _Pass([], 0, 0)

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
        self._pass = _Pass(list(ids), fed, len(ids) - len(self.ids))
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
            found["hidden", site] = self._new_rows(site, value, axis), axis
        for prefix, calls in seen.attention.items():
            if len(calls) != 1:
                raise Refused(f"{prefix} attends {len(calls)} times in a pass, which cannot be joined; {_INSTEAD}.")
            self._take_call(prefix, calls[0], found)
        for path, output in seen.outputs.items():
            try:
                tensors = tensors_of(output)
                self._shapes.setdefault(path, like(output, [tensor.new_empty(0) for tensor in tensors]))
                for number, tensor in enumerate(tensors):
                    found["output", path, str(number)] = self._new_rows(path, tensor), -2
            except (TypeError, AttributeError, IndexError) as error:
                raise Refused(f"{path} returns something that cannot be joined step by step; {_INSTEAD}.") from error
        if not self._late:
            found["logits",] = logits[:, -self._pass.new :], -2
        with self._guard, torch.inference_mode(False), torch.no_grad():
            self._write(found)
            self._last = logits[:, -1:].detach().clone()  # all of a longer row would stay in memory
            self.ids = self._pass.ids
            self._pass = _Pass([], 0, 0)  # its masks are as long as the text is wide

    def trace(self, edits: tuple[Edit, ...], fired: Sequence[int]) -> Trace:
        """What was recorded so far, as a trace of the text that was read."""
        with self._guard:
            ids, state, last = self.ids, self._state, self._last
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

    def _new_rows(self, name: str, value: Any, axis: int = -2) -> Tensor:
        """The last rows of something that has one for each position the pass was given."""
        if not isinstance(value, Tensor) or value.dim() < 2 or value.shape[axis] != self._pass.fed:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise Refused(
                f"{name} has no row for each of the {self._pass.fed} positions a step reads ({shape}), so steps "
                f"cannot be joined; record other sites, or {_INSTEAD}."
            )
        return value.narrow(axis, self._pass.fed - self._pass.new, self._pass.new)

    def _cut(self, prefix: str, call: AttentionCall) -> AttentionCall:
        """The part of an attention call that belongs to new positions."""
        new, end = self._pass.new, len(self._pass.ids)
        if call.bias is not None:
            raise Refused(f"{prefix} adds a bias of its own to each step, which cannot be joined; {_INSTEAD}.")
        if call.query.shape[0] != 1 or call.queries != self._pass.fed or not new <= call.keys <= end:
            raise Refused(
                f"{prefix} saw {call.queries} queries and {call.keys} keys in a step that reads {self._pass.fed} of "
                f"{end} positions, so they cannot be told apart; {_INSTEAD}."
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
            since=self._since(prefix, call)[-new:],
        )
        return cut if self._narrow is None else self._narrow(prefix, cut)

    def _since(self, prefix: str, call: AttentionCall) -> Tensor:
        """The first position each query saw; what cannot be said in this way is refused."""
        start = len(self._pass.ids) - call.keys
        known = self._pass.masks.get((id(call.mask), call.keys))
        if known is None:
            first = _first_seen(call)
            if first is None:
                raise Refused(
                    f"{prefix} hides keys by a rule that is no window, so steps cannot be joined; {_INSTEAD}."
                )
            known = call.mask, first + start, bool(first.any()) or start > 0
            self._pass.masks[id(call.mask), call.keys] = known  # holds the mask, so that its id stays its own
        if known[2]:
            self._pass.windowed.add(prefix)
        return known[1]

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
                    f"was recorded of them no longer holds; generate without record=, or {_INSTEAD}."
                    if watched
                    else f"{prefix}: the cache does not hold the last keys in their order; {_INSTEAD}."
                )

    def _take_call(self, prefix: str, call: AttentionCall, found: dict[tuple[str, ...], tuple[Tensor, int]]) -> None:
        facts = _Facts(call.scaling, call.softcap, call.sinks, call.sparse)
        if self._facts.setdefault(prefix, facts).scaling != facts.scaling:
            raise Refused(
                f"{prefix} scales its scores by the length of the text, so steps cannot be joined; {_INSTEAD}."
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
            raise Refused(f"{odd[0]} was not seen in every step, so steps cannot be joined; {_INSTEAD}.")
        # One tensor is often two sites (a layer's output is the next one's input): kept once, as long as it is.
        written: dict[tuple[Any, ...], _Rows] = {}
        taken: set[int] = set()
        for name, (value, axis) in found.items():
            rows = self._columns.get(name)
            same = (id(rows), value.data_ptr(), value.shape, value.stride(), value.dtype, value.device)
            if same not in written:
                if rows is None:
                    rows = _Rows(value.detach(), axis, self._positions)
                else:
                    if id(rows) in taken:
                        rows = _Rows(rows.view(before).clone(), axis, self._positions)
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


class _Pass:
    """What the pass that is running reads.

    Attributes:
        ids: of all positions after it.
        fed: how many of them it is given.
        new: how many of them were not recorded before.
        masks: (identity of a mask, keys) -> the mask, the first position each query sees, and whether any is hidden.
        windowed: prefixes of attentions that hid older keys.
    """

    def __init__(self, ids: list[int], fed: int, new: int) -> None:
        self.ids = ids
        self.fed = fed
        self.new = new
        self.masks: dict[tuple[int, int], tuple[Tensor | None, Tensor, bool]] = {}
        self.windowed: set[str] = set()


class _Rows:
    """Rows that come one after another, in one tensor with room to grow. Rows that were written stay as they are."""

    def __init__(self, first: Tensor, axis: int, limit: int) -> None:
        self._buffer = first  # by reference, until there is more
        self._axis = axis
        self._limit = limit

    def write(self, start: int, new: Tensor) -> None:
        count = new.shape[self._axis]
        if self._buffer.shape[self._axis] < start + count:
            shape = list(new.shape)
            shape[self._axis] = min(self._limit, max(start + count + _SPARE, (start + count) * 3 // 2))
            grown = self._buffer.new_empty(shape)
            grown.narrow(self._axis, 0, start).copy_(self.view(start))
            self._buffer = grown
        self._buffer.narrow(self._axis, start, count).copy_(new)

    def view(self, length: int) -> Tensor:
        return self._buffer.narrow(self._axis, 0, length)


def _first_seen(call: AttentionCall) -> Tensor | None:
    """(query,) the first key each query sees, where it sees all from there to its own; None where it does not."""
    queries, keys, device = call.queries, call.keys, call.query.device
    mask = call.mask
    if mask is None:
        return torch.zeros(queries, dtype=torch.long, device=device) if call.causal or queries == 1 else None
    mask = mask[..., :keys].expand(-1, -1, queries, -1)
    if mask.dtype != torch.bool:
        hidden = mask <= torch.finfo(mask.dtype).min / 2
        if bool(mask.masked_fill(hidden, 0.0).any()):
            return None
        mask = ~hidden
    visible = mask[0, 0]
    first = visible.to(torch.uint8).argmax(dim=-1)
    index = torch.arange(keys, device=device)
    own = torch.arange(keys - queries, keys, device=device)
    window = (index >= first[:, None]) & (index <= own[:, None])
    return first if bool((mask == window).all()) else None
