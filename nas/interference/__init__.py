"""Interference: how much the channels of a network that share a narrow space disturb one another.

`measure` runs any `nn.Module` and reports per layer, per block and on average; `statistics` has the formulas, `MEANING`
a line on each metric and `NULLS` the value that means chance. `projection_gram` shows how the features of one captured
projection overlap.
"""

from __future__ import annotations

from nas.interference.capture import Capture, capture
from nas.interference.meaning import MEANING, NULLS
from nas.interference.measure import measure, projection_gram
from nas.interference.report import BlockReport, InterferenceReport, ProjectionReport

__all__ = [
    "MEANING",
    "NULLS",
    "BlockReport",
    "Capture",
    "InterferenceReport",
    "ProjectionReport",
    "capture",
    "measure",
    "projection_gram",
]
