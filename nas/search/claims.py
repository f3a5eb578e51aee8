"""What should a worker do next? What was lost or enqueued, then promotions, then replicates, then new candidates.

A rule over what stands in the database, under the lock of the study: the same trials give the same job, whichever
worker asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from nas import pareto
from nas.architecture import Architecture
from nas.records import Candidate, Measurement, StudyConfig
from nas.search.books import Books, Job, Place
from nas.search.enqueue import DuplicateError
from nas.search.history import History, own_seed
from nas.search.ledger import CANDIDATE, ENQUEUED, MEASUREMENT, NOTES, PROMOTES, SEED, Kind, StoredTrial
from nas.search.promotion import ACCURACY_LIKE, Standing, next_promotion, next_replicate
from nas.search.proposals import stored_values
from nas.search.proposer import Proposer
from nas.space import Genotype
from nas.trust import gate
from nas.value import compact_json, derive_seed


class Claims:
    """Gives out the jobs of a study. Its caller holds the lock."""

    def __init__(
        self, config: StudyConfig, proposer: Proposer, candidates: Books, rungs: Books, history: History
    ) -> None:
        self._config, self._proposer, self._history = config, proposer, history
        self._candidates, self._rungs = candidates, rungs
        self._objectives = pareto.objectives(config.objectives)
        self._decided: tuple[object, tuple[pareto.Objective, ...]] = None, self._objectives

    def next_job(
        self, accept: Callable[[Architecture], object], *, n_trials: int, is_over: Callable[[], bool]
    ) -> Job | None:
        """Return the next job; None when nothing is left to start. Nothing new is begun when the study's time is over.

        `accept` sees every new architecture before anything is written, and raises to refuse it.
        """
        self._history.follow()
        if job := self._adopt():
            return job
        if is_over():
            return None
        if job := self._take_up(accept):
            return job
        standing = self._standing()
        return self._promote(standing) or self._replicate(standing) or self._propose(standing, accept, n_trials)

    def is_left(self, n_trials: int) -> bool:
        """Return whether something that was enqueued, a promotion, a replicate or a new candidate is to be started."""
        if self._history.enqueued:
            return True
        standing = self._standing()
        again = next_promotion(standing) is not None or next_replicate(standing, self._replicated) is not None
        return again or len(self._history.records) < n_trials

    def enqueue(self, genotype: Genotype, accept: Callable[[Architecture], object]) -> Candidate:
        """Write a candidate that the next worker takes first; InputError for what must not be one, or is one already.

        `accept` sees it before it is written, and raises to refuse it.
        """
        self._history.follow()
        candidate = self._proposer.candidate(genotype)
        for record in self._history.records:
            if record.cost == candidate.cost and record.arch_id == candidate.architecture.arch_id:
                raise DuplicateError(f"study {self._config.name!r}: trial {record.number} has this network already")
        _show(candidate, accept)
        attributes = {CANDIDATE: compact_json(candidate), ENQUEUED: candidate.number}
        self._candidates.enqueue(attributes, candidate.genotype, self._proposer.distributions)
        return candidate

    def values(self, job: Job, measurement: Measurement) -> list[float]:
        """Return what Optuna is told of a finished job."""
        return stored_values(job.candidate, measurement, self._objectives)

    def _adopt(self) -> Job | None:
        """Take over a trial that nobody runs any more."""
        candidates, again = self._history.running
        for books, trials in ((self._rungs, again), (self._candidates, candidates)):
            for lost in books.lost(trials):
                if job := books.adopt(lost, partial(self._job_of, lost.trial)):
                    return job
                self._history.follow()
        return None

    def _take_up(self, accept: Callable[[Architecture], object]) -> Job | None:
        """Begin what was enqueued first, and anew what an older version gave up for lost."""
        for trial in self._history.enqueued[:1]:
            _show(trial.candidate, accept)
            if trial.is_waiting:
                place = self._candidates.take(trial)
                return self._job_of(trial, place) if place else None
            candidate = trial.candidate.model_copy(update={"number": len(self._history.candidates)})
            return self._begin(candidate, {ENQUEUED: trial.attributes[ENQUEUED]})
        return None

    def _promote(self, standing: Standing) -> Job | None:
        chosen = next_promotion(standing)
        return None if chosen is None else self._train_again("promotion", *chosen)

    def _replicate(self, standing: Standing) -> Job | None:
        number = next_replicate(standing, self._replicated)
        return None if number is None else self._train_again("replicate", number, 0)

    @property
    def _replicated(self) -> set[int]:
        """Candidates that need no replicate; for those that were taken over their own study has seen to it."""
        return {*(number for number, _ in self._history.claimed("replicate")), *self._history.taken}

    def _propose(self, standing: Standing, accept: Callable[[Architecture], object], n_trials: int) -> Job | None:
        if len(self._history.records) >= n_trials:
            return None
        with self._proposer.next(standing.deciding) as (candidate, notes):
            _show(candidate, accept)
            return self._begin(candidate, {NOTES: notes} if notes else {})

    def _begin(self, candidate: Candidate, attributes: Mapping[str, object]) -> Job:
        """Claim a new trial of a candidate."""
        given = {CANDIDATE: compact_json(candidate), **attributes}
        place = self._candidates.start(given, candidate.genotype, self._proposer.distributions)
        return self._job("candidate", candidate, 0, place)

    def _train_again(self, kind: Kind, number: int, rung: int) -> Job:
        """Claim a promotion or a replicate. It repeats no parameters: samplers read those of the candidate."""
        candidate = self._history.record(number).candidate
        attributes: dict[str, object] = {CANDIDATE: compact_json(candidate), PROMOTES: (number, rung)}
        if kind == "replicate":
            attributes[SEED] = self._seed(kind, number)
        return self._job(kind, candidate, rung, self._rungs.start(attributes))

    def _job_of(self, trial: StoredTrial, place: Place, is_halved: bool = False) -> Job:
        rung = 0 if trial.kind == "candidate" else trial.promotes[1]
        return self._job(trial.kind, trial.candidate, rung, place, is_halved=is_halved)

    def _job(self, kind: Kind, candidate: Candidate, rung: int, place: Place, *, is_halved: bool = False) -> Job:
        fidelity, seed = self._config.fidelities[rung], self._seed(kind, candidate.number)
        return Job(
            candidate,
            rung,
            fidelity,
            seed,
            place.trial_id,
            place.trial_number,
            kind,
            claim=place.claim,
            is_halved=is_halved,
        )

    def _seed(self, kind: Kind, number: int) -> int:
        if kind == "promotion" and number in self._history.taken:
            return own_seed(self._config, self._history.record(number))
        return derive_seed(self._config.seed, number, "replicate" if kind == "replicate" else "train")

    def _standing(self) -> Standing:
        history, fidelities = self._history, self._config.fidelities
        names = ACCURACY_LIKE | {objective.name for objective in self._objectives}
        return Standing(
            self._config,
            rungs=[history.own(fidelity) for fidelity in fidelities],
            above=[history.all(fidelity) for fidelity in fidelities],
            claimed=history.claimed("promotion"),
            deciding=self._deciding(),
            noise={name: history.noise(name) for name in names},
        )

    def _deciding(self) -> tuple[pareto.Objective, ...]:
        """Return the objectives that may decide; the verdict is kept until there is another measurement."""
        history = self._history
        if not history.repeats:
            return gate.deciding(self._objectives, gate.verdicts(self._config, ()))
        trials = (history.candidates, history.promotions, history.repeats)
        known = tuple(sum(MEASUREMENT in each.attributes for each in some) for some in trials)
        if known != self._decided[0]:
            self._decided = known, gate.deciding(self._objectives, gate.verdicts(self._config, history.records))
        return self._decided[1]


def _show(candidate: Candidate, accept: Callable[[Architecture], object]) -> None:
    """Let `accept` see a network before it is written; the candidate of a problem has none."""
    if isinstance(candidate.architecture, Architecture):
        accept(candidate.architecture)
