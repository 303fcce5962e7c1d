"""What is read of heads beyond whole maps: parts of a map in cells, one row, one column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from explorer import Refused
from explorer.attention_rows import AttentionRows
from explorer.control import checkpoint
from widgets import wire
from widgets.connection import Connected, described

# Of what one message asks for: more could not be seen at once.
_MOST_CELLS = 512 * 512


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows and keys of the chosen heads together, in cells.

    Attributes:
        weights: (row of cells, column of cells), float32: the largest weight of each cell.
        first: (query,), the weight of the first key.
        rest: (query,), what the weights lack to one: the share of a learned sink, where there is one.
        not_numbers: how many weights are NaN or infinite.
    """

    weights: Tensor
    first: Tensor
    rest: Tensor
    not_numbers: int


def part(
    where: AttentionRows,
    heads: Sequence[int],
    queries: range,
    keys: range,
    block: int,
    *,
    largest: bool = False,
    skip_first: bool = False,
) -> Part:
    """The largest weight of each cell of `block` x `block` positions.

    Args:
        where: the attention.
        heads: which heads; several become their mean.
        queries: a run of rows.
        keys: a run of keys.
        block: positions a cell covers each way; the last cells may cover fewer.
        largest: of several heads the largest weight counts, and not their mean.
        skip_first: leave the first key out of cells that hold others as well; alone it keeps its weight.

    Raises:
        Cancelled: a newer request came.
    """
    found = torch.zeros(-(-len(queries) // block), -(-len(keys) // block))
    first, rest = torch.zeros(len(queries)), torch.zeros(len(queries))
    not_numbers = 0
    for start, weights in where.blocks(heads, queries, step=block):
        checkpoint()
        weights = weights.float()
        together = weights.amax(dim=0) if largest else weights.mean(dim=0)
        end = start + len(together)
        lacking = 1.0 - weights.sum(dim=-1)
        first[start:end] = together[:, 0].cpu()
        rest[start:end] = (lacking.amax(dim=0) if largest else lacking.mean(dim=0)).cpu()
        if not torch.isfinite(rest[start:end]).all():
            not_numbers += int((~torch.isfinite(together)).sum())
        if skip_first and block > 1:
            together[:, 0] = 0.0
        inside = together[:, keys.start : keys.stop]
        if inside.shape[1]:  # else none of these rows sees so far
            cells = inside if block == 1 else max_pool2d(inside[None], block, ceil_mode=True)[0]
            row = start // block
            found[row : row + cells.shape[0], : cells.shape[1]] = cells.cpu()
    return Part(found, first, rest, not_numbers)


def row(where: AttentionRows, heads: Sequence[int], query: int) -> Tensor:
    """(head, key): what one position attends to, float32."""
    return where.weights(heads, [query])[:, 0].float().cpu()


def column(where: AttentionRows, heads: Sequence[int], key: int) -> Tensor:
    """(head, query): how much each position attends to one, float32.

    Raises:
        Cancelled: a newer request came.
    """
    found = torch.zeros(len(heads), where.queries)
    for start, weights in where.blocks(heads, range(where.queries)):
        checkpoint()
        if key < weights.shape[-1]:
            found[:, start : start + weights.shape[1]] = weights[..., key].float().cpu()
    return found


def asked(where: AttentionRows, heads: list[int], content: dict[str, Any]) -> Tensor:
    """The weights of the part that a message of the browser asks for.

    Args:
        where: the attention.
        heads: which heads.
        content: the message: rows, columns, block, combine and hide_sink.

    Raises:
        Refused: the message asks for what there is not, or for more than can be seen.
        Cancelled: a newer request came.
    """
    rows, columns, block = asked_part(content, where.queries, where.keys)
    largest, skip = content.get("combine") == "max", content.get("hide_sink") is True
    return part(where, heads, rows, columns, block, largest=largest, skip_first=skip).weights


def asked_part(content: dict[str, Any], rows: int, columns: int) -> tuple[range, range, int]:
    """The rows, the columns and the positions a cell covers that a message asks for, of a map of that size.

    Raises:
        Refused: the message asks for what there is not, or for more than can be seen.
    """
    down, across = _run("rows", content, rows), _run("columns", content, columns)
    block = content.get("block")
    if isinstance(block, bool) or not isinstance(block, int) or block < 1:
        raise Refused(f"block={block!r} is no whole number of at least 1.")
    if (len(down) // block + 1) * (len(across) // block + 1) > _MOST_CELLS:
        raise Refused(f"{len(down)} x {len(across)} numbers in cells of {block} are more than can be seen.")
    return down, across, block


def answer(panel: Connected, ask: str, content: dict[str, Any], read: Callable[[], Tensor]) -> None:
    """Sends what a message asks for under the message's number; or what is wrong with it, in a sentence."""
    facts = {"answer": ask, "number": content.get("number")}
    try:
        values = wire.array(read())
    except (Refused, TypeError) as error:
        panel.send({**facts, "error": described(error)["message"]})
        return
    shape = {"dtype": values["dtype"], "shape": values["shape"]}
    panel.send({**facts, "arrays": {"weights": shape}}, [values["data"]])


def _run(name: str, content: dict[str, Any], count: int) -> range:
    """A run of positions as [first, after the last]."""
    ends: Any = content.get(name)
    whole = isinstance(ends, list) and len(ends) == 2 and all(type(end) is int for end in ends)
    if not whole or not 0 <= ends[0] < ends[1] <= count:
        raise Refused(f"{name}={ends!r} is no run of positions; [first, after the last] within 0 to {count} is.")
    return range(*ends)
