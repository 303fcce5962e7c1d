"""The attention function that models call while they are recorded.

transformers sends most families' attention through functions registered by name. This one is registered under our
own name; it calls the kernel the model would have used, remembers what that was given and lets edits act. What a
pass records lives in a context variable, so the function is the same for every model and thread, and a model that
is not being recorded never reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from explorer.attention import AttentionCall, additive_mask
from explorer.errors import Refused
from explorer.plans import Change
from explorer.recording import ATTENTION_NAME, Session, session

# The fast kernel refuses the first of these and ignores the others without a word.
_ONLY_EAGER = ("softcap", "s_aux", "indices", "block_indices")
_SPARSE = ("indices", "block_indices")


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
    """The model's usual kernel, remembered.

    Shapes as transformers calls it: query (batch, head, query, width), key and value (batch, key-value head,
    key, width), result z (batch, query, head, value width).
    """
    current = session()
    prefix, changes = _where(module, current)
    if current is not None and changes and current.turn(f"{prefix} in pieces") and _touched(changes, prefix):
        raise Refused(
            f"{prefix} attended several times in one call, for one image or window after the other, so it cannot be "
            f"edited inside; edit {prefix}.out or the residual stream."
        )
    if changes:
        query, key, value = (
            _changed(changes, prefix, part, tensor) for part, tensor in (("q", query), ("k", key), ("v", value))
        )
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    if scaling is None:
        scaling = query.shape[-1] ** -0.5
    z = _kernel(module, current, query, key, value, attention_mask, dropout, scaling, causal, keywords)
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
        sparse=any(keywords.get(name) is not None for name in _SPARSE),
        window=keywords.get("sliding_window"),
    )
    if changes:
        call = _with_changed_weights(call, changes, prefix)
        call = call.replaced(z=_changed(changes, prefix, "z", call.z.transpose(1, 2)).transpose(1, 2))
    if current is not None and (current.plan.kept is None or prefix in current.plan.kept):
        narrow = current.plan.narrow_call
        current.recording.attention.setdefault(prefix, []).append(call if narrow is None else narrow(prefix, call))
    return call.z, None


def _where(module: nn.Module, current: Session | None) -> tuple[str, Mapping[str, Change]]:
    """The prefix of this call's sites, and the changes that are asked for."""
    if current is None:
        return "", {}
    path = current.paths.get(id(module), "")
    turn = current.whole.get(path)  # pieces of one call belong together
    if turn is None:
        turn = current.turn(f"{path} attends")
    return current.plan.attentions.get((path, turn), path), current.plan.heads


def _touched(changes: Mapping[str, Change], prefix: str) -> bool:
    return any(site.rpartition(".")[0] == prefix for site in changes)


def _changed(changes: Mapping[str, Change], prefix: str, part: str, value: Tensor) -> Tensor:
    """A (batch, head, position, width) tensor after its change, which sees (batch, position, head, width)."""
    change = changes.get(f"{prefix}.{part}")
    return value if change is None else change(value.transpose(1, 2)).transpose(1, 2)


def _with_changed_weights(call: AttentionCall, changes: Mapping[str, Change], prefix: str) -> AttentionCall:
    """The call with its scores and then its pattern changed, and the z that follows."""
    to_scores, to_pattern = changes.get(f"{prefix}.scores"), changes.get(f"{prefix}.pattern")
    if to_scores is None and to_pattern is None:
        return call
    if call.sparse:
        part = "pattern" if to_scores is None else "scores"
        raise Refused(f"{prefix}.{part} cannot be edited: this family chooses the keys by a rule of its own.")
    if to_scores is not None:
        call = _with_changed_scores(call, to_scores, prefix)
    pattern = call.pattern(range(call.heads), range(call.queries))
    if to_pattern is not None:
        pattern = to_pattern(pattern)
        call = call.replaced(changed_pattern=pattern)
    value = call.value.repeat_interleave(call.heads // call.value.shape[1], dim=1)
    return call.replaced(z=torch.matmul(pattern, value).transpose(1, 2))


def _with_changed_scores(call: AttentionCall, change: Change, prefix: str) -> AttentionCall:
    before = call.scores(range(call.heads), range(call.queries))
    hidden = before == -torch.inf
    after = change(before).masked_fill(hidden, -torch.inf)
    if call.sinks is None:  # which take the weight that no key gets
        emptied = (after == -torch.inf).all(dim=-1) & ~hidden.all(dim=-1)
        if bool(emptied.any()):
            _, head, query = emptied.nonzero()[0].tolist()
            raise Refused(
                f"{prefix}.scores: the edits leave head {head} no key to attend to at row {query} of the pass; leave "
                f"it one (the first position sees only itself), or ablate {prefix}.pattern, which is not renormalised."
            )
    return call.replaced(changed_scores=after)


def _kernel(
    module: nn.Module,
    current: Session | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scaling: float,
    causal: bool,
    keywords: dict[str, Any],
) -> Tensor:
    usual = None if current is None else current.usual.get(id(getattr(module, "config", None)))
    if usual == "eager" or any(keywords.get(name) is not None for name in _ONLY_EAGER):
        added = additive_mask(mask, query, key, causal)
        z, _ = eager_function(module)(module, query, key, value, added, dropout=dropout, scaling=scaling, **keywords)
        return z
    options = {"dropout": dropout, "scaling": scaling, "is_causal": causal, **keywords}
    z, _ = sdpa_attention_forward(module, query, key, value, mask, **options)
    return z


def eager_function(module: nn.Module) -> Callable[..., tuple[Tensor, Tensor | None]]:
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
