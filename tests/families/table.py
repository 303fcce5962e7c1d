"""The support table: what explorer finds in each family's tiny model.

Run `python -m tests.families.table` to write `docs/families.md`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

from explorer.anatomy import Layer, Stack
from tests.families.cases import Case, case
from tests.families.configs import FAMILIES, UNLISTED
from tests.families.pictured import PICTURED, Pictured, pictured

PATH = Path(__file__).parents[2] / "docs" / "families.md"

HEADING = """# Families

What `explorer` finds in each architecture. The table is written by `python -m tests.families.table` from the tiny
random models of `tests/families`, whose tests hold every number against plain eager `transformers`; a test fails when
the table is not what the models show.

- **Layers**: how many of the tiny model's layers attend, and in which way; layers without attention keep their number.
- **q, k, v**: "recorded" where queries, keys, values and scores can be read and edited; "weights only" where the family
  computes attention outside the interface of `transformers`: patterns can be read, z and per-head outputs edited too.
- **resid_mid**: whether there is a residual stream between attention and MLP (parallel blocks have none).
- **Neurons**: `mlp.neurons`; in mixtures `router.probs` and the rule that its probabilities follow, and "experts" where
  each expert's weight, `router.weights`, can be read and edited.
- **Norms**: before each part (pre) or inside the residual stream (post); parallel where both parts are added at once.

A family that is not listed is looked at in the same way when it is attached. What cannot be shown is refused, with the
reason; `model.anatomy` and `model.sites()` say what there is.
"""

COLUMNS = ("Family", "Stack", "Layers", "q, k, v", "resid_mid", "Neurons", "Norms", "Notes")
_PICTURES = ", with images"
_FAMILY_NOTES = {
    "qwen2_5_vl": "windows and images one after the other, kept apart in one pattern",
    "albert": "one layer's weights at every depth, its calls kept apart",
    "deepseek_v3": "keys and values after expansion; values narrower than keys",
    "rwkv": "the stream is halved between layers, so layers do not sum to its end",
}


def table() -> str:
    """The whole page."""
    groups: dict[str, list[str]] = {}
    for name, family in FAMILIES.items():
        groups.setdefault(family.group.capitalize(), []).append(name)
    groups["Images inside text"] = [f"{name}{_PICTURES}" for name in PICTURED]
    groups["In no list, found by looking"] = list(UNLISTED)
    parts = [HEADING]
    for group, names in groups.items():
        rows = [row for name in names for row in _rows(name)]
        lines = [COLUMNS, tuple("---" for _ in COLUMNS), *rows]
        parts.append(f"## {group}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    return "\n".join(parts)


def _rows(name: str) -> list[tuple[str, ...]]:
    found = pictured(name.removesuffix(_PICTURES)) if name.endswith(_PICTURES) else case(name)
    return [
        (
            name,
            stack.name or "only",
            _layers(stack),
            _recorded(stack),
            _some(layer.mid is not None for layer in stack.layers),
            _neurons(stack),
            _norms(stack),
            "; ".join(_notes(found, stack)),
        )
        for stack in found.stacks
    ]


def _layers(stack: Stack) -> str:
    attending = sum(layer.attn is not None for layer in stack.layers)
    if not attending:
        return f"{len(stack.layers)}, none attends"
    what = "causal" if stack.causal else "both ways"
    if any(layer.cross_attn is not None for layer in stack.layers):
        what += ", with cross-attention"
    count = len(stack.layers)
    return f"{count}, {what}" if attending == count else f"{count}, {attending} of them {what}"


def _recorded(stack: Stack) -> str:
    ways = {layer.attn.how for layer in stack.layers if layer.attn is not None}
    return {"interface": "recorded", "replay": "weights only"}[ways.pop()] if ways else "none"


def _some(values: Iterable[bool]) -> str:
    listed = list(values)
    return "yes" if all(listed) else "in some layers" if any(listed) else "no"


def _neurons(stack: Stack) -> str:
    rules = sorted({layer.routing for layer in stack.layers if layer.routing})
    dense = _some(layer.neurons is not None for layer in stack.layers)
    if not rules:
        return dense
    experts = ", experts" if any(layer.experts is not None for layer in stack.layers) else ""
    return f"router, {'/'.join(rules)}{experts}" + ("" if dense == "no" else "; neurons in dense layers")


def _norms(stack: Stack) -> str:
    if not any(layer.mlp_out is not None for layer in stack.layers):
        return "pre"
    return f"{'post' if stack.post_norm else 'pre'}{', parallel' if stack.parallel else ''}"


def _notes(found: Case | Pictured, stack: Stack) -> Iterable[str]:
    config = found.hf.config.get_text_config()
    heads = [layer.attn for layer in stack.layers if layer.attn is not None]
    if any(one.gated for one in heads):
        yield "output gate: z is before it, per-head outputs after it"
    if any(one.how == "interface" and one.kv_heads < one.heads for one in heads):
        yield "grouped queries"
    if getattr(config, "attn_logit_softcapping", None):
        yield "softcap"
    if any("sinks" in name for name, _ in found.hf.named_parameters()):
        yield "learned sinks: rows sum to less than one"
    windows = getattr(config, "sliding_window", None) or getattr(config, "local_attention", None)
    if windows and stack.name != "vision":
        yield "sliding window"
    factors = sorted({f"{factor:.2g}" for layer in stack.layers for factor in _factors(layer)})
    if factors:
        yield "residual multiplier, in what is added"
    if found.name in _FAMILY_NOTES and (isinstance(found, Case) or stack.flat):
        yield _FAMILY_NOTES[found.name]
    if found.model.anatomy.missing:
        yield found.model.anatomy.missing
    if found.model.anatomy.vocabulary is None:
        yield "no vocabulary head"


def _factors(layer: Layer) -> Iterable[float]:
    places = (layer.attn_out, layer.cross_attn_out, layer.mlp_out)
    return (place.factor for place in places if place is not None and place.factor != 1.0)


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(table(), encoding="utf-8")
