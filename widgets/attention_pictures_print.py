"""An image under attention on its way out, as a picture and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from widgets import wire
from widgets.attention_print import coloured, quoted, said
from widgets.drawings_views import laid_over
from widgets.paper import Paper

if TYPE_CHECKING:
    import pandas as pd

    from widgets.attention_pictures import PicturesView


def drawing(view: PicturesView, width: float) -> tuple[Paper, str]:
    """The image as it is and under the weights of the chosen heads, and what must be said of it."""
    picture = view.view
    query, weights = _asked(view)
    heads = picture["heads"]
    combine = "mean" if view.keeper is None else view.keeper.combine
    logarithmic = view.keeper is not None and view.keeper.scale == "log"
    maps = [(f"head {head}", one) for head, one in zip(heads, weights, strict=True)]
    if len(heads) > 1:
        together = weights.max(axis=0) if combine == "max" else weights.mean(axis=0)
        maps = [("largest of the heads" if combine == "max" else "mean of the heads", together), *maps]
    _, scale = coloured(np.concatenate([one for _, one in maps]), "weight", "map", logarithmic=logarithmic)
    found = np.argwhere(wire.numbers(picture["places"]) == query)
    asked = (int(found[0][0]), int(found[0][1])) if len(found) else None
    note = said(
        _shares(picture, maps[0][1]),
        "" if picture["true_colors"] else "The image's own range is drawn as black to white",
        f"Crossed out: {picture['not_numbers']} weights that are not numbers" if picture["not_numbers"] else "",
    )
    title = f"Layer {picture['layer']}: what {_name(picture, query, asked)} attends to in the image"
    return laid_over(width, wire.numbers(picture["picture"]), maps, asked, title, scale), note


def table(view: PicturesView) -> pd.DataFrame:
    """One row for each head and patch: what the position that is asked gives it."""
    import pandas as pd

    picture = view.view
    query, weights = _asked(view)
    head, row, column = (index.ravel() for index in np.indices(weights.shape))
    return pd.DataFrame(
        {
            "layer": picture["layer"],
            "head": np.array(picture["heads"])[head],
            "query": query,
            "image": picture["image"],
            "row": row,
            "column": column,
            "position": wire.numbers(picture["places"])[row, column],
            "weight": weights.ravel(),
        }
    )


def _asked(view: PicturesView) -> tuple[int, np.ndarray[Any, Any]]:
    """The position that is asked, and what it gives the patches: (head, row, column)."""
    picture = view.view
    query, (first, _) = picture["query"], picture["queries"]
    return query, wire.numbers(picture["weights"])[:, query - first][:, wire.numbers(picture["places"])]


def _shares(picture: dict[str, Any], laid: np.ndarray[Any, Any]) -> str:
    """How much of the weight goes to the image."""
    share = float(laid.sum())
    what = "patches get" if picture["vision"] else "image gets"
    return f"The {what} {share * 100:.1f} % of the weight" if np.isfinite(share) else ""


def _name(picture: dict[str, Any], query: int, asked: tuple[int, int] | None) -> str:
    if query == picture["class_token"]:
        return "the class token"
    if asked is not None:
        return f"the patch in row {asked[0]}, column {asked[1]} (framed)"
    return quoted(picture["tokens"][query]["text"])
