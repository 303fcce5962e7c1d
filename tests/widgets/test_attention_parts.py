"""What the attention panel's browser is answered, against plain transformers' eager weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from explorer import Cancelled
from explorer.control import controlled
from tests.families.cases import IDS, Attention, Case, case
from widgets import attention_parts as parts

FAMILIES = ["gpt2", "gemma2", "mistral", "gpt_oss", "bert", "t5"]
every_family = pytest.mark.parametrize("name", FAMILIES)
TOLERANCE = {"atol": 2e-6, "rtol": 0.0}


def eager(found: Case, one: Attention) -> torch.Tensor:
    """(head, query, key) as the plain eager twin returns them."""
    key = {"cross_attn": "cross_attentions"}.get(one.kind, {"encoder": "encoder_attentions"}.get(one.stack))
    answer = found.reference
    key = key or ("decoder_attentions" if one.stack == "decoder" else "attentions")
    return answer[key][one.layer][0].float()


def asked(found: Case) -> list[tuple[Any, torch.Tensor]]:
    """Every attention of the family's trace, with the eager weights."""
    trace = found.plain
    return [
        (trace.attention(one.layer, stack=one.stack, kind=one.kind), eager(found, one)) for one in found.attentions()
    ]


@every_family
def test_single_weights_rows_and_columns_are_the_eager_ones(name: str) -> None:
    for where, exact in asked(case(name)):
        for head in range(where.heads):
            found = parts.part(where, [head], range(where.queries), range(where.keys), 1)
            torch.testing.assert_close(found.weights, exact[head], **TOLERANCE)
            torch.testing.assert_close(found.first, exact[head, :, 0], **TOLERANCE)
            torch.testing.assert_close(found.rest, 1 - exact[head].sum(dim=-1), atol=1e-5, rtol=0)
        heads = range(where.heads)
        for query in (0, where.queries - 1):
            torch.testing.assert_close(parts.row(where, heads, query), exact[:, query], **TOLERANCE)
        for key in (0, where.keys - 1):
            torch.testing.assert_close(parts.column(where, heads, key), exact[:, :, key], **TOLERANCE)


@every_family
def test_parts_of_several_heads_are_their_mean_or_maximum_in_blocks(name: str) -> None:
    for where, exact in asked(case(name)):
        if where.queries < 5:
            continue
        rows, columns = range(1, 5), range(where.keys)
        for largest, together in ((False, exact[[0, 2]].mean(dim=0)), (True, exact[[0, 2]].amax(dim=0))):
            found = parts.part(where, [0, 2], rows, columns, 3, largest=largest).weights
            for row in range(found.shape[0]):
                for column in range(found.shape[1]):
                    block = together[1 + row * 3 : min(5, 4 + row * 3), column * 3 : column * 3 + 3]
                    assert float(found[row, column]) == pytest.approx(float(block.max()), abs=2e-6)
            without = parts.part(where, [0, 2], rows, columns, 3, largest=largest, skip_first=True).weights
            assert float(without[0, 0]) == pytest.approx(float(together[1:4, 1:3].max()), abs=2e-6)


@every_family
def test_what_a_row_sees_is_what_can_have_weight(name: str) -> None:
    for where, exact in asked(case(name)):
        seen = where.seen()
        assert seen.shape == (where.queries, 2)
        for query, (first, last) in enumerate(seen.tolist()):
            assert not exact[:, query, :first].any()
            assert not exact[:, query, last:].any()
            assert exact[:, query, first:last].gt(0).all(), "nothing that is seen weighs nothing in these models"


def test_a_sliding_window_a_causal_mask_and_none_are_told_apart() -> None:
    windowed = case("mistral").plain.attention(0).seen().tolist()
    assert windowed == [[max(0, query - 2), query + 1] for query in range(len(IDS))]
    assert case("gpt2").plain.attention(0).seen().tolist() == [[0, query + 1] for query in range(len(IDS))]
    assert case("bert").plain.attention(0).seen().tolist() == [[0, len(IDS)]] * len(IDS)


def test_a_column_stops_where_a_newer_question_came() -> None:
    class Superseded:
        def cancelled(self) -> bool:
            return True

        def progress(self, done: float, note: str) -> None:
            """Nobody looks."""

    with controlled(Superseded()), pytest.raises(Cancelled):
        parts.column(case("gpt2").plain.attention(0), [0], 0)
