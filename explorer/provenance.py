"""Where numbers came from: which weights, settings, versions and input made a trace."""

from __future__ import annotations

import hashlib
import html
import platform
import weakref
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from explorer._visible import visible

if TYPE_CHECKING:
    from explorer.model import Model
    from explorer.trace import Trace

# Values of each weight that its fingerprint is made from: enough to tell a finetuned weight from the one before,
# few enough that a model of any size is read in a moment.
_PROBED = 512
# Shown of a long text.
_IDS_SHOWN = 24

# The fingerprint of a model in a state, since a weight that did not change need not be read again.
_KNOWN: weakref.WeakKeyDictionary[nn.Module, tuple[int, str]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Provenance:
    """What made a trace.

    Attributes:
        model: what people call the model.
        family: its architecture's name in transformers.
        source: the Hub id or the name of the folder it was opened from; empty where it was built in memory.
        revision: the commit on the Hub; empty where it did not come from there.
        weights: SHA-256 over the names, shapes, dtypes and up to 512 evenly spread values of every weight and
            buffer; empty where the model was changed between the pass and the question.
        dtype: of the weights, such as "bfloat16".
        device: where the pass ran.
        adapters: names of those that acted.
        kernel: the model's own attention implementation, such as "sdpa".
        attention: for each stack, by name: "recorded" (weights follow from queries, keys and mask by the eager rule:
            softmax in float32), "weights" (given by the model's own eager code) or "none".
        ids: token ids of each text.
        decoder_ids: token ids of each decoder text.
        edits: how the pass was changed, in words.
        seed: of the sampling that wrote the text; None where a pass read what it was given, which draws nothing.
        made: when this was put down, in UTC.
        versions: of what computed it, by name.
    """

    model: str
    family: str
    source: str
    revision: str
    weights: str
    dtype: str
    device: str
    adapters: tuple[str, ...]
    kernel: str
    attention: tuple[tuple[str, str], ...]
    ids: tuple[tuple[int, ...], ...]
    decoder_ids: tuple[tuple[int, ...], ...]
    edits: tuple[str, ...]
    seed: int | None
    made: str
    versions: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: tuples as lists, `attention` and `versions` as objects."""
        plain = asdict(self)
        listed = {name: [list(row) for row in plain[name]] for name in ("ids", "decoder_ids")}
        named = {name: dict(plain[name]) for name in ("attention", "versions")}
        return {**plain, **listed, **named, "edits": list(self.edits), "adapters": list(self.adapters)}

    def __repr__(self) -> str:
        return "Provenance(" + "; ".join(f"{name}: {value}" for name, value in self._facts()) + ")"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value, quote=True)}</td></tr>"
            for name, value in self._facts()
        )
        return f"<table>{rows}</table>"

    def _facts(self) -> list[tuple[str, str]]:
        facts = [("model", f"{self.model} ({self.family})"), ("source", self.source), ("revision", self.revision)]
        facts += [("weights", self.weights[:16] or "changed after the pass"), ("dtype", self.dtype)]
        facts += [("device", self.device), ("adapters", ", ".join(self.adapters)), ("kernel", self.kernel)]
        facts += [("attention", ", ".join(f"{stack} {how}".strip() for stack, how in self.attention))]
        facts += [("ids", "; ".join(map(_shown, self.ids))), ("decoder ids", "; ".join(map(_shown, self.decoder_ids)))]
        facts += [("edits", ", ".join(self.edits)), ("seed", "" if self.seed is None else str(self.seed))]
        facts += [("made", self.made), ("versions", ", ".join(f"{name} {number}" for name, number in self.versions))]
        # They may come out of a file that anybody wrote.
        return [(name, visible(value)) for name, value in facts if value]


def provenance_of(trace: Trace) -> Provenance:
    """The provenance of a trace whose model is in memory."""
    model = trace.model
    config = model.hf.config
    source = str(getattr(config, "_name_or_path", "") or "")
    # The names of a person's folders are their own business; they must not travel with the file.
    source = Path(source).name if Path(source).is_absolute() or Path(source).exists() else source
    return Provenance(
        model=model.name,
        family=model.anatomy.family,
        source=source,
        revision=str(getattr(config, "_commit_hash", None) or ""),
        weights="" if changed_since(trace) else fingerprint(model),
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(model.device),
        adapters=trace.adapters,
        kernel=str(getattr(config, "_attn_implementation", None) or ""),
        attention=tuple((stack, how) for stack, how in model.capabilities.attention),
        ids=tuple(tuple(text.ids) for text in trace.batch),
        decoder_ids=tuple(tuple(text.ids) for text in trace.decoder),
        edits=tuple(map(repr, trace.edits)),
        seed=trace.seed,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=_versions(),
    )


def changed_since(trace: Trace) -> bool:
    """Whether the model's weights, adapters or hooks have changed since the pass."""
    from explorer.reuse import state_of

    if trace._state is None:
        return False
    with trace.as_it_ran():
        return state_of(trace.model.hf) != trace._state


def fingerprint(model: Model) -> str:
    """A hash that tells these weights from others; see `Provenance.weights`. It does not depend on the device."""
    from explorer.reuse import state_of

    with model.lock:
        state = state_of(model.hf)
        known = _KNOWN.get(model.hf)
        if known is None or known[0] != state:
            known = _KNOWN[model.hf] = (state, _hashed(model.hf))
    return known[1]


def _hashed(hf: nn.Module) -> str:
    found = hashlib.sha256()
    for name, weight in sorted([*hf.named_parameters(), *hf.named_buffers()], key=lambda pair: pair[0]):
        found.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        if not weight.is_meta:  # what is offloaded has no values here
            found.update(_probe(weight))
    return found.hexdigest()


def _probe(weight: Tensor) -> bytes:
    flat = weight.detach().reshape(-1)
    if len(flat) > _PROBED:
        chosen = torch.linspace(0, len(flat) - 1, _PROBED, dtype=torch.float64, device="cpu").long()
        flat = flat[chosen.to(flat.device)]
    return bytes(flat.cpu().contiguous().view(torch.uint8).tolist())


def _versions() -> tuple[tuple[str, str], ...]:
    from explorer import __version__

    others = [(name, version(name)) for name in ("torch", "transformers")]
    return (("explorer", __version__), *others, ("python", platform.python_version()))


def _shown(ids: tuple[int, ...]) -> str:
    more = f" and {len(ids) - _IDS_SHOWN} more" if len(ids) > _IDS_SHOWN else ""
    return " ".join(map(str, ids[:_IDS_SHOWN])) + more
