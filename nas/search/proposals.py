"""Proposals: what a sampler suggests for a study, asked on a copy of it in memory. Nothing is written by asking."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from nas.pareto import Direction, Objective
from nas.records import Candidate, Measurement
from nas.search.samplers.space import distributions
from nas.space import Gene, GeneValue
from nas.trust.composite import NAME as COMPOSITE

MISSING: dict[Direction, float] = {"minimize": math.inf, "maximize": -math.inf}
"""What Optuna is told of an objective that could not be measured: the worst there is."""


@dataclass(frozen=True)
class Proposal:
    """A new member within the caps, and what its sampler noted down of the trial: both belong into the database."""

    genotype: dict[str, GeneValue]
    notes: Mapping[str, Any]


class Mirror:
    """A study copied into memory, trial by trial and with the same numbers, where its sampler is asked.

    `told` gives what samplers hear of a trial that is complete, one value for each of `directions`; without it they
    hear all that is stored.
    """

    def __init__(
        self,
        directions: Sequence[Direction],
        genes: Sequence[Gene],
        sampler: BaseSampler,
        told: Callable[[FrozenTrial], Sequence[float]] | None = None,
    ) -> None:
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage, directions=directions, sampler=sampler)
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._distributions = distributions(genes)
        self._told = told or (lambda trial: trial.values)
        singles = [each.single() for each in self._distributions.values()]
        self._is_one_member = bool(singles) and all(singles)
        self._known: list[bool] = []  # of each trial, whether it has ended

    def follow(self, trials: Sequence[FrozenTrial]) -> None:
        """Bring the copy up to date with trials of the study that are new or have changed, in order."""
        for trial in trials:
            is_finished = trial.state.is_finished()
            if trial.number == len(self._known):
                self._storage.create_new_trial(self._study_id, self._bare(trial))
                self._known.append(is_finished)
            elif is_finished and not self._known[trial.number]:
                self._study.tell(trial.number, self._values(trial), state=trial.state)
                # when it ended, not when it is told here: a copy made later must not differ
                self._storage.get_trial(trial.number).datetime_complete = trial.datetime_complete
                self._known[trial.number] = True

    def ask(self) -> Proposal:
        """Return what the sampler proposes for the next trial, which runs in the copy from now on.

        ExhaustedError where nothing new is left.
        """
        trial = self._study.ask() if self._is_one_member else self._study.ask(self._distributions)
        if self._is_one_member:  # of which Optuna would not ask its sampler, who knows whether it was proposed
            for name, value in trial.relative_params.items():
                trial.suggest_categorical(name, [value])
        self._known.append(False)
        notes = self._study.get_trials(deepcopy=False)[trial.number].system_attrs
        return Proposal(dict(trial.params), dict(notes))

    def _values(self, trial: FrozenTrial) -> Sequence[float] | None:
        return self._told(trial) if trial.state == TrialState.COMPLETE else None

    def _bare(self, trial: FrozenTrial) -> FrozenTrial:
        """Return the trial with what samplers read; one that waits runs: the copy must ask for another one."""
        state = TrialState.RUNNING if trial.state == TrialState.WAITING else trial.state
        return _plain(state, self._values(trial), trial)


class _Trial(FrozenTrial):
    """A trial whose copies share its distributions: nothing changes those, and to copy them is most of the work."""

    def __deepcopy__(self, memo: object) -> FrozenTrial:
        """Return a copy that has everything that may change for itself."""
        del memo
        return _plain(self.state, self.values, self)


def _plain(state: TrialState, values: Sequence[float] | None, trial: FrozenTrial) -> _Trial:
    """Return a trial in another state with other values. It is not checked: that takes longer than all else."""
    return _Trial(
        number=trial.number,
        trial_id=trial._trial_id,
        state=state,
        value=None,
        values=None if values is None else list(values),
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=dict(trial.params),
        distributions=trial.distributions,
        user_attrs=deepcopy(trial.user_attrs),
        system_attrs=deepcopy(trial.system_attrs),
        intermediate_values=dict(trial.intermediate_values),
    )


def stored_values(candidate: Candidate, measurement: Measurement, objectives: Sequence[Objective]) -> list[float]:
    """Return what Optuna is told of a candidate and stores, one value for each objective."""
    metrics = {**candidate.known, **measurement.metrics}
    return [float(metrics.get(objective.name, MISSING[objective.direction])) for objective in objectives]


def told(
    trial: FrozenTrial,
    *,
    objectives: Sequence[Objective],
    deciding: Sequence[Objective],
    composite: Callable[[int], float | None] | None,
) -> list[float]:
    """Return what samplers hear of a complete trial, of which values of `objectives` are stored: those of `deciding`.

    `composite` gives the refitted `interference` by trial number; None leaves the stored one.
    """
    stored = {objective.name: value for objective, value in zip(objectives, trial.values, strict=True)}
    if composite is not None:
        refitted = composite(trial.number)
        stored[COMPOSITE] = MISSING["minimize"] if refitted is None else refitted
    return [stored[objective.name] for objective in deciding]
