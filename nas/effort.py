"""What a study spends and what it gets for it: the effort of its rungs, its hours, and whether more still pay."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nas import pareto
from nas.records import Fidelity

Interval = tuple[datetime, datetime]
"""Start and end of a training."""

COSTS = {"params", "macs", "peak_activation_bytes", "train_seconds"}
"""Objectives of which a factor counts and not a difference: their logarithm is taken."""
TINY = 1e-9
"""Stands in for a cost of zero."""
MARGIN = 0.1
"""How far behind the worst values the reference point lies, as a share of their range."""
LAST = 1 / 3
"""The share of the hours in which a front must still have grown."""
LITTLE = 0.01
"""Growth below this share of the hypervolume is none to wait for."""
LEAST_TRAININGS = 20
"""In fewer trainings nothing can be said to have come of them."""


@dataclass(frozen=True, eq=False)
class Box:
    """What hypervolumes are shares of: from the best value of each objective to a tenth of its range beyond the worst.

    Parameters and the other costs are taken as logarithms.
    """

    wanted: tuple[pareto.Objective, ...]
    best: NDArray[np.float64]
    span: NDArray[np.float64]

    @classmethod
    def around(cls, points: Sequence[Mapping[str, float]], wanted: Sequence[pareto.Objective]) -> Self:
        """Return the box around all points that have every objective."""
        rows = _scaled(points, wanted)
        rows = rows[np.isfinite(rows).all(axis=1)]
        if not len(rows):
            return cls(tuple(wanted), np.zeros(len(wanted)), np.ones(len(wanted)))
        span = np.ptp(rows, axis=0)
        return cls(tuple(wanted), rows.min(axis=0), np.where(span, span, 1.0))

    def places(self, points: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
        """Return where points lie in the box (points, objectives): 0 is best, 1 worst; what was not measured is inf."""
        return (_scaled(points, self.wanted) - self.best) / self.span

    def grown(self, groups: Iterable[NDArray[np.float64]]) -> list[float]:
        """Return the share of the box that is dominated after each group of places; it never falls."""
        axes = tuple(pareto.Objective(each.name, "minimize") for each in self.wanted)
        reference = {each.name: 1 + MARGIN for each in axes}
        front: list[dict[str, float]] = []
        volume, volumes = 0.0, []
        for group in groups:
            found = [dict(zip(reference, row, strict=True)) for row in group.tolist() if all(map(math.isfinite, row))]
            if found:
                known = [*front, *found]
                front = [known[i] for i in pareto.front(known, axes)]
                volume = pareto.hypervolume(front, axes, reference) / (1 + MARGIN) ** len(axes)
            volumes.append(volume)
        return volumes


def stage_efforts(fidelities: Sequence[Fidelity]) -> tuple[float, ...]:
    """Return what each rung adds to the training of a candidate: its further epochs, weighed by images and pixels."""
    epochs = pairwise((0, *(each.epochs for each in fidelities)))
    return tuple(
        (end - start) * each.train_fraction * each.resolution**2
        for (start, end), each in zip(epochs, fidelities, strict=True)
    )


def busy_hours(intervals: Iterable[Interval]) -> float:
    """Return the hours in which at least one training ran: a study's hours, however many workers it has."""
    return sum(map(_hours, _merged(intervals)))


def busy_clock(intervals: Iterable[Interval]) -> Callable[[datetime], float]:
    """Return what tells the busy hours up to a moment."""
    merged = _merged(intervals)
    before = [0.0, *accumulate(map(_hours, merged))]

    def hours(moment: datetime) -> float:
        i = bisect_right(merged, moment, key=lambda interval: interval[0])
        if not i:
            return 0.0
        start, end = merged[i - 1]
        return before[i - 1] + _hours((start, min(moment, end)))

    return hours


def hypervolume_over_hours(
    points: Iterable[tuple[datetime, Mapping[str, float]]],
    intervals: Iterable[Interval],
    wanted: Sequence[pareto.Objective],
) -> list[tuple[float, float]]:
    """Return (hours, hypervolume) after each training of a study, in the order in which they ended.

    `points` are what candidates came to and when; one that lacks an objective counts for nothing. The hypervolume is a
    share of the box around all of them.
    """
    trainings, timed = list(intervals), sorted(points, key=lambda point: point[0])
    hours, ends = busy_clock(trainings), [end for end, _ in timed]
    box = Box.around([metrics for _, metrics in timed], wanted)
    places = box.places([metrics for _, metrics in timed])
    stops = sorted(end for _, end in trainings)
    taken = [0, *(bisect_right(ends, stop) for stop in stops)]
    volumes = box.grown(places[first:last] for first, last in pairwise(taken))
    return list(zip(map(hours, stops), volumes, strict=True))


def has_flattened(curve: Sequence[tuple[float, float]]) -> bool:
    """Say whether the last third of the hours, with 20 trainings or more, brought less than 1 % of the hypervolume."""
    _, grown, trainings = _lately(curve)
    return trainings >= LEAST_TRAININGS and grown < LITTLE


def advice(curve: Sequence[tuple[float, float]], study: str) -> str | None:
    """Return a line that advises to stop where the curve has flattened, else None."""
    if not has_flattened(curve):
        return None
    hours, grown, _ = _lately(curve)
    lately = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"
    return (
        f"the front has hardly grown for {lately} ({grown:.1%}): more trials will pay little; "
        f"nas confirm {study}, or another space"
    )


def _scaled(points: Sequence[Mapping[str, float]], wanted: Sequence[pareto.Objective]) -> NDArray[np.float64]:
    """Return the losses of points (points, objectives), costs as logarithms."""
    losses = pareto.losses(points, wanted)
    for column, objective in enumerate(wanted):
        if objective.name in COSTS and objective.direction == "minimize":
            losses[:, column] = np.log(np.maximum(losses[:, column], TINY))
    return losses


def _lately(curve: Sequence[tuple[float, float]]) -> tuple[float, float, int]:
    """Return the last third of the hours: how many, the share of the hypervolume that came in it, and its trainings."""
    if not curve or not curve[-1][1]:
        return 0.0, math.inf, 0
    end, volume = curve[-1]
    first = bisect_right(curve, (1 - LAST) * end, key=lambda point: point[0])
    before = curve[first - 1][1] if first else 0.0
    return LAST * end, (volume - before) / volume, len(curve) - first


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the union as intervals in order that do not touch."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _hours(interval: Interval) -> float:
    start, end = interval
    return (end - start).total_seconds() / 3600
