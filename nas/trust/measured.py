"""What is known of a network at one fidelity, as plain numbers: its size, its depth and the means over its seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from nas.records import Fidelity, Measurement, TrialRecord
from nas.trust.mix import SCORE_DIRECTIONS, ZERO_COST
from nas.value import FrozenMap


@dataclass(frozen=True)
class Measured:
    """A network measured at one fidelity. `depth` counts its blocks, `seeds` its trainings that did not diverge."""

    number: int
    params: int
    depth: int
    metrics: FrozenMap[float]
    seeds: int = 1

    @cached_property
    def scores(self) -> dict[str, float]:
        """What the network can be judged by: what was measured, its cost and its depth."""
        return {**self.metrics, "depth": float(self.depth)}

    @cached_property
    def row(self) -> NDArray[np.float64]:
        """The scores in the order of `SCORE_DIRECTIONS`, NaN where one was not measured."""
        return np.array([self.scores.get(name, np.nan) for name in SCORE_DIRECTIONS])


def measured_at(record: TrialRecord, fidelity: Fidelity | None, *, own: bool = False) -> Measured | None:
    """Return a record at one fidelity, cost and zero-cost scores among its metrics.

    `own` leaves out further seeds. None where no training of it came to an end there.
    """
    trainings = record.own if own else record.measurements
    found = tuple(each for each in trainings if each.fidelity == fidelity and each.is_complete)
    if not found:
        return None
    metrics = FrozenMap(record.known | _zero_cost(record) | _means(found))
    seeds = len({each.seed for each in found})
    return Measured(record.number, record.cost.params, record.depth, metrics, seeds)


def all_measured_at(
    records: Iterable[TrialRecord], fidelity: Fidelity | None, *, own: bool = False
) -> tuple[Measured, ...]:
    """Return the records that were measured at one fidelity, in the order of their numbers."""
    found = (measured_at(record, fidelity, own=own) for record in records)
    return tuple(sorted((each for each in found if each is not None), key=lambda each: each.number))


def _zero_cost(record: TrialRecord) -> dict[str, float]:
    """Return the scores of the untrained network, which only the lowest rung measures."""
    return {name: each.metrics[name] for each in record.own for name in ZERO_COST if name in each.metrics}


def _means(measurements: tuple[Measurement, ...]) -> dict[str, float]:
    if len(measurements) == 1:
        return dict(measurements[0].metrics.items())
    names = dict.fromkeys(name for each in measurements for name in each.metrics)
    return {name: fmean(each.metrics[name] for each in measurements if name in each.metrics) for name in names}
