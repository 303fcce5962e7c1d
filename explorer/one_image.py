"""The pass of a vision stack over one of several images, each of which it read by itself."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from explorer.anatomy import Stack
from explorer.errors import Refused
from explorer.inputs import Inputs
from explorer.note import Note
from explorer.plans import Recording
from explorer.positions import reads_images
from explorer.sites import heads_of

if TYPE_CHECKING:
    from explorer.trace import Trace

# What says how the pixels of a pass are arranged, whichever image is looked at.
_KEPT = ("image_sizes",)


def images_apart(trace: Trace, stack: Stack) -> int:
    """How many images a stack read, each on an axis of positions of its own; 1 where they share one, or it reads text.

    Raises:
        Refused: nothing of the stack's attention was recorded.
    """
    attending = next((at for at, layer in enumerate(stack.layers) if heads_of(layer, "attn") is not None), None)
    if attending is None or not reads_images(trace, stack):
        return 1
    return trace.attention(attending, stack=stack.name).texts


def check_image(image: int, count: int) -> None:
    """Refuses the number of an image that a pass did not read.

    Raises:
        Refused: it is none of `count`.
    """
    if not 0 <= image < count:
        sentence = f"image={image} is out of range: this pass read {count} (0 to {count - 1})."
        raise Refused(Note("image_out_of_range", sentence, image=image, count=count))


def of_image(trace: Trace, image: int, stack: Stack) -> Trace:
    """What a pass recorded of a stack that reads images, of one image alone; the trace itself where it read no other.

    Nothing is computed or copied: the values are parts of those that the trace holds.

    Args:
        trace: the pass.
        image: which image, counted from 0.
        stack: one that reads images.

    Raises:
        Refused: there is no such image, or of this family images cannot be told apart.
    """
    count = images_apart(trace, stack)
    check_image(image, count)
    if count == 1:
        return trace
    own = f"{stack.prefix}layers."
    recorded = trace._recording
    if any(prefix.startswith(own) for prefix in recorded.replays):
        raise Refused(f"{trace._model.name} computes its weights for all images at once; trace one image at a time.")
    pixels = trace.given["pixel_values"]
    pixels = pixels.flatten(0, 1) if pixels.dim() == 5 else pixels
    given = {name: value for name, value in trace.given.items() if name in _KEPT}
    found = copy.copy(trace)
    found.gives_back = False  # the whole trace does
    found.batch = found.decoder = ()
    found._inputs = Inputs({**given, "pixel_values": pixels[image : image + 1]}, (), (), ())
    found._recording = Recording(
        hidden={
            site: value[image : image + 1]
            for site, value in recorded.hidden.items()
            if site.startswith(own) and value.shape[0] == count
        },
        attention={
            prefix: [call.of_text(image) for call in calls]
            for prefix, calls in recorded.attention.items()
            if prefix.startswith(own)
        },
        runs=dict(recorded.runs),
    )
    return found
