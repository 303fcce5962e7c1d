"""Live panels over a model, linked by the `Exploration` they share: `from widgets import AttentionPanel`."""

from __future__ import annotations

from widgets.attention import AttentionPanel
from widgets.attribution import AttributionPanel
from widgets.exploration import Exploration
from widgets.sampling import SamplingPanel
from widgets.selection import Selection
from widgets.token import TokenPanel
from widgets.workbench import Workbench

__all__ = ["AttentionPanel", "AttributionPanel", "Exploration", "SamplingPanel", "Selection", "TokenPanel", "Workbench"]
