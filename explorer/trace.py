"""What one forward pass recorded, read by site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from explorer.attention import AttentionCall
from explorer.errors import Refused
from explorer.recording import Recording
from explorer.sites import ATTENTION_PARTS, checked_indices, checked_layer, parse, sites
from explorer.tokens import Tokens

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import Model


class Trace:
    """One forward pass: tokens, activations by site, attention and logits computed when they are read.

    Tensors stay on the model's device and are detached. What is read is a copy, so changing it in place
    reaches neither the trace nor the model.

    Attributes:
        tokens: what the model was given, as a person reads it.
        ids: (batch, position) token ids.
    """

    def __init__(
        self, model: Model, tokens: Tokens, ids: Tensor, recording: Recording, last_logits: Tensor | None
    ) -> None:
        self.tokens = tokens
        self.ids = ids
        self._model = model
        self._recording = recording
        self._last_logits = last_logits
        self._logits: Tensor | None = None

    def __len__(self) -> int:
        return int(self.ids.shape[1])

    def sites(self) -> list[str]:
        """The addresses that can be read."""
        return sites(self._model.anatomy)

    def __getitem__(self, site: str) -> Tensor:
        """The activation at `site`.

        Shapes: residual (batch, position, width); q, k, v, z (batch, position, head, width), k and v with
        key-value heads; scores and pattern (batch, head, query, key); logits (batch, position, vocabulary).

        Raises:
            Refused: the model has no such site.
        """
        address = parse(site, self._model.anatomy)
        if address.part == "embed":
            return self._recording.hidden["layers.0.resid_pre"].detach().clone()
        if address.part == "logits":
            return self.logits
        assert address.layer is not None  # sites without a layer are handled above
        if address.part not in ATTENTION_PARTS:
            return self._recording.hidden[site].detach().clone()
        call = self._call(address.layer)
        match address.part:
            case "attn.q":
                return call.query.detach().transpose(1, 2).clone()
            case "attn.k":
                return call.key.detach().transpose(1, 2).clone()
            case "attn.v":
                return call.value.detach().transpose(1, 2).clone()
            case "attn.z":
                return call.z.detach().clone()
            case "attn.scores":
                with torch.no_grad():
                    return call.scores(range(call.heads), range(call.queries))
            case _:
                return self.pattern(address.layer)

    def pattern(
        self,
        layer: int,
        *,
        heads: Sequence[int] | int | None = None,
        queries: Sequence[int] | slice | int | None = None,
    ) -> Tensor:
        """Attention weights, computed now for what is asked.

        Args:
            layer: which layer.
            heads: head indices; None for all.
            queries: query positions as a list, one int or a slice (negative ends count from the end there).

        Returns:
            (batch, head, query, key), always four axes. Rows sum to one, unless the model has learned sinks.

        Raises:
            Refused: an index is out of range, or the layer has no attention that can be recorded.
        """
        call = self._call(layer)
        with torch.no_grad():
            return call.pattern(
                checked_indices("heads", heads, call.heads), checked_indices("queries", queries, call.queries)
            )

    @property
    def logits(self) -> Tensor:
        """(batch, position, vocabulary): computed from the stored hidden state by the model's own head."""
        if self._logits is None:
            self._logits = self._model._logits_of(self._recording, self._last_logits)
        return self._logits.clone()

    @property
    def last_logits(self) -> Tensor:
        """(batch, vocabulary): the logits after the last position, which the pass itself computed."""
        if self._last_logits is None:
            raise Refused(f"{self._model.name} has no vocabulary head, so there are no logits to read.")
        return self._last_logits[:, -1].clone()

    def next_tokens(self, n: int = 10) -> pd.DataFrame:
        """The likeliest next tokens after the last position: rank, id, token, probability."""
        from explorer.sampling import NextToken

        prompt = self.ids[0].tolist()
        return NextToken(self.last_logits[0], prompt, self._model.tokenizer).top(n)

    def _call(self, layer: int) -> AttentionCall:
        stack = self._model.anatomy.stack
        if stack is None:
            raise Refused(f"{self._model.name} has no attention to read: {self._model.anatomy.missing}.")
        path = stack.attention[checked_layer(layer, stack.layers)]
        if path is None:
            raise Refused(f"layer={layer} of {self._model.name} has no softmax attention.")
        return self._recording.attention[path][0]

    def __repr__(self) -> str:
        return f"Trace({self._model.name}, {len(self)} tokens: {self.tokens.text[:60]!r})"
