"""The benchmarks' arithmetic: what they print is what was measured. No test here looks at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import attention_beside, attention_peers, attention_tensors, environments, limited, peers, recorders
from benchmarks.attention_row import COLUMNS, Painted, Row
from benchmarks.attention_tools import TOOLS
from benchmarks.environments import NoEnvironment, Peer
from benchmarks.inputs import random_ids, random_text
from benchmarks.limited import Stopped
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
    code = """
import sys, benchmarks.attention_peers, benchmarks.recorders
peers = {"nnsight", "transformer_lens", "bertviz", "circuitsvis", "inspectus", "attnview"}
print(sorted({"explorer", *peers} & {*sys.modules}))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("while True: pass", "did not finish in 1 s"),
        ("held = b'x' * 400_000_000\nimport threading; threading.Event().wait()", "out of memory: more than 300 MB"),
        ("raise ValueError('no head 9')", "failed: ValueError: no head 9"),
        ("print('[1.5]')", ""),
    ],
)
def test_work_beyond_its_limits_is_ended_with_the_reason(tmp_path: Path, work: str, said: str) -> None:
    """The interpreter is a script that stands for a peer's: it is really run, watched and killed."""
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nprint('ready 0', flush=True)\n{work}\n", "utf-8")
    python.chmod(0o755)
    limits = {"python": python, "patience": 1.0 if "True" in work else 60.0, "most": 300e6}
    if said:
        with pytest.raises(Stopped) as stopped:
            limited.call("attention_peers", "make", **limits)
        assert str(stopped.value) == said
    else:
        assert limited.call("attention_peers", "make", **limits)[0] == [1.5]


def test_the_memory_of_a_process_is_seen_at_its_highest() -> None:
    import psutil  # type: ignore[import-untyped]

    # A process of its own: this one may give back as much as it takes meanwhile.
    work = "print(flush=True); input(); held = b'x' * 80_000_000; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        other = [psutil.Process(process.pid)]
        before = limited.resident(lambda: other)
        with limited.watched(lambda: other, 1e12) as watch:
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
            for _ in range(3000):  # until it was looked at; the test fails where nobody looks
                if watch.highest > before + 70e6:
                    break
                threading.Event().wait(0.01)
        process.kill()
    assert before + 70e6 < watch.highest < before + 100e6
    assert not watch.over


@pytest.mark.model
def test_the_peers_are_given_the_weights_that_plain_transformers_computes(tmp_path: Path, sample: Any) -> None:
    import numpy
    from transformers import AutoModelForCausalLM

    from explorer import samples

    attention_tensors.write(12, [3, 29], str(tmp_path))
    ids = sample.tokenizer(random_text(sample.tokenizer, 12, (12, "attention", 0)), return_tensors="pt")["input_ids"]
    hf = AutoModelForCausalLM.from_pretrained(str(samples.folder()), dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        expected = hf(input_ids=ids, output_attentions=True).attentions
    for layer in (3, 29):
        given = torch.from_numpy(numpy.load(tmp_path / f"{layer}.npy"))
        torch.testing.assert_close(given, expected[layer][0], atol=2e-6, rtol=1e-4)
    assert json.loads((tmp_path / attention_tensors.TOKENS).read_text()) == sample.tokenizer.convert_ids_to_tokens(
        ids[0]
    )


def test_a_peers_page_has_the_weights_it_was_given(tmp_path: Path) -> None:
    import numpy

    weights = numpy.random.default_rng(7).random((2, 3, 4, 4), dtype="float32")
    for layer, one in enumerate(weights):
        numpy.save(tmp_path / f"{layer}.npy", one)
    (tmp_path / attention_tensors.TOKENS).write_text('["a", "b", "c", "d"]')
    page = tmp_path / "page.html"
    made = attention_peers.make("head_view", [0, 1], str(tmp_path), str(page), rounds=2)
    assert len(made["seconds"]) == 2
    assert made["bytes"] == page.stat().st_size - len(attention_peers._HEAD)
    shown = page.read_text("utf-8").partition("const params = ")[2]
    found = json.JSONDecoder().raw_decode(shown)[0]["attention"][0]["attn"]
    numpy.testing.assert_array_equal(numpy.array(found, dtype="float32"), weights)


def test_a_view_without_a_picture_is_a_row_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def installed(peer: Peer) -> Path:
        if peer.package == "circuitsvis":
            raise NoEnvironment("No matching distribution found for circuitsvis")
        return Path(peer.package)

    def made(*_: Any, tool: str, page: str, **__: Any) -> Any:
        if tool == "head_view":
            raise Stopped("out of memory: more than 14.0 GB")
        Path(page).write_text("a page")
        return {"seconds": [1.0, 3.0, 2.0], "bytes": 6000}, 5_000_000

    def painted(_root: Path, page: str, *_: Any, **__: Any) -> Painted:
        if page.endswith("attnview.html"):
            return Painted(growth=7_000_000, reason="did not finish in 60 s")
        return Painted([0.5], [0.25, 0.75], 7_000_000)

    monkeypatch.setattr(attention_beside, "python_of", installed)
    monkeypatch.setattr(attention_beside.limited, "call", made)
    monkeypatch.setattr(attention_beside.fresh, "call", lambda *_, **__: None)
    monkeypatch.setattr(attention_beside, "paint", painted)
    monkeypatch.setattr(attention_beside, "fetch", lambda _: {})
    beside = attention_beside.Beside(tmp_path, quick=False)
    head, model, circuitsvis, inspectus, _, attnview, _ = beside.rows(64)
    assert head.cells()[3:] == ["out of memory: more than 14.0 GB", *[""] * 7]
    seconds, choices = "2.00 (1.50-2.50)", "500 (375-625)"
    sizes = ["6.0 KB", "5.0 MB", "7.0 MB", "as sent"]
    assert model.cells()[3:] == inspectus.cells()[3:] == [seconds, "2.50", "", choices, *sizes]
    assert circuitsvis.cells()[1:4] == ["CircuitsVis 1.43.3", "one layer: its heads, one large", "not installed"]
    assert attnview.cells()[3:] == [seconds, "did not finish in 60 s", "", "", *sizes]
    assert beside.reasons == [
        "circuitsvis 1.43.3 could not be installed: No matching distribution found for circuitsvis"
    ]
    # Who had no picture is not tried with more tokens, and nobody is given more than there is memory for.
    reasons = [row.python for row in beside.rows(4096)]
    assert reasons[0] == reasons[1] == reasons[3] == reasons[5] == "not run: its tensors alone are 18.1 GB"
    assert [reasons[2], *reasons[4::2]] == ["not installed", seconds, "not run: no picture of 64 tokens"]
    quick = attention_beside.Beside(tmp_path / "quick", quick=True)
    assert {row.python for row in quick.rows(512)} == {"not run: takes minutes"}
    assert len(COLUMNS) == len(Row("64", "a tool").cells())


_PAINTING = """
import dataclasses, json, sys
from pathlib import Path
from benchmarks.attention_row import paint
from benchmarks.attention_tools import Tool
root = Path(sys.argv[1])
(root / "page.html").write_text("<!doctype html><title>0</title><script>held = new Uint8Array(1e8).fill(1)</script>")
tool = Tool("a tool", "", None, "", True, 9, "window.held", "document.title = CHOICE", "document.title === 'CHOICE'")
for picture, patience, asked in (("window.held", 60, tool), ("window.never", 1, None)):
    print(json.dumps(dataclasses.asdict(paint(root, "page.html", picture, tool=asked, patience=patience, most=1e11))))
"""


@pytest.mark.browser
def test_a_page_is_painted_and_asked_in_a_real_browser_or_given_up(tmp_path: Path) -> None:
    # In a process of its own: the browser tests before this one keep Playwright in theirs.
    told = subprocess.run(
        [sys.executable, "-c", _PAINTING, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    painted, never = map(json.loads, told.splitlines())
    assert len(painted["choices"]) == 5
    assert all(seconds > 0 for seconds in (*painted["seconds"], *painted["choices"]))
    assert painted["growth"] > 50e6
    assert (painted["reason"], painted["choice_reason"]) == ("", "")
    assert (never["seconds"], never["reason"]) == ([], "did not finish in 1 s")


def test_every_view_says_how_another_head_is_asked_for() -> None:
    for tool in TOOLS:
        assert "CHOICE" in tool.act
        assert "WHICH" not in tool.act
        assert tool.choices > 5
    assert len({(tool.maker, tool.every) for tool in TOOLS}) == len(TOOLS)
