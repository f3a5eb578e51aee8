"""Interference: how much the channels of a network that share a narrow space disturb one another.

`measure` runs any `nn.Module` once and reports per layer and on average; the formulas are in `statistics`.
"""

from __future__ import annotations

from nas.interference.measure import BlockReport, InterferenceReport, ProjectionReport, measure

__all__ = ["BlockReport", "InterferenceReport", "ProjectionReport", "measure"]
