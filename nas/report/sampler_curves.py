"""Samplers side by side: what each study has found after so many candidates, measured in one box around all of them.

Only the trainings of a candidate from its own seed count, all at one fidelity: the means over further seeds that the
finalists of one study had would be held against the luckiest single trainings of another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from nas import pareto
from nas.effort import Box
from nas.errors import InputError
from nas.records import Fidelity
from nas.trust.composite import NAME as COMPOSITE
from nas.trust.composite import Composite
from nas.trust.measured import Measured, measured_at
from nas.view import StudyView

Studies = Sequence[tuple[str, StudyView]]
"""Studies of one space and cap, each with the name of its sampler; the others are held against the first."""

Hours = Mapping[tuple[int, Fidelity], float]
"""At which hour of a study a candidate, by its number, was trained at a fidelity."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a study has found: a share of the box, and the best first objective, None before one was measured."""

    hypervolume: float
    best: float | None


@dataclass(frozen=True)
class Course:
    """How a study went: what it had found after each candidate that it tried, and, where known, at each hour."""

    sampler: str
    study: str
    over_trials: tuple[Found, ...]
    over_hours: tuple[tuple[float, Found], ...] = ()


@dataclass(frozen=True)
class Standing:
    """What a study had found after as many trials as the others; `ratio` is of its hypervolume to the first's."""

    sampler: str
    study: str
    trials: int
    best: float | None
    hypervolume: float | None
    ratio: float | None


@dataclass(frozen=True)
class SideBySide:
    """Studies side by side. `wanted` spans the box, `objective` is what the best are of.

    They are compared at `fidelity`; None where nothing was measured.
    """

    objective: pareto.Objective
    wanted: tuple[pareto.Objective, ...]
    fidelity: Fidelity | None
    courses: tuple[Course, ...]

    @property
    def trials(self) -> int:
        """How many candidates every study that has begun has tried."""
        return min((len(each.over_trials) for each in self.courses if each.over_trials), default=0)

    @property
    def standings(self) -> tuple[Standing, ...]:
        """Where each study stood after `trials` candidates."""
        return tuple(map(self._standing, self.courses))

    def _standing(self, course: Course) -> Standing:
        if not course.over_trials:
            return Standing(course.sampler, course.study, 0, None, None, None)
        first = self.courses[0].over_trials[: self.trials]
        found = course.over_trials[self.trials - 1]
        ratio = found.hypervolume / first[-1].hypervolume if first and first[-1].hypervolume else None
        return Standing(course.sampler, course.study, self.trials, found.best, found.hypervolume, ratio)


def side_by_side(studies: Studies, hours: Mapping[str, Hours] | None = None) -> SideBySide:
    """Return studies side by side, by the objectives that decide in the first; `hours` by the names of the samplers.

    They are compared at the highest rung that all of them have reached. InputError for no study, for a name given
    twice, and for studies without a fidelity in common.
    """
    names = [name for name, _ in studies]
    if not studies or len(set(names)) < len(names):
        raise InputError(f"samplers side by side: name at least one, each once, got {', '.join(names) or 'none'}")
    first, fidelity = studies[0][1], _shared_fidelity(studies)
    objective, wanted = first.objectives[0], first.deciding
    measured = {name: _measured(view, fidelity) for name, view in studies}
    together = [each for found in measured.values() for each in found.values()]
    metrics = _metrics(together, is_composite=COMPOSITE in {each.name for each in (objective, *wanted)})
    box = Box.around([metrics(each) for each in together], wanted)
    finds = {
        name: _Finds({number: metrics(each) for number, each in found.items()}, box, objective)
        for name, found in measured.items()
    }
    courses = tuple(_course(name, view, finds[name], _by_number(hours, name, fidelity)) for name, view in studies)
    return SideBySide(objective, wanted, fidelity, courses)


@dataclass(frozen=True)
class _Finds:
    """What candidates of a study came to, by their numbers; one that is missing was not measured as the others were."""

    metrics: Mapping[int, Mapping[str, float]]
    box: Box
    objective: pareto.Objective

    def after(self, numbers: Sequence[int]) -> list[Found]:
        """Return what was found after each of some candidates."""
        points = [self.metrics.get(number, {}) for number in numbers]
        places = self.box.places(points)
        volumes = self.box.grown(places[i : i + 1] for i in range(len(points)))
        losses = accumulate(map(float, pareto.losses(points, (self.objective,))[:, 0]), min)
        return [Found(volume, self._value(loss)) for volume, loss in zip(volumes, losses, strict=True)]

    def _value(self, loss: float) -> float | None:
        if not math.isfinite(loss):
            return None
        return -loss if self.objective.direction == "maximize" else loss


def _course(sampler: str, view: StudyView, finds: _Finds, hours: Mapping[int, float]) -> Course:
    """Return the course of a study; its last hour is that of its last training, whatever that brought."""
    tried = [each.number for each in view.records if each.measurements or each.error]
    ends = sorted((hour, number) for number, hour in hours.items())
    found = finds.after([number for _, number in ends])
    over_hours = tuple((hour, each) for (hour, _), each in zip(ends, found, strict=True))
    return Course(sampler, view.config.name, tuple(finds.after(tried)), over_hours)


def _by_number(hours: Mapping[str, Hours] | None, name: str, fidelity: Fidelity | None) -> dict[int, float]:
    """Return at which hour each candidate was trained at the fidelity, or for the last time where it was not."""
    known = (hours or {}).get(name, {})
    last: dict[int, float] = {}
    for (number, _), hour in known.items():
        last[number] = max(hour, last.get(number, 0.0))
    return {number: known.get((number, fidelity), hour) for number, hour in last.items() if fidelity is not None}


def _metrics(together: Sequence[Measured], *, is_composite: bool) -> Callable[[Measured], Mapping[str, float]]:
    """Return what gives the metrics of a candidate; the composite, where it counts, is fitted on all studies."""
    if not is_composite:
        return lambda each: each.metrics
    return Composite.fitted(together).metrics


def _measured(view: StudyView, fidelity: Fidelity | None) -> dict[int, Measured]:
    """Return what the eligible candidates of a study came to at a fidelity, each from its own seed, by number."""
    found = ((each.number, measured_at(each, fidelity, own=True)) for each in view.eligible)
    return {number: each for number, each in found if each is not None}


def _shared_fidelity(studies: Studies) -> Fidelity | None:
    """Return the highest rung of the first study that every study with a measurement has one at."""
    reached = [each for each in (set(_reached(view)) for _, view in studies) if each]
    ladder = studies[0][1].config.fidelities
    shared = next((rung for rung in reversed(ladder) if all(rung in each for each in reached)), None)
    if reached and shared is None:
        raise InputError(f"samplers side by side: {', '.join(name for name, _ in studies)} share no fidelity")
    return shared if reached else None


def _reached(view: StudyView) -> Iterator[Fidelity]:
    return (each.fidelity for record in view.eligible for each in record.own if each.is_complete)
