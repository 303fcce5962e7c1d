"""The benchmarks' arithmetic: what they print is what was measured. No test here looks at a time."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import environments, peers, recorders
from benchmarks.environments import NoEnvironment, Peer
from benchmarks.inputs import random_ids, random_text
from benchmarks.live_use import slope
from benchmarks.measuring import Spread, in_turns, paired, seconds, spread
from benchmarks.memory import storage_bytes
from benchmarks.passes import Passes
from benchmarks.table import Table, size
from tests.conftest import tiny


def test_spread_is_the_median_and_the_quartiles() -> None:
    assert spread([5.0, 1.0, 4.0, 2.0, 3.0]) == Spread(median=3.0, low=2.0, high=4.0, count=5)
    assert spread([1.0, 2.0]) == Spread(median=1.5, low=1.25, high=1.75, count=2)
    assert spread([7.0]) == Spread(median=7.0, low=7.0, high=7.0, count=1)
    with pytest.raises(ValueError, match="at least one measurement"):
        spread([])


def test_ratios_are_taken_round_by_round() -> None:
    # A round in which everything is ten times as slow has the same ratio; the ratio of the medians would be 4.5.
    assert paired([2.0, 30.0, 9.0], [1.0, 15.0, 2.0]) == Spread(median=2.0, low=2.0, high=3.25, count=3)
    with pytest.raises(ValueError, match="shorter"):
        paired([1.0, 2.0], [1.0])


def test_growth_is_the_slope_from_one_sample_to_the_next() -> None:
    assert slope([5.0, 7.0, 9.0]) == pytest.approx(2.0)
    assert slope([3.0, 1.0, 3.0, 1.0, 3.0]) == pytest.approx(0.0)
    assert slope([4.0]) == 0.0


def test_passes_are_counted_with_what_they_finished_after_they_were_superseded() -> None:
    layers = [torch.nn.Identity() for _ in range(3)]
    whole = torch.nn.Sequential(*layers)
    passes = Passes(whole, layers)
    whole(torch.ones(1))
    stop = layers[2].register_forward_pre_hook(lambda *_: passes.superseded())
    whole(torch.ones(1))
    stop.remove()
    assert passes.told() == {"begun": 2, "completed": 2, "most": 1, "late": [1]}

    def fail(*_: Any) -> None:
        passes.superseded()
        raise RuntimeError("stopped")

    layers[1].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="stopped"):
        whole(torch.ones(1))
    assert passes.told() == {"begun": 3, "completed": 2, "most": 1, "late": [1, 0]}
    passes.remove()
    assert not any(layer._forward_hooks for layer in (whole, *layers))


def test_a_spread_reads_as_median_and_quartiles() -> None:
    assert spread([0.9, 0.8, 1.0]).words() == "0.90 (0.85-0.95)"
    assert spread([1234.5]).words(1) == "1,234.5"


def test_ways_take_turns_in_alternating_order_on_the_same_new_inputs() -> None:
    calls: list[tuple[str, int]] = []
    ways = {name: lambda given, name=name: calls.append((name, given)) for name in ("a", "b", "c")}
    taken = in_turns(ways, lambda number: number * 10, 2)
    assert calls == [(name, -10) for name in "cba"] + [(name, 0) for name in "abc"] + [(name, 10) for name in "cba"]
    assert {name: len(values) for name, values in taken.items()} == {"a": 2, "b": 2, "c": 2}


def test_freeing_a_result_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    class Slow:
        def __del__(self) -> None:
            clock[0] += 100.0

    def work(extra: float) -> Slow:
        clock[0] += 1.0 + extra
        return Slow()

    monkeypatch.setattr("benchmarks.measuring.time.perf_counter", lambda: clock[0])
    assert seconds(work, 0.5) == 1.5
    assert clock[0] == 101.5


def test_a_storage_counts_once_and_whole() -> None:
    @dataclass(slots=True)
    class Slotted:
        kept: Any

    @dataclass
    class Model:
        weight: torch.Tensor

    base, other, weight = torch.zeros(10, 100), torch.zeros(7, dtype=torch.int64), torch.zeros(1000)
    root = {"views": [base[0], base[1:3]], "slotted": Slotted((other, weight)), "model": Model(torch.zeros(50))}
    root["itself"] = root
    ignored = {weight.untyped_storage().data_ptr()}
    assert storage_bytes(root, ignored, closed=(Model,)) == 10 * 100 * 4 + 7 * 8


def test_a_table_lines_its_columns_up_and_refuses_a_short_row() -> None:
    table = Table("Title", "note", ("a", "long name"))
    table.add(1, "x")
    assert str(table) == "## Title\n\nnote\n\n| a | long name |\n|---|-----------|\n| 1 | x         |"
    with pytest.raises(ValueError, match="2 columns"):
        table.add(1)


def test_sizes_are_decimal() -> None:
    assert [size(count) for count in (999, 1500, 31_000_000, 497_000_000, 18e9)] == [
        "999 B",
        "1.5 KB",
        "31.0 MB",
        "497 MB",
        "18.0 GB",
    ]


def test_ids_differ_from_round_to_round_and_come_back_with_their_seed() -> None:
    first, second = random_ids(100, 50, (50, 0)), random_ids(100, 50, (50, 1))
    assert first != second
    assert first == random_ids(100, 50, (50, 0))
    assert len(first) == 50
    assert all(0 <= id_ < 100 for id_ in first)


@pytest.mark.model
def test_texts_have_exactly_the_tokens_asked_for(sample: Any) -> None:
    texts = [random_text(sample.tokenizer, tokens, seed) for tokens in (1, 16, 256) for seed in (0, 1)]
    assert [len(sample.read(text)) for text in texts] == [1, 1, 16, 16, 256, 256]
    assert len(set(texts)) == len(texts)


def test_hooks_written_by_hand_keep_what_the_layers_passed_on() -> None:
    hf = tiny("llama")
    ids = torch.tensor([[5, 17, 3, 88]])
    with torch.no_grad():
        last, held = recorders._hooked(hf, ids)
        assert not any(module._forward_hooks for module in hf.modules())
        expected = hf(ids, output_hidden_states=True, use_cache=False)  # leaves transformers' own hooks behind
    assert isinstance(held, dict)
    torch.testing.assert_close(last, expected.logits[:, -1])
    for layer in range(3):
        torch.testing.assert_close(held[f"{layer}.layer"][0], expected.hidden_states[layer])
        torch.testing.assert_close(
            held[f"{layer}.mid"][0] + held[f"{layer}.mlp"][1], held[f"{layer}.layer"][1], atol=1e-5, rtol=1e-4
        )


def test_a_peer_that_cannot_be_had_is_in_the_table_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(peer: Peer) -> Path:
        raise NoEnvironment(f"No matching distribution found for {peer.package}")

    def measured(_module: str, _function: str, **asked: Any) -> Any:
        assert asked["python"] is None
        row = {"name": "a way", "kept": 1000, "growth": 1200, "difference": 2e-5}
        return {str(tokens): [{**row, "seconds": [2.0, 6.0], "plain": [1.0, 2.0]}] for tokens, _ in asked["lengths"]}

    monkeypatch.setattr(peers, "python_of", missing)
    monkeypatch.setattr(peers.fresh, "call", measured)
    monkeypatch.setattr(peers.samples, "folder", lambda: Path("weights"))
    (table,) = peers.tables(quick=True)
    assert [row[:2] for row in table.rows[:3]] == [["64", "a way"], ["64", "nnsight"], ["64", "transformer-lens"]]
    assert table.rows[0][4:8] == ["2.50 (2.25-2.75)", "1.0 KB", "1.2 KB", "2e-05"]
    assert [row[2] for row in table.rows[1:3]] == ["not measured"] * 2
    assert "nnsight 0.8.1 could not be measured: No matching distribution found for nnsight" in table.note


def test_an_environment_that_pip_cannot_make_is_refused_and_not_taken_for_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path))
    # pip itself runs, and is kept from every index.
    for name, value in {
        "NO_INDEX": "1",
        "FIND_LINKS": str(tmp_path),
        "EXTRA_INDEX_URL": "",
        "CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    for _ in range(2):
        with pytest.raises(NoEnvironment, match="No matching distribution found for torch"):
            environments.python_of(Peer("nnsight", "0.8.1"))


def test_what_the_peers_run_imports_neither_explorer_nor_a_peer() -> None:
    code = (
        "import sys, benchmarks.recorders; print(sorted({'explorer', 'nnsight', 'transformer_lens'} & {*sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
