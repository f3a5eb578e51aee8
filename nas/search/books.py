"""What becomes of a job: claimed, kept alive, ended, or lost with its worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from nas.records import Candidate, Fidelity, Measurement
from nas.search import hold, ledger
from nas.search.heart import Heart
from nas.search.leases import MOST_LOSSES, Leases, Losses, Lost, Pulse
from nas.search.ledger import ERROR, LOSSES, MEASUREMENT, PULSE, WORKER, Kind, StoredTrial
from nas.search.worker_id import NOBODY, claim_id, worker_id
from nas.training.oom_kills import oom_kills
from nas.value import FrozenMap, compact_json

LEASE_SECONDS = 90.0
"""A worker that is silent for so long has lost its trial to whoever asks next."""
BEATS_A_LEASE = 6


class Place(NamedTuple):
    """Where a job stands in the database, and the name of the claim that holds it."""

    trial_id: int
    trial_number: int
    claim: str


@dataclass(frozen=True)
class Job:
    """One training that a worker has claimed, by the name `claim`: a candidate at one rung.

    It `is_halved` where an earlier worker was killed for memory with it: each batch then goes in two parts.
    """

    candidate: Candidate
    rung: int
    fidelity: Fidelity
    seed: int
    trial_id: int
    trial_number: int
    kind: Kind = "candidate"
    claim: str = field(default="", compare=False)
    is_halved: bool = False


class Books:
    """The jobs of one Optuna study. Whoever starts one holds the lock of the study (`nas.search.lock`).

    `lease` gives its seconds, `is_stopped` whether workers are to leave what they do.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: RDBStorage,
        *,
        lease: Callable[[], float] = lambda: LEASE_SECONDS,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._study, self._storage = study, storage
        self._lease, self._is_stopped = lease, is_stopped
        self._leases = Leases(storage)
        self._unsure: set[str] = set()

    def start(
        self,
        attributes: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        distributions: Mapping[str, BaseDistribution] | None = None,
    ) -> Place:
        """Write the claim of this process: a trial that is RUNNING from its first moment."""
        signs = self._sign()
        given = {**attributes, **signs}
        place = ledger.begin(self._storage, self._study._study_id, given, params, distributions)
        return Place(*place, signs[WORKER])

    def enqueue(
        self, attributes: Mapping[str, Any], params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
    ) -> None:
        """Write a trial that waits for whichever worker asks next."""
        ledger.enqueue(self._storage, self._study._study_id, attributes, params, distributions)

    def lost(self, trials: Iterable[StoredTrial]) -> list[Lost]:
        """Return those of some trials that nobody runs, also those whose claim by this object had no answer."""
        trials = list(trials)
        lost = self._leases.lost(trials, self._lease())
        mine = [each for each in trials if each.is_running and each.attributes.get(WORKER) in self._unsure]
        return [*lost, *(Lost(each, Pulse()) for each in mine if each not in [other.trial for other in lost])]

    def settle(self) -> None:
        """Say that the claims of this object were all answered."""
        self._unsure.clear()

    def adopt(self, lost: Lost, job_of: Callable[[Place, bool], Job]) -> Job | None:
        """Take a lost trial over: same number, same seed, same result, from its checkpoint.

        None where that has changed meanwhile, or the trial cost too many workers and is ended for that. `job_of` makes
        the job of a place, in halves or not.
        """
        losses = lost.losses(oom_kills)
        place = self.take(lost.trial, losses)
        if place is None:
            return None
        job = job_of(place, losses.memory > 0)
        if losses.memory > 1:
            nothing = {"epochs": (), "metrics": FrozenMap[float]({}), "train_seconds": 0.0, "stopped": "memory"}
            self.finish(job, Measurement(fidelity=job.fidelity, seed=job.seed, **nothing), ())
        elif losses.times >= MOST_LOSSES:
            self.fail(job, f"{losses.times} workers died with it, one after the other, before the next epoch was done")
        else:
            return job
        return None

    def take(self, trial: StoredTrial, losses: Losses | None = None) -> Place | None:
        """Let this process have a trial that waits or was lost; None where that has changed meanwhile."""
        signs = self._sign() | ({} if losses is None else {LOSSES: losses.model_dump()})
        return Place(trial.trial_id, trial.number, signs[WORKER]) if hold.take(self._storage, trial, signs) else None

    def finish(self, job: Job, measurement: Measurement, values: Sequence[float]) -> bool:
        """Write the measurement of a job; False where another worker took it over: its measurement stands.

        One that came to no end is PRUNED for Optuna: samplers learn from it.
        """
        made = {MEASUREMENT: compact_json(measurement)}
        state, told = (TrialState.COMPLETE, values) if measurement.is_complete else (TrialState.PRUNED, ())
        return hold.end(self._storage, job.trial_id, job.claim, state, made, told)

    def fail(self, job: Job, error: str) -> bool:
        """Write that a job could not be done, and why; False where another worker took it over."""
        return hold.end(self._storage, job.trial_id, job.claim, TrialState.FAIL, {ERROR: error})

    def drop(self, trial: StoredTrial) -> None:
        """Fail a lost trial; it does not count, and another one will stand in for it."""
        self._storage.set_trial_state_values(trial.trial_id, TrialState.FAIL)

    @contextmanager
    def beating(self, job: Job) -> Iterator[Heart]:
        """Tell the database, while inside, that the job is alive; other workers take it over when this stops.

        Whatever is raised inside, such as Ctrl-C, leaves the job to the next worker.
        """
        pulse, beats = Pulse(oom_kills=oom_kills()), iter(range(1, 2**63))

        def beat(epoch: int, epochs: int) -> bool:
            told = pulse.model_copy(update={"epoch": epoch, "epochs": epochs, "beats": next(beats)})
            return hold.beat(self._storage, job.trial_id, job.claim, told.model_dump_json())

        heart = Heart(beat, self._is_stopped, self._lease() / BEATS_A_LEASE)
        try:
            with heart.beating():
                yield heart
        except BaseException:
            with suppress(SQLAlchemyError):
                hold.let_go(self._storage, job.trial_id, job.claim, NOBODY)
            raise

    def _sign(self) -> dict[str, Any]:
        """Return what a new claim of this process writes to its trial."""
        claim = claim_id(worker_id())
        self._unsure.add(claim)
        return {WORKER: claim, PULSE: Pulse(oom_kills=oom_kills()).model_dump()}
