"""The one place that touches a model's hooks, modes and attention setting.

What is recorded, and what is changed, is told by a `Plan`; `recording` carries it out for the passes inside its
block, in this thread, and puts back whatever it changed when the block ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedConfig

from explorer import control
from explorer.anatomy import Place
from explorer.capturing import uncaptured
from explorer.errors import Refused
from explorer.experts import received, replaced
from explorer.hidden_states import hidden_input, hidden_state, with_input, with_state
from explorer.plans import Change, Plan, Recording
from explorer.spent import in_words

# transformers looks for "sdpa", "flash" and "flex_attention" anywhere in a name, and takes "/" for a Hub kernel.
ATTENTION_NAME = "explorer_recording"


@dataclass
class Session:
    """A plan that is being carried out.

    Attributes:
        plan: what to do.
        recording: what was recorded so far.
        paths: module paths by identity.
        usual: the attention setting of each config (by identity) before the pass.
        turns: how often each module was called.
        texts: how many texts the pass has, where changes need to know it.
        whole: which call of an attention that attends in pieces is running.
        modules: the model's modules by path.
    """

    plan: Plan
    recording: Recording
    paths: dict[int, str]
    usual: dict[int, str | None] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    texts: int = 1
    whole: dict[str, int] = field(default_factory=dict)
    modules: Mapping[str, nn.Module] = field(default_factory=dict)

    def turn(self, path: str) -> int:
        """Counts one more call of a module and gives its number, from 0."""
        number = self.turns.get(path, 0)
        self.turns[path] = number + 1
        return number


_session: ContextVar[Session | None] = ContextVar("explorer_session", default=None)


def session() -> Session | None:
    """What is being recorded in this thread, or None."""
    return _session.get()


def refuse_nesting() -> None:
    """Refuses a pass inside a pass, such as from an edit's function: the hooks of the outer one would act in it.

    Raises:
        Refused: a pass is being recorded in this thread.
    """
    if _session.get() is not None:
        raise Refused(
            "A pass cannot be started inside another one, such as from an edit's function; run it before, and let "
            "the function use what it gave."
        )


@contextmanager
def recording(model: nn.Module, plan: Plan) -> Iterator[Recording]:
    """Carries out a plan for the passes inside the block, in this thread.

    Hold the model's lock: modes and hooks belong to the module, not to the thread.

    Yields:
        The recording; it is filled while passes run and stays readable after the block.
    """
    refuse_nesting()
    modules = dict(model.named_modules())
    current = Session(plan, Recording(), {id(module): path for path, module in modules.items()}, modules=modules)
    hooks: list[RemovableHandle] = []
    with in_words(), ExitStack() as undo:
        undo.enter_context(evaluating(modules.values()))
        undo.enter_context(uncaptured(modules.values()))
        undo.callback(_remove, hooks)
        hooks.extend(_hooks(current))
        if plan.attention != "usual":
            _set_attention(undo, current, modules.values())
        token = _session.set(current)
        undo.callback(_session.reset, token)
        yield current.recording


@contextmanager
def evaluating(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Switches training behaviour (dropout) of modules off inside the block and back on, one by one, after it."""
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def answering(module: nn.Module, output: Any) -> Iterator[None]:
    """Makes `module` return `output` without computing anything, inside the block.

    This is how a model's own head is run on a stored hidden state: the backbone is skipped, and scales,
    softcaps and projections stay the model's own code.
    """
    refuse_nesting()
    missing = object()
    before = module.__dict__.get("forward", missing)

    def answer(*_args: Any, **_keywords: Any) -> Any:
        return output

    module.forward = answer
    try:
        yield
    finally:
        if before is missing:
            del module.forward
        else:
            module.forward = before


_Step = tuple[str, Place, Change | None]


@dataclass
class _Watch:
    """What is kept and changed at one module.

    Attributes:
        steps: (site, place, change); what is kept has no change. In the order in which they are done.
        replays: (prefix, place) of attentions whose inputs are kept.
        whole: whether the whole output is kept.
    """

    steps: list[_Step] = field(default_factory=list)
    replays: list[tuple[str, Place]] = field(default_factory=list)
    whole: bool = False

    @property
    def experts(self) -> int:
        """How many experts' weights are seen at this module; 0 where none are."""
        return max((place.experts for _, place, _ in self.steps), default=0)


def _watches(plan: Plan) -> dict[str, _Watch]:
    watches: dict[str, _Watch] = {}
    for site, (place, change) in plan.changes.items():
        watches.setdefault(place.path, _Watch()).steps.append((site, place, change))
    for site, place in plan.places.items():
        watches.setdefault(place.path, _Watch()).steps.append((site, place, None))
    for prefix, place in plan.replays.items():
        watches.setdefault(place.path, _Watch()).replays.append((prefix, place))
    for path in plan.outputs:
        watches.setdefault(path, _Watch()).whole = True
    rank = {site: number for number, site in enumerate(plan.order)}
    for watch in watches.values():
        # Stable: a site's own change comes before it is recorded. What is no site is seen last.
        watch.steps.sort(key=lambda step: rank.get(step[0], len(rank)))
    return watches


def _hooks(current: Session) -> Iterator[RemovableHandle]:
    """Places the hooks, and gives each as soon as it is there, so that it is known whatever happens after it."""
    plan, modules = current.plan, current.modules
    for path in dict.fromkeys(plan.stops):
        yield modules[path].register_forward_pre_hook(_stopping(current, path))
    for path in dict.fromkeys(plan.pieces):
        yield modules[path].register_forward_pre_hook(_attending(current, path))
    for path in dict.fromkeys(plan.rows):
        yield modules[path].register_forward_pre_hook(_counting(current), with_kwargs=True)
    for path, watch in _watches(plan).items():
        yield from _watching(current, modules[path], path, watch)


def _watching(current: Session, module: nn.Module, path: str, watch: _Watch) -> Iterator[RemovableHandle]:
    record, narrow = current.recording, current.plan.narrow
    hidden = [step for step in watch.steps if not step[1].experts]
    arriving = [step for step in hidden if step[1].side == "in"]
    leaving = [step for step in hidden if step[1].side == "out"]
    weighing = [step for step in watch.steps if step[1].experts]
    heard_before = bool(arriving or weighing or watch.replays)

    def passing(state: Tensor, steps: Iterable[_Step], turn: int) -> Tensor:
        for site, place, change in steps:
            if place.call != turn:
                continue
            if change is None:
                kept = state.clone() if place.overwritten else state
                record.hidden[site] = kept if narrow is None else narrow(site, kept)
            elif place.factor == 1.0:
                state = change(state)
            else:
                state = change(state * place.factor) / place.factor
        return state

    def before(_module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        turn, came = current.turn(path), (args, keywords)
        for prefix, place in watch.replays:
            if place.call == turn:
                record.replays[prefix] = came
        if weighing:
            given = received(args, keywords)
            assert given is not None  # as when the model was examined
            table = given.table(watch.experts)
            weighed = passing(table, weighing, turn)
            if weighed is not table:
                args, keywords = replaced(args, keywords, given, given.with_table(weighed))
        if arriving:
            state = hidden_input(args, keywords)
            changed = passing(state, arriving, turn)
            if changed is not state:
                args, keywords = with_input(args, keywords, state, changed)
        return None if (args is came[0] and keywords is came[1]) else (args, keywords)

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        turn = current.turns[path] - 1 if heard_before else current.turn(path)
        if watch.whole:
            record.outputs[path] = output
        if not leaving:
            return None
        state = hidden_state(output)
        changed = passing(state, leaving, turn)
        return None if changed is state else with_state(output, changed)

    if heard_before:
        yield module.register_forward_pre_hook(before, with_kwargs=True)
    if leaving or watch.whole:
        # Before hooks that were there: what transformers itself records is then the changed value as well.
        yield module.register_forward_hook(after, prepend=True)


def _remove(hooks: Iterable[RemovableHandle]) -> None:
    for hook in hooks:
        hook.remove()


def _counting(current: Session) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    def count(_module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        state = hidden_input(args, keywords)
        current.texts = state.shape[0] if state.dim() == 3 else 1

    return count


def _stopping(current: Session, path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    layers = len(tuple(current.plan.stops))

    def stop(_module: nn.Module, args: tuple[Any, ...]) -> None:
        runs = current.recording.runs
        passed = sum(runs.values())
        runs[path] = runs.get(path, 0) + 1
        control.checkpoint(min(1.0, passed / layers))
        for value in args:
            if isinstance(value, Tensor) and value.grad_fn is not None:
                value.register_hook(control.checkpoint_backward())  # type: ignore[no-untyped-call]

    return stop


def _attending(current: Session, path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def count(_module: nn.Module, _args: tuple[Any, ...]) -> None:
        current.whole[path] = current.whole.get(path, -1) + 1

    return count


def _set_attention(undo: ExitStack, current: Session, modules: Iterable[nn.Module]) -> None:
    name = ATTENTION_NAME if current.plan.attention == "recorded" else "eager"
    configs = {
        id(config): config for m in modules if isinstance(config := getattr(m, "config", None), PreTrainedConfig)
    }
    for key, config in configs.items():
        # The private attribute, because the public setter also writes to sub-configs and could not be undone
        # one by one.
        before = config._attn_implementation_internal
        current.usual[key] = before
        undo.callback(setattr, config, "_attn_implementation_internal", before)
        config._attn_implementation_internal = name
