"""The joined keys and values are those of the pieces, whatever was joined before, and only what differs is copied."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import explorer
from explorer.prefix_cache import Joined
from tests.conftest import tiny
from tests.unit.test_reuse import IDS, assert_equal


def rows(count: int, seed: int, heads: int = 2) -> torch.Tensor:
    return torch.randn(1, heads, count, 4, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)  # the first call of torch takes longer than others
@given(st.data())
def test_joined_pieces_are_what_torch_concatenates(data: st.DataObject) -> None:
    joined, pieces = Joined(), [rows(5, 0)]
    for seed in range(1, 9):
        new = rows(data.draw(st.sampled_from([1, 2, 7, 300])), seed)
        before = [piece.clone() for piece in pieces]
        given = joined.with_new(pieces, new)
        torch.testing.assert_close(given, torch.cat([*pieces, new], dim=-2), rtol=0, atol=0)
        assert all(torch.equal(old, piece) for old, piece in zip(before, pieces, strict=True))
        pieces = pieces[: data.draw(st.integers(1, len(pieces)))] + ([new] if data.draw(st.booleans()) else [])
        last = pieces[-1]
        pieces[-1] = last.narrow(-2, 0, data.draw(st.integers(1, last.shape[-2])))


def test_what_is_there_already_is_not_copied_again() -> None:
    joined, first, second = Joined(), rows(5, 0), rows(1, 1)
    seen = joined.with_new([first], second)
    seen[0, 0, 2] = 99.0  # a mark in the joined tensor that a copy would wipe out
    again = joined.with_new([first, second], rows(3, 2))
    assert again.data_ptr() == seen.data_ptr()
    assert again[0, 0, 2].tolist() == [99.0] * 4
    shorter = joined.with_new([first.narrow(-2, 0, 4)], rows(1, 3))
    assert shorter[0, 0, 2].tolist() == [99.0] * 4
    first.mul_(2.0)
    changed = joined.with_new([first], second)
    torch.testing.assert_close(changed, torch.cat([first, second], dim=-2), rtol=0, atol=0)


def test_other_shapes_and_dtypes_begin_anew() -> None:
    joined = Joined()
    for piece in (rows(5, 0), rows(5, 0, heads=3), rows(5, 0).double(), torch.cat([rows(5, 0), rows(5, 1)])):
        new = piece.narrow(-2, 0, 2)
        torch.testing.assert_close(joined.with_new([piece], new), torch.cat([piece, new], dim=-2), rtol=0, atol=0)


def test_a_copy_that_fails_leaves_nothing_to_be_believed() -> None:
    joined, first = Joined(), rows(5, 0)
    joined.with_new([first], rows(1, 1))
    with pytest.raises(RuntimeError, match="size"):
        joined.with_new([first, rows(2, 2)[..., :3]], rows(1, 3))
    third = rows(1, 4)
    torch.testing.assert_close(joined.with_new([first], third), torch.cat([first, third], dim=-2), rtol=0, atol=0)


def test_a_tensor_made_in_inference_mode_is_written_to_outside_of_it() -> None:
    joined, first, second = Joined(), rows(5, 0), rows(1, 1)
    with torch.inference_mode():
        joined.with_new([first], second)
    torch.testing.assert_close(joined.with_new([first], second), torch.cat([first, second], dim=-2), rtol=0, atol=0)


@pytest.fixture(scope="module")
def model() -> explorer.Model:
    return explorer.attach(tiny("llama"))


def test_traces_that_branch_off_do_not_disturb_each_other(
    model: explorer.Model, unchanged: Callable[[explorer.Model], None]
) -> None:
    unchanged(model)
    trunk = model.trace([*IDS, 7], reuse=model.trace(IDS))
    branches = [model.trace([*IDS, 7, *rest], reuse=trunk) for rest in ([1, 2], [3], [4, 5, 6])]
    branches += [model.trace([*IDS[:4], 9], reuse=branches[0]), model.trace([*IDS, 7, 1, 8], reuse=branches[0])]
    assert [branch.reused for branch in branches] == [12, 12, 12, 4, 13]
    for trace in (trunk, *branches):
        assert_equal(trace, model.trace(trace.ids.tolist()))


def test_a_chain_shares_one_cache_and_others_have_none(model: explorer.Model) -> None:
    first = model.trace(IDS)
    second = model.trace([*IDS, 7], reuse=first)
    third = model.trace([*IDS, 7, 8], reuse=second)
    assert first._prefix is None
    assert second._prefix is third._prefix is not None
    assert model.trace(IDS, reuse=model.trace([90, 91]))._prefix is None
