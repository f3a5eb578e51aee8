"""A study in a database: the only owner of its state. Everything that is Optuna's stays behind `nas.search`.

A study is two Optuna studies: `NAME` holds one trial per candidate, told when its first rung is measured, so that a
sampler compares like with like; `NAME/rungs` holds one trial per promotion, and one per replicate (a candidate's first
rung once more, from another seed). A finished Optuna trial cannot change, and later measurements must be able to join a
candidate at any time. Two more may stand beside them: `NAME/references`, once networks were compared with the study
(`nas.search.compare`), takes no part in the search; `NAME/fidelity`, candidates trained from further seeds
(`nas.search.fidelity`), tells it which objectives may decide, which scores to trust and how far seeds differ.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple, Self

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage

from nas import pareto
from nas.architecture import Architecture
from nas.effort import Interval, busy_hours
from nas.errors import StoppedError, StudyError
from nas.members import Members, NetworkMembers
from nas.problem import Problem, different_choices
from nas.records import Candidate, Fidelity, Measurement, ReferenceRecord, StudyConfig, TrialRecord
from nas.search import ledger
from nas.search.books import LEASE_SECONDS, Books, Job
from nas.search.catalogue import CONFIG, FIDELITY_SUFFIX, REFERENCES_SUFFIX, RUNGS_SUFFIX, check_name, read_config
from nas.search.claims import Claims
from nas.search.heart import Heart
from nas.search.history import History
from nas.search.ledger import RUNG, SEED, WORKER, Ledger, StoredTrial, read_trials, study_attributes
from nas.search.lock import exclusive
from nas.search.outage import patient
from nas.search.proposer import Proposer
from nas.search.sources import Places
from nas.search.warm_start import Priors, TakenOver, take_over_again
from nas.search.worker_id import Process, is_gone, process_of
from nas.space import Genotype
from nas.view import StudyView

BUDGET, HOURS, LEASE, STOP = "nas:n_trials", "nas:max_hours", "nas:lease", "nas:stop"
"""What may change while a study runs: how long it is to be, how long a worker may be silent, and a mark that is
another one each time that its workers are told to stop."""
REPEATED = ("max:val_accuracy",)
"""The objective of the Optuna study of further seeds."""


class Given(NamedTuple):
    """What a database does not hold, where a study has it.

    Its problem, a sampler that was passed as an object, and the folder of the studies that it started from.
    """

    problem: Problem | None = None
    sampler: BaseSampler | None = None
    results: Path | None = None


class Limits(NamedTuple):
    """What stands in the database of how far a study is to go on."""

    n_trials: int
    max_hours: float | None
    lease: float
    stop: str


class Study:
    """A named search. Workers claim jobs from it and report back; readers take its records.

    An object is for one thread; several may be of the same study.
    """

    def __init__(
        self,
        config: StudyConfig,
        main: optuna.Study,
        rungs: optuna.Study,
        storage: RDBStorage,
        given: Given,
    ) -> None:
        self.config = config
        self._main, self._rungs, self._storage = main, rungs, storage
        self._lease = LEASE_SECONDS
        self._stop: str = main.user_attrs.get(STOP, "")
        self._candidates, self._promotions = (
            Books(each, storage, lease=lambda: self._lease, is_stopped=lambda: self.is_stopped)
            for each in (main, rungs)
        )
        names = [config.name + suffix for suffix in ("", RUNGS_SUFFIX, FIDELITY_SUFFIX)]
        self._history = History(config, Ledger(storage, *names, repeating=names[1:2]))
        self._given = given
        if config.kind == "problem":
            _members(config, given.problem)  # another one is refused here, and not when it is asked for a member

    @classmethod
    def create(
        cls,
        storage: RDBStorage,
        config: StudyConfig,
        n_trials: int,
        max_hours: float | None = None,
        *,
        problem: Problem | None = None,
        sampler: BaseSampler | None = None,
        results: Path | None = None,
        start: TakenOver | None = None,
    ) -> Self:
        """Return a new study of `n_trials` beside those that it takes over; StudyError when the name is taken.

        Those are its `start`; without it, they are read from the studies that its configuration names, in the same
        storage or in the folder `results`.
        """
        taken = start or take_over_again(config, _members(config, problem), Places(storage, results))
        with exclusive(storage, config.name):
            main = _new_study(storage, config.name, config.objectives)
            rungs = _new_study(storage, config.name + RUNGS_SUFFIX, config.objectives)
            trials = {main._study_id: taken.candidates, rungs._study_id: taken.rungs}
            if taken.repeats:
                trials[_new_study(storage, config.name + FIDELITY_SUFFIX, REPEATED)._study_id] = taken.repeats
            main.set_user_attr(BUDGET, n_trials + len(taken.candidates))
            main.set_user_attr(HOURS, max_hours)
            attributes = {CONFIG: config.model_dump_json()}  # last, and with all trials: with it the study exists
            ledger.create(storage, main._study_id, attributes, trials, taken.distributions)
        return cls(config, main, rungs, storage, Given(problem, sampler, results))

    @classmethod
    def open(
        cls,
        storage: RDBStorage,
        name: str,
        *,
        problem: Problem | None = None,
        sampler: BaseSampler | None = None,
        results: Path | None = None,
    ) -> Self:
        """Return the study called `name`; StudyError when there is none, or a newer version wrote it.

        One of a problem can be read without it, and searched on with it; so one with a `sampler` of one's own. The
        studies that it started from lie in the same storage, or in the folder `results`.
        """
        check_name(storage, name)
        main = optuna.load_study(study_name=name, storage=storage)
        rungs = optuna.load_study(study_name=name + RUNGS_SUFFIX, storage=storage)
        config = read_config(name, main.user_attrs)
        if config.kind == "networks":
            config.space.genes  # noqa: B018 - a block that is not allowed is named before a candidate has it
        return cls(config, main, rungs, storage, Given(problem, sampler, results))

    @cached_property
    def _claims(self) -> Claims:
        """What gives out its jobs; readers need none, nor the space that a sampler proposes from."""
        members, history = _members(self.config, self._given.problem), self._history
        priors = Priors(self.config, history, Places(self._storage, self._given.results))
        proposer = Proposer(self.config, members, history, self._given.sampler, priors=priors)
        return Claims(self.config, proposer, self._candidates, self._promotions, history)

    @property
    def name(self) -> str:
        """The name of the study."""
        return self.config.name

    @property
    def storage(self) -> RDBStorage:
        """The database."""
        return self._storage

    @property
    def n_trials(self) -> int:
        """How many trials the study is to have in all, those that it has taken over included."""
        return self._limits().n_trials

    @property
    def taken_over(self) -> Mapping[int, str]:
        """The candidates that other studies have measured, by number: which study, and the number there."""
        self._history.follow()
        return self._history.taken

    @property
    def max_hours(self) -> float | None:
        """In how many hours the study is to end, whatever the number of workers; None leaves it the time it takes."""
        return self._limits().max_hours

    @property
    def lease(self) -> float:
        """For how many seconds a worker may be silent, as this object last read it."""
        return self._lease

    def set_lease(self, seconds: float) -> None:
        """Set for how long a worker may be silent before its trial goes to another one."""
        self._main.set_user_attr(LEASE, seconds)

    @property
    def is_stopped(self) -> bool:
        """Whether its workers were told to stop since this object was made; a database that is away is an error."""
        return self._limits_now().stop != self._stop

    @patient
    def refuse_stopped(self) -> None:
        """Raise StoppedError where its workers were told to stop since this object was made."""
        if self.is_stopped:
            raise StoppedError

    def stop(self) -> None:
        """Tell all workers to end after the epoch that they are in; those that are started later go on."""
        self._main.set_user_attr(STOP, uuid.uuid4().hex)

    def extend(self, n_trials: int | None = None, max_hours: float | None = None) -> None:
        """Set how many trials beside those taken over, and hours, the study is to have; never fewer than it has."""
        if n_trials is not None:
            self._main.set_user_attr(BUDGET, max(n_trials + len(self.taken_over), len(self.records())))
        if max_hours is not None:
            self._main.set_user_attr(HOURS, max_hours)

    @patient
    def records(self) -> tuple[TrialRecord, ...]:
        """Return what is known of every trial, in the order of their numbers, each with all its measurements."""
        self._history.follow()
        return self._history.records

    @patient
    def references(self) -> tuple[ReferenceRecord, ...]:
        """Return what is known of the references that were compared with the study."""
        trials: dict[tuple[str, str], list[StoredTrial]] = defaultdict(list)
        for trial in read_trials(self._storage, self.name + REFERENCES_SUFFIX):
            if trial.measurement is not None or trial.error:
                trials[trial.reference.key].append(trial)
        return tuple(map(_reference_record, trials.values()))

    def view(self) -> StudyView:
        """Return the study as its readers see it."""
        return StudyView.of(self.config, self.records(), references=self.references())

    @property
    def is_busy(self) -> bool:
        """Whether any trial of the search was running when the database was last read; `claim` does, under the lock."""
        return self._history.is_busy

    @property
    def is_done(self) -> bool:
        """Whether nothing of the search is running, and nothing is left to start but for a lack of hours."""
        self.records()
        return not self._history.is_busy and not self._claims.is_left(self.n_trials)

    def processes(self) -> set[Process]:
        """Return the workers' processes that hold a trial and, as far as this host can tell, have not ended."""
        self.records()
        workers = (trial.attributes.get(WORKER, "") for running in self._history.running for trial in running)
        return {process_of(worker) for worker in workers if not is_gone(worker)}

    @patient
    def intervals(self) -> list[Interval]:
        """Return when trainings of its candidates ran, start and end in UTC; one that runs ends now.

        What a lost worker did counts for nothing: nobody knows until when it did it.
        """
        self._history.follow()
        return self._intervals()

    def ends(self) -> dict[tuple[int, Fidelity], datetime]:
        """Return when the search's own training of each candidate, by its number, came to its end at a fidelity."""
        self._history.follow()
        own = (each for each in (*self._history.candidates, *self._history.promotions) if each.kind != "replicate")
        return {
            (trial.candidate_number, trial.measurement.fidelity): trial.ended
            for trial in own
            if trial.measurement is not None and trial.measurement.is_complete and trial.ended is not None
        }

    def hours(self) -> float:
        """Return the hours in which at least one training of a candidate ran."""
        return busy_hours(self.intervals())

    @patient
    def claim(self, accept: Callable[[Architecture], object]) -> Job | None:
        """Return the next job, claimed in the database; None when nothing is left to start, or the hours are used up.

        First what nobody runs any more, then what was enqueued, then promotions, then replicates, then new candidates
        up to `n_trials`. `accept` sees every new architecture before anything is written, and raises to refuse it.
        ExhaustedError when the space holds nothing new, StoppedError when the study was told to stop.
        """
        with exclusive(self._storage, self.name):
            limits = self._limits()
            if limits.stop != self._stop:
                raise StoppedError
            is_over = partial(self._is_over, limits.max_hours)
            job = self._claims.next_job(accept, n_trials=limits.n_trials, is_over=is_over)
        for books in (self._candidates, self._promotions):
            books.settle()
        return job

    def enqueue(self, genotype: Genotype, accept: Callable[[Architecture], object] = lambda _: None) -> Candidate:
        """Let the next worker take a genotype first, even if the study's trials are done; return the candidate.

        It is a trial from now on, and waits. DuplicateError names the trial that has the network already; other
        InputErrors say why it is no member, or which cap it is over. `accept` audits it before it is written.
        """
        with exclusive(self._storage, self.name):
            candidate = self._claims.enqueue(genotype, accept)
            self.extend(self.n_trials - len(self.taken_over))
        return candidate

    @patient
    def finish(self, job: Job, measurement: Measurement) -> bool:
        """Write the measurement of a job; False where another worker took it over, whose measurement counts."""
        return self._books(job).finish(job, measurement, self._claims.values(job, measurement))

    @patient
    def fail(self, job: Job, error: str) -> bool:
        """Record that a job could not be done, and why; False where another worker took it over."""
        return self._books(job).fail(job, error)

    def beating(self, job: Job) -> AbstractContextManager[Heart]:
        """Tell the database, while inside, that the job is alive; another worker takes it over when this stops."""
        return self._books(job).beating(job)

    def _books(self, job: Job) -> Books:
        return self._candidates if job.kind == "candidate" else self._promotions

    @patient
    def _limits(self) -> Limits:
        return self._limits_now()

    def _limits_now(self) -> Limits:
        known = study_attributes(self._storage, self._main._study_id, (BUDGET, HOURS, LEASE, STOP))
        self._lease = float(known.get(LEASE, LEASE_SECONDS))
        hours = known.get(HOURS)
        return Limits(int(known[BUDGET]), None if hours is None else float(hours), self._lease, known.get(STOP, ""))

    def _is_over(self, max_hours: float | None) -> bool:
        return max_hours is not None and busy_hours(self._intervals()) >= max_hours

    def _intervals(self) -> list[Interval]:
        history, now = self._history, datetime.now(UTC).replace(tzinfo=None)
        return [
            (trial.started, trial.ended or now)
            for trial in (*history.candidates, *history.promotions, *history.repeats)
            if trial.started is not None
            and trial.counts
            and not (trial.is_running and is_gone(trial.attributes.get(WORKER, "")))
        ]


def _members(config: StudyConfig, problem: Problem | None) -> Members | None:
    """Return what a study proposes from; None where its problem is not given. StudyError for another problem."""
    if config.kind == "networks":
        return NetworkMembers(config.space, config.budget)
    if problem is not None and (differ := different_choices(config.space_text, problem.text)):
        raise StudyError(f"study {config.name!r} was started with other choices: {differ}")
    return problem.members if problem else None


def _reference_record(attempts: list[StoredTrial]) -> ReferenceRecord:
    """Return the record of a reference; a fault counts only while its training has not been repeated."""
    done = {_training(trial): trial.measurement for trial in attempts if trial.measurement is not None}
    errors = [trial.error for trial in attempts if trial.error and _training(trial) not in done]
    found = {"measurements": tuple(done.values()), "error": errors[-1] if errors else ""}
    return attempts[0].reference.model_copy(update=found)


def _training(trial: StoredTrial) -> tuple[int, int | None]:
    return trial.attributes[SEED], trial.attributes.get(RUNG)


def _new_study(storage: RDBStorage, name: str, objectives: Sequence[str]) -> optuna.Study:
    """Return an empty Optuna study; StudyError when there is one, but for what a killed process left of one."""
    directions = [objective.direction for objective in pareto.objectives(objectives)]
    try:
        return optuna.create_study(storage=storage, study_name=name, directions=directions)
    except optuna.exceptions.DuplicatedStudyError:
        found = optuna.load_study(storage=storage, study_name=name)
        if CONFIG in found.user_attrs or found.get_trials(deepcopy=False):
            raise StudyError(f"study {name!r} exists already in this storage") from None
    optuna.delete_study(storage=storage, study_name=name)
    return optuna.create_study(storage=storage, study_name=name, directions=directions)
