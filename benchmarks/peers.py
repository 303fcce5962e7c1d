"""What recording a whole pass costs: Explorer's trace, hooks written by hand, nnsight and TransformerLens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks import fresh
from benchmarks.environments import NoEnvironment, Peer, python_of
from benchmarks.measuring import paired, spread
from benchmarks.table import Table, say, size
from explorer import samples

_LENGTHS = (64, 256, 1024)
# Passes over long texts take seconds and vary less.
_LONG = 1024
_PEERS = {"nnsight": Peer("nnsight", "0.8.1"), "transformer_lens": Peer("transformer-lens", "4.3.0")}
_NOTE = """\
Each tool in an environment and a process of its own, with the same weights, torch and transformers; its ratio is to
the plain pass timed there in turns with it, on the same new ids: hf(ids) without gradients or cache, all positions
projected to the vocabulary. Explorer projects the last position alone, as does the row that records nothing.
Recorded: each layer's residual stream, what attention and MLP add, queries, keys, values and z; a full cache of
TransformerLens also holds norms, neurons, scores, patterns and logits. kept: bytes of the distinct storages that the
result refers to. growth: of resident memory while it is held, from a heap without free pages. difference: the
largest, of the last position's logits from the plain pass."""


def tables(quick: bool) -> Iterator[Table]:
    """One table: lengths, and in each the tools."""
    folder = str(samples.folder())
    lengths = [(tokens, _rounds(tokens, quick)) for tokens in _LENGTHS]
    rows: dict[int, list[tuple[object, ...]]] = {tokens: [] for tokens in _LENGTHS}
    missing: list[str] = []
    for tool in ("here", *_PEERS):
        peer = _PEERS.get(tool)
        try:
            python = None if peer is None else python_of(peer)
            say(f"recording with {'Explorer and bare hooks' if peer is None else peer.package}")
            seen = fresh.call("recorders", "measure", python=python, tool=tool, folder=folder, lengths=lengths)
        except (NoEnvironment, RuntimeError) as error:
            if peer is None:
                raise
            missing.append(f"{peer.package} {peer.version} could not be measured: {_last_line(error)}")
            for tokens in _LENGTHS:
                rows[tokens].append((f"{tokens:,}", peer.package, *["not measured"] + [""] * 6))
            continue
        for tokens, rounds in lengths:
            named = "" if peer is None else f" ({peer.version})"
            rows[tokens] += [_row(tokens, one, named, rounds) for one in seen[str(tokens)]]
    columns = ("tokens", "recorded with", "plain, s", "recording, s", "recording / plain")
    found = Table("Recording a pass", _NOTE, (*columns, "kept", "growth", "difference", "rounds"))
    found.note += "".join(f"\n{reason}" for reason in missing)
    for tokens in _LENGTHS:
        for row in rows[tokens]:
            found.add(*row)
    yield found


def _rounds(tokens: int, quick: bool) -> int:
    if tokens >= _LONG:
        return 2 if quick else 5
    return 5 if quick else 15


def _row(tokens: int, one: dict[str, Any], named: str, rounds: int) -> tuple[object, ...]:
    plain, recorded = spread(one["plain"]).words(3), spread(one["seconds"]).words(3)
    ratio = paired(one["seconds"], one["plain"]).words()
    sizes = (size(one["kept"]), size(max(one["growth"], 0))) if one["kept"] else ("", "")
    return (f"{tokens:,}", one["name"] + named, plain, recorded, ratio, *sizes, f"{one['difference']:.0e}", rounds)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
