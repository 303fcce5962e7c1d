"""Reusing an earlier trace's prefix: only what follows it is run.

Keys and values of a causal model's earlier positions do not depend on what comes later. The recorded ones are put
into a cache (`explorer.prefix_cache`), the rest is run after them, and the new trace keeps old and new as segments
that are joined when they are read. What a trace took over stays in memory as long as that trace does, with all of the
earlier one's tensors that it is a part of, and the cache as long as one of the traces that used it.

Where that could give other numbers than a fresh pass it is not done, and the trace says why. What the config does not
tell is shown: the first time, and again when the model's state has changed, a short text is run both ways.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.utils.generic import ModelOutput

from explorer.inputs import Inputs
from explorer.placement import waits
from explorer.planning import plan
from explorer.plans import Plan, Recording
from explorer.prefix_cache import PrefixCache, version_of
from explorer.recording import recording
from explorer.segments import first_calls, joined, parts_of, rows_of, tensors_of

if TYPE_CHECKING:
    from explorer.edits import Edit
    from explorer.model import Model
    from explorer.trace import Trace

# Kinds of rotary positions whose angle at a position is the same for every length of text.
_FIXED_ROTARY = {None, "default", "linear", "llama3", "yarn"}
_PROBE = 6

# What was shown for a model: its state then, and why reuse is wrong for it (empty where it is right).
_SHOWN: weakref.WeakKeyDictionary[nn.Module, tuple[int, str]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Start:
    """Where a pass begins.

    Attributes:
        arguments: for the model's forward: of the rest, and the cache of what is taken over.
        length: how many positions are taken over.
        note: why none are; empty where some are, or none were offered.
        state: of the model, see `state_of`.
        earlier: what was recorded of the positions that are taken over.
        prefix: the cache of them, which later passes may take over as well.
    """

    arguments: dict[str, Any]
    length: int = 0
    note: str = ""
    state: int = 0
    earlier: Recording | None = None
    prefix: PrefixCache | None = None

    def joined(self, seen: Recording) -> Recording:
        """What the pass recorded, with what it took over before it."""
        return seen if self.earlier is None else joined(self.earlier, seen, self.length)


def start(
    model: Model,
    given: Inputs,
    earlier: Trace | None,
    todo: Plan | None,
    edits: Sequence[Edit] = (),
    *,
    narrowed: bool = False,
) -> Start:
    """Decides how much of `earlier` a pass takes over. Hold the lock.

    Args:
        model: the model.
        given: what the pass is given.
        earlier: the trace that is offered, or None.
        todo: what the pass will record; None for nothing.
        edits: how the pass is changed.
        narrowed: whether what it keeps is not what is computed, but positions of it or a copy elsewhere.

    Raises:
        TypeError: `earlier` is no trace.
    """
    from explorer.trace import Trace

    state = state_of(model.hf)
    if earlier is None:
        return Start(given.arguments, state=state)
    if not isinstance(earlier, Trace):
        raise TypeError(f"reuse={earlier!r} is a {type(earlier).__name__}; a trace of this model is needed.")
    length, note = _common(given, earlier)
    if narrowed or earlier._narrowed:
        note = "one of the two passes keeps chosen positions, or another device or dtype"
    shown = _SHOWN.get(model.hf)
    note = (
        _other(model, earlier, state, edits)
        or ("" if shown is not None and shown[0] == state else _unfit(model))  # it was fit when it was tried
        or note
        or _unrecorded(model, earlier, todo)
        or _wrong(model, state)
    )
    if note:
        return Start(given.arguments, note=note, state=state)
    prefix = PrefixCache() if earlier._prefix is None else earlier._prefix
    arguments = _after(model, given.arguments, earlier._recording, length, prefix)
    return Start(arguments, length, state=state, earlier=earlier._recording, prefix=prefix)


def state_of(hf: nn.Module) -> int:
    """A number that changes with the model's weights, adapters and hooks.

    Warning:
        A change through `parameter.data`, or inside a hook's own function, does not show in it.
    """
    found: list[Any] = []
    for module in hf.modules():
        own = module.__dict__
        for tensor in (*own["_parameters"].values(), *own["_buffers"].values()):
            if tensor is not None:
                found += (id(tensor), version_of(tensor))
        hooks = (*own["_forward_hooks"], *own["_forward_pre_hooks"])
        adapters = [
            repr(own[name])
            for name in ("_active_adapter", "_disable_adapters", "merged_adapters", "scaling")
            if name in own
        ]
        if hooks or adapters:
            found.append((id(module), hooks, tuple(adapters)))
    return hash(tuple(found))


def _other(model: Model, earlier: Trace, state: int, edits: Sequence[Edit]) -> str:
    if getattr(earlier._model, "hf", None) is not model.hf:  # an opened trace may have none
        return "the earlier trace is of another model"
    if edits or earlier.edits:
        return "one of the two passes is edited"
    if waits(model.hf):
        return "its weights are in several places, and whether they changed in between cannot be told"
    if earlier._state != state:
        return "the model's weights, adapters or hooks have changed since the earlier trace"
    return ""


def _unfit(model: Model) -> str:
    """Why a model's earlier positions depend on later ones, or cannot be taken over."""
    anatomy, config = model.anatomy, model.hf.config
    if getattr(config, "is_encoder_decoder", False) or len(anatomy.stacks) != 1:
        return "only models with one stack of layers can continue from a prefix"
    layers = anatomy.stacks[0].layers
    attentions = [layer.attn for layer in layers]
    if any(attention is None for attention in attentions):
        return "some layers have no softmax attention whose keys and values could be taken over"
    if any(attention is not None and attention.how != "interface" for attention in attentions):
        return "this family's keys and values are not recorded"
    if any(attention is not None and not attention.causal for attention in attentions):
        return "the model reads in both directions, so every position depends on the whole text"
    rotary = _rotary(config.get_text_config())
    if not rotary <= _FIXED_ROTARY:
        return f"its rotary positions ({', '.join(sorted(map(str, rotary)))}) may depend on the length of the text"
    caches = DynamicCache(config=config).layers
    if len(caches) != len(layers) or any(type(cache) is not DynamicLayer for cache in caches):
        return "some layers see a sliding window or keep a state of their own"
    if not model.accepts("past_key_values"):
        return "its forward takes no cache"
    if anatomy.vocabulary is not None and (anatomy.backbone is None or not model.accepts("logits_to_keep")):
        return "its logits are computed in the pass for every position"
    return ""


def _rotary(config: Any) -> set[str | None]:
    kinds: set[str | None] = set()
    for name in ("rope_parameters", "rope_scaling"):
        settings = getattr(config, name, None)
        if isinstance(settings, dict):
            # Some families have settings for each kind of layer.
            inner = [value for value in settings.values() if isinstance(value, dict)]
            kinds |= {one.get("rope_type", one.get("type")) for one in inner or [settings]}
    return kinds


def _common(given: Inputs, earlier: Trace) -> tuple[int, str]:
    """How many positions two inputs begin alike; at least one is always left to run."""
    before = earlier._inputs
    if {*given.arguments, *before.arguments} - {"input_ids", "attention_mask"}:
        return 0, "one of the two passes reads more than token ids"
    if len({*given.lengths}) != 1 or len({*before.lengths}) != 1 or len(given.lengths) != len(before.lengths):
        return 0, "the texts are not all of one length, or not as many as in the earlier trace"
    new, old = given.arguments["input_ids"], before.arguments["input_ids"]
    shared = min(new.shape[1], old.shape[1])
    same = (new[:, :shared] == old[:, :shared]).all(dim=0).long()
    length = min(int(same.cumprod(0).sum()), new.shape[1] - 1)
    return length, "" if length else "the texts do not begin alike, or there is one token only"


def _unrecorded(model: Model, trace: Trace, todo: Plan | None) -> str:
    """Why an earlier trace cannot be continued or does not hold what the new one is to keep."""
    earlier, positions, texts = trace._recording, len(trace), len(trace.batch)
    stack = model.anatomy.stacks[0]
    for index in range(len(stack.layers)):
        parts = parts_of(earlier.attention, f"{stack.prefix}layers.{index}.attn")
        if not parts:
            return "the earlier trace did not keep every layer's keys and values"
        for (call,) in parts:
            own = call.mask is not None or call.since is not None or call.bias is not None
            if own or not call.causal or call.sparse:
                return "the attention of the earlier trace has a mask, bias or rule of its own"
            if call.changed_pattern is not None:
                return "one of the two passes is edited"
    if todo is None:
        return ""
    if todo.replays or (todo.kept is None) or not todo.kept <= set(earlier.attention):
        return "the earlier trace did not keep what this one is to keep"
    if not {*todo.places} <= set(earlier.hidden) or not {*todo.outputs} <= set(earlier.outputs):
        return "the earlier trace did not keep what this one is to keep"
    kept: list[tuple[str, list[list[Tensor]]]] = []
    kept += [(site, [[part] for part in parts_of(earlier.hidden, site)]) for site in todo.places]
    for path in todo.outputs:
        parts = parts_of(earlier.outputs, path)
        if not all(isinstance(part, ModelOutput | Tensor | tuple) for part in parts):
            return f"{path} returns something that cannot be joined"
        kept.append((path, [tensors_of(part) for part in parts]))
    for name, pieces in kept:
        for piece in zip(*pieces, strict=True):
            fits = all(isinstance(one, Tensor) and one.dim() >= 2 for one in piece)
            # Where batch and position are one axis, only a single text has its positions one after another.
            if not fits or sum(map(rows_of, piece)) != positions or (texts > 1 and piece[0].dim() == 2):
                return f"{name} of the earlier trace does not have one row for each position"
    return ""


def _wrong(model: Model, state: int) -> str:
    """What a short text shows, run at once and in two pieces."""
    shown = _SHOWN.get(model.hf)
    if shown is None or shown[0] != state:
        shown = _SHOWN[model.hf] = (state, _tried(model))
    return shown[1]


def _tried(model: Model) -> str:
    count = min(_PROBE, model.context or _PROBE)
    # The largest ids are least likely to be special ones, such as padding.
    ids = [max(0, model.vocabulary - 1 - position) for position in range(count)]
    arguments = {"input_ids": torch.tensor([ids], device=model.device)}
    if model.accepts("attention_mask"):
        arguments["attention_mask"] = torch.ones_like(arguments["input_ids"])
    stack = model.anatomy.stacks[0]
    last = f"{stack.prefix}layers.{len(stack.layers) - 1}.resid_post"
    todo = plan(model.anatomy, record=[last, f"{stack.prefix}layers.*.attn.z"])
    with torch.no_grad(), recording(model.hf, todo) as whole:
        model.run(**arguments)
    expected = whole.hidden[last].float()
    for length in (count // 2, count - 1):
        try:
            with torch.no_grad(), recording(model.hf, todo) as seen:
                model.run(**_after(model, arguments, whole, length, PrefixCache()))
            given = joined(whole, seen, length).hidden[last].float()
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError):  # DeepSeek's kin cache keys and values in another form
            return "its cache does not hold keys and values as attention sees them"
        # Two ways to the same number differ by rounding; a lost position or mask changes far more.
        allowed = torch.finfo(model.dtype).eps ** 0.5 * expected.abs().max()
        if given.shape != expected.shape or not bool((given - expected).abs().max() <= allowed):
            return "a short text run in two pieces does not give what it gives at once"
    return ""


def _after(
    model: Model, arguments: dict[str, Any], earlier: Recording, length: int, prefix: PrefixCache
) -> dict[str, Any]:
    """Arguments for the positions from `length` on, with a cache of those before."""
    stack = model.anatomy.stacks[0]
    calls = [first_calls(earlier, f"{stack.prefix}layers.{index}.attn", length) for index in range(len(stack.layers))]
    rest = dict(arguments)
    rest["input_ids"] = arguments["input_ids"][:, length:]  # the mask stays whole: it covers the cache as well
    return {**rest, "past_key_values": prefix.of(model.hf.config, calls)}
