"""A rule of our own as an Optuna sampler: what a study has tried goes in, suggestions come out, nothing is kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.members import Members
from nas.pareto import BEST
from nas.search.samplers.fresh import SeenKeys, new_member
from nas.search.samplers.space import distributions
from nas.space import GeneValue, Genotype
from nas.value import derive_seed

ENDED = {TrialState.COMPLETE, TrialState.PRUNED}


@dataclass(frozen=True)
class Told:
    """A trial that has ended: its member, and its losses, infinite where it was pruned."""

    number: int
    genotype: dict[str, GeneValue]
    losses: tuple[float, ...]
    is_complete: bool


@dataclass(frozen=True)
class Past:
    """A study as a rule sees it: `told` of its `trials` are those that were completed or pruned, the oldest first.

    Trials that run have no losses, but their members are among those `seen`.
    """

    members: Members
    trials: Sequence[FrozenTrial]
    told: Sequence[Told]
    seen: AbstractSet[str]


def layers(some: Sequence[Told]) -> NDArray[np.int64]:
    """Return the non-dominated layer of each trial, 0 for the front; with one objective, its rank."""
    if not some:
        return np.array([], dtype=np.int64)
    ranks: NDArray[np.int64] = moocore.pareto_rank(np.array([each.losses for each in some], dtype=float))
    return ranks


Note = Callable[[str], None]
"""Writes a mark into the system attributes of the trial that is asked for."""

Rule = Callable[[Past, random.Random, Note], Iterator[Genotype]]
"""Yields suggestions, best first; what it says must follow from its arguments alone."""


class RuleSampler(BaseSampler):
    """Proposes the first suggestion of a rule that, repaired into the caps, is a new member.

    The same seed and the same trials give the same proposal, in whatever process. `avoid` gives the keys of members
    that must not be proposed though no trial has them. ExhaustedError where nothing new is left.
    """

    def __init__(
        self, members: Members, rule: Rule, *, seed: int, avoid: Callable[[], AbstractSet[str]] = frozenset
    ) -> None:
        self._members, self._rule, self._seed, self._avoid = members, rule, seed, avoid
        self._distributions = distributions(members.genes)
        self._keys = SeenKeys(members)
        self._told: dict[int, Told] = {}  # by place; what has ended cannot change

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all genes."""
        del study, trial
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a new member within the caps."""
        del search_space
        rng = random.Random(derive_seed(self._seed, trial.number, "rule"))

        def note(mark: str) -> None:
            study._storage.set_trial_system_attr(trial._trial_id, mark, True)

        past = self._past(study)
        return new_member(self._members, self._rule(past, rng, note), past.seen, rng)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value for what is no gene of the space."""
        seed = derive_seed(self._seed, trial.number, param_name)
        return optuna.samplers.RandomSampler(seed).sample_independent(study, trial, param_name, param_distribution)

    def _past(self, study: optuna.Study) -> Past:
        trials, changed = study.get_trials(deepcopy=False), list[int]()
        self._keys.read(trials, changed=changed.append)
        for place in changed:
            if trials[place].state in ENDED and self._keys.key(trials[place]) is not None:
                self._told[place] = self._read(trials[place], study.directions)
        told = [self._told[place] for place in sorted(self._told)]
        return Past(self._members, trials, told, self._keys.seen(self._avoid()))

    def _read(self, trial: FrozenTrial, directions: Sequence[StudyDirection]) -> Told:
        genotype = {name: trial.params[name] for name in self._distributions}
        if trial.state == TrialState.PRUNED:
            return Told(trial.number, genotype, (np.inf,) * len(directions), is_complete=False)
        signs = [-1 if direction == StudyDirection.MAXIMIZE else 1 for direction in directions]
        losses = tuple(max(BEST, sign * value) for sign, value in zip(signs, trial.values, strict=True))
        return Told(trial.number, genotype, losses, is_complete=True)
