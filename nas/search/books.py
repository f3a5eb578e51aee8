"""What becomes of a job: claimed, kept alive, ended, or lost with its worker."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from nas.records import Candidate, Fidelity, Measurement
from nas.search import ledger
from nas.search.ledger import ERROR, MEASUREMENT, WORKER, Kind, StoredTrial
from nas.search.storage import HEARTBEAT_SECONDS
from nas.search.worker_id import NOBODY, is_gone, worker_id
from nas.value import compact_json


@dataclass(frozen=True)
class Job:
    """One training that a worker has claimed: a candidate at one rung."""

    candidate: Candidate
    rung: int
    fidelity: Fidelity
    seed: int
    trial_id: int
    trial_number: int
    kind: Kind = "candidate"


class Books:
    """The jobs of one Optuna study. Whoever starts one holds the lock of the study (`nas.search.lock`)."""

    def __init__(self, study: optuna.Study, storage: RDBStorage) -> None:
        self._study, self._storage = study, storage

    def start(
        self,
        attributes: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        distributions: Mapping[str, BaseDistribution] | None = None,
    ) -> tuple[int, int]:
        """Write the claim of this process: a trial that is RUNNING from its first moment. Return its id and number."""
        given = {**attributes, WORKER: worker_id()}
        return ledger.begin(self._storage, self._study._study_id, given, params, distributions)

    def enqueue(
        self, attributes: Mapping[str, Any], params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
    ) -> None:
        """Write a trial that waits for whichever worker asks next."""
        ledger.enqueue(self._storage, self._study._study_id, attributes, params, distributions)

    def take_up(self, trial: StoredTrial) -> None:
        """Let this process begin a trial that waits."""
        ledger.begin_waiting(self._storage, trial, worker_id())

    def finish(self, job: Job, measurement: Measurement, values: Sequence[float]) -> None:
        """Write the measurement of a job; one that came to no end is PRUNED for Optuna: samplers learn from it."""
        made = {MEASUREMENT: compact_json(measurement)}
        if measurement.is_complete:
            ledger.end(self._storage, job.trial_id, TrialState.COMPLETE, made, values)
        else:
            ledger.end(self._storage, job.trial_id, TrialState.PRUNED, made)

    def fail(self, job: Job, error: str) -> None:
        """Write that a job could not be done, and why."""
        ledger.end(self._storage, job.trial_id, TrialState.FAIL, {ERROR: error})

    def take_over(self, trial: StoredTrial) -> None:
        """Let this process begin a lost trial anew."""
        ledger.begin_again(self._storage, trial, worker_id())

    def drop(self, trial: StoredTrial) -> None:
        """Fail a lost trial; it does not count, and another one will stand in for it."""
        self._storage.set_trial_state_values(trial.trial_id, TrialState.FAIL)

    def reap(self) -> None:
        """Drop the trials of other hosts that stopped beating."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._study)

    @contextmanager
    def beating(self, job: Job) -> Iterator[None]:
        """Tell the database, while inside, that the job is alive; other hosts reap it when this stops.

        Whatever is raised inside, such as Ctrl-C, leaves the job to the next worker.
        """
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_SECONDS):
                self._storage.record_heartbeat(job.trial_id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            with suppress(SQLAlchemyError):
                ledger.let_go(self._storage, job.trial_id, NOBODY)
            raise
        finally:
            stop.set()
            thread.join()


def lost(trials: Iterable[StoredTrial]) -> list[StoredTrial]:
    """Return the running trials whose process, on this host, has ended."""
    return [trial for trial in trials if trial.is_running and is_gone(trial.attributes.get(WORKER, ""))]
