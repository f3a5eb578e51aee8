"""The sampler of capped spaces: a surrogate of the study's own trials proposes, checked against simpler ways.

A start that fills the space by size; then one of three arms, chosen by what has paid off: the largest expected gain
under models of the trials told, a mutation of a member of the front, a suggestion from where good trials are dense.
Every proposal is a new member within the caps. All is a function of the seed, the trial's number and the trials told.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.members import Members
from nas.search.samplers import arms
from nas.search.samplers.density import dense_suggestions
from nas.search.samplers.forecast import codes_of, forecast, layers_of
from nas.search.samplers.fresh import mutated, new_member
from nas.search.samplers.history import ARM, History, Row, Rows, Snapshot, Tried, Wanted, losses, wanted
from nas.search.samplers.pool import Pool, make_pool
from nas.search.samplers.screen import Costed, drawn
from nas.search.samplers.space import distributions
from nas.search.samplers.start import best_of_priors, spread_out, start_size
from nas.space import GeneValue, Genotype
from nas.surrogate.priors import PriorGroup, PriorModel, fit_prior
from nas.value import derive_seed

GROWTH = 16
LONGEST_STEP = 60
"""Models are fitted anew when the trials told have grown by one in `GROWTH`, or by `LONGEST_STEP`."""
LEAST_TOLD = 4
"""Fewer trials than these teach a model nothing."""
SUGGESTIONS = 8


@dataclass(frozen=True)
class _Learnt:
    """What follows from the trials told at a step: the candidates, and how often each arm is used."""

    pool: Pool
    shares: Mapping[str, float]


class CapSampler(BaseSampler):
    """Proposes members of a capped space to any Optuna study.

    `objectives` has the name of the cost that each objective is, or None where it is measured. `priors` are records of
    other studies of the same space. `avoid` gives the keys of members that are not to be proposed, such as those that
    failed. ExhaustedError where no new member is found.
    """

    def __init__(
        self,
        members: Members,
        *,
        objectives: Sequence[str | None],
        seed: int,
        priors: Sequence[PriorGroup] = (),
        avoid: Callable[[], Set[str]] = frozenset,
    ) -> None:
        self._members = members
        self._costs = tuple(objectives)
        self._seed = seed
        self._prior_groups = tuple(priors)
        self._avoid = avoid
        self._rows = Rows(members)
        self._history = History(members, self._rows)
        self._priors: Sequence[Sequence[PriorModel]] | None = None
        self._learnt: tuple[object, _Learnt] | None = None
        self._drawn: Costed | None = None
        self._asking = threading.Lock()
        self._given: dict[int, str] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the distributions of all genes."""
        del study, trial
        return distributions(self._members.genes)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a new member within the caps; ExhaustedError where none is found."""
        if not search_space:
            return {}
        objectives = wanted(study.directions, self._costs)
        with self._asking:  # the threads of `optimize(n_jobs=...)` share a sampler
            now = self._history.read(study.get_trials(deepcopy=False), objectives, self._avoid())
            self._given = {number: key for number, key in self._given.items() if number in now.asked}
            now.seen.update(self._given.values())  # given to threads that have not written it yet
            arm, member = self._propose(now, objectives, trial.number)
            self._given[trial.number] = self._members.key(member)
        study._storage.set_trial_system_attr(trial._trial_id, ARM, arm)
        return member

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        """Return a random value: of what is no gene of the space."""
        seed = derive_seed(self._seed, trial.number, param_name)
        return RandomSampler(seed=seed).sample_independent(study, trial, param_name, param_distribution)

    def _propose(self, now: Snapshot, objectives: Sequence[Wanted], number: int) -> tuple[str, dict[str, GeneValue]]:
        rng = random.Random(derive_seed(self._seed, number, "propose"))
        tried = [trial.row for trial in chain(now.told, now.running)]
        if len(tried) < start_size(len(self._members.genes)) or len(now.told) < LEAST_TOLD:
            return arms.START, new_member(self._members, self._start(tried, objectives, rng), now.seen, rng)
        step = _step(len(now.told))
        learnt = self._learn(now.told[:step], objectives)
        since = [trial.row for trial in chain(now.told[step:], now.running)]
        arm = rng.choices(list(learnt.shares), weights=list(learnt.shares.values()))[0]
        suggestions = self._suggest(arm, learnt.pool, since, now.seen, rng)
        return arm, new_member(self._members, suggestions, now.seen, rng)

    def _start(self, tried: Sequence[Row], objectives: Sequence[Wanted], rng: random.Random) -> list[Genotype]:
        priors = self._prior_models(objectives)
        if any(priors) and len(tried) % 2 == 0:
            return best_of_priors(self._members, self._rows, priors, objectives, rng)
        return spread_out(self._members, self._rows, tried, rng)

    def _suggest(
        self, arm: str, pool: Pool, since: Sequence[Row], seen: Set[str], rng: random.Random
    ) -> Iterator[Genotype]:
        genes = self._members.genes
        if arm == arms.MODEL:
            ranked = np.argsort(-pool.gains(pool.rows, since), kind="stable")
            fresh = (row.genotype for i in ranked if (row := pool.rows[i]).key not in seen)
            yield from islice(fresh, SUGGESTIONS)
        elif arm == arms.DENSITY:
            sizes = np.array([len(gene.values) for gene in genes], dtype=np.int16)
            dense = dense_suggestions(
                codes_of(pool.forecast.standing), sizes, np.random.default_rng(rng.getrandbits(32))
            )
            for code in dense[:SUGGESTIONS]:
                yield self._rows.encoder.genotype(code)
        parents = pool.forecast.standing[: max(3, pool.forecast.front_size)]
        for _ in range(SUGGESTIONS):
            yield mutated(genes, rng.choice(parents).genotype, 1, rng)

    def _learn(self, told: Sequence[Tried], objectives: Sequence[Wanted]) -> _Learnt:
        """Return what follows from `told`, kept until other trials are told."""
        measured = losses(told, len(objectives))
        state = (tuple(trial.number for trial in told), measured.tobytes())
        if self._learnt is None or self._learnt[0] != state:
            seed = derive_seed(self._seed, len(told), "learn")
            seen = forecast(self._rows, told, objectives, self._prior_models(objectives), seed)
            if self._drawn is None:
                self._drawn = drawn(self._members, self._rows.encoder, derive_seed(self._seed, "screen"))
            tried = {trial.row.code for trial in told}
            pool = make_pool(self._members, self._rows, seen, self._drawn, tried, seed)
            shares = arms.shares([trial.arm for trial in told], layers_of(measured), seen.quality)
            self._learnt = (state, _Learnt(pool, shares))
        return self._learnt[1]

    def _prior_models(self, objectives: Sequence[Wanted]) -> Sequence[Sequence[PriorModel]]:
        """Return the models of the prior groups for each objective."""
        if self._priors is None:
            self._priors = [
                [] if objective.cost else [m for group in self._prior_groups if (m := self._prior(group, k, objective))]
                for k, objective in enumerate(objectives)
            ]
        return self._priors

    def _prior(self, group: PriorGroup, k: int, objective: Wanted) -> PriorModel | None:
        values = [row[k] for row in group.values]
        measured = np.array([np.nan if value is None else objective.sign * value for value in values], dtype=float)
        return fit_prior(self._rows.encoder, group.genotypes, measured)


def _step(told: int) -> int:
    """Return the number of trials that models are fitted on when `told` have finished."""
    step = 1
    while step + _stride(step) <= told:  # a few hundred steps at most, up to ten thousand trials
        step += _stride(step)
    return step


def _stride(step: int) -> int:
    return min(max(1, step // GROWTH), LONGEST_STEP)
