"""What each head does, in numbers: means over query rows of what a row gives to certain keys.

Every measure is defined in `MEASURES`. Unless a definition says otherwise, it is a mean over the query positions from 1
on of all texts (position 0 of a causal head sees only itself), and what a row gives to some keys is the sum of its
weights there, as they are: rows of heads with learned sinks sum to less than one, and nothing is renormalised.
Weights are computed a few rows at a time; the sums are exact at any length.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from explorer.anatomy import Heads
from explorer.attention_rows import AttentionRows, in_blocks
from explorer.errors import Refused
from explorer.overview import recorded
from explorer.sites import chosen_stack, heads_of
from explorer.tokens import Token, Tokens

if TYPE_CHECKING:
    import pandas as pd

    from explorer.trace import Trace


@dataclass(frozen=True)
class Measure:
    """One measure of a head.

    Attributes:
        name: its column.
        title: what a reader calls it.
        definition: what it is, exactly.
        unit: of its values.
        most: its largest possible value; None where it grows with the text. The least is 0.
        source: where it comes from.
    """

    name: str
    title: str
    definition: str
    unit: str
    most: float | None
    source: str


_WEIGHT = "share of a row's weight"
_VOITA = "Voita et al. 2019, Analyzing Multi-Head Self-Attention"
_CLARK = "Clark et al. 2019, What Does BERT Look At?"
_LIST = [
    Measure("previous", "previous token", "The weight on the position before the query's.", _WEIGHT, 1.0, _VOITA),
    Measure(
        "duplicate",
        "duplicate token",
        "The weight on other positions that hold the query's token (earlier ones, in a causal head). Mean over queries "
        "that have one; special tokens count as no repetition.",
        _WEIGHT,
        1.0,
        "Wang et al. 2022, Interpretability in the Wild",
    ),
    Measure(
        "induction",
        "induction",
        "The weight on positions right after another one that holds the query's token (before the query, in a causal "
        "head), the query's own left out: prefix matching. Mean over queries that have one; special tokens count as "
        "no repetition.",
        _WEIGHT,
        1.0,
        "Olsson et al. 2022, In-context Learning and Induction Heads",
    ),
    Measure(
        "first",
        "first token",
        "The weight on position 0, which heads use to rest on.",
        _WEIGHT,
        1.0,
        "Xiao et al. 2023, Efficient Streaming Language Models with Attention Sinks",
    ),
    Measure(
        "sink",
        "learned sink",
        "What the weights of a row lack to one, which the head's learned sink took.",
        _WEIGHT,
        1.0,
        "OpenAI 2025, gpt-oss model card",
    ),
    Measure("self", "own position", "The weight on the query's own position.", _WEIGHT, 1.0, _CLARK),
    Measure(
        "entropy",
        "entropy",
        "Minus the sum of weight x ln(weight) over the keys; a learned sink's share counts as one more key.",
        "nats",
        None,
        _CLARK,
    ),
    Measure(
        "distance",
        "mean distance",
        "The mean of |query - key| by weight, weights of a row taken relative to their sum; rows without weight are "
        "left out.",
        "tokens",
        None,
        "Vig and Belinkov 2019, Analyzing the Structure of Attention",
    ),
    Measure(
        "separators",
        "separators",
        "The weight on positions from 1 on whose tokens are special ones, or nothing but punctuation and line breaks.",
        _WEIGHT,
        1.0,
        _CLARK,
    ),
]
MEASURES: dict[str, Measure] = {measure.name: measure for measure in _LIST}

# What needs a text that repeats itself, which `model.head_measures()` reads.
NEED_REPETITION = ("duplicate", "induction")
# Line breaks as they are shown, and the ASCII punctuation that Unicode calls symbols.
_MARKS = {*string.punctuation, "⏎", "␍"}
# Where queries and keys are different texts, positions cannot be compared.
_ACROSS = ("first", "sink", "entropy", "separators")
# Where positions hold no tokens.
_WITHOUT_TOKENS = ("first", "sink", "self", "entropy")


def head_measures(
    trace: Trace,
    *,
    stack: str | None = None,
    kind: str = "attn",
    queries: int | None = None,
    probe: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Every head's measures in the texts of a trace: a frame with layer, head and one column a measure.

    The columns are those of `MEASURES`, which has their definitions, units and sources. `sink` is there where heads
    have learned sinks. Of a vision stack `first`, `self` and `entropy` are told; of cross-attention `first`, `entropy`
    and `separators`, whose keys are the encoder's positions and whose means go over all queries. NaN where a measure
    has no row (no token repeats, one token alone) and where weights are not numbers.

    Args:
        trace: what was recorded. Layers that attend and were not recorded are left out.
        stack: which stack, where the model has several; the decoder or text stack by default.
        kind: "attn" for self-attention, "cross_attn" for cross-attention.
        queries: at most so many query rows of each text, evenly spread, each exact, in place of all of them;
            `frame.attrs["queries"]` says how many rows went in.
        probe: what `model.head_measures()` gave: `duplicate` and `induction` are taken from there, since few prompts
            repeat themselves.

    Raises:
        Refused: no layer's attention can be read, or an argument is out of range.
        Cancelled: the work was superseded.
    """
    import pandas as pd

    layers, _ = recorded(trace, stack, kind)
    names = _names(trace, stack, kind, layers)
    sums = {layer: _Sums() for layer in layers}
    rows = 0
    for text, (own, others) in enumerate(_texts(trace, stack, kind, layers[0])):
        for group in _groups(trace, stack, kind, layers):
            readers = {layer: trace.attention(layer, stack=stack, kind=kind, text=text) for layer in group}
            first = readers[group[0]]
            chosen = spread(0 if kind == "cross_attn" else 1, first.queries, queries)
            each = max(reader.heads for reader in readers.values()) * first.keys
            causal = _heads(trace, stack, kind, group[0]).causal
            for _, part in in_blocks(chosen, each, causal):
                table = _Table(own, others, part, first.keys, kind, causal)
                for layer, reader in readers.items():
                    sums[layer].add(reader, table)
        rows += len(chosen)
    frame = pd.DataFrame(
        [
            (layer, head, *(sums[layer].mean(name, head) for name in names))
            for layer in layers
            for head in range(_heads(trace, stack, kind, layer).heads)
        ],
        columns=["layer", "head", *names],
    )
    frame.attrs["queries"] = rows
    return frame if probe is None else _with_probe(frame, probe)


def _heads(trace: Trace, stack: str | None, kind: str, layer: int) -> Heads:
    heads = heads_of(chosen_stack(stack, trace.anatomy).layers[layer], kind)
    assert heads is not None  # it was recorded
    return heads


def _groups(trace: Trace, stack: str | None, kind: str, layers: Sequence[int]) -> list[list[int]]:
    """Layers whose rows are read together, since tables of positions serve them all.

    Each layer whose weights are there only as a whole is a group of its own: no two wholes are held at once.
    """
    groups: dict[int | bool, list[int]] = {}
    for layer in layers:
        heads = _heads(trace, stack, kind, layer)
        groups.setdefault(2 + layer if heads.how == "replay" else heads.causal, []).append(layer)
    return list(groups.values())


def _names(trace: Trace, stack: str | None, kind: str, layers: Sequence[int]) -> list[str]:
    """The measures that can be told of a stack."""
    sinks = any(_heads(trace, stack, kind, layer).sinks for layer in layers)
    some = _ACROSS if kind == "cross_attn" else MEASURES if _reads_text(trace, stack) else _WITHOUT_TOKENS
    return [name for name in MEASURES if name in some and (name != "sink" or sinks)]


def _reads_text(trace: Trace, stack: str | None) -> bool:
    return bool(trace.batch) and not chosen_stack(stack, trace.anatomy).name.startswith("vision")


def _with_probe(frame: pd.DataFrame, probe: pd.DataFrame) -> pd.DataFrame:
    columns = ["layer", "head", *NEED_REPETITION]
    if missing := [name for name in columns if name not in probe.columns]:
        raise Refused(f"probe has no column {missing[0]!r}; give what model.head_measures() returns.")
    taken = [name for name in NEED_REPETITION if name in frame.columns]
    joined = frame.drop(columns=taken).merge(probe[["layer", "head", *taken]], on=["layer", "head"], how="left")
    joined = joined[list(frame.columns)]
    joined.attrs.update(frame.attrs)
    return joined


def _texts(trace: Trace, stack: str | None, kind: str, layer: int) -> list[tuple[Tokens | None, Tokens | None]]:
    """The tokens at the queries and at the keys of each text of a stack; None where its positions hold none."""
    if not _reads_text(trace, stack):
        return [(None, None)] * trace.attention(layer, stack=stack, kind=kind).texts
    own = trace.decoder if chosen_stack(stack, trace.anatomy).name == "decoder" else trace.batch
    return list(zip(own, trace.batch if kind == "cross_attn" else own, strict=True))


def spread(first: int, count: int, most: int | None) -> list[int]:
    """Rows from `first` up to `count`: all, or `most` of them, evenly spread with the first and the last.

    Raises:
        Refused: `most` is no number of rows.
    """
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise Refused(f"queries={most!r} is not a whole number of at least 1.")
    available = range(first, count)
    if most is None or most >= len(available):
        return list(available)
    if most == 1:
        return [available[-1]]
    return [available[(len(available) - 1) * index // (most - 1)] for index in range(most)]


class _Table:
    """Which keys count for some query rows.

    Attributes:
        rows: the query rows.
        names: of the sums over keys.
        factors: (row, sum, key), what each weight is multiplied with.
        counted: (row,) by measure, whether the row has a key that counts; all have, where a measure is not named.
        diagonal: whether queries and keys are the same positions.
    """

    def __init__(
        self, own: Tokens | None, others: Tokens | None, rows: Sequence[int], keys: int, kind: str, causal: bool
    ) -> None:
        self.rows = list(rows)
        self.diagonal = kind == "attn"
        self.counted: dict[str, Tensor] = {}
        query, key = torch.tensor(self.rows)[:, None], torch.arange(keys)[None, :]
        tables = {"total": torch.ones(len(self.rows), keys)}
        if others is not None:
            separating = torch.tensor([place > 0 and separates(token) for place, token in enumerate(others)])
            tables["separators"] = separating.float().expand(len(self.rows), -1)
        if own is not None and self.diagonal:
            held = _ids(own)
            before = torch.cat([torch.tensor([-1]), held[:-1]])
            apart = key < query if causal else key != query
            tables["distance"] = (query - key).abs().float()
            tables["duplicate"] = ((held[query] == held[key]) & apart).float()
            tables["induction"] = ((held[query] == before[key]) & apart & (key != query + 1)).float()
            self.counted = {name: tables[name].any(dim=1) for name in NEED_REPETITION}
        self.names = list(tables)
        self.factors = torch.stack(list(tables.values()), dim=1)


class _Sums:
    """Sums over rows of one layer's measures, and how many rows each has."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}

    def add(self, reader: AttentionRows, table: _Table) -> None:
        weights = reader.weights(range(reader.heads), table.rows, reader.reach(table.rows)).float()
        factors = table.factors[..., : weights.shape[-1]].to(weights.device)
        by_key = torch.matmul(weights.transpose(0, 1), factors.transpose(1, 2)).double().cpu()  # (row, head, sum)
        sums = {name: by_key[..., index] for index, name in enumerate(table.names)}
        total = sums.pop("total")
        entropy = torch.special.entr(weights).sum(dim=-1).double().cpu().T
        if reader.sinks:
            left = 1.0 - total
            self._add("sink", left)
            entropy = entropy + torch.special.entr(left.clamp(min=0.0))
        self._add("entropy", entropy)
        self._add("first", weights[..., 0].double().cpu().T)
        if table.diagonal:
            own = torch.tensor(table.rows, device=weights.device)
            at = torch.arange(len(own), device=weights.device)
            self._add("self", weights[:, at, own].double().cpu().T)
            self._add("previous", weights[:, at, own - 1].double().cpu().T)
        if "distance" in sums:
            self._add("distance", sums.pop("distance") / total, total != 0)
        for name, values in sums.items():
            counted = table.counted.get(name)
            self._add(name, values, None if counted is None else counted[:, None])

    def _add(self, name: str, values: Tensor, counted: Tensor | None = None) -> None:
        """Adds (row, head) values of the rows that count."""
        mask = torch.ones_like(values, dtype=torch.bool) if counted is None else counted.expand_as(values)
        nothing = torch.zeros(values.shape[1])
        self._sums[name] = self._sums.get(name, nothing) + torch.where(mask, values, 0.0).sum(dim=0)
        self._counts[name] = self._counts.get(name, nothing) + mask.sum(dim=0)

    def mean(self, name: str, head: int) -> float:
        """NaN where no row counts."""
        if name not in self._sums or not self._counts[name][head]:
            return float("nan")
        return float(self._sums[name][head] / self._counts[name][head])


def separates(token: Token) -> bool:
    """Whether a token is special, or nothing but punctuation and line breaks."""
    shown = token.text.strip()
    return token.kind == "special" or (bool(shown) and all(_is_mark(char) for char in shown))


def _is_mark(char: str) -> bool:
    return char in _MARKS or char.isspace() or unicodedata.category(char).startswith("P")


def _ids(tokens: Tokens) -> Tensor:
    """The id at each position; a negative number of its own for each special token."""
    return torch.tensor([-2 - place if token.kind == "special" else token.id for place, token in enumerate(tokens)])
