"""Any Optuna sampler, made to propose only what can be evaluated: new members of a space, within its caps."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from copy import copy
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseGASampler, BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nas.members import Members
from nas.search.samplers.fresh import SeenKeys, new_member
from nas.search.samplers.space import distributions
from nas.space import GeneValue
from nas.value import derive_seed

SUGGESTIONS = 4
"""Asked of a sampler for one trial."""


class FeasibleSampler(BaseSampler):
    """Repairs what a sampler suggests into the caps, and asks again where the network was proposed before.

    `make` returns the sampler for a seed: with a new one for every trial, the same seed and the same history give the
    same proposal, in whatever process. An object that always stays the same (`lambda seed: sampler`) goes on from
    wherever its own random state is. `avoid` gives the keys of members that must not be proposed though no trial of the
    study has them, or only a failed one. After so many `suggestions` for one trial the last is mutated instead.
    ExhaustedError where nothing new is left.
    """

    def __init__(
        self,
        members: Members,
        make: Callable[[int], BaseSampler],
        *,
        seed: int,
        avoid: Callable[[], AbstractSet[str]] = frozenset,
        suggestions: int = SUGGESTIONS,
    ) -> None:
        self._members, self._make, self._seed, self._most = members, make, seed, suggestions
        self._distributions = distributions(members.genes)
        self._seen, self._avoid = SeenKeys(members), avoid
        self._inner: BaseSampler | None = None
        self._generation = 0

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all genes: a proposal is repaired as a whole."""
        del study, trial
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a new member within the caps."""
        del search_space
        rng = random.Random(derive_seed(self._seed, trial.number, "mutate"))
        self._seen.read(study.get_trials(deepcopy=False))
        return new_member(self._members, self._suggestions(study, trial), self._seen.seen(self._avoid()), rng)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a value for what is no gene of the space."""
        seed = derive_seed(self._seed, trial.number, param_name)
        return self._make(seed).sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Let the sampler that was asked last know."""
        if self._inner is not None:
            with suppress(RuntimeError):  # grid and brute force stop a study at their end; ours ends by ExhaustedError
                self._inner.after_trial(study, trial, state, values)

    def _suggestions(self, study: optuna.Study, trial: FrozenTrial) -> Iterator[dict[str, GeneValue]]:
        for attempt in range(self._most):
            inner = self._inner = self._make(derive_seed(self._seed, trial.number, attempt, "propose"))
            inner.before_trial(study, trial)
            asked = copy(study._storage.get_trial(trial._trial_id))  # with what the sampler has noted down of it
            space = inner.infer_relative_search_space(study, asked)
            found = self._sampled(inner, study, asked, space)
            for name, distribution in self._distributions.items():
                if name not in found:
                    asked.params = dict(found)  # brute force goes by what was sampled before
                    found[name] = inner.sample_independent(study, asked, name, distribution)
            yield {name: found[name] for name in self._distributions}

    def _sampled(
        self, inner: BaseSampler, study: optuna.Study, trial: FrozenTrial, space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what a sampler gives for the genes that it sees together."""
        if isinstance(inner, BaseGASampler):
            self._choose_parents(study, inner.get_trial_generation(study, trial))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Clip non-finite values")  # that is what stands for what was not measured
            return dict(inner.sample_relative(study, trial, space))

    def _choose_parents(self, study: optuna.Study, generation: int) -> None:
        """Let a genetic algorithm choose the parents of every generation from a seed of that generation.

        It keeps them beside the study, where a process that comes new does not find them: it must choose the same.
        Where several workers share a study, what ended after the choice counts for the new process alone.
        """
        for each in range(self._generation + 1, generation + 1):
            chooser = self._make(derive_seed(self._seed, each, "parents"))
            if isinstance(chooser, BaseGASampler):
                chooser.get_parent_population(study, each)
        self._generation = max(self._generation, generation)
