"""Published networks beside a study: scaled to its cap, trained as its candidates are, kept in its database.

Their trials stand in an Optuna study of their own, so that nothing is proposed from them and none of them counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager
from functools import partial
from itertools import product

import optuna
from optuna.storages import RDBStorage

from nas.architecture import Architecture
from nas.budget import cost
from nas.errors import CapError, SpaceError, StudyError
from nas.records import Measurement, ReferenceRecord, StudyConfig
from nas.references import Reference
from nas.scaling import scale
from nas.search.books import Books, Job, Place
from nas.search.catalogue import REFERENCES_SUFFIX
from nas.search.evaluator import Evaluator
from nas.search.heart import Heart
from nas.search.ledger import CANDIDATE, RUNG, SEED, Ledger, StoredTrial
from nas.search.lock import exclusive
from nas.search.loop import Event, work
from nas.search.outage import patient
from nas.search.study import Study
from nas.value import compact_json, derive_seed

Key = tuple[tuple[str, str], int]
"""Which training: of which reference, from which seed."""


def scaled(references: Sequence[Reference], config: StudyConfig) -> tuple[ReferenceRecord, ...]:
    """Return the references as large as a study's caps allow; StudyError for none, CapError for one that cannot fit."""
    if not references:
        raise StudyError(f"study {config.name!r}: no reference to compare with, name at least one")
    found = {}
    for each in references:
        try:
            architecture = scale(each.architecture, config.target.task, config.budget)
        except (CapError, SpaceError) as error:
            raise type(error)(f"reference {each.name}: {error}") from None
        found[each.name] = ReferenceRecord(
            name=each.name, architecture=architecture, cost=cost(architecture, config.target.task)
        )
    return tuple(found.values())


class Comparison:
    """The trainings of some networks, one for each seed. What it knows it keeps in the study's database.

    `suffix` says in which of its Optuna studies, `rung` to which rung, the highest unless given; `had` are
    trainings that the study has made elsewhere.
    """

    def __init__(
        self,
        study: Study,
        references: Sequence[ReferenceRecord],
        seeds: int,
        *,
        suffix: str = REFERENCES_SUFFIX,
        had: Set[Key] = frozenset(),
        rung: int | None = None,
    ) -> None:
        self._study = study
        self._top = len(study.config.fidelities) - 1
        self._rung = self._top if rung is None else rung
        keys = ((each, (each.key, seed)) for seed, each in product(range(seeds), references))
        self._wanted = {key: each for each, key in keys if key not in had}
        self._tried: set[Key] = set()
        books = optuna.create_study(
            storage=study.storage, study_name=study.name + suffix, direction="maximize", load_if_exists=True
        )
        self._books = Books(books, study.storage, lease=lambda: study.lease, is_stopped=lambda: study.is_stopped)
        self._ledger = Ledger(study.storage, books.study_name)

    @property
    def config(self) -> StudyConfig:
        """The study that the trainings are for."""
        return self._study.config

    @property
    def total(self) -> int:
        """How many trainings were asked for."""
        return len(self._wanted)

    @patient
    def left(self) -> int:
        """Return how many of them have no measurement yet."""
        return len(self._wanted.keys() - {_key(trial) for trial in self._trials() if trial.measurement is not None})

    @property
    def storage(self) -> RDBStorage:
        """The database."""
        return self._study.storage

    @patient
    def claim(self, accept: Callable[[Architecture], object]) -> Job | None:
        """Return the next training that was not done, is not running, and was not tried by this process.

        First those that nobody runs any more. StoppedError when the study was told to stop.
        """
        self._study.refuse_stopped()
        with exclusive(self._study.storage, self._study.name):
            trials = self._trials()
            job = self._adopt(trials) or self._next(trials, accept)
        self._books.settle()
        return job

    def beating(self, job: Job) -> AbstractContextManager[Heart]:
        """Keep the claim alive while inside."""
        return self._books.beating(job)

    @patient
    def finish(self, job: Job, measurement: Measurement) -> bool:
        """Write the measurement; False where another worker took the job over."""
        return self._books.finish(job, measurement, [measurement.metrics.get("val_accuracy", 0.0)])

    @patient
    def fail(self, job: Job, error: str) -> bool:
        """Write why there is no measurement; the next comparison tries again."""
        return self._books.fail(job, error)

    def _adopt(self, trials: Sequence[StoredTrial]) -> Job | None:
        """Take over a training that is wanted and that nobody runs; drop those that are not."""
        for lost in self._books.lost(trials):
            key = _key(lost.trial)
            if key not in self._wanted or key in self._tried:
                self._books.drop(lost.trial)
                continue
            self._tried.add(key)
            if job := self._books.adopt(lost, partial(self._job, self._wanted[key], key[1])):
                return job
        return None

    def _next(self, trials: Sequence[StoredTrial], accept: Callable[[Architecture], object]) -> Job | None:
        taken = self._tried | {_key(trial) for trial in trials if trial.measurement is not None or trial.is_running}
        for key, reference in self._wanted.items():
            if key not in taken:
                accept(reference.network)
                attributes = {CANDIDATE: compact_json(reference), SEED: key[1], RUNG: self._rung}
                place = self._books.start(attributes)
                self._tried.add(key)
                return self._job(reference, key[1], place)
        return None

    def _trials(self) -> list[StoredTrial]:
        """Return the trainings of these books to this rung; those of older books, that name none, went to the top."""
        (trials,) = self._ledger.read()
        return [each for each in trials if each.attributes.get(RUNG, self._top) == self._rung]

    def _job(self, reference: ReferenceRecord, seed: int, place: Place, is_halved: bool = False) -> Job:
        config = self._study.config
        train_seed = derive_seed(config.seed, reference.name, seed, "train")
        return Job(
            reference,
            self._rung,
            config.fidelities[self._rung],
            train_seed,
            place.trial_id,
            place.trial_number,
            claim=place.claim,
            is_halved=is_halved,
        )


def _key(trial: StoredTrial) -> Key:
    return trial.reference.key, int(trial.attributes[SEED])


def compare(
    comparison: Comparison,
    evaluate: Evaluator,
    accept: Callable[[Architecture], object],
    on_event: Callable[[Event], None] = lambda _: None,
    *,
    time_is_up: Callable[[], bool] = lambda: False,
) -> None:
    """Train what is missing of a comparison, until `time_is_up` before a training.

    `accept` audits each network before; a training that fails is noted.
    """
    while not time_is_up() and (job := comparison.claim(accept)) is not None:  # ends: each is tried once
        work(comparison, job, evaluate, on_event)
