"""The one place that touches a model's hooks, modes and attention setting.

transformers sends most families' attention through functions registered by name. One function is registered
here under our own name; it calls the kernel the model would have used and remembers what that was given. What
a pass records lives in a context variable, so the function is the same for every model and thread, and a model
that is not being recorded never reaches it.

Everything `recording` changes it puts back when the block ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from explorer import control
from explorer.attention import AttentionCall, additive_mask

# transformers looks for "sdpa", "flash" and "flex_attention" anywhere in a name, and takes "/" for a Hub kernel.
ATTENTION_NAME = "explorer_recording"

_KERNEL_ARGUMENTS_SDPA_IGNORES = ("softcap", "s_aux", "indices", "block_indices")


@dataclass
class Recording:
    """What one pass left behind.

    Attributes:
        hidden: activations by site, as the modules passed them on (no copies).
        attention: attention calls by the path of the module that made them, in order.
        outputs: what watched modules returned, whole, by module path.
        paths: module paths by identity.
        usual: the attention setting of each config (by identity) before the pass.
    """

    hidden: dict[str, Tensor] = field(default_factory=dict)
    attention: dict[str, list[AttentionCall]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    paths: dict[int, str] = field(default_factory=dict)
    usual: dict[int, str | None] = field(default_factory=dict)


_recording: ContextVar[Recording | None] = ContextVar("explorer_recording", default=None)


@contextmanager
def recording(
    model: nn.Module,
    *,
    attention: bool,
    layers: Mapping[str, str] | None = None,
    watched: Iterable[str] = (),
    stops: Iterable[str] = (),
) -> Iterator[Recording]:
    """Records the passes that run inside the block, in this thread.

    Args:
        model: a transformers model. Hold its lock: modes and hooks belong to the module, not to the thread.
        attention: whether attention calls are remembered; only for models that are known to route attention
            through the registered function, since for others the setting could change what they compute.
        layers: site prefix -> module path of each layer. Its input and output are kept as `<prefix>.resid_pre`
            and `<prefix>.resid_post`.
        watched: paths of modules whose whole output is kept.
        stops: paths of modules before which cancelled work stops.

    Yields:
        The recording; it is filled while passes run and stays readable after the block.
    """
    session = Recording()
    modules = dict(model.named_modules())
    session.paths = {id(module): path for path, module in modules.items()}
    with ExitStack() as undo:
        undo.enter_context(evaluating(model))
        for path in stops:
            undo.callback(modules[path].register_forward_pre_hook(_stop).remove)
        for prefix, path in (layers or {}).items():
            _watch_layer(undo, session, modules[path], prefix)
        for path in watched:
            _watch_output(undo, session, modules[path], path)
        if attention:
            _route_attention(undo, session, modules.values())
        token = _recording.set(session)
        undo.callback(_recording.reset, token)
        yield session


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switches training behaviour (dropout) off inside the block and back on, module by module, after it."""
    training = [module for module in model.modules() if module.training]
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


def hidden_state(output: Any) -> Tensor:
    """The hidden state in what a block returns: families return a tensor, a tuple, a list or an output class."""
    value = output if isinstance(output, Tensor) else output[0]
    if not isinstance(value, Tensor):
        raise TypeError(f"a layer returned {type(value).__name__} where a hidden state was expected")
    return value


def _stop(_module: nn.Module, _args: tuple[Any, ...]) -> None:
    control.checkpoint()


def _watch_layer(undo: ExitStack, session: Recording, module: nn.Module, prefix: str) -> None:
    def before(_module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        session.hidden[f"{prefix}.resid_pre"] = args[0] if args else keywords["hidden_states"]

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        session.hidden[f"{prefix}.resid_post"] = hidden_state(output)

    undo.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
    undo.callback(module.register_forward_hook(after).remove)


def _watch_output(undo: ExitStack, session: Recording, module: nn.Module, path: str) -> None:
    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        session.outputs[path] = output

    undo.callback(module.register_forward_hook(after).remove)


def _route_attention(undo: ExitStack, session: Recording, modules: Any) -> None:
    configs: dict[int, PreTrainedConfig] = {}
    for module in modules:
        config = getattr(module, "config", None)
        if isinstance(config, PreTrainedConfig):
            configs[id(config)] = config
    for key, config in configs.items():
        # The private attribute, because the public setter also writes to sub-configs and could not be undone
        # one by one.
        before = config._attn_implementation_internal
        session.usual[key] = before
        undo.callback(setattr, config, "_attn_implementation_internal", before)
        config._attn_implementation_internal = ATTENTION_NAME


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **keywords: Any,
) -> tuple[Tensor, None]:
    """The registered attention function: the model's usual kernel, remembered.

    Shapes as transformers calls it: query (batch, head, query, width), key and value (batch, key-value head,
    key, width), result z (batch, query, head, value width).
    """
    session = _recording.get()
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    if scaling is None:
        scaling = query.shape[-1] ** -0.5
    kernel = _eager(module) if _needs_eager(module, session, keywords) else None
    if kernel is None:
        z, _ = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            is_causal=causal,
            **keywords,
        )
    else:
        mask = additive_mask(attention_mask, query, key, causal)
        z, _ = kernel(module, query, key, value, mask, dropout=dropout, scaling=scaling, **keywords)
    if session is not None:
        call = AttentionCall(
            query=query,
            key=key,
            value=value,
            z=z,
            mask=attention_mask,
            scaling=float(scaling),
            causal=causal,
            softcap=keywords.get("softcap"),
            sinks=keywords.get("s_aux"),
            bias=keywords.get("position_bias"),
        )
        session.attention.setdefault(session.paths.get(id(module), ""), []).append(call)
    return z, None


def _needs_eager(module: nn.Module, session: Recording | None, keywords: Mapping[str, Any]) -> bool:
    if any(keywords.get(name) is not None for name in _KERNEL_ARGUMENTS_SDPA_IGNORES):
        return True
    if session is None:
        return False
    usual = session.usual.get(id(getattr(module, "config", None)))
    return usual == "eager"


def _eager(module: nn.Module) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """The eager attention function of the file that defines `module`, found where its forward would find it."""
    forward: Any = type(module).forward
    while hasattr(forward, "__wrapped__"):
        forward = forward.__wrapped__
    function = forward.__globals__.get("eager_attention_forward")
    if function is None:
        raise RuntimeError(f"{type(module).__name__} has no eager attention function in its module")
    return function  # type: ignore[no-any-return]


AttentionInterface.register(ATTENTION_NAME, attend)
AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)
__all__ = ["ATTENTION_NAME", "Recording", "answering", "evaluating", "hidden_state", "recording"]
