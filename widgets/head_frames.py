"""What every head does, in numbers: measured once for each pass, however many panels show it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from explorer import Model, Refused, Trace
from explorer.edits import Edit
from explorer.head_measures import MEASURES, NEED_REPETITION
from explorer.reuse import state_of

if TYPE_CHECKING:
    import pandas as pd

    from widgets.exploration import Exploration

# The measures of repetition on the probe stand beside those of the prompt, under names of their own.
PROBE = "probe_"
NAMES = (*MEASURES, *(f"{PROBE}{name}" for name in NEED_REPETITION))
# Of a longer prompt so many rows are read, evenly spread, each exact: a second more says nothing new of a mean.
MOST_ROWS = 1024

_lock = threading.Lock()
_prompts: WeakKeyDictionary[Trace, dict[tuple[str, str], pd.DataFrame]] = WeakKeyDictionary()
_probes: WeakKeyDictionary[Any, dict[tuple[str, str], tuple[Any, pd.DataFrame, bool]]] = WeakKeyDictionary()


def of_prompt(trace: Trace, stack: str, kind: str) -> pd.DataFrame:
    """What `trace.head_measures` gives, over at most `MOST_ROWS` rows.

    Raises:
        Refused: no layer's attention can be read.
        Cancelled: a newer request came.
    """
    with _lock:
        known = _prompts.setdefault(trace, {}).get((stack, kind))
    if known is None:
        known = trace.head_measures(stack=stack, kind=kind, queries=MOST_ROWS)
        with _lock:
            _prompts[trace][stack, kind] = known
    return known


def known_probe(model: Model, stack: str, kind: str, edits: tuple[Edit, ...]) -> tuple[pd.DataFrame, bool] | None:
    """What `of_probe` gave for the model as it is now; None where it has to be run."""
    with _lock:
        found = _probes.get(model.hf, {}).get((stack, kind))
    wanted = (edits, state_of(model.hf))
    return None if found is None or found[0] != wanted else found[1:]


def of_probe(model: Model, stack: str, kind: str, edits: tuple[Edit, ...]) -> tuple[pd.DataFrame, bool]:
    """What `model.head_measures` gives, and whether the edits were made in its pass.

    Edits that name positions, or hold values of so many, are made for one text: the probe is then run without any.

    Raises:
        Refused: the model cannot read the probe.
        Cancelled: a newer request came.
    """
    known = known_probe(model, stack, kind, edits)
    if known is None:
        known = _probed(model, stack, kind, edits)
        with _lock:
            _probes.setdefault(model.hf, {})[stack, kind] = ((edits, state_of(model.hf)), *known)
    return known


def _probed(model: Model, stack: str, kind: str, edits: tuple[Edit, ...]) -> tuple[pd.DataFrame, bool]:
    if all(edit.positions is None for edit in edits):
        try:
            return model.head_measures(stack=stack, kind=kind, edits=edits), True
        except Refused:
            if not edits:
                raise
    return model.head_measures(stack=stack, kind=kind), False


def joined(prompt: pd.DataFrame, probe: pd.DataFrame | None) -> pd.DataFrame:
    """The prompt's measures, and beside them those of the probe that need repetition; NaN where there is none."""
    columns = [name for name in NEED_REPETITION if name in prompt.columns]
    if probe is None:
        return prompt.assign(**{f"{PROBE}{name}": float("nan") for name in columns})
    named = probe[["layer", "head", *columns]].rename(columns={name: f"{PROBE}{name}" for name in columns})
    return prompt.merge(named, on=["layer", "head"], how="left")


def ranked(frame: pd.DataFrame, order: dict[str, Any]) -> pd.DataFrame:
    """Layer, head and value of the heads that an order keeps, in that order; equal ones by layer and head.

    Raises:
        Refused: this attention has no such measure.
    """
    name = order["measure"]
    if name not in frame.columns:
        told = ", ".join(column for column in frame.columns if column in NAMES)
        raise Refused(f"order names measure={name!r}, which is not told of this attention; told are {told}.")
    # As precise as the browser has them, so that both sort alike.
    found = frame[["layer", "head"]].assign(value=frame[name].to_numpy(np.float32))
    found = found[found["value"].notna()]
    if order["least"] is not None:
        found = found[found["value"] >= np.float32(order["least"])]
    found = found.sort_values("value", ascending=order["ascending"], kind="stable")
    return found.head(order["count"] or len(found)).reset_index(drop=True)


def measured(exploration: Exploration, trace: Trace, stack: str, kind: str, measure: str) -> pd.DataFrame:
    """The measures of a trace that is explored, with the probe's where the one that is asked for is among them."""
    prompt = of_prompt(trace, stack, kind)
    if not measure.startswith(PROBE):
        return prompt
    model = exploration.source.model_for("passes")
    return joined(prompt, of_probe(model, stack, kind, exploration.edits)[0])
