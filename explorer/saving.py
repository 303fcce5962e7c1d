"""Putting a trace into one file that opens without its model.

The file is safetensors: the tensors that the pass left, each once however many sites it has, and in the header the
JSON that says what they are: tokens as they are shown, the model's anatomy, provenance. `FORMAT` and `VERSION` name
that JSON; `explorer.opening` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.utils.generic import ModelOutput

from explorer import edit_json, plain, tensor_file
from explorer.attention import AttentionCall, joined
from explorer.edits import Apply, Edit
from explorer.errors import Refused
from explorer.hidden_states import hidden_state
from explorer.plans import Recording
from explorer.provenance import changed_since
from explorer.sites import every
from explorer.tokens import Tokens, labels

if TYPE_CHECKING:
    from explorer.trace import Trace

FORMAT = "explorer trace"
VERSION = 1

# Candidates for the next token that keep their text; a whole vocabulary of texts would outweigh a short trace.
LABELLED = 1000
# Candidates of each layer and position that a stored lens has.
LENS_RANKS = 10

INCLUDED = ("logits", "lens", "head_out", "patterns")


def save(trace: Trace, path: str | Path, *, include: str | Sequence[str] = (), overwrite: bool = False) -> Path:
    """Writes a trace into one file; see `Trace.save`."""
    where = Path(path)
    wanted = _included(include)
    if wanted and changed_since(trace):
        raise Refused(
            f"include={include!r} needs the model as it was in this pass, and its weights, adapters or hooks have "
            "changed since; trace again, or leave include out."
        )
    pool = Pool()
    words = _words(trace, pool, wanted)
    text = json.dumps(words, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    about = {"format": FORMAT, "version": str(VERSION), "trace": text}
    tensor_file.write(where, pool.tensors, about, overwrite=overwrite)
    return where


class Pool:
    """Tensors that go into a file: each once, in the order in which its elements lie in memory.

    Attributes:
        tensors: what is written, by name.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._known: dict[Any, dict[str, Any]] = {}
        # While they are held here no other tensor can be given the address that tells them apart.
        self._held: list[Tensor] = []

    def add(self, name: str, tensor: Tensor) -> dict[str, Any]:
        """What the JSON says of a tensor: its name, and the order of its axes where that is not the usual one.

        The order is kept because a product of matrices may round otherwise for another one, and what is computed from
        the file must equal what was computed before, bit for bit.
        """
        key = (tensor.device, tensor.dtype, tensor.data_ptr(), tensor.shape, tensor.stride())
        if key not in self._known or not tensor.numel():
            strides = tensor.stride()
            order = sorted(range(tensor.dim()), key=lambda axis: -strides[axis])
            self._held.append(tensor)
            self.tensors[name] = tensor.detach().permute(order)
            usual = order == list(range(tensor.dim()))
            self._known[key] = {"tensor": name} if usual else {"tensor": name, "order": order}
        return self._known[key]


def _included(include: str | Sequence[str]) -> tuple[str, ...]:
    wanted = (include,) if isinstance(include, str) else tuple(include)
    for word in wanted:
        if word not in INCLUDED:
            raise Refused(f"include={include!r} holds {word!r}; allowed are {', '.join(map(repr, INCLUDED))}.")
    return wanted


def _words(trace: Trace, pool: Pool, wanted: Sequence[str]) -> dict[str, Any]:
    """The JSON of a trace, its tensors put into `pool`."""
    model, inputs, seen = trace._model, trace._inputs, trace._recording
    last = None if trace._pass_logits is None else trace.last_logits
    computed = {**trace._late(), **_computed(trace, wanted)}
    ids = [id for text in (*trace.batch, *trace.decoder) for id in text.ids]
    edits, edit_tensors = _edits(trace)
    return {
        "provenance": plain.encoded(trace.provenance),
        "anatomy": plain.encoded(model.anatomy),
        "vocabulary": model.vocabulary,
        "batch": [_tokens(text, f"tokens.{index}", pool) for index, text in enumerate(trace.batch)],
        "decoder": [_tokens(text, f"decoder_tokens.{index}", pool) for index, text in enumerate(trace.decoder)],
        "lengths": list(inputs.lengths),
        "arguments": _all("argument", inputs.arguments, pool),
        "hidden": _all("hidden", seen.hidden, pool),
        "attention": _attention(seen, pool),
        "runs": dict(seen.runs),
        "outputs": {path: _output(f"output.{path}", seen.outputs[path], pool) for path in seen.outputs},
        "computed": _all("computed", computed, pool),
        "last": None if last is None else pool.add("last_logits", last),
        "labels": None if model.tokenizer is None else _labels(model.tokenizer, ids, last, computed, pool),
        "edits": edits,
        "edit_tensors": _all("edit", edit_tensors, pool),
        "fired": list(trace.fired),
        "reused": trace.reused,
        "reuse_note": trace.reuse_note,
        "positions": None if trace.positions is None else list(trace.positions),
        "narrowed": trace._narrowed,
    }


def _all(kind: str, tensors: Mapping[str, Tensor], pool: Pool) -> dict[str, Any]:
    return {name: pool.add(f"{kind}.{name}", tensors[name]) for name in tensors}


def _tokens(tokens: Tokens, name: str, pool: Pool) -> dict[str, Any]:
    """A text's tokens: numbers as a tensor, since there may be a hundred thousand of them, and what is shown."""
    places = tokens.places
    numbers = [
        (token.id, token.group, token.part, token.parts, *((places and places[index]) or (-1, -1)))
        for index, token in enumerate(tokens)
    ]
    return {
        "numbers": pool.add(name, torch.tensor(numbers, dtype=torch.int64).reshape(-1, 6)),
        "texts": [token.text for token in tokens],
        "kinds": [token.kind for token in tokens],
        "text": tokens.text,
        "source": tokens.source,
        "notes": list(tokens.notes),
    }


def _attention(seen: Recording, pool: Pool) -> dict[str, Any]:
    found = {}
    for prefix in seen.attention:
        try:
            call = joined(seen.attention[prefix])
        except ValueError:  # it cannot be read from the trace either
            continue
        found[prefix] = {f.name: _part(f"{prefix}.{f.name}", f.name, call, pool) for f in fields(AttentionCall)}
    return found


def _part(name: str, field: str, call: AttentionCall, pool: Pool) -> Any:
    value = getattr(call, field)
    if not isinstance(value, Tensor):
        return value
    if field in ("mask", "bias"):
        # Texts or heads that share one are written once: reading it again spreads it over them.
        for axis in range(2):
            value = value.narrow(axis, 0, 1) if value.stride(axis) == 0 else value
    return pool.add(f"attention.{name}", value)


def _output(name: str, output: Any, pool: Pool) -> Any:
    """What a module returned: its tensors, and whether they stood alone or in a tuple. An output class gives the
    hidden state in it: the cache beside it would hold every key and value again."""
    if isinstance(output, ModelOutput):
        output = hidden_state(output)
    if isinstance(output, Tensor):
        return pool.add(name, output)
    if not isinstance(output, tuple | list):
        raise Refused(f"{name} is a {type(output).__name__}, which does not travel; trace without it (record=).")
    kept = [value if isinstance(value, Tensor) else None for value in output]
    return [None if value is None else pool.add(f"{name}.{i}", value) for i, value in enumerate(kept)]


def _labels(
    tokenizer: Any, ids: Iterable[int], last: Tensor | None, computed: Mapping[str, Tensor], pool: Pool
) -> dict[str, Any]:
    """What the tokens are called that a reader of the file is likely to see."""
    wanted = {*ids}
    if last is not None:
        ranks = min(LABELLED, last.shape[-1])
        # NaN sorts first and would hide the rest.
        wanted |= {*last.float().nan_to_num(-torch.inf).topk(ranks, dim=-1).indices.flatten().tolist()}
    if "lens.ids" in computed:
        wanted |= {*computed["lens.ids"].flatten().tolist()}
    shown = labels(tokenizer, sorted(wanted))
    return {
        "ids": pool.add("label_ids", torch.tensor([token.id for token in shown], dtype=torch.int64)),
        "texts": [token.text for token in shown],
        "kinds": [token.kind for token in shown],
    }


def _edits(trace: Trace) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """The edits as JSON; one that holds a function or a trace is kept as the words that describe it."""
    listed: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    for number, edit in enumerate(trace.edits):
        try:
            ((values,), own) = edit_json.to_json(_with_values(edit, trace))
        except Refused:
            listed.append({"kind": "Apply", "site": edit.site, "words": repr(edit)})
            continue
        renamed = {name: f"{number}.{name}" for name in own}
        tensors |= {renamed[name]: tensor for name, tensor in own.items()}
        for key, value in values.items():
            if isinstance(value, dict):
                values[key] = {"tensor": renamed[value["tensor"]]}
        listed.append(values)
    return listed, tensors


def _with_values(edit: Edit, trace: Trace) -> Edit:
    """The same edit with the values in place of the trace they came from, where it names one site."""
    from explorer.trace import Trace

    one_site = any(site.address == edit.site for site in every(trace._model.anatomy))
    for name in ("source", "by"):
        given = getattr(edit, name, None)
        if isinstance(given, Trace) and given.positions is None and one_site and not isinstance(edit, Apply):
            values = {f.name: getattr(edit, f.name) for f in fields(edit)}
            return type(edit)(**{**values, name: given[edit.site]})
    return edit


def _computed(trace: Trace, wanted: Sequence[str]) -> dict[str, Tensor]:
    """What was asked for and needs the model's weights, computed now."""
    from explorer.lens import lens

    found: dict[str, Tensor] = {}
    if "logits" in wanted:
        found["logits"] = trace.logits
    if "lens" in wanted and not {"lens.ids", "lens.probabilities"} <= set(trace._late()):
        stack = trace._model.anatomy.stack
        frame = lens(trace, k=LENS_RANKS)
        assert stack is not None  # or the lens would have been refused
        rows = (len(stack.layers), len(frame["position"].unique()), -1)
        found["lens.ids"] = torch.tensor(frame["id"].tolist(), dtype=torch.int64).reshape(rows)
        found["lens.probabilities"] = torch.tensor(frame["probability"].tolist(), dtype=torch.float32).reshape(rows)
    parts: dict[str, Callable[[str], bool]] = {
        "head_out": lambda part: part.endswith(".head_out"),
        "patterns": lambda part: part.endswith(".pattern"),
    }
    readable = set(trace.sites())
    for site in every(trace._model.anatomy):
        heads = site.heads
        for word, fits in parts.items():
            if word not in wanted or not fits(site.part) or site.address not in readable or heads is None:
                continue
            if word == "head_out" or heads.how == "replay":  # other patterns follow from queries, keys and masks
                found[site.address] = trace[site.address]
    return found
