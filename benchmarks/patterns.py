"""What looking costs: attention patterns are computed from a finished trace, for what is looked at."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import explorer
from benchmarks.inputs import random_ids
from benchmarks.measuring import seconds, spread
from benchmarks.table import Table, say, size

_ROUNDS = 15
_FLOAT32 = 4


def tables(quick: bool) -> Iterator[Table]:
    """Milliseconds to one head's whole pattern and to one query row, after one trace."""
    model = explorer.load()
    tokens = 1024 if quick else 4096
    say(f"patterns of a trace of {tokens} tokens")
    trace = model.trace(random_ids(model.vocabulary, tokens, "patterns"))
    stack = model.anatomy.stack
    assert stack is not None  # the sample's layers are known
    layers, heads = len(stack.layers), sum(stack.heads)
    draw = random.Random(tokens)

    def one_head() -> object:
        layer = draw.randrange(layers)
        return trace.pattern(layer, heads=[draw.randrange(stack.heads[layer])])

    def row_of_a_layer() -> object:
        return trace.pattern(draw.randrange(layers), queries=[draw.randrange(tokens)])

    def row_of_all() -> object:
        query = draw.randrange(tokens)
        return [trace.pattern(layer, queries=[query]) for layer in range(layers)]

    found = Table(
        f"Patterns after one trace of {tokens:,} tokens",
        f"Heads, layers and rows drawn anew each round. All {heads} patterns at once would take "
        f"{size(heads * tokens**2 * _FLOAT32)}.",
        ("computed when asked", "ms", "bytes read", "rounds"),
    )
    asked: list[tuple[str, Callable[[], object], int]] = [
        ("one head, all rows", one_head, tokens**2),
        ("one row, the heads of one layer", row_of_a_layer, stack.heads[0] * tokens),
        ("one row, all heads of all layers", row_of_all, heads * tokens),
    ]
    for name, work, weights in asked:
        seconds(work)  # the first call pays for the memory's pages
        taken = spread([seconds(work) * 1000 for _ in range(_ROUNDS)])
        found.add(name, taken.words(1), size(weights * _FLOAT32), _ROUNDS)
    yield found
