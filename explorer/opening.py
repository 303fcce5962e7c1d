"""Reading what `explorer.saving` wrote, taking nothing on trust.

Every value of the file is held against the rest before it is used: an activation against the model's anatomy, an
attention against the shapes that make one, tokens against the ids. What does not fit is refused; what nothing refers
to is refused as well.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from explorer import plain, tensor_file
from explorer._opened_words import Reader, check_ids, edits_of, labels_of, named, texts_of
from explorer.anatomy import Anatomy, Heads
from explorer.attention import AttentionCall
from explorer.edits import Edit
from explorer.errors import Refused
from explorer.inputs import Inputs
from explorer.plans import Recording
from explorer.provenance import Provenance
from explorer.saving import FORMAT, VERSION
from explorer.sites import RESIDUAL, Site, every, heads_of
from explorer.tokens import Labels

_KEYS = (
    *("provenance", "anatomy", "vocabulary", "batch", "decoder", "lengths", "arguments", "hidden", "attention"),
    *("runs", "outputs", "computed", "last", "labels", "edits", "edit_tensors", "fired", "reused", "reuse_note"),
    *("positions", "narrowed"),
)
_PATH = re.compile(r"\w{0,100}(\.\w{1,100}){0,20}")
_STACK = re.compile(r"[a-z0-9_]{0,40}")


@dataclass(frozen=True)
class Content:
    """What a file holds, checked. The names are those of a `Trace`, or say what the file says."""

    path: Path
    provenance: Provenance
    anatomy: Anatomy
    vocabulary: int
    inputs: Inputs
    recording: Recording
    computed: dict[str, Tensor]
    last: Tensor | None
    labels: Labels | None
    edits: tuple[Edit, ...]
    fired: tuple[int, ...]
    reused: int
    reuse_note: str
    positions: tuple[int, ...] | None
    narrowed: bool


def content(path: Path, device: torch.device | str = "cpu") -> Content:
    """The content of a file.

    Raises:
        Refused: it is no saved trace, was saved by a newer Explorer, or does not hold together.
    """
    tensors, about = tensor_file.read(path)
    shown = f"path={str(path)!r}"
    if about.get("format") != FORMAT:
        raise Refused(f"{shown} is a safetensors file, but no trace; give a file that trace.save wrote.")
    version = about.get("version", "")
    if re.fullmatch(r"[1-9][0-9]{0,8}", version) is None:
        raise Refused(f"{shown} names {ascii(version)[:40]} as its version, which no Explorer writes.")
    if int(version) > VERSION:
        raise Refused(
            f"{shown} was saved by a newer Explorer (version {version} of the format; this one reads up to {VERSION}). "
            "Update Explorer to open it."
        )
    words = plain.parsed(about.get("trace", "").encode("utf-8", "replace"), f"{shown}: the trace")
    reader = Reader(tensors, shown, device)
    found = _content(path, reader, plain.mapping(words, f"{shown}: the trace", known=_KEYS))
    reader.finish()
    return found


def _content(path: Path, reader: Reader, words: Mapping[str, Any]) -> Content:
    def read(kind: Any, name: str) -> Any:
        return plain.decoded(kind, words[name], f"{reader.shown}: {name}")

    anatomy: Anatomy = read(Anatomy, "anatomy")
    _check_anatomy(anatomy, reader)
    batch, decoder = (texts_of(words, name, reader) for name in ("batch", "decoder"))
    lengths: tuple[int, ...] = read(tuple[int, ...], "lengths")
    if lengths != tuple(len(text) for text in decoder or batch) or not all(lengths):
        raise Refused(f"{reader.shown}: lengths are not those of its texts.")
    positions: tuple[int, ...] | None = read(tuple[int, ...] | None, "positions")
    if positions is not None and (not positions or min(positions) < 0 or len({*positions}) < len(positions)):
        raise Refused(f"{reader.shown}: positions are no different positions of a text.")
    arguments = named(words, "arguments", reader)
    check_ids(arguments, batch, decoder, reader)
    sites = {site.address: site for site in every(anatomy)}
    edits = edits_of(words, reader)
    fired: tuple[int, ...] = read(tuple[int, ...], "fired")
    if len(fired) != len(edits):
        raise Refused(f"{reader.shown}: fired counts {len(fired)} edits where there are {len(edits)}.")
    last = None if words["last"] is None else reader.tensor(words["last"], "last", 2)
    if last is not None and (last.shape[0] != max(1, len(lengths)) or not last.shape[1]):
        raise reader.wrong("last", last)
    return Content(
        path=path,
        provenance=read(Provenance, "provenance"),
        anatomy=anatomy,
        vocabulary=read(int, "vocabulary"),
        inputs=Inputs(arguments, batch, decoder, lengths),
        recording=Recording(
            hidden=_hidden(words, sites, reader),
            attention=_attention(words, anatomy, reader),
            outputs=_outputs(words, reader),
            runs=read(dict[str, int], "runs"),
        ),
        computed=_computed(words, sites, anatomy, len(positions or ()) or max(lengths, default=0), reader),
        last=last,
        labels=labels_of(words, reader),
        edits=edits,
        fired=fired,
        reused=read(int, "reused"),
        reuse_note=read(str, "reuse_note"),
        positions=positions,
        narrowed=read(bool, "narrowed"),
    )


def _check_anatomy(anatomy: Anatomy, reader: Reader) -> None:
    names = [stack.name for stack in anatomy.stacks]
    attentions = [heads for _, heads in _attentions(anatomy)]
    counts = [(heads.heads, heads.kv_heads, heads.head_width, heads.value_width) for heads in attentions]
    good = len({*names}) == len(names) and all(_STACK.fullmatch(name) for name in names)
    good = good and all(stack.layers and stack.width > 0 for stack in anatomy.stacks)
    if not good or any(min(each) < 1 or each[0] % each[1] for each in counts):
        raise Refused(f"{reader.shown}: its anatomy is that of no model.")


def _attentions(anatomy: Anatomy) -> list[tuple[str, Heads]]:
    return [
        (f"{stack.prefix}layers.{index}.{kind}", heads)
        for stack in anatomy.stacks
        for index, layer in enumerate(stack.layers)
        for kind in ("attn", "cross_attn")
        if (heads := heads_of(layer, kind)) is not None
    ]


def _hidden(words: Mapping[str, Any], sites: Mapping[str, Site], reader: Reader) -> dict[str, Tensor]:
    gated = {f"{address.removesuffix('.z')}.gated": site for address, site in sites.items() if address.endswith(".z")}
    found = {}
    for address, said in plain.mapping(words["hidden"], f"{reader.shown}: hidden").items():
        site = sites.get(address) or gated.get(address)
        if site is None or site.stack is None:
            raise Refused(f"{reader.shown}: {ascii(address)[:80]} is no site of its anatomy.")
        value = found[address] = reader.tensor(said, address, 2, 3)
        heads = site.heads
        wide = site.part in RESIDUAL and value.shape[-1] != site.stack.width
        if wide or not value.numel() or (heads and site.part.endswith(".z") and value.shape[-1] % heads.heads):
            raise reader.wrong(address, value)
    return found


def _attention(words: Mapping[str, Any], anatomy: Anatomy, reader: Reader) -> dict[str, list[AttentionCall]]:
    known = {prefix: heads for prefix, heads in _attentions(anatomy) if heads.how == "interface"}
    hints = typing.get_type_hints(AttentionCall)
    found = {}
    for prefix, said in plain.mapping(words["attention"], f"{reader.shown}: attention").items():
        if prefix not in known:
            raise Refused(f"{reader.shown}: {ascii(prefix)[:80]} is no attention of its anatomy.")
        plain.mapping(said, f"{reader.shown}: {prefix}", known=tuple(hints))
        values: dict[str, Any] = {}
        for name, kind in hints.items():
            where = f"{prefix}.{name}"
            if kind is Tensor or Tensor in typing.get_args(kind):
                optional = kind is not Tensor and said[name] is None
                values[name] = None if optional else reader.tensor(said[name], where)
            else:
                values[name] = plain.decoded(kind, said[name], f"{reader.shown}: {where}")
        call = AttentionCall(**values)
        _check_call(call, known[prefix], prefix, reader)
        found[prefix] = [call]
    return found


def _check_call(call: AttentionCall, heads: Heads, prefix: str, reader: Reader) -> None:
    """Refuses tensors that cannot be one attention's."""
    for name in ("query", "key", "value", "z"):
        tensor: Tensor = getattr(call, name)
        if tensor.dim() != 4 or not tensor.is_floating_point() or not tensor.numel():
            raise reader.wrong(f"{prefix}.{name}", tensor)
    batch, count, queries, width = call.query.shape
    shared, keys = call.key.shape[1:3]
    wanted: list[tuple[str, bool]] = [
        ("query", count == heads.heads and (queries <= keys or not call.causal)),
        ("key", call.key.shape == (batch, shared, keys, width) and count % shared == 0),
        ("value", call.value.shape[:3] == (batch, shared, keys)),
        ("z", call.z.shape[:3] == (batch, queries, count)),
    ]
    whole = (batch, count, queries, keys)
    if call.mask is not None:
        seen = call.mask.shape[-1] if call.mask.dim() == 4 else 0
        good = call.mask.is_floating_point() or call.mask.dtype == torch.bool
        wanted.append(("mask", good and _spreads(call.mask, (batch, count, queries, max(seen, keys)))))
    if call.bias is not None:
        wanted.append(("bias", call.bias.is_floating_point() and _spreads(call.bias, whole)))
    if call.sinks is not None:
        wanted.append(("sinks", call.sinks.is_floating_point() and call.sinks.shape == (count,)))
    if call.since is not None:
        wanted.append(("since", call.since.dtype == torch.int64 and call.since.shape == (queries,)))
    if call.changed_pattern is not None:
        wanted.append(
            ("changed_pattern", call.changed_pattern.is_floating_point() and call.changed_pattern.shape == whole)
        )
    if call.changed_scores is not None:
        wanted.append(
            ("changed_scores", call.changed_scores.is_floating_point() and call.changed_scores.shape == whole)
        )
    for name, good in wanted:
        if not good:
            raise reader.wrong(f"{prefix}.{name}", getattr(call, name))


def _spreads(tensor: Tensor, shape: Sequence[int]) -> bool:
    """Whether a tensor of four axes is broadcast to `shape` and not beyond it."""
    return tensor.dim() == 4 and all(own in (1, size) for own, size in zip(tensor.shape, shape, strict=True))


def _outputs(words: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, said in plain.mapping(words["outputs"], f"{reader.shown}: outputs").items():
        if _PATH.fullmatch(path) is None:
            raise Refused(f"{reader.shown}: {ascii(path)[:80]} is no module's path.")
        if isinstance(said, list):
            found[path] = tuple(None if one is None else reader.tensor(one, path) for one in said)
        else:
            found[path] = reader.tensor(said, path, 2, 3)
    return found


def _computed(
    words: Mapping[str, Any], sites: Mapping[str, Site], anatomy: Anatomy, rows: int, reader: Reader
) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, said in plain.mapping(words["computed"], f"{reader.shown}: computed").items():
        if name in ("logits", "lens.probabilities"):
            found[name] = reader.tensor(said, name, 3)
        elif name == "lens.ids":
            found[name] = reader.tensor(said, name, 3, integers=True)
        else:
            site = sites.get(name)
            heads = None if site is None else site.heads
            axis = {"head_out": 2, "pattern": 1}.get(name.rpartition(".")[2])
            if heads is None or axis is None:
                raise Refused(f"{reader.shown}: {ascii(name)[:80]} is nothing that is computed.")
            found[name] = reader.tensor(said, name, 4)
            if found[name].shape[axis] != heads.heads or not found[name].numel():
                raise reader.wrong(name, found[name])
    lens = [found[name] for name in ("lens.ids", "lens.probabilities") if name in found]
    if lens:
        layers = 0 if anatomy.stack is None else len(anatomy.stack.layers)
        if len(lens) != 2 or lens[0].shape != lens[1].shape or lens[0].shape[:2] != (layers, rows):
            raise reader.wrong("lens", lens[0])
    return found
