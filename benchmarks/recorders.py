"""Ways to record a whole pass of the sample, each timed against a plain pass in the same process.

Runs in an environment of the tool's own, so nothing here may import another tool or, for a peer, Explorer.
What is wanted is the same for all: each layer's residual stream before, between and after its parts, what attention
and MLP add, queries, keys, values and z.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.inputs import random_ids
from benchmarks.measuring import in_turns
from benchmarks.memory import resident, storage_bytes

# From token ids (1, position) to the last position's logits and what is held afterwards.
Way = Callable[[Tensor], tuple[Tensor, object]]

_WARM_UP_TOKENS = 4
_PLAIN = "plain"
_LENS_SITES = (
    *("hook_embed", "hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out"),
    *("attn.hook_rot_q", "attn.hook_rot_k", "attn.hook_v", "attn.hook_z"),
)


def measure(tool: str, folder: str, lengths: list[list[int]]) -> dict[str, list[dict[str, Any]]]:
    """What each way of a tool takes.

    Args:
        tool: a key of `TOOLS`.
        folder: of the sample's weights.
        lengths: pairs of tokens and rounds.

    Returns:
        For each length (its tokens as text) one dict a way: `name`, `seconds` and `plain` (lists, in turns), `kept`
        and `growth` (bytes of distinct storages; of resident memory while they are held) and `difference` (largest,
        of the last position's logits from the plain pass).
    """
    from explorer._memory import give_back  # needs nothing but the standard library

    torch.set_grad_enabled(False)
    hf = _opened(folder)
    ways: dict[str, Way] = {_PLAIN: lambda ids: (_last(hf(input_ids=ids, use_cache=False).logits), None)}
    ways |= TOOLS[tool](hf, folder)

    def drawn(tokens: int, seed: object) -> Tensor:
        return torch.tensor([random_ids(hf.config.vocab_size, tokens, (tokens, seed))])

    for way in ways.values():
        way(drawn(_WARM_UP_TOKENS, "warm-up"))
    found: dict[str, list[dict[str, Any]]] = {}
    for tokens, rounds in lengths:
        given = drawn(tokens, "memory")
        plain, _ = ways[_PLAIN](given)
        rows = found[str(tokens)] = []
        for name, way in ways.items():
            if name == _PLAIN:
                continue
            give_back()  # what another way left free would hide what this one takes
            before = resident()
            last, held = way(given)
            growth = resident() - before
            kept = storage_bytes(held, closed=(nn.Module, *_OWNERS))
            difference = float((last - plain).abs().max())
            rows.append({"name": name, "kept": kept, "growth": growth, "difference": difference})
            del held
        taken = in_turns(ways, lambda number, tokens=tokens: drawn(tokens, number), rounds)  # type: ignore[misc]
        for row in rows:
            row |= {"seconds": taken[row["name"]], "plain": taken[_PLAIN]}
    return found


# Types that results refer to and that hold the weights.
_OWNERS: list[type] = []


def _opened(folder: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)


def _last(logits: Tensor) -> Tensor:
    return logits[:, -1].clone()  # or the logits of every position would be held with it


def _here(hf: Any, folder: str) -> Mapping[str, Way]:
    from transformers import AutoTokenizer

    import explorer

    model = explorer.attach(hf, AutoTokenizer.from_pretrained(folder))
    _OWNERS.append(explorer.Model)

    def traced(ids: Tensor) -> tuple[Tensor, object]:
        trace = model.trace(ids)
        return trace.last_logits, trace

    def hooked(ids: Tensor) -> tuple[Tensor, object]:
        return _hooked(hf, ids)

    def last(ids: Tensor) -> tuple[Tensor, object]:
        return _last(hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits), None

    return {"Explorer, default trace": traced, "bare hooks": hooked, "nothing, last position projected": last}


def _hooked(hf: Any, ids: Tensor) -> tuple[Tensor, object]:
    """A pass with forward hooks as one would write them by hand, and what they kept."""
    kept: dict[str, Any] = {}
    with ExitStack() as undo:

        def keep(name: str, module: nn.Module) -> None:
            def after(_module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
                kept[name] = (args[0] if args else None, output)

            undo.callback(module.register_forward_hook(after).remove)

        for number, layer in enumerate(hf.model.layers):
            attention = layer.self_attn
            parts = {"layer": layer, "mid": layer.post_attention_layernorm, "mlp": layer.mlp}
            parts |= {"q": attention.q_proj, "k": attention.k_proj, "v": attention.v_proj, "out": attention.o_proj}
            for name, module in parts.items():
                keep(f"{number}.{name}", module)
        logits = hf(input_ids=ids, use_cache=False).logits
    return _last(logits), kept


def _nnsight(_hf: Any, folder: str) -> Mapping[str, Way]:
    from nnsight import TransformersModel  # type: ignore[import-not-found]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    # A copy, since the plain pass beside it must be free of whatever it adds.
    model = TransformersModel(_opened(folder), task="text-generation", tokenizer=tokenizer)

    def traced(ids: Tensor) -> tuple[Tensor, object]:
        kept: list[Tensor] = []
        # nnsight reads this block's source and runs it inside the pass; modules must be named in the pass's order.
        with model.trace(ids, use_cache=False):
            for layer in model.model.layers:
                attention = layer.self_attn
                kept.append(layer.input.save())
                kept.append(attention.q_proj.output.save())
                kept.append(attention.k_proj.output.save())
                kept.append(attention.v_proj.output.save())
                kept.append(attention.o_proj.input.save())
                kept.append(attention.o_proj.output.save())
                kept.append(layer.post_attention_layernorm.input.save())
                kept.append(layer.mlp.output.save())
                kept.append(layer.output.save())
            logits = model.lm_head.output.save()
        return _last(logits), kept

    return {"nnsight, the same sites": traced}


def _transformer_lens(_hf: Any, folder: str) -> Mapping[str, Way]:
    from transformer_lens.model_bridge import TransformerBridge  # type: ignore[import-not-found]
    from transformers import AutoTokenizer

    # HookedTransformer is gone from 4.0 on; the bridge runs transformers' own modules, which it wraps for good.
    tokenizer = AutoTokenizer.from_pretrained(folder)
    bridge = TransformerBridge.boot_transformers(folder, hf_model=_opened(folder), tokenizer=tokenizer)

    def same(ids: Tensor) -> tuple[Tensor, object]:
        logits, kept = bridge.run_with_cache(ids, names_filter=lambda name: name.endswith(_LENS_SITES))
        return _last(logits), kept.cache_dict

    def full(ids: Tensor) -> tuple[Tensor, object]:
        logits, kept = bridge.run_with_cache(ids)
        return _last(logits), kept.cache_dict

    return {"TransformerLens, the same sites": same, "TransformerLens, full cache": full}


TOOLS: dict[str, Callable[[Any, str], Mapping[str, Way]]] = {
    "here": _here,
    "nnsight": _nnsight,
    "transformer_lens": _transformer_lens,
}
