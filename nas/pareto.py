"""Objectives, dominance, fronts and hypervolume, on plain numbers (moocore does the geometry)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import moocore
import numpy as np
from numpy.typing import NDArray

from nas.errors import InputError, unknown

Direction = Literal["maximize", "minimize"]

DIRECTIONS: dict[str, Direction] = {
    "val_accuracy": "maximize",
    "val_loss": "minimize",
    "train_loss": "minimize",
    "params": "minimize",
    "macs": "minimize",
    "peak_activation_bytes": "minimize",
    "train_seconds": "minimize",
    "interference": "minimize",
    "cross_talk": "minimize",
    "excess_coherence": "minimize",
    "class_overlap": "minimize",
    "importance_weighted": "minimize",
    "redundancy": "minimize",
    "channel_correlation": "minimize",
}
"""Everything measured that can be an objective; diagnostics such as `superlinearity` have no better end."""

PREFIXES: dict[str, Direction] = {"max": "maximize", "min": "minimize"}
"""What is measured by a problem of its own says its direction: `max:accuracy`, `min:latency_ms`."""

BEST = -1e300
"""No loss is below it: moocore 0.3 takes minus infinity, and what is close to it, for its own mark and crashes."""

DEFAULT_OBJECTIVES = ("val_accuracy", "params", "interference")


@dataclass(frozen=True, slots=True)
class Objective:
    """A measured quantity with a direction."""

    name: str
    direction: Direction


def objectives(names: Sequence[str]) -> tuple[Objective, ...]:
    """Return the objectives called `names`; InputError for an unknown, repeated or missing one."""
    found = tuple(map(_objective, names))
    if not names or len({each.name for each in found}) < len(names):
        raise InputError(f"objectives: name at least one, each once, got {', '.join(names) or 'none'}")
    return found


def _objective(text: str) -> Objective:
    prefix, _, name = text.rpartition(":")
    if prefix in PREFIXES and name:
        return Objective(name, PREFIXES[prefix])
    if text not in DIRECTIONS:
        raise InputError(unknown("objective", text, DIRECTIONS))
    return Objective(text, DIRECTIONS[text])


def losses(points: Sequence[Mapping[str, float]], wanted: Sequence[Objective]) -> NDArray[np.float64]:
    """Return an array (points, objectives) to be minimised; what was not measured counts as worst (inf)."""
    found: NDArray[np.float64] = np.empty((len(points), len(wanted)))
    for column, objective in zip(found.T, wanted, strict=True):
        column[:] = [point.get(objective.name, math.nan) for point in points]
        column *= -1.0 if objective.direction == "maximize" else 1.0
    found[np.isnan(found)] = math.inf
    return np.maximum(found, BEST)


def front(points: Sequence[Mapping[str, float]], wanted: Sequence[Objective]) -> list[int]:
    """Return the positions of the points that no point dominates, in order; equal points all stay."""
    if not points:
        return []
    return [int(i) for i in np.flatnonzero(moocore.is_nondominated(losses(points, wanted), keep_weakly=True))]


def layers(points: Sequence[Mapping[str, float]], wanted: Sequence[Objective]) -> list[int]:
    """Return the non-dominated layer of each point: 0 for the front, 1 for the front of the rest, and so on."""
    if not points:
        return []
    return [int(rank) for rank in moocore.pareto_rank(losses(points, wanted))]


def hypervolume(
    points: Sequence[Mapping[str, float]], wanted: Sequence[Objective], reference: Mapping[str, float]
) -> float:
    """Return the volume that `points` dominate up to the fixed `reference` point, in the product of the units."""
    for objective in wanted:
        if objective.name not in reference:
            raise InputError(f"hypervolume: the reference point lacks {objective.name}")
    if not points:
        return 0.0
    return float(moocore.hypervolume(losses(points, wanted), ref=losses([reference], wanted)[0]))
