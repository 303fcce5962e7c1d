"""Measures of every family's heads against a slow computation, one weight at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import explorer
from tests.families.cases import Case, case
from tests.families.configs import FAMILIES, UNLISTED

every_family = pytest.mark.parametrize("case", [*FAMILIES, *UNLISTED], indirect=True)
#            0   1  2   3  4   5  6   7
REPEATING = [5, 17, 3, 17, 3, 41, 5, 17]


def measured(weights: Any, ids: list[int] | None, others: int, *, causal: bool, across: bool, sinks: bool) -> Any:
    """The measures of one head, one weight at a time: weights (query, key), ids at the queries."""
    rows = range(0 if across else 1, weights.shape[0])
    found: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for query in rows:
        row = [float(weight) for weight in weights[query]]
        left = 1 - sum(row)
        add("first", row[0])
        add("entropy", -sum(w * math.log(w) for w in [*row, *([left] if sinks else [])] if w > 0))
        if sinks:
            add("sink", left)
        if not across:
            add("self", row[query])
        if ids is None:
            continue
        add("separators", 0.0)  # ids without a tokenizer are no punctuation
        if across:
            continue
        add("previous", row[query - 1])
        add("distance", sum(w * abs(query - key) for key, w in enumerate(row)) / sum(row))
        seen = range(query) if causal else [key for key in range(others) if key != query]
        same = [key for key in seen if ids[key] == ids[query]]
        after = [key for key in seen if key and key - 1 != query and ids[key - 1] == ids[query]]
        for name, keys in (("duplicate", same), ("induction", after)):
            if keys:
                add(name, sum(row[key] for key in keys))
    return {name: float(np.mean(values)) for name, values in found.items()}


@every_family
def test_measures_are_those_of_the_definitions(case: Case) -> None:
    given = case.given | ({"inputs": REPEATING} if case.family.text else {})
    if case.family.seq2seq:
        given = given | {"decoder": [2, 11, 40, 11, 40, 2]}
    trace = case.model.trace(**given)
    asked: set[tuple[str, str]] = set()
    for one in case.attentions():
        where = {"stack": one.stack, "kind": one.kind}
        if (one.stack, one.kind) in asked:
            continue
        asked.add((one.stack, one.kind))
        frame = trace.head_measures(**where)
        text = None if one.stack.startswith("vision") or not trace.batch else trace.batch[0].ids
        if one.stack == "decoder":
            text = trace.decoder[0].ids
        layers = [other for other in case.attentions() if (other.stack, other.kind) == (one.stack, one.kind)]
        assert len(frame) == sum(other.heads.heads for other in layers)
        for other in layers:
            pattern = trace.pattern(other.layer, **where)[0].double().numpy()
            for head in range(other.heads.heads):
                expected = measured(
                    pattern[head],
                    text,
                    pattern.shape[2],
                    causal=other.heads.causal,
                    across=one.kind == "cross_attn",
                    sinks=other.heads.sinks,
                )
                row = frame[(frame["layer"] == other.layer) & (frame["head"] == head)].iloc[0].dropna().to_dict()
                assert row.keys() - {"layer", "head"} == expected.keys()
                for name, value in expected.items():
                    assert row[name] == pytest.approx(value, abs=2e-5), (other.prefix, head, name)


@pytest.mark.parametrize("name", ["llama", "bert", "bart", "t5", "gpt_oss", "bloom", "albert", "clip", "vit"])
def test_the_probe_and_likeness_read_every_kind_of_model(name: str) -> None:
    found = case(name)
    trace = found.plain
    for stack in found.stacks:
        near = trace.similar_heads(0, 1, stack=stack.name)
        assert 0 <= near["distance"].iloc[0] <= near["distance"].iloc[-1] <= 1 + 1e-6
    if found.family.text and not found.family.images:
        frame = found.model.head_measures()
        assert frame[["duplicate", "induction"]].notna().all(axis=None)
        assert len(frame) == sum(found.model.anatomy.stack.heads)


@pytest.mark.parametrize(
    ("name", "stack", "word"),
    [("bart", "decoder", "draws from the encoder"), ("qwen3_next", None, "no weights to follow")],
)
def test_what_mixes_positions_otherwise_has_no_rollout(name: str, stack: str | None, word: str) -> None:
    with pytest.raises(explorer.Refused, match=word):
        case(name).plain.rollout(stack=stack)
