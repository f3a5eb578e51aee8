"""Which trials and references a plot of the front shows, in which group, on which axes, and what it says of each."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from nas import pareto
from nas.budget import Cost
from nas.records import Fidelity, ReferenceRecord, Status, TrialRecord
from nas.report.quantities import INTERFERENCE_METRICS, measured, plural, quantity
from nas.report.standings import Standing, standings
from nas.view import StudyView

TRIAL = "trial"
"""Stands for the number of a trial where something is plotted against it."""
HOVER_WIDTH = 46
"""Characters of a line of the architecture; more would not fit beside a point on a phone."""


ROOM = 0.6
"""Height for trials that are worse than all compared ones, over the height that the compared ones take up."""


class Group(StrEnum):
    """How a measured trial, or a reference, stands in its study, drawn faintest first."""

    BROKEN = "came to no end later"
    OVER_CAP = "over the cap"
    STOPPED = "stopped early"
    DOMINATED = "dominated"
    FRONT = "on the front"
    REFERENCE_DOMINATED = "reference, dominated"
    REFERENCE = "reference, not dominated"


OF_REFERENCES = (Group.REFERENCE, Group.REFERENCE_DOMINATED)


@dataclass(frozen=True, slots=True)
class Axes:
    """The names of the metrics that the plot shows."""

    x: str
    y: str
    colour: str
    directions: Mapping[str, pareto.Direction] = field(default_factory=lambda: pareto.DIRECTIONS, compare=False)

    @classmethod
    def of(cls, view: StudyView) -> Axes:
        """Return what reads best: up is the first maximised objective, right is a cost, colour the next objective.

        A problem need not have as many: the number of the trial stands in for what is missing.
        """
        names = [objective.name for objective in view.objectives]
        y = next((each.name for each in view.objectives if each.direction == "maximize"), names[0])
        directions = pareto.DIRECTIONS | {objective.name: objective.direction for objective in view.objectives}
        if view.is_of_problem:
            left = [name for name in view.columns if name != y]
            capped = [name for name in left if name in view.caps]
            order = [*(name for name in left if name in names), *capped, TRIAL]
            x = next((name for name in order if name in view.config.costs), order[0])
            colour = next((name for name in (*left, TRIAL) if name != x), y)
            return cls(x, y, colour, directions | dict.fromkeys(left, "minimize") | directions)
        x = next(name for name in (*names, *Cost.model_fields) if name in Cost.model_fields and name != y)
        colour = next(name for name in (*names, "interference", "val_accuracy") if name not in {x, y})
        return cls(x, y, colour, directions)

    @property
    def trade_off(self) -> tuple[pareto.Objective, ...]:
        """What stands upright and what stands to the right, as objectives; a trial's number is better where smaller."""
        return tuple(pareto.Objective(name, self.directions.get(name, "minimize")) for name in (self.x, self.y))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trial or a reference with the values of the three axes; a colour of None was not measured.

    `fidelity` is the one it is shown at; `standing` says how sure its accuracy is, for a member of the front, and
    `margin` half of its interval, where accuracy is what stands upright.
    """

    record: TrialRecord
    group: Group
    fidelity: Fidelity
    x: float
    y: float
    colour: float | None
    standing: Standing | None = None
    margin: float = 0.0

    @property
    def ends(self) -> tuple[float, float]:
        """The interval of y; y twice where there is none."""
        return self.y - self.margin, self.y + self.margin


def candidates(view: StudyView, axes: Axes) -> list[Candidate]:
    """Return the trials with a measurement, in the order of their numbers, then the references compared with them."""
    front = standings(view)
    compared = {record.number for record in view.compared}
    shown = []
    for record in sorted(view.records, key=lambda record: record.number):
        group = Group.FRONT if record.number in front else Group.DOMINATED
        placed = group if record.number in compared else _outside(record, view)
        shown += _candidate(record, placed, axes, view, front.get(record.number))
    for reference in filter(view.is_compared, view.references):
        group = Group.REFERENCE_DOMINATED if view.dominating(reference) else Group.REFERENCE
        shown += _candidate(reference, group, axes, view)
    return shown


def _candidate(
    record: TrialRecord, group: Group, axes: Axes, view: StudyView, standing: Standing | None = None
) -> list[Candidate]:
    """Return the candidate; nothing where one of its places on the plane was not measured."""
    metrics, fidelity = {TRIAL: float(record.number)} | view.metrics(record), view.fidelity_of(record)
    x, y = measured(metrics, axes.x), measured(metrics, axes.y)
    if fidelity is None or x is None or y is None:
        return []
    margin = standing.margin or 0.0 if standing and axes.y == standing.metric else 0.0
    return [Candidate(record, group, fidelity, x, y, measured(metrics, axes.colour), standing, margin)]


def _outside(record: TrialRecord, view: StudyView) -> Group:
    """Return the group of a trial that takes no part in the comparison."""
    if view.status(record) not in {Status.EVALUATED, Status.STOPPED_EARLY}:
        return Group.BROKEN
    return Group.OVER_CAP if view.budget.violations(record.cost) else Group.STOPPED


def trade_off(shown: Sequence[Candidate], axes: Axes) -> list[Candidate]:
    """Return the front members that no other beats on the two axes alone, smallest x first."""
    front = [candidate for candidate in shown if candidate.group is Group.FRONT]
    points = [{axes.x: candidate.x, axes.y: candidate.y} for candidate in front]
    best = (front[i] for i in pareto.front(points, axes.trade_off))
    return sorted(best, key=lambda candidate: (candidate.x, candidate.y))


def extent(values: Iterable[float]) -> tuple[float, float]:
    """Return the least and the greatest of `values`; 0 and 0 without any."""
    known = sorted(values) or [0.0]
    return known[0], known[-1]


def focus(shown: Sequence[Candidate], axes: Axes) -> tuple[float, float]:
    """Return the part of the y axis worth seeing first; it may be all of it.

    Trials stopped early lie so far below the others that the front would be squeezed into a strip. The compared trials
    and references take up at least `1 / (1 + ROOM)` of the height, and nothing better than them is left out.
    """
    lowest, highest = extent(end for candidate in shown for end in candidate.ends)
    compared = {Group.FRONT, Group.DOMINATED, *OF_REFERENCES}
    low, high = extent(end for candidate in shown if candidate.group in compared for end in candidate.ends)
    if low == high:
        return lowest, highest
    room = ROOM * (high - low)
    if axes.directions[axes.y] == "maximize":
        return max(lowest, low - room), highest
    return lowest, min(highest, high + room)


def fidelity_words(fidelity: Fidelity) -> str:
    """Return a fidelity in words: ``12 epochs, 8 px`` and, when it is one, the fraction of the train split."""
    fraction = f" on {100 * fidelity.train_fraction:.3g} % of train" * (fidelity.train_fraction < 1)
    return f"{plural(fidelity.epochs, 'epoch')}{fraction}, {fidelity.resolution} px"


def rung_words(fidelity: Fidelity, view: StudyView) -> str:
    """Return how a record was measured; of a problem what its rungs differ in, and nothing where it has only one."""
    rungs = view.config.fidelities
    if not view.is_of_problem:
        return fidelity_words(fidelity)
    differ = [name for name in Fidelity.model_fields if len({getattr(rung, name) for rung in rungs}) > 1]
    return ", ".join(f"{name.replace('_', ' ')} {getattr(fidelity, name):g}" for name in differ)


def hover_text(candidate: Candidate, view: StudyView) -> str:
    """Return all that is known of a trial in the little HTML that plotly reads; no other markup survives."""
    record = candidate.record
    blocks = (_facts(candidate, view), list(_metric_lines(record, view)), list(_architecture_lines(record)))
    lines = [html.escape(line, quote=False) for block in blocks for line in ("", *block)][1:]
    return "<br>".join([f"<b>{lines[0]}</b>", *lines[1:]])


def _facts(candidate: Candidate, view: StudyView) -> list[str]:
    record = candidate.record
    done = len(view.seeds(record))
    seeds = f", mean of {done} seeds" * (done > 1)
    over = [str(violation) for violation in view.budget.violations(record.cost)]
    facts = [f"{label(record)}  {record.arch_id}", candidate.group.value, rung_words(candidate.fidelity, view) + seeds]
    return [*filter(None, facts), *(candidate.standing.lines if candidate.standing else ()), *over]


def _metric_lines(record: TrialRecord, view: StudyView) -> Iterator[str]:
    """Yield objectives first, then cost, then the parts of interference, each with its unit."""
    metrics = view.metrics(record)
    objectives = [objective.name for objective in view.objectives]
    costs = [name for name in Cost.model_fields if name != "weight_bytes"]
    parts = [name for name in INTERFERENCE_METRICS if name in metrics]
    shown = view.columns if view.is_of_problem else ("val_accuracy", *objectives, *costs, "interference", *parts)
    for name in dict.fromkeys(shown):
        words = quantity(name).words(measured(metrics, name))
        cap = view.caps.get(name)
        share = f" ({100 * metrics[name] / cap:.0f} % of the cap)" if cap else ""
        yield f"{quantity(name).label}: {words}{share}"


def label(record: TrialRecord) -> str:
    """Return what a record is called: ``trial 7``, or the name of a reference."""
    return record.name if isinstance(record, ReferenceRecord) else f"trial {record.number}"


def stages(record: TrialRecord) -> list[str]:
    """Return the architecture in words, one item for the stem, each stage and the head."""
    return record.architecture.words().replace("/", " / ").split(" | ")


def _architecture_lines(record: TrialRecord) -> Iterator[str]:
    for stage in stages(record):
        yield from textwrap.wrap(stage, HOVER_WIDTH, subsequent_indent="    ")
