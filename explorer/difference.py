"""What a head attends to in one trace and not in another: two prompts, two models, or with and without edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from explorer.attention_rows import AttentionRows
from explorer.errors import Refused
from explorer.one_image import images_apart
from explorer.positions import positions, reads_images
from explorer.prompt_alignment import Aligned, aligned
from explorer.sites import checked_indices, chosen_stack
from explorer.tokens import Tokens

if TYPE_CHECKING:
    import pandas as pd

    from explorer.trace import Trace


@dataclass(frozen=True, eq=False)
class AttentionDifference:
    """Weights of two traces over the positions that stand for the same, and their difference.

    A group of several positions counts as one: the weights of its keys are summed, those of its queries averaged. So a
    row's weights sum to what they did before, and where no sink or edit takes weight a row's differences sum to 0.

    Attributes:
        values: (head, query group, key group), `second` minus `first`, float32 on the CPU; NaN in the rows of queries
            that only one side has.
        first: the same of the first trace; NaN in the rows of queries that it does not have, 0 in such keys.
        second: the same of the second trace.
        queries: the groups along the rows.
        keys: the groups along the columns; other ones than the queries' in cross-attention.
    """

    values: Tensor
    first: Tensor
    second: Tensor
    queries: tuple[Aligned, ...]
    keys: tuple[Aligned, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The first head's differences: rows are queries, columns are keys, named by their labels."""
        import pandas as pd

        labels = ([group.label for group in side] for side in (self.queries, self.keys))
        return pd.DataFrame(self.values[0].numpy(), *labels)

    def __repr__(self) -> str:
        most = self.values.nan_to_num().abs().max()
        heads, rows, columns = self.values.shape
        return f"AttentionDifference({heads} heads, {rows} x {columns} groups, at most {most:.3g} apart)"


def attention_difference(
    first: Trace,
    second: Trace,
    layer: int,
    heads: Sequence[int] | int | None = None,
    *,
    second_layer: int | None = None,
    second_heads: Sequence[int] | int | None = None,
    stack: str | None = None,
    kind: str = "attn",
) -> AttentionDifference:
    """How much more a head attends to each token in the second trace than in the first.

    Positions are aligned by tokens, then by characters; see `explorer.prompt_alignment`. Several heads are told apart.

    Args:
        first: a trace of one text.
        second: another one, of the same model or of another.
        layer: which layer.
        heads: which heads; all by default.
        second_layer: the layer of the second trace, where it is another one.
        second_heads: the heads of the second trace, as many; the same by default.
        stack: which stack, where the models have several; the decoder or text stack by default.
        kind: "attn" for self-attention, "cross_attn" for cross-attention.

    Raises:
        Refused: an index is out of range, a trace holds several texts, or the heads are not equally many.
    """
    other = layer if second_layer is None else second_layer
    one, two = (t.attention(at, stack=stack, kind=kind) for t, at in ((first, layer), (second, other)))
    chosen = checked_indices("heads", heads, one.heads)
    theirs = checked_indices("second_heads", heads if second_heads is None else second_heads, two.heads)
    if len(chosen) != len(theirs):
        raise Refused(f"{len(chosen)} heads cannot be compared with {len(theirs)}; name as many in second_heads=.")
    read = [_texts(trace, stack, kind) for trace in (first, second)]
    if any(reads_images(trace, chosen_stack(stack, trace.anatomy)) for trace in (first, second)):
        patches, others = ([token.text for token in side[0]] for side in read)
        if patches != others:
            raise Refused(f"images of {len(patches)} and {len(others)} positions are not laid out alike.")
    queries = aligned(read[0][0], read[1][0])
    keys = queries if kind == "attn" else aligned(read[0][1], read[1][1])
    before = _grouped(one, chosen, [group.first for group in queries], [group.first for group in keys])
    after = _grouped(two, theirs, [group.second for group in queries], [group.second for group in keys])
    return AttentionDifference(after - before, before, after, queries, keys)


def _texts(trace: Trace, stack: str | None, kind: str) -> tuple[Tokens, Tokens]:
    found = chosen_stack(stack, trace.anatomy)
    if reads_images(trace, found):
        if (count := images_apart(trace, found)) > 1:
            raise Refused(f"a difference is of two images, and a trace holds {count} in this stack.")
        patches = positions(trace, found)
        return patches, patches
    if len(trace.batch) != 1:
        raise Refused(f"a difference is of two texts, and a trace holds {len(trace.batch)} in this stack.")
    own = trace.decoder[0] if found.name == "decoder" else trace.batch[0]
    return own, trace.batch[0] if kind == "cross_attn" else own


def _grouped(where: AttentionRows, heads: Sequence[int], queries: list[range], keys: list[range]) -> Tensor:
    """(head, query group, key group): sums over a group's keys, averaged over its queries."""
    row_of, key_of = _owners(queries), _owners(keys)
    found = torch.zeros(len(heads), len(queries), len(keys), dtype=torch.double)
    for start, block in where.blocks(heads, range(where.queries)):
        weights = block.float().cpu().double()
        summed = torch.zeros(*weights.shape[:2], len(keys), dtype=torch.double)
        summed.index_add_(2, key_of[: weights.shape[2]], weights)
        found.index_add_(1, row_of[start : start + weights.shape[1]], summed)
    size = torch.tensor([len(group) for group in queries], dtype=torch.double)
    return (found / size[:, None]).float()  # 0 / 0, where this side has no such query


def _owners(groups: list[range]) -> Tensor:
    """The group of each position."""
    owners = [index for index, group in enumerate(groups) for _ in group]
    return torch.tensor(owners, dtype=torch.long)
