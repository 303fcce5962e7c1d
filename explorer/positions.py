"""What stands at the positions of a stack, by name: the tokens of a text, or the patches of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.anatomy import Stack
from explorer.errors import Refused
from explorer.note import Note
from explorer.tokens import Token, Tokens

if TYPE_CHECKING:
    from explorer.trace import Trace


def no_text(name: str) -> Refused:
    """Why a pass has no tokens, where it read images alone."""
    sentence = (
        f"This pass of {name} read images and no text, so there are no tokens of a text. The patches of the images, "
        "and what they attend to, are shown by AttentionPanel."
    )
    return Refused(Note("no_text", sentence, model=name))


def reads_images(trace: Trace, stack: Stack) -> bool:
    """Whether a stack's positions are those of images."""
    return stack.name.startswith("vision") or not trace.batch


def positions(trace: Trace, stack: Stack) -> Tokens:
    """The tokens of a stack's text; of a vision stack its patches as "row,column" and what stands beside them.

    Several images on one axis of positions are counted before their patches: "1:0,3". A position that is no patch
    that is known, such as a register, has its number.

    Raises:
        Refused: the pass read several texts, or nothing of the stack was recorded.
    """
    if not reads_images(trace, stack):
        if len(trace.decoder) > 1:
            raise Refused(f"This trace holds {len(trace.decoder)} texts; one at a time can be shown.")
        return trace.decoder[0] if trace.decoder and stack.name == "decoder" else trace.tokens
    attending = next((index for index, layer in enumerate(stack.layers) if layer.attn is not None), 0)
    count = trace.attention(attending, stack=stack.name).keys
    names = {place: (f"[{place}]", "special") for place in range(count)}
    try:
        grids = [grid for grid in trace.patch_grids() if grid.stack == stack.name]
    except Refused:  # where patches lie is not known; their positions still have weights
        grids = []
    several = len({grid.text for grid in grids}) < len(grids)
    for grid in grids:
        if grid.class_token is not None:
            names[grid.class_token] = ("[class]", "special")
        for index, place in enumerate([] if grid.positions is None else grid.positions.flatten().tolist()):
            row, column = divmod(index, grid.columns)
            names[place] = (f"{grid.image}:{row},{column}" if several else f"{row},{column}", "text")
    tokens = [
        Token(id=place, text=text, kind="special" if kind == "special" else "text", group=place)
        for place, (text, kind) in sorted(names.items())
    ]
    return Tokens(tokens, " ".join(token.text for token in tokens))
