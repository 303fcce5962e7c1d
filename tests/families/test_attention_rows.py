"""Weights by rows, overviews and pooled parts of every attention, against the eager twin's weights."""

from __future__ import annotations

import pytest
import torch

from tests.families.cases import Case, case, equal
from tests.families.configs import FAMILIES, UNLISTED

every_family = pytest.mark.parametrize("case", [*FAMILIES, *UNLISTED], indirect=True)


@every_family
def test_rows_and_pictures_are_those_of_the_pattern(case: Case) -> None:
    trace = case.plain
    for one in case.attentions():
        where = {"stack": one.stack, "kind": one.kind}
        pattern = trace.pattern(one.layer, **where)[0]
        rows = trace.attention(one.layer, **where)
        assert (rows.heads, rows.queries, rows.keys) == pattern.shape
        every = range(rows.queries)
        for start, block in rows.blocks(range(rows.heads), every, step=2):
            width = block.shape[-1]
            equal(block, pattern[:, start : start + block.shape[1], :width], one.prefix)
            assert not pattern[:, start : start + block.shape[1], width:].any()
        part = trace.pooled(one.layer, **where).weights
        equal(part, pattern.float(), one.prefix)
        seen = trace.overview(**where)
        assert seen.heads[one.layer] == rows.heads
        assert (seen.weights[one.layer, : rows.heads] / 255 - pattern).abs().max() < seen.max_error + 1e-6


@pytest.mark.parametrize("name", ["bert", "bart", "t5"])
def test_texts_of_a_padded_batch_are_read_alone(name: str) -> None:
    found = case(name)
    short, more = found.given["inputs"][:3], {}
    if found.family.seq2seq:
        more = {"decoder": [found.given["decoder"], found.given["decoder"][:2]]}
    together = found.model.trace([found.given["inputs"], short], **more)
    alone = found.model.trace(short, **({"decoder": more["decoder"][1]} if more else {}))
    for one in found.attentions():
        where = {"stack": one.stack, "kind": one.kind}
        part = together.pooled(one.layer, text=1, **where).weights
        torch.testing.assert_close(part, alone.pooled(one.layer, **where).weights, atol=1e-5, rtol=1e-4)
