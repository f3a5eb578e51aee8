"""Published networks beside a study: scaled to its cap, trained as its candidates are, kept in its database.

Their trials stand in an Optuna study of their own, so that nothing is proposed from them and none of them counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager
from itertools import product

import optuna
from optuna.trial import TrialState, create_trial

from nas.architecture import Architecture
from nas.budget import cost
from nas.errors import CapError, SpaceError, StudyError
from nas.records import Measurement, ReferenceRecord, StudyConfig
from nas.references import Reference
from nas.scaling import scale
from nas.search.evaluator import Evaluator
from nas.search.ledger import CANDIDATE, ERROR, MEASUREMENT, RUNG, SEED, WORKER, StoredTrial, read_trials
from nas.search.loop import Event, Started, work
from nas.search.study import REFERENCES_SUFFIX, Job, Study, exclusive
from nas.search.worker_id import is_gone, worker_id
from nas.value import derive_seed

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
        self._books = optuna.create_study(
            storage=study.storage, study_name=study.name + suffix, direction="maximize", load_if_exists=True
        )

    @property
    def total(self) -> int:
        """How many trainings were asked for."""
        return len(self._wanted)

    def left(self) -> int:
        """Return how many of them have no measurement yet."""
        return len(self._wanted.keys() - {_key(trial) for trial in self._trials() if trial.measurement is not None})

    def claim(self, accept: Callable[[Architecture], object]) -> Job | None:
        """Return the next training that was not done, is not running, and was not tried by this process."""
        with exclusive(self._study.storage):
            self._reap()
            taken = self._tried | {
                _key(trial)
                for trial in self._trials()
                if trial.measurement is not None or trial.state == TrialState.RUNNING
            }
            for key, reference in self._wanted.items():
                if key not in taken:
                    accept(reference.architecture)
                    self._tried.add(key)
                    return self._start(reference, seed=key[1])
            return None

    def beating(self, job: Job) -> AbstractContextManager[None]:
        """Keep the claim alive while inside."""
        return self._study.beating(job)

    def finish(self, job: Job, measurement: Measurement) -> None:
        """Write the measurement."""
        self._study.storage.set_trial_user_attr(job.trial_id, MEASUREMENT, measurement.model_dump_json())
        if not measurement.is_complete:
            self._books.tell(job.trial_number, state=TrialState.PRUNED)
        else:
            self._books.tell(job.trial_number, measurement.metrics["val_accuracy"])

    def fail(self, job: Job, error: str) -> None:
        """Write why there is no measurement; the next comparison tries again."""
        self._study.storage.set_trial_user_attr(job.trial_id, ERROR, error)
        self._books.tell(job.trial_number, state=TrialState.FAIL)

    def _trials(self) -> list[StoredTrial]:
        """Return the trainings of these books to this rung; those of older books, that name none, went to the top."""
        trials = read_trials(self._study.storage, self._books.study_name)
        return [trial for trial in trials if trial.attributes.get(RUNG, self._top) == self._rung]

    def _reap(self) -> None:
        """Fail what dead processes left running: it is started again, with the same seed."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._books)
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and is_gone(trial.attributes[WORKER]):
                self._books.tell(trial.number, state=TrialState.FAIL)

    def _start(self, reference: ReferenceRecord, seed: int) -> Job:
        config, storage = self._study.config, self._study.storage
        attributes = {CANDIDATE: reference.model_dump_json(), SEED: seed, RUNG: self._rung, WORKER: worker_id()}
        trial_id = storage.create_new_trial(
            self._books._study_id, template_trial=create_trial(state=TrialState.RUNNING, user_attrs=attributes)
        )
        number = storage.get_trial_number_from_id(trial_id)
        train_seed = derive_seed(config.seed, reference.name, seed, "train")
        return Job(reference, self._rung, config.fidelities[self._rung], train_seed, trial_id, number)


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
        on_event(Started(job))
        work(comparison, job, evaluate, on_event)
