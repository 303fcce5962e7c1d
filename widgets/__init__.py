"""Live panels over a model: `from widgets import AttentionPanel, AttributionPanel, SamplingPanel`."""

from __future__ import annotations

from widgets.attention import AttentionPanel
from widgets.attribution import AttributionPanel
from widgets.sampling import SamplingPanel
from widgets.selection import Selection

__all__ = ["AttentionPanel", "AttributionPanel", "SamplingPanel", "Selection"]
