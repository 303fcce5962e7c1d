"""Writes a text's attention weights as files, so that tools in other environments are all given the same tensors."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.inputs import random_text

TOKENS = "tokens.json"


def write(tokens: int, layers: list[int], folder: str) -> None:
    """Writes `<layer>.npy`, float32 of shape (head, query, key), for each layer, and the tokens as the tools name them.

    Args:
        tokens: length of the text, the one whose picture our panel makes in its first round.
        layers: which layers are written; all of the sample's are 18 GB at 4,096 tokens.
        folder: an existing folder.
    """
    import numpy

    import explorer

    model = explorer.load()
    text = random_text(model.tokenizer, tokens, (tokens, "attention", 0))
    trace = model.trace(text)
    for layer in layers:
        numpy.save(Path(folder, f"{layer}.npy"), trace.pattern(layer)[0].float().numpy())
    pieces = model.tokenizer.convert_ids_to_tokens(model.tokenizer(text)["input_ids"])
    Path(folder, TOKENS).write_text(json.dumps(pieces), "utf-8")
