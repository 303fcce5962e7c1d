"""Open any open-weight model and see inside it while it runs.

Importing this package is cheap: torch and transformers are imported when the first model is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from explorer._quiet import quieten
from explorer.errors import Cancelled, ExplorerError, Refused

if TYPE_CHECKING:
    from explorer.anatomy import Anatomy
    from explorer.attribution import Attribution
    from explorer.capability import Capabilities
    from explorer.difference import attention_difference
    from explorer.edits import Ablate, Apply, Patch, Scale, Steer
    from explorer.findings import Check
    from explorer.generation import Generation, Step
    from explorer.loading import attach, load
    from explorer.model import Model
    from explorer.provenance import Provenance
    from explorer.record import Record
    from explorer.sampling import Distribution, NextToken, Sampling
    from explorer.saved import open_trace
    from explorer.text_units import Unit
    from explorer.token_alignment import Aligned, align
    from explorer.tokens import Token, Tokens
    from explorer.trace import Trace

_HOME = {
    "Ablate": "edits",
    "Aligned": "token_alignment",
    "Anatomy": "anatomy",
    "Apply": "edits",
    "Attribution": "attribution",
    "Capabilities": "capability",
    "Check": "findings",
    "Distribution": "sampling",
    "Generation": "generation",
    "Model": "model",
    "NextToken": "sampling",
    "Patch": "edits",
    "Provenance": "provenance",
    "Record": "record",
    "Sampling": "sampling",
    "Scale": "edits",
    "Steer": "edits",
    "Step": "generation",
    "Token": "tokens",
    "Tokens": "tokens",
    "Trace": "trace",
    "Unit": "text_units",
    "align": "token_alignment",
    "attach": "loading",
    "attention_difference": "difference",
    "load": "loading",
    "open_trace": "saved",
}

__version__ = "0.1.0"
quieten()
__all__ = [
    "Ablate",
    "Aligned",
    "Anatomy",
    "Apply",
    "Attribution",
    "Cancelled",
    "Capabilities",
    "Check",
    "Distribution",
    "ExplorerError",
    "Generation",
    "Model",
    "NextToken",
    "Patch",
    "Provenance",
    "Record",
    "Refused",
    "Sampling",
    "Scale",
    "Steer",
    "Step",
    "Token",
    "Tokens",
    "Trace",
    "Unit",
    "align",
    "attach",
    "attention_difference",
    "load",
    "open_trace",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'explorer' has no attribute {name!r}")
    value = getattr(import_module(f"explorer.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
