"""What should a study try next? Its sampler, asked with what the study knows and what may decide in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nas import pareto
from nas.errors import StudyError
from nas.members import Members
from nas.records import Candidate, StudyConfig
from nas.search.enqueue import candidate_of
from nas.search.history import History, new
from nas.search.ledger import NOTES, StoredTrial
from nas.search.proposals import Mirror, stored_values, told
from nas.search.samplers.fresh import ExhaustedError
from nas.search.samplers.space import distributions
from nas.space import Genotype
from nas.surrogate.priors import PriorGroup
from nas.trust.composite import FEWEST, Composite
from nas.trust.composite import NAME as COMPOSITE
from nas.trust.measured import Measured

REFIT = 1.2
"""Samplers hear of the composite as it was fitted when the study had as many trials as a power of this."""

Deciding = tuple[pareto.Objective, ...]


class Proposer:
    """Proposes the candidates of a study. Its caller holds the lock, and `history` is up to date.

    Without `members`, which a problem's database does not hold, nothing can be proposed. `passed` is a sampler that was
    given as an object; `priors` gives what other studies measured of some objectives.
    """

    def __init__(
        self,
        config: StudyConfig,
        members: Members | None,
        history: History,
        passed: BaseSampler | None,
        *,
        priors: Callable[[Deciding], Sequence[PriorGroup]] = lambda _: (),
    ) -> None:
        self._config, self._members, self._history, self._passed = config, members, history, passed
        self._priors = priors
        self._objectives = pareto.objectives(config.objectives)
        self._mirrored: tuple[object, Mirror] | None = None
        self._heard: list[StoredTrial] = []
        self._fitted: tuple[tuple[Measured, ...], Composite] = (), Composite.fitted(())
        self.distributions = distributions(members.genes if members else ())

    def candidate(self, genotype: Genotype) -> Candidate:
        """Return a genotype of a user's own as the next candidate, unchanged; InputError for what must not be one."""
        return candidate_of(self._config, self._members, len(self._history.candidates), genotype)

    @contextmanager
    def next(self, deciding: Deciding) -> Iterator[tuple[Candidate, Mapping[str, Any]]]:
        """Give the next candidate, and what its sampler noted down, to be written inside; StudyError, ExhaustedError.

        `deciding` are the objectives that may decide: samplers hear of no other.
        """
        if self._members is None:
            raise StudyError(f"study {self._config.name!r} is of a problem of its own: it goes on where that is given")
        if not self._members.genes and self._history.records:  # no sampler is asked for nothing
            raise ExhaustedError(f"space {self._members.name!r}: all 1 members within the caps were seen")
        mirror, number = self._mirror(self._members, deciding), len(self._history.candidates)
        try:
            proposal = mirror.ask()
            yield self._members.candidate(number, proposal.genotype), proposal.notes
        except BaseException:
            self._mirrored = None  # it holds a trial that the study does not have
            raise

    def _mirror(self, members: Members, deciding: Deciding) -> Mirror:
        """Return what samplers see: of every trial the objectives that may decide."""
        composite = self._composite() if COMPOSITE in {objective.name for objective in deciding} else None
        if self._mirrored is None or self._mirrored[0] != (deciding, composite):
            hears = partial(told, objectives=self._objectives, deciding=deciding, composite=self._value_by(composite))
            directions = [objective.direction for objective in deciding]
            mirror = Mirror(directions, members.genes, self._sampler(members, deciding), hears)
            self._mirrored = (deciding, composite), mirror
            self._heard = []
        trials = self._history.candidates
        self._mirrored[1].follow([self._frozen(trial) for trial in new(self._heard, trials)])
        self._heard = trials
        return self._mirrored[1]

    def _sampler(self, members: Members, deciding: Deciding) -> BaseSampler:
        # here: whoever reads a study needs no sampler, nor scipy, which takes longer to import than all else
        from nas.search.samplers.named import SAMPLERS, Wanted, feasible, sampler

        wanted = Wanted(
            members,
            [each.name if each.name in members.cost_names else None for each in deciding],
            seed=self._config.seed,
            avoid=lambda: self._history.hidden,
            priors=lambda: self._priors(deciding),
        )
        passed = self._passed
        if passed is not None:
            return feasible(lambda _: passed, wanted)
        if self._config.sampler not in SAMPLERS:
            raise StudyError(
                f"study {self._config.name!r}: its sampler, {self._config.sampler}, was passed as an object: "
                f"it goes on where one is passed again"
            )
        return sampler(self._config.sampler, wanted)

    def _composite(self) -> Composite:
        """Return the composite of the first rung, fitted anew each time that the study has grown by a fifth."""
        own = self._history.own(self._config.fidelities[0])
        count = FEWEST
        while (larger := max(count + 1, int(count * REFIT))) <= len(own):
            count = larger
        if self._fitted[0] != own[:count]:
            self._fitted = own[:count], Composite.fitted(own[:count])
        return self._fitted[1]

    def _value_by(self, composite: Composite | None) -> Callable[[int], float | None] | None:
        """Return what gives a trial's composite by its number; None leaves the plain one."""
        if composite is None or not composite.bins:
            return None
        first = self._config.fidelities[0]

        def value(number: int) -> float | None:
            measured = self._history.measured(number, first)
            return composite.value(measured) if measured else None

        return value

    def _frozen(self, trial: StoredTrial) -> FrozenTrial:
        """Return a trial as Optuna would read it."""
        made = trial.measurement if trial.state == TrialState.COMPLETE else None
        return FrozenTrial(
            number=trial.number,
            trial_id=trial.trial_id,
            state=trial.state,
            value=None,
            values=stored_values(self._history.record(trial.number), made, self._objectives) if made else None,
            datetime_start=trial.started,
            datetime_complete=trial.ended,
            params=dict(trial.genotype.items()),
            distributions=self.distributions,
            user_attrs={},
            system_attrs=trial.attributes.get(NOTES, {}),
            intermediate_values={},
        )
