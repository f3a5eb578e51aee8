"""What a study has measured, as arrays of losses; read anew only where a trial has changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.errors import InputError
from nas.members import Members
from nas.search.samplers.fresh import SeenKeys
from nas.space import GeneValue
from nas.surrogate.encoding import Encoder, Floats, known_scores

ARM = "nas:arm"
"""The trial system attribute that names the arm which proposed a trial."""


@dataclass(frozen=True)
class Row:
    """A member as models see it: its genotype in normal form, places of its values, and what it costs."""

    members: Members = field(repr=False)
    genotype: dict[str, GeneValue]
    code: tuple[int, ...]
    costs: Mapping[str, float]
    scores: Floats

    @cached_property
    def key(self) -> str:
        """The key of the member: found when it is asked for, since that takes longer than all else of most rows."""
        return self.members.key(self.genotype)


class Rows:
    """The rows of members, each made once."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self.encoder = Encoder(members.genes)
        self._known: dict[tuple[int, ...], Row | None] = {}
        self._made: dict[tuple[int, ...], Row] = {}
        self._loads: dict[tuple[int, ...], float] = {}

    def fitted(self, code: tuple[int, ...]) -> Row | None:
        """Return the member within the caps that the genotype of `code` is repaired to; None where there is none."""
        if code not in self._known:
            member = self._members.fit(self.encoder.genotype(code))
            self._known[code] = None if member is None else self.of(member)
        return self._known[code]

    def of(self, genotype: Mapping[str, GeneValue]) -> Row:
        """Return the row of a member in normal form."""
        code = self.encoder.code(genotype)
        if code not in self._made:
            costs = self._members.costs(genotype)
            self._made[code] = Row(self._members, dict(genotype), code, costs, known_scores([costs])[0])
        return self._made[code]

    def load(self, row: Row) -> float:
        """Return the largest ratio of a cost to its cap."""
        if row.code not in self._loads:
            self._loads[row.code] = self._members.load(row.genotype)
        return self._loads[row.code]

    def tried(self, genotype: Mapping[str, GeneValue]) -> Row:
        """Return the row of a genotype that a study has tried, as it is if it is over the caps."""
        code = self.encoder.code(genotype)
        if code not in self._made and self._members.load(genotype) <= 1:
            genotype = self._members.fit(genotype) or genotype
        return self.of(genotype)


@dataclass(frozen=True)
class Wanted:
    """An objective: 1 where it is minimised and -1 where it is maximised, and the cost that it is, if it is one."""

    sign: int
    cost: str | None


def wanted(directions: Sequence[StudyDirection], costs: Sequence[str | None]) -> tuple[Wanted, ...]:
    """Return the objectives of a study; InputError where there are not as many as directions."""
    if len(directions) != len(costs):
        raise InputError(f"sampler: {len(costs)} objectives for a study of {len(directions)}")
    return tuple(
        Wanted(-1 if direction == StudyDirection.MAXIMIZE else 1, cost)
        for direction, cost in zip(directions, costs, strict=True)
    )


@dataclass(frozen=True)
class Tried:
    """A trial of a study: its member, its losses (NaN where there is none), its arm."""

    number: int
    row: Row
    losses: tuple[float, ...]
    arm: str


@dataclass(frozen=True)
class Snapshot:
    """A study at an instant: the trials that finished, in the order they did so, those that run, and all keys seen.

    `asked` are the numbers of trials that run and have no genotype yet, such as the one that is being asked.
    """

    told: Sequence[Tried]
    running: Sequence[Tried]
    seen: set[str]
    asked: Sequence[int]


class History:
    """Follows the trials of one study. The losses of costs are taken from the member, not from what was told."""

    def __init__(self, members: Members, rows: Rows) -> None:
        self._rows = rows
        self._keys = SeenKeys(members)
        self._names = [gene.name for gene in members.genes]
        self._told: dict[int, Tried] = {}
        self._running: list[Tried] = []
        self._asked: list[int] = []
        self._order: list[tuple[datetime, int]] = []

    def read(self, trials: Sequence[FrozenTrial], objectives: Sequence[Wanted], avoid: Set[str]) -> Snapshot:
        """Return the study as its trials stand."""
        changed: list[int] = []
        self._keys.read(trials, changed=changed.append)
        self._running, self._asked = [], []
        for place in changed:
            self._follow(trials[place], objectives)
        self._order.sort()
        told = [self._told[number] for _, number in self._order]
        return Snapshot(told, self._running, self._keys.seen(avoid), self._asked)

    def _follow(self, trial: FrozenTrial, objectives: Sequence[Wanted]) -> None:
        key = self._keys.key(trial)
        if key is None and trial.state == TrialState.RUNNING:
            self._asked.append(trial.number)
        if key is None or trial.state == TrialState.FAIL:
            return
        row = self._rows.tried({name: trial.params[name] for name in self._names})
        found = tuple(_loss(trial, row, k, objective) for k, objective in enumerate(objectives))
        tried = Tried(trial.number, row, found, str(trial.system_attrs.get(ARM, "")))
        if not trial.state.is_finished():
            self._running.append(tried)
            return
        if trial.number not in self._told:
            self._order.append((trial.datetime_complete or datetime.min, trial.number))
        self._told[trial.number] = tried


def _loss(trial: FrozenTrial, row: Row, k: int, objective: Wanted) -> float:
    """Return what is to be minimised; NaN where it was not measured, or is the worst there is."""
    if objective.cost is not None:
        return objective.sign * row.costs[objective.cost]
    if trial.state != TrialState.COMPLETE or trial.values is None:
        return math.nan
    value = float(trial.values[k])
    return objective.sign * value if math.isfinite(value) else math.nan


def losses(tried: Sequence[Tried], count: int) -> Floats:
    """Return an array (trials, objectives) of the losses."""
    return np.array([trial.losses for trial in tried], dtype=float).reshape(len(tried), count)
