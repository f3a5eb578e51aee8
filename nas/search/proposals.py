"""Proposals: what a sampler suggests, repaired into the caps, never a network that was seen before."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Sequence, Set

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from nas.budget import Budget
from nas.errors import NasError
from nas.feasibility import repair
from nas.pareto import Direction, Objective
from nas.records import Candidate, Measurement
from nas.space import Gene, GeneValue, SearchSpace
from nas.trust.composite import NAME as COMPOSITE
from nas.value import derive_seed

SAMPLED_ATTEMPTS = 4
"""Proposals asked of the sampler before its last one is mutated instead."""
MUTATED_ATTEMPTS = 60
RANDOM_ATTEMPTS = 60


def _tpe(seed: int) -> BaseSampler:
    """Return TPE with the settings that suit several objectives: its defaults sample every gene by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # `group`
        return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {"tpe": _tpe, "random": lambda seed: RandomSampler(seed=seed)}


MISSING: dict[Direction, float] = {"minimize": math.inf, "maximize": -math.inf}
"""What Optuna is told of an objective that could not be measured: the worst there is."""


class ExhaustedError(NasError):
    """No new member within the caps was found; the search ends early."""


def distribution(gene: Gene) -> BaseDistribution:
    """Return Optuna's distribution over the values of `gene`: an integer range where they are evenly spaced."""
    values = gene.values
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        low, step = int(values[0]), int(values[1]) - int(values[0])
        if list(values) == list(range(low, int(values[-1]) + 1, step)):
            return IntDistribution(low, int(values[-1]), step=step)
    return CategoricalDistribution(values)


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return the distributions of all genes by name."""
    return {gene.name: distribution(gene) for gene in space.genes}


class Mirror:
    """A study copied into memory, where samplers can be asked without writing what is then repaired or dropped.

    `told` gives what samplers hear of a trial that is complete, one value for each of `directions`; without it they
    hear all that is stored.
    """

    def __init__(
        self, directions: Sequence[Direction], told: Callable[[FrozenTrial], Sequence[float]] | None = None
    ) -> None:
        self._study = optuna.create_study(directions=directions)
        self._told = told or (lambda trial: trial.values)
        self._followed: set[int] = set()
        self._running: dict[int, int] = {}

    def follow(self, trials: Sequence[FrozenTrial]) -> None:
        """Bring the copy up to date with the trials of the study."""
        for trial in trials:
            if trial.number not in self._followed:
                self._followed.add(trial.number)
                if not trial.state.is_finished():
                    self._running[trial.number] = len(self._study.get_trials(deepcopy=False))
                self._study.add_trial(self._bare(trial))
            elif trial.state.is_finished() and trial.number in self._running:
                self._study.tell(self._running.pop(trial.number), self._values(trial), state=trial.state)

    def ask(self, sampler: BaseSampler, wanted: dict[str, BaseDistribution]) -> dict[str, GeneValue]:
        """Return what `sampler` suggests next."""
        self._study.sampler = sampler
        trial = self._study.ask(wanted)
        self._study.tell(trial, state=TrialState.FAIL)  # a suggestion is no trial
        return dict(trial.params)

    def _values(self, trial: FrozenTrial) -> Sequence[float] | None:
        return self._told(trial) if trial.state == TrialState.COMPLETE else None

    def _bare(self, trial: FrozenTrial) -> FrozenTrial:
        """Return the trial without its attributes, which no sampler of ours reads."""
        return optuna.trial.create_trial(
            state=trial.state, values=self._values(trial), params=trial.params, distributions=trial.distributions
        )


def stored_values(candidate: Candidate, measurement: Measurement, objectives: Sequence[Objective]) -> list[float]:
    """Return what Optuna is told of a candidate and stores, one value for each objective."""
    metrics = {**candidate.cost.model_dump(), **measurement.metrics}
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


def propose(
    mirror: Mirror, space: SearchSpace, budget: Budget, *, sampler: str, seen: Set[str], seed: int
) -> dict[str, GeneValue]:
    """Return the canonical genotype of a member that fits and whose `arch_id` is not in `seen`.

    The sampler is asked first; then its last suggestion is mutated, one gene more every ten times; then members are
    drawn at random. The result depends on the mirrored trials and the seed. ExhaustedError, with the reason, at the
    bound.
    """
    rng = random.Random(derive_seed(seed, "mutate"))
    wanted = distributions(space)
    suggestion: dict[str, GeneValue] = {}
    for attempt in range(SAMPLED_ATTEMPTS + MUTATED_ATTEMPTS + RANDOM_ATTEMPTS):
        if attempt < SAMPLED_ATTEMPTS:
            proposal = suggestion = mirror.ask(SAMPLERS[sampler](derive_seed(seed, attempt, "propose")), wanted)
        elif attempt < SAMPLED_ATTEMPTS + MUTATED_ATTEMPTS:
            proposal = _mutated(space, suggestion, 1 + (attempt - SAMPLED_ATTEMPTS) // 10, rng)
        else:
            proposal = space.random(rng)
        member = repair(space, proposal, budget)
        if member is not None and space.decode(member).arch_id not in seen:
            return member
    raise ExhaustedError(
        f"space {space.name!r}: no new network within the caps in {attempt + 1} proposals; {len(seen):,} were seen"
    )


def _mutated(
    space: SearchSpace, genotype: dict[str, GeneValue], count: int, rng: random.Random
) -> dict[str, GeneValue]:
    genes = rng.sample(space.genes, min(count, len(space.genes)))
    return {**genotype, **{gene.name: rng.choice(gene.values) for gene in genes}}
