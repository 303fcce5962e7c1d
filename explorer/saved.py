"""A trace without its model: what was recorded is read as ever, and what needs the weights says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from explorer import adapters
from explorer.absent import AbsentModel
from explorer.errors import Refused
from explorer.opening import Content, content
from explorer.plans import Plan, Recording
from explorer.provenance import Provenance, fingerprint
from explorer.recording import recording
from explorer.saving import LENS_RANKS
from explorer.sites import Site, checked_indices
from explorer.tokens import labels
from explorer.trace import Chosen, Trace

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import Model


def open_trace(path: str | Path, model: Model | None = None) -> SavedTrace:
    """Opens what `trace.save` wrote. Neither the model nor its tokenizer is needed.

    Tensors are views of the file, read when they are looked at. Without the model they are on the CPU.

    Args:
        path: the file.
        model: the model that made the trace, for what its weights are needed for (earlier logits, heads' outputs,
            the lens); a few values of every weight are compared.

    Raises:
        Refused: the file is no saved trace, is damaged or was saved by a newer Explorer; or `model` has other
            weights, or another dtype, than the one that made it.
        TypeError: `model` is not what `explorer.load` returns.
    """
    device: torch.device | str = "cpu"
    if model is not None:
        from explorer.model import Model

        if not isinstance(model, Model):
            raise TypeError(f"model is a {type(model).__name__}; what explorer.load() returns is needed.")
        device = model.device
    found = content(Path(path), device)
    if model is not None:
        _check_same(found, model)
    return SavedTrace(found, model)


class SavedTrace(Trace):
    """A trace that was opened from a file, read as any other; `provenance` says what made it.

    What was recorded, attention weights that follow from it, and the logits after the last position are there. What
    needs the model's weights is there if it was included, or if the model was given.

    Attributes:
        path: the file, as it was named when it was opened.
        absent: what stands in the model's place; None where the model was given.
    """

    def __init__(self, found: Content, model: Model | None) -> None:
        pass_logits = None if found.last is None else found.last[:, None]
        source: Model | AbsentModel = model or AbsentModel(
            found.provenance.model, found.anatomy, found.labels, found.vocabulary, found.provenance.dtype
        )
        super().__init__(source, found.inputs, found.recording, pass_logits, found.edits)
        self.path = found.path
        self.absent = source if isinstance(source, AbsentModel) else None
        if model is not None:
            self._adapted = _adapted(found, model)
        self.seed = found.provenance.seed
        self.fired = found.fired
        self.reused = found.reused
        self.reuse_note = found.reuse_note
        self.positions = found.positions
        self._narrowed = found.narrowed
        self._computed = found.computed
        self._last = found.last
        self._provenance = found.provenance
        if model is not None:
            _restore_output(model, self._recording)

    @property
    def provenance(self) -> Provenance:
        """What made the trace, as it was when it was saved."""
        return self._provenance

    @property
    def last_logits(self) -> Tensor:
        """(batch, vocabulary): the logits after each text's last position."""
        return super().last_logits if self._last is None else self._last.clone()

    @property
    def logits(self) -> Tensor:
        """(batch, position, vocabulary), where they were included or the model was given."""
        stored = self._computed.get("logits")
        return super().logits if stored is None else stored.clone()

    def _row_of_logits(self, row: int) -> Tensor:
        return self.logits[0, row] if "logits" in self._computed else super()._row_of_logits(row)

    def head_out(
        self,
        layer: int,
        *,
        heads: Sequence[int] | int | None = None,
        stack: str | None = None,
        kind: str = "attn",
    ) -> Tensor:
        """What each head adds, where it was included or the model was given; see `Trace.head_out`."""
        found = self._attention_site(layer, stack, kind, "head_out")
        stored = self._computed.get(found.address)
        if stored is None:
            return super().head_out(layer, heads=heads, stack=stack, kind=kind)
        assert found.heads is not None  # the site exists
        return stored[:, :, checked_indices("heads", heads, found.heads.heads)]

    def lens(self, *, layers: Chosen = None, positions: Chosen = None, k: int = 5) -> pd.DataFrame:
        """What each layer would say next, where it was included or the model was given; see `explorer.lens.lens`."""
        if self.absent is None:
            return super().lens(layers=layers, positions=positions, k=k)
        if "lens.ids" not in self._computed:
            self.absent.refuse("lens")
        import pandas as pd

        ids, shares = (self._computed[f"lens.{name}"] for name in ("ids", "probabilities"))
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= LENS_RANKS:
            raise Refused(f"k={k!r} is not a whole number from 1 to {LENS_RANKS}, as many as a saved lens keeps.")
        from explorer.lens import kept_rows

        depth = checked_indices("layers", layers, ids.shape[0])
        rows = [
            (layer, position, rank + 1, int(ids[layer, row, rank]), float(shares[layer, row, rank]))
            for layer in depth
            for position, row in zip(*kept_rows(self, positions, len(self)), strict=True)
            for rank in range(min(k, ids.shape[2]))
        ]
        frame = pd.DataFrame(rows, columns=["layer", "position", "rank", "id", "probability"])
        frame.insert(4, "token", [token.text for token in labels(self._model.tokenizer, frame["id"].tolist())])
        return frame

    @property
    def model(self) -> Model:
        """The model that was given when the trace was opened.

        Raises:
            Refused: none was.
        """
        if self.absent is not None:
            self.absent.refuse("passes")
        return super().model

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters that acted in the pass."""
        return self._provenance.adapters

    @contextmanager
    def as_it_ran(self) -> Iterator[None]:
        """As for any trace; without the model there is nothing to lock, and whatever needs it is refused inside."""
        if self.absent is not None:
            yield
            return
        with super().as_it_ran():
            yield

    def _late(self) -> dict[str, Tensor]:
        return {**self._computed}

    def _holds(self, site: Site) -> bool:
        if site.address in self._computed:
            return True
        late = site.part == "logits" or site.part.endswith(".head_out")
        if late and self.absent is not None:
            return False
        return super()._holds(site)

    def _replayed(self, site: Site) -> Tensor:
        stored = self._computed.get(site.address)
        if stored is None:
            raise Refused(
                f"{site.address} was not saved: only the model's own code gives these weights, in the pass itself; "
                "save the trace with include=['patterns']."
            )
        return stored


def _check_same(found: Content, model: Model) -> None:
    made = found.provenance
    if not made.weights:
        raise Refused("model= cannot be given: the model had been changed between the pass and its saving.")
    dtype = str(model.dtype).removeprefix("torch.")
    if made.dtype != dtype:
        raise Refused(
            f"model= is in {dtype}, and this trace was made in {made.dtype}; load it with dtype={made.dtype!r}."
        )
    if made.weights != fingerprint(model) or found.anatomy != model.anatomy:
        raise Refused(f"model= is not the model that made this trace: {made.model} with other weights is.")


def _adapted(found: Content, model: Model) -> adapters.State:
    """The state in which the model has the adapters of the pass on, so that late work is done with these."""
    made = found.provenance.adapters
    alone: adapters.Adapter = made[0] if len(made) == 1 else None if not made else adapters.AS_IT_IS
    with model.lock, adapters.using(model.hf, alone) as state:
        if state.names != made:
            raise Refused(f"model= has the adapters {list(state.names)} on, and this trace ran with {list(made)}.")
        return state


def _restore_output(model: Model, seen: Recording) -> None:
    """Puts the stored hidden state into the form in which the model's own backbone returns it."""
    from explorer.segments import like

    backbone = model.anatomy.backbone
    if backbone is None or backbone not in seen.outputs or not model.accepts("logits_to_keep"):
        return
    with model.lock, torch.no_grad(), recording(model.hf, Plan(outputs=[backbone])) as short:
        model.run(input_ids=torch.zeros((1, 1), dtype=torch.long, device=model.device))
    seen.outputs[backbone] = like(short.outputs[backbone], [seen.outputs[backbone]])
