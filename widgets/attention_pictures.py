"""An image with the attention of one position laid over it, patch by patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from explorer import Refused
from explorer.anatomy import Stack
from explorer.attention_rows import AttentionRows
from explorer.note import Note
from explorer.one_image import check_image
from explorer.patch_grid import PatchGrid
from explorer.patch_picture import picture
from explorer.positions import positions, reads_images
from widgets import wire
from widgets.attention_view import AttentionView
from widgets.connection import asset
from widgets.worker import Job

if TYPE_CHECKING:
    import pandas as pd

    from widgets.paper import Paper

# Up to so many weights all rows travel at once, so that asking another patch needs no kernel.
MOST_WEIGHTS = 500_000


class PicturesView(AttentionView):
    """What a patch, the class token or a token of the text attends to in an image, for the chosen heads.

    The image is the one that the model was given, cut to its size. Weights are the model's own; over the grid of an
    image inside a text they are those of its places in the text, each of one patch or of a square of patches.

    Of several images the one is shown that is chosen in the panel around.
    """

    _esm = asset("attention-pictures.js")
    _css = asset("attention-pictures.css")
    _chosen_by = (*AttentionView._chosen_by, "query")
    _pictures = ("pictures",)

    def _draw(self, _job: Job, number: int) -> None:
        trace, chosen = self.read(), self.selection
        name = self.about["name"]
        if "pixel_values" not in trace.given:
            sentence = (
                f"This pass of {name} read no image, so there is no picture to lay attention over. Give the panel a "
                "trace of one, where the model reads images: AttentionPanel(model.trace(..., images=...))."
            )
            raise Refused(Note("no_picture", sentence, model=name))
        stack, layer, _, _ = self._heads(trace)
        grids = trace.patch_grids()
        keeper = self.keeper
        image = 0 if keeper is None or trace is not keeper.read() else keeper.image  # apart: the others are not in it
        check_image(image, len(grids))
        grid = grids[image]
        vision = reads_images(trace, stack)
        places = grid.positions if vision else grid.in_text
        if places is None:
            raise Refused(_nowhere(name, stack, vision))
        where = trace.attention(layer, stack=stack.name, kind=chosen.kind, text=grid.text if vision else 0)
        heads = [head for head in chosen.heads or (0,) if head < where.heads]
        query = _query(chosen.query, where, grid if vision else None)
        queries = range(where.queries) if len(heads) * where.queries * where.keys <= MOST_WEIGHTS else [query]
        shown = picture(trace, grid)
        weights = where.weights(heads, queries).float().cpu()
        self._publish(
            view={
                "request": number,
                "tokens": wire.tokens(positions(trace, stack)),
                "notes": [],
                "layer": layer,
                "heads": heads,
                "image": image if self.keeper is None else self.keeper.image,
                "vision": vision,
                "picture": wire.array(shown.pixels),
                "true_colors": shown.true_colors,
                "places": wire.array(places.cpu().to(torch.int32)),
                "class_token": grid.class_token if vision else None,
                "query": query,
                "queries": [queries[0], len(queries)],
                "weights": wire.array(weights),
                "not_numbers": int((~weights.isfinite()).sum()),
            }
        )

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        from widgets import attention_pictures_print

        return attention_pictures_print.drawing(self, width)

    def _table(self) -> pd.DataFrame:
        from widgets import attention_pictures_print

        return attention_pictures_print.table(self)


def _nowhere(name: str, stack: Stack, vision: bool) -> Note:
    if vision:
        sentence = f"The vision stack of {name} reorders the image's patches, so its weights cannot be laid over it."
        return Note("reorders_patches", sentence, model=name)
    stack_name = stack.name or "text"
    sentence = (
        f"The {stack_name} stack of {name} does not see the image patch by patch; choose the vision stack, where there "
        "is one."
    )
    return Note("no_patches", sentence, stack=stack_name, model=name)


def _query(chosen: int | None, where: AttentionRows, grid: PatchGrid | None) -> int:
    """What is asked: what is chosen; else the class token, the patch in the middle, or the last token."""
    if chosen is not None and chosen < where.queries:
        return chosen
    if grid is None:
        return where.queries - 1
    if grid.class_token is not None:
        return grid.class_token
    assert grid.positions is not None  # the caller has refused others
    return int(grid.positions[grid.rows // 2, grid.columns // 2])
