"""What one forward pass recorded, read by site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from explorer import adapters, mixtures
from explorer import sites as addresses
from explorer._memory import give_back
from explorer.anatomy import Anatomy, Heads
from explorer.attention import AttentionCall, joined
from explorer.budget import check_pattern
from explorer.capability import require_next_token
from explorer.errors import Refused
from explorer.finite import check_answer
from explorer.inputs import Inputs
from explorer.plans import Recording
from explorer.positions import no_text
from explorer.sites import Site, checked_indices, checked_layer, chosen_stack, heads_of
from explorer.tokens import Tokens

if TYPE_CHECKING:
    import pandas as pd

    from explorer.absent import AbsentModel
    from explorer.attention_rows import AttentionRows
    from explorer.edits import Edit
    from explorer.logit_attribution import LogitAttribution
    from explorer.model import Model
    from explorer.overview import Overview, Pooled
    from explorer.patch_grid import PatchGrid
    from explorer.provenance import Provenance
    from explorer.record import Keeper
    from explorer.reuse import Start
    from explorer.sampling import NextToken

Chosen = Sequence[int] | slice | int | None


class Trace:
    """One forward pass: tokens, activations by site, attention and logits computed when they are read.

    Tensors stay on the model's device and are detached. What is read is a copy, so changing it in place
    reaches neither the trace nor the model.

    Attributes:
        batch: the tokens of each text.
        decoder: the tokens of each decoder text; empty where there is no decoder.
        edits: how the pass was changed.
        fired: how often each edit acted: once for each site it names.
        reused: how many positions were taken over from an earlier trace.
        reuse_note: why none were, where one was offered.
        positions: the positions that residual-like sites and logits hold, in order; None where they hold all.
        gives_back: whether its memory goes back to the system with it, because it is large.
        seed: of the sampling that wrote the text; None where the text was given.
    """

    gives_back = False
    seed: int | None = None

    def __init__(
        self,
        model: Model | AbsentModel,
        inputs: Inputs,
        recording: Recording,
        logits: Tensor | None,
        edits: tuple[Edit, ...],
        start: Start | None = None,
        keeper: Keeper | None = None,
        adapted: adapters.State | None = None,
        *,
        growing: bool = False,
    ) -> None:
        self.batch = inputs.tokens
        self.decoder = inputs.decoder
        self.edits = edits
        self.fired: tuple[int, ...] = ()
        self.reused = 0 if start is None else start.length
        self.reuse_note = "" if start is None else start.note
        self._state = None if start is None else start.state
        self._prefix = None if start is None else start.prefix
        self.positions = None if keeper is None else keeper.positions
        self._narrowed = keeper is not None
        self._growing = growing
        self._adapted = adapters.State() if adapted is None else adapted
        self._model = model
        self._inputs = inputs
        self._recording = recording
        self._pass_logits = logits
        self._logits: Tensor | None = None

    def __del__(self) -> None:
        if self.gives_back:
            self.__dict__.clear()  # first what it holds, as far as nobody else does
            give_back()

    @property
    def tokens(self) -> Tokens:
        """The tokens of the text.

        Raises:
            Refused: the trace holds no text, or several; `batch` has all of them.
        """
        if not self.batch:
            raise no_text(self._model.name)
        if len(self.batch) > 1:
            raise Refused(f"This trace holds {len(self.batch)} texts; trace.batch has the tokens of each.")
        return self.batch[0]

    @property
    def ids(self) -> Tensor:
        """(batch, position) token ids, padded on the right where texts differ in length."""
        return self._inputs.arguments["input_ids"].clone()

    @property
    def given(self) -> Mapping[str, Tensor]:
        """What the model's forward was given, by name; not to be changed."""
        return MappingProxyType(self._inputs.arguments)

    def __len__(self) -> int:
        return max(self._inputs.lengths, default=0)

    @property
    def anatomy(self) -> Anatomy:
        """What the model that made this trace is made of, also where the model is absent."""
        return self._model.anatomy

    def sites(self) -> list[str]:
        """The addresses that can be read: the model's sites, less those that were not recorded."""
        return [site.address for site in addresses.every(self._model.anatomy) if self._holds(site)]

    def _holds(self, site: Site) -> bool:
        if site.part == "logits":
            return True
        if site.part == "router.probs":
            return site.place_of_layer.router in self._recording.outputs
        prefix = site.address.rpartition(".")[0]
        if site.kind is None or site.part.endswith(".out") or site.address in self._recording.hidden:
            return site.address in self._recording.hidden
        if site.part.endswith(".head_out") and f"{prefix}.z" in self._recording.hidden:
            return True
        return prefix in self._recording.attention or (
            site.part.endswith(".pattern") and prefix in self._recording.replays
        )

    def __getitem__(self, site: str) -> Tensor:
        """The activation at `site`.

        Shapes: residual-like and attention outputs (batch, position, width); q, k, v, z (batch, position, head,
        width), k and v with key-value heads; head_out (batch, position, head, width of the stream); scores and
        pattern (batch, head, query, key); router.probs and router.weights (batch, position, expert); logits (batch,
        position, vocabulary).

        Raises:
            Refused: the model has no such site, or it was not recorded.
        """
        found = addresses.parse(site, self._model.anatomy)
        if found.part == "logits":
            return self.logits
        self.check_calls(found)
        if found.kind is not None and not found.part.endswith(".out"):
            return self._of_attention(found)
        if found.part == "router.probs":
            return self._router(found)
        return self._hidden(found.address, found)

    def pattern(
        self,
        layer: int,
        *,
        heads: Sequence[int] | int | None = None,
        queries: Chosen = None,
        stack: str | None = None,
        kind: str = "attn",
    ) -> Tensor:
        """Attention weights, computed now for what is asked.

        Args:
            layer: which layer.
            heads: head indices; None for all.
            queries: query positions as a list, one int or a slice (negative ends count from the end there).
            stack: which stack, where the model has several; the decoder or text stack by default.
            kind: "attn" for self-attention, "cross_attn" for cross-attention.

        Returns:
            (batch, head, query, key), always four axes. Rows sum to one, unless the model has learned sinks.

        Raises:
            Refused: an index is out of range, or the layer has no attention that can be recorded.
        """
        found = self._attention_site(layer, stack, kind, "pattern")
        assert found.heads is not None  # the site exists
        chosen = checked_indices("heads", heads, found.heads.heads)
        if found.heads.how == "replay":
            weights = self._replayed(found)
            return weights[:, chosen][:, :, checked_indices("queries", queries, weights.shape[2])]
        call = self._call(found)
        rows = checked_indices("queries", queries, call.queries)
        shape = (call.query.shape[0], len(chosen), len(rows), call.keys)
        check_pattern(call.query.device, call.query.dtype, shape)
        with torch.no_grad():
            return call.pattern(chosen, rows)

    def attention(self, layer: int, *, stack: str | None = None, kind: str = "attn", text: int = 0) -> AttentionRows:
        """One attention of one text, whose weights are computed a few query rows at a time, at any length.

        Args:
            layer: which layer.
            stack: which stack, where the model has several; the decoder or text stack by default.
            kind: "attn" for self-attention, "cross_attn" for cross-attention.
            text: which text of the batch, or which image.

        Raises:
            Refused: an index is out of range, or the layer has no attention that can be recorded.
        """
        from explorer.attention_rows import AttentionRows

        found = self._attention_site(layer, stack, kind, "pattern")
        assert found.heads is not None  # the site exists
        source = self._replayed(found) if found.heads.how == "replay" else self._call(found)
        return AttentionRows(source, text, *self._real(found))

    def _real(self, site: Site) -> tuple[list[int] | None, list[int] | None]:
        """How many queries and keys of each text are no padding; None where a stack reads no text."""
        assert site.stack is not None
        if site.stack.name.startswith("vision") or not self.batch:
            return None, None
        read = [len(text) for text in self.batch]
        own = [len(text) for text in self.decoder] if site.stack.name == "decoder" else read
        return own, read if site.kind == "cross_attn" else own

    def overview(self, *, stack: str | None = None, kind: str = "attn", text: int = 0, cells: int = 32) -> Overview:
        """Every head of a stack as a small map; see `explorer.overview.overview`."""
        from explorer.overview import overview

        return overview(self, stack=stack, kind=kind, text=text, cells=cells)

    def pooled(
        self,
        layer: int,
        *,
        heads: Sequence[int] | int | None = None,
        queries: slice | None = None,
        keys: slice | None = None,
        cells: int = 256,
        mean: bool = False,
        stack: str | None = None,
        kind: str = "attn",
        text: int = 0,
    ) -> Pooled:
        """Part of a layer's weights, the largest of each cell; see `explorer.overview.pooled`."""
        from explorer.overview import pooled

        where = self.attention(layer, stack=stack, kind=kind, text=text)
        return pooled(where, heads=heads, queries=queries, keys=keys, cells=cells, mean=mean)

    def head_measures(
        self,
        *,
        stack: str | None = None,
        kind: str = "attn",
        queries: int | None = None,
        probe: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Every head's measures (previous token, induction, entropy, ...); see `explorer.head_measures`."""
        from explorer.head_measures import head_measures

        return head_measures(self, stack=stack, kind=kind, queries=queries, probe=probe)

    def similar_heads(
        self,
        layer: int,
        head: int,
        *,
        n: int = 10,
        queries: int | None = None,
        stack: str | None = None,
        kind: str = "attn",
        text: int = 0,
    ) -> pd.DataFrame:
        """The heads whose weights on this text are most like one head's; see `explorer.similar_heads`."""
        from explorer.similar_heads import similar_heads

        return similar_heads(self, layer, head, n=n, queries=queries, stack=stack, kind=kind, text=text)

    def rollout(
        self, *, layer: int | None = None, queries: Chosen = None, stack: str | None = None, text: int = 0
    ) -> Tensor:
        """Attention multiplied over depth; see `explorer.attention_flow.attention_rollout`."""
        from explorer.attention_flow import attention_rollout

        return attention_rollout(self, layer=layer, queries=queries, stack=stack, text=text)

    def flow(
        self,
        *,
        layer: int | None = None,
        queries: Sequence[int] | slice | int = -1,
        stack: str | None = None,
        text: int = 0,
    ) -> Tensor:
        """Attention as pipes over depth, up to 64 tokens; see `explorer.attention_flow.attention_flow`."""
        from explorer.attention_flow import attention_flow

        return attention_flow(self, layer=layer, queries=queries, stack=stack, text=text)

    def patch_grids(self) -> list[PatchGrid]:
        """Which positions are which patches, for each image; see `explorer.patch_grid`."""
        from explorer.patch_grid import patch_grids

        return patch_grids(self)

    def head_out(
        self,
        layer: int,
        *,
        heads: Sequence[int] | int | None = None,
        stack: str | None = None,
        kind: str = "attn",
    ) -> Tensor:
        """What each head adds through the output projection, (batch, position, head, width).

        The heads' parts and the projection's bias sum to `attn.out`. Where a gate stands between z and the
        projection, it is in here.
        """
        found = self._attention_site(layer, stack, kind, "head_out")
        attention = found.heads
        assert attention is not None  # the site exists
        chosen = checked_indices("heads", heads, attention.heads)
        if (edited := self._recording.hidden.get(found.address)) is not None:
            return edited.detach()[:, :, chosen]
        prefix = found.address.rpartition(".")[0]
        given = self._recording.hidden.get(f"{prefix}.gated")
        if given is None:
            z = self._of_attention(addresses.parse(f"{prefix}.z", self._model.anatomy))
            given = z.reshape(*z.shape[:2], -1)
        return self.head_parts(attention, given, chosen)

    def head_parts(self, attention: Heads, given: Tensor, heads: Sequence[int]) -> Tensor:
        """What an output projection makes of each head's part of (batch, position, width) alone.

        Args:
            attention: whose projection; it runs with the adapters of this pass.
            given: what it receives.
            heads: which heads.

        Returns:
            (batch, position, head, width of the stream), without the bias.
        """
        with self.as_it_ran():
            return self._model.head_parts(attention, given, heads, moved=self._narrowed)

    def head_site(self, layer: int, *, stack: str | None = None, kind: str = "attn") -> tuple[str, Heads]:
        """The address of what a layer's heads add, and the attention.

        Raises:
            Refused: there is no such layer or attention, or its output projection could not be located.
        """
        found = self._attention_site(layer, stack, kind, "head_out")
        assert found.heads is not None  # the site exists
        return found.address, found.heads

    def gates(self, layer: int, *, stack: str | None = None, kind: str = "attn") -> Tensor | None:
        """What z is multiplied with before the output projection, (batch, position, head, width); None without a gate.

        NaN where z is exactly 0, which hides it.
        """
        address, attention = self.head_site(layer, stack=stack, kind=kind)
        prefix = address.rpartition(".")[0]
        if not attention.gated:
            return None
        z = self[f"{prefix}.z"]
        given = self._recording.hidden[f"{prefix}.gated"].detach()
        return given.reshape(z.shape).float() / z.float()

    def norm_weighted(
        self,
        layer: int,
        *,
        heads: Sequence[int] | int | None = None,
        queries: Chosen = None,
        stack: str | None = None,
        kind: str = "attn",
    ) -> Tensor:
        """The length of weight x value x output projection; see `explorer.norm_weighted.norm_weighted`."""
        from explorer.norm_weighted import norm_weighted

        return norm_weighted(self, layer, heads=heads, queries=queries, stack=stack, kind=kind)

    @property
    def logits(self) -> Tensor:
        """(batch, position, vocabulary): computed from the stored hidden state by the model's own head."""
        if self._logits is None:
            with self.as_it_ran():
                logits = self._model.logits_of(self._recording, self._pass_logits)
            if self.positions is not None and logits is self._pass_logits:
                logits = logits[:, list(self.positions)]
            self._logits = logits
        return self._logits.clone()

    @property
    def last_logits(self) -> Tensor:
        """(batch, vocabulary): the logits after each text's last position."""
        if self._pass_logits is None:
            raise Refused(f"{self._model.name} has no vocabulary head, so there are no logits to read.")
        lengths = self._inputs.lengths
        if not self._pass_logits.shape[1]:
            return self._row_of_logits(lengths[0] - 1)[None]
        if len(set(lengths)) == 1:
            return self._pass_logits[:, -1].clone()
        return self.logits[range(len(lengths)), [length - 1 for length in lengths]]

    def next_token(self, position: int = -1) -> NextToken:
        """What the model would say after a position of the first text (or of its decoder's text).

        Args:
            position: which one; negative ones count from the end.

        Raises:
            Refused: there is no such position, it was not recorded, or the model predicts no next token.
        """
        from explorer.lens import kept_rows
        from explorer.sampling import NextToken

        require_next_token(self._model.name, self._model.anatomy)
        read = (self.decoder or self.batch)[0]
        index = position + len(read) if isinstance(position, int) and -len(read) <= position < 0 else position
        (row,), (kept,) = kept_rows(self, index, len(read))
        logits = self.last_logits[0] if row == len(read) - 1 else self._row_of_logits(kept)
        return NextToken(logits.float(), read.ids[: row + 1], self._model.tokenizer)

    def _row_of_logits(self, row: int) -> Tensor:
        """(vocabulary,) of one position: a wide vocabulary's rows for all of them would be many."""
        if self._logits is not None or self._narrowed:
            return self.logits[0, row]
        with self.as_it_ran():
            return self._model.logits_of(self._recording, self._pass_logits, [row])[0, 0]

    def next_tokens(self, n: int = 10) -> pd.DataFrame:
        """The likeliest next tokens after the last position: rank, id, token, probability."""
        from explorer.sampling import NextToken

        check_answer(self, self.last_logits[0])
        read = (self.decoder or self.batch)[0]
        return NextToken(self.last_logits[0], read.ids, self._model.tokenizer).top(n)

    @property
    def model(self) -> Model:
        """The model that made this trace."""
        return cast("Model", self._model)  # where it is absent, `SavedTrace` refuses

    @property
    def provenance(self) -> Provenance:
        """Where the numbers come from: weights, dtype, device, versions, input and edits."""
        from explorer.provenance import provenance_of

        return provenance_of(self)

    def save(self, path: str | Path, *, include: str | Sequence[str] = (), overwrite: bool = False) -> Path:
        """Writes the trace into one file that `explorer.open_trace` opens without the model.

        The file is safetensors with JSON in its header. It holds all that was recorded, in its own dtype, the logits
        after the last position, the tokens as they are shown, and the provenance.

        Args:
            path: ends in ".safetensors".
            include: what else the model's weights are needed for and is computed now: "logits" of every position;
                "lens", the ten likeliest tokens of each layer and position; "head_out", what each head adds (as many
                residual streams as there are heads); "patterns", the attention weights of families whose own code
                alone gives them, such as bloom. Other patterns follow from what is recorded.
            overwrite: replace a file that is there.

        Returns:
            The path. The file is whole, or it is not there.

        Raises:
            Refused: the file exists or cannot be written, something of `include` cannot be computed, or the model
                has changed since the pass.
        """
        from explorer.saving import save

        return save(self, path, include=include, overwrite=overwrite)

    def _late(self) -> dict[str, Tensor]:
        """What is no recording and at hand all the same, by site: logits that the pass gave for all, or were read."""
        whole = self._pass_logits is not None and self._pass_logits.shape[1] > 1
        return {"logits": self.logits} if whole or self._logits is not None else {}

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters that acted in the pass."""
        return self._adapted.names

    @contextmanager
    def as_it_ran(self) -> Iterator[None]:
        """The model locked and with the adapters of this pass, for what is computed late.

        Raises:
            Refused: one of them is gone.
        """
        with self.model.lock, adapters.using(self.model.hf, self._adapted):
            yield

    def lens(self, *, layers: Chosen = None, positions: Chosen = None, k: int = 5) -> pd.DataFrame:
        """What each layer would say next if it were the last; see `explorer.lens.lens`."""
        from explorer.lens import lens

        return lens(self, layers=layers, positions=positions, k=k)

    def lens_logits(self, layer: int, positions: Chosen = None) -> Tensor:
        """The logits (batch, position, vocabulary) as if `layer` were the last; see `explorer.lens.lens_logits`."""
        from explorer.lens import lens_logits

        return lens_logits(self, layer, positions)

    def logit_attribution(
        self, target: str | int, against: str | int | None = None, *, position: int = -1, heads: bool = False
    ) -> LogitAttribution:
        """Which parts a logit came from; see `explorer.logit_attribution.logit_attribution`."""
        from explorer.logit_attribution import logit_attribution

        return logit_attribution(self, target, against, position=position, heads=heads)

    def _hidden(self, address: str, site: Site) -> Tensor:
        value = self._recording.hidden.get(address)
        if value is None:
            raise Refused(f"{address} was not recorded; ask for it with record=[{address!r}].")
        where = addresses.place(site)
        value = value.detach().reshape(self._positions(site), -1, value.shape[-1])
        return value.clone() if where is None or where.factor == 1.0 else value * where.factor

    def _positions(self, site: Site) -> int:
        """The batch size; a part that sees batch and position as one axis is split again."""
        assert site.stack is not None
        first = self._recording.hidden.get(f"{site.stack.prefix}layers.{site.layer or 0}.resid_pre")
        if site.stack.flat:
            return 1
        if first is not None:
            return first.shape[0]
        images = self._inputs.arguments.get("pixel_values")
        of_images = images is not None and (site.stack.name.startswith("vision") or not self._inputs.lengths)
        return images.shape[0] if of_images and images is not None else len(self._inputs.lengths)

    def _of_attention(self, site: Site) -> Tensor:
        part = site.part.rpartition(".")[2]
        heads = site.heads
        assert heads is not None
        assert site.layer is not None  # parts of an attention have both
        assert site.stack is not None
        assert site.kind is not None
        if part == "head_out":
            return self.head_out(site.layer, stack=site.stack.name, kind=site.kind)
        if part == "pattern":
            return self.pattern(site.layer, stack=site.stack.name, kind=site.kind)
        if heads.how == "replay":
            value = self._hidden(site.address, site)
            return value.reshape(*value.shape[:2], heads.heads, -1)
        call = self._call(site)
        if part == "z":
            return call.z.detach().clone()
        if part == "scores":
            with torch.no_grad():
                return call.scores(range(call.heads), range(call.queries))
        return {"q": call.query, "k": call.key, "v": call.value}[part].detach().transpose(1, 2).clone()

    def _attention_site(self, layer: int, stack: str | None, kind: str, part: str) -> Site:
        if kind not in ("attn", "cross_attn"):
            raise Refused(f"kind={kind!r} is not 'attn' or 'cross_attn'.")
        if not self._model.anatomy.stacks:
            raise Refused(f"{self._model.name} has no attention to read: {self._model.anatomy.missing}.")
        found = chosen_stack(stack, self._model.anatomy)
        index = checked_layer(layer, len(found.layers))
        heads: Heads | None = heads_of(found.layers[index], kind)
        if heads is None:
            why = addresses.loss(found.layers[index], f"{kind}.{part}") or self._model.anatomy.missing
            what = "softmax attention that can be read" if kind == "attn" else "cross-attention"
            raise Refused(f"layer={layer} of {self._model.name} has no {what}{f': {why}' if why else ''}.")
        site = addresses.parse(f"{found.prefix}layers.{index}.{kind}.{part}", self._model.anatomy)
        self.check_calls(site)
        return site

    def check_calls(self, site: Site) -> None:
        """Refuses sites of a tower that this pass never called, or called more often than the model was seen to."""
        if site.stack is None or not self._recording.runs:
            return
        path = site.stack.layers[0].path
        known = sum(layer.path == path for stack in self._model.anatomy.stacks for layer in stack.layers)
        runs = self._recording.runs.get(path, 0)
        if runs > known:
            raise Refused(
                f"{site.address}: this pass called {path} {runs} times, and {known} when the model was looked at, so "
                "which call is meant cannot be told; give fewer images in one pass."
            )
        if not runs:
            raise Refused(f"{site.address} was not computed: this pass read nothing that goes through it.")

    def _call(self, site: Site) -> AttentionCall:
        prefix = site.address.rpartition(".")[0]
        calls = self._recording.attention.get(prefix)
        if not calls:
            raise Refused(f"{site.address} was not recorded; ask for it with record=['{prefix}.z'].")
        if calls[0].sparse:
            raise Refused(f"{site.address} cannot be computed: this family chooses the keys by a rule of its own.")
        try:
            return joined(calls)
        except ValueError as error:
            raise Refused(f"{site.address} cannot be read: {error}.") from error

    def _replayed(self, site: Site) -> Tensor:
        prefix = site.address.rpartition(".")[0]
        received = self._recording.replays.get(prefix)
        if received is None and self._growing:
            raise Refused(
                f"{site.address} was not recorded while the text was written: this family gives weights only when a "
                "whole text is read. Read them from model.trace(trace.ids, edits=trace.edits)."
            )
        if received is None:
            raise Refused(f"{site.address} was not recorded; ask for it with record=['{prefix}.z'].")
        assert site.heads is not None
        with self.as_it_ran():
            return self._model.replay(site.heads, received)

    def experts(self, layer: int, *, stack: str | None = None) -> Tensor:
        """Which experts a mixture's router chose, (batch, position, k), in the router's own order.

        Raises:
            Refused: the index is out of range, the layer is no mixture whose routing can be told, or its router
                was not recorded.
        """
        found = chosen_stack(stack, self._model.anatomy)
        index = checked_layer(layer, len(found.layers))
        site = addresses.parse(f"{found.prefix}layers.{index}.router.probs", self._model.anatomy)
        chosen = self._routing(site).chosen
        return chosen.reshape(self._positions(site), -1, chosen.shape[-1]).clone()

    def _router(self, site: Site) -> Tensor:
        probabilities = mixtures.probabilities(self._routing(site), site.place_of_layer.routing)
        return probabilities.reshape(self._positions(site), -1, probabilities.shape[-1])

    def _routing(self, site: Site) -> mixtures.Routing:
        routing = mixtures.read(self._recording.outputs.get(site.place_of_layer.router or ""))
        if routing is None:
            raise Refused(f"{site.address} was not recorded; ask for it with record=[{site.address!r}].")
        return routing

    def __repr__(self) -> str:
        shown = repr(self.batch[0].text[:60]) if self.batch else "an image"
        more = f" and {len(self.batch) - 1} more" if len(self.batch) > 1 else ""
        changed = f", {len(self.edits)} edits" if self.edits else ""
        changed += f", adapter {' and '.join(self.adapters)}" if self.adapters else ""
        return f"Trace({self._model.name}, {len(self)} tokens: {shown}{more}{changed})"
