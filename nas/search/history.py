"""What is known of every candidate of a study, put together from its trials and kept up to date.

Only what changed since the last look is put together again: a claim costs as much after a thousand trials as after ten.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, compress, repeat
from operator import is_not
from typing import TypeVar

from optuna.trial import TrialState

from nas.records import Fidelity, Measurement, StudyConfig, TrialRecord
from nas.search.ledger import ENQUEUED, FROM, Kind, Ledger, StoredTrial
from nas.trust.ladder import noise
from nas.trust.measured import Measured, measured_at
from nas.value import derive_seed

T = TypeVar("T")

MANY = 500
"""Candidates that are read at once from which on the garbage collector would be what takes the time."""


class History:
    """The trials of a study and the records that they make. `follow` looks into the database, all else does not.

    `taken` says of candidates that were taken over which study measured them, and their number there.
    """

    def __init__(self, config: StudyConfig, ledger: Ledger) -> None:
        self._config, self._ledger = config, ledger
        self.candidates: list[StoredTrial] = []
        self.promotions: list[StoredTrial] = []
        self.repeats: list[StoredTrial] = []
        self.taken: dict[int, str] = {}
        self._promoted: dict[int, dict[int, StoredTrial]] = defaultdict(dict)
        self._repeated: dict[int, dict[int, StoredTrial]] = defaultdict(dict)
        self._running: dict[int, StoredTrial] = {}
        self._running_again: dict[int, StoredTrial] = {}
        self._claimed: dict[Kind, dict[int, tuple[int, int]]] = defaultdict(dict)
        self._records: dict[int, TrialRecord] = {}
        self._enqueued: dict[int, StoredTrial] = {}
        self._further: set[int] = set()
        self._failed: set[int] = set()
        self._own = {fidelity: _Column() for fidelity in config.fidelities}
        self._all = {fidelity: _Column() for fidelity in config.fidelities}
        self._noise: dict[str, float] = {}
        self._unmeasured: set[int] = set()

    def follow(self) -> None:
        """Read what other workers, and this one, have written since the last time."""
        with _uncollected() as read:
            read.extend(self._follow())

    def _follow(self) -> set[int]:
        """Put together what changed; return the numbers of the candidates that it was of."""
        candidates, promotions, repeats = self._ledger.read()
        touched = set()
        for trial in new(self.candidates, candidates):
            touched.add(trial.number)
            _keep(self._running, trial.trial_id, trial if trial.is_running else None)
        for trial in new(self.promotions, promotions):
            touched.add(trial.promotes[0])
            self._promoted[trial.promotes[0]][trial.number] = trial
            _keep(self._running_again, trial.trial_id, trial if trial.is_running else None)
            _keep(self._claimed[trial.kind], trial.trial_id, trial.promotes if trial.counts else None)
        for trial in new(self.repeats, repeats):
            touched.add(trial.reference.number)
            self._repeated[trial.reference.number][trial.number] = trial
        self.candidates, self.promotions, self.repeats = candidates, promotions, repeats
        for number in sorted(touched):
            self._put_together(number)
        return touched

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """The records of the candidates that count, in the order of their numbers, each with all its measurements."""
        return tuple(self._records.values())

    def record(self, number: int) -> TrialRecord:
        """Return the record of a candidate that counts."""
        return self._records[number]

    @property
    def hidden(self) -> set[str]:
        """The ids of the architectures whose trials failed, and count: samplers look at no failed trial."""
        failed = (number for number in self._failed if number in self._records)
        return {self._records[number].arch_id for number in failed}

    @property
    def is_busy(self) -> bool:
        """Whether any trial of the search is running."""
        return bool(self._running or self._running_again)

    @property
    def running(self) -> tuple[list[StoredTrial], list[StoredTrial]]:
        """The trials that run: candidates, and promotions or replicates."""
        return list(self._running.values()), list(self._running_again.values())

    def claimed(self, kind: Kind) -> frozenset[tuple[int, int]]:
        """Return the (candidate, rung) of the promotions, or of the replicates, that count."""
        return frozenset(self._claimed[kind].values())

    @property
    def enqueued(self) -> list[StoredTrial]:
        """The trials that a user enqueued and that nobody works on: they wait, or their worker was lost."""
        return [trial for trial in self._enqueued.values() if trial.is_waiting or not trial.counts]

    def own(self, fidelity: Fidelity) -> tuple[Measured, ...]:
        """Return what the search's own trainings measured at a fidelity, in the order of the numbers."""
        return self._measured()[0][fidelity].in_order()

    def all(self, fidelity: Fidelity) -> tuple[Measured, ...]:
        """Return the same with the means over further seeds."""
        return self._measured()[1][fidelity].in_order()

    def measured(self, number: int, fidelity: Fidelity) -> Measured | None:
        """Return what a candidate's own training measured at a fidelity."""
        return self._measured()[0][fidelity].get(number)

    def noise(self, name: str) -> float:
        """Return by how much seeds alone change a metric, one standard deviation."""
        if name not in self._noise:
            self._noise[name] = noise((self._records[number] for number in sorted(self._further)), name)
        return self._noise[name]

    def _put_together(self, number: int) -> None:
        trial = self.candidates[number]
        self._unmeasured.add(number)
        if FROM in trial.attributes:
            self.taken[number] = trial.attributes[FROM]
        if ENQUEUED in trial.attributes:
            self._enqueued[trial.attributes[ENQUEUED]] = trial  # the last one of those that had to begin anew
        if not trial.counts:
            self._records.pop(number, None)
            return
        if trial.state == TrialState.FAIL:
            self._failed.add(number)
        record = record_of(trial, self._promoted[number].values(), self._repeated[number].values())
        self._records[number] = record
        if any(each.seed != record.measurements[0].seed for each in record.measurements):
            self._further.add(number)
            self._noise.clear()

    def _measured(self) -> tuple[dict[Fidelity, _Column], dict[Fidelity, _Column]]:
        """Return what was measured at each fidelity, by the search's own trainings and by all."""
        for number in self._unmeasured & self._records.keys():
            record = self._records[number]
            for fidelity in self._config.fidelities:
                own = measured_at(record, fidelity, own=True)
                self._own[fidelity].put(number, own)
                self._all[fidelity].put(number, measured_at(record, fidelity) if number in self._further else own)
        self._unmeasured.clear()
        return self._own, self._all


@contextmanager
def _uncollected() -> Iterator[list[int]]:
    """Hold the garbage collector off: it would walk all that was read so far, again and again, to find no cycle.

    Where many candidates are put into the list that it gives, they are among the oldest objects afterwards, which are
    walked seldom, and not thrice more on their way there.
    """
    read, was_on = list[int](), gc.isenabled()
    gc.disable()
    try:
        yield read
    finally:
        if len(read) >= MANY and not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()  # where CPython puts what thaws: into the oldest generation
        if was_on:
            gc.enable()


class _Column(dict[int, Measured]):
    """What was measured at one fidelity by trial number, put in order once after each change."""

    _order: tuple[Measured, ...] | None = None

    def put(self, number: int, measured: Measured | None) -> None:
        if measured is not None and self.get(number) != measured:
            self[number], self._order = measured, None

    def in_order(self) -> tuple[Measured, ...]:
        if self._order is None:
            self._order = tuple(map(self.__getitem__, sorted(self)))
        return self._order


def new(before: Sequence[StoredTrial], now: Sequence[StoredTrial]) -> Iterator[StoredTrial]:
    """Return the trials that were not there, or not as they are."""
    return compress(now, chain(map(is_not, before, now), repeat(True)))


def _keep(kept: dict[int, T], trial_id: int, value: T | None) -> None:
    """Put the value of a trial at the place that it has, or take it away where it has none any more."""
    if value is None:
        kept.pop(trial_id, None)
    else:
        kept[trial_id] = value


def own_seed(config: StudyConfig, record: TrialRecord) -> int:
    """Return the seed of a candidate's own trainings: that of the first, which another study may have made."""
    if record.measurements:
        return record.measurements[0].seed
    return derive_seed(config.seed, record.number, "train")


def record_of(trial: StoredTrial, rungs: Collection[StoredTrial], repeats: Collection[StoredTrial]) -> TrialRecord:
    """Return the record of a candidate: what its own trial and those of its promotions gave, or why one did not.

    Replicates and repeats, from further seeds, follow where they came to their end: what the trial itself came to,
    stands.
    """
    promotions = [each for each in rungs if each.kind == "promotion"]
    further = [each for each in (*rungs, *repeats) if each.kind != "promotion"]
    attempts = (trial, *promotions)
    measurements = tuple(each.measurement for each in attempts if each.measurement is not None)
    error = next((each.error for each in attempts if each.error), "")
    return trial.record((*measurements, *_complete(further)), error)


def _complete(trials: Iterable[StoredTrial]) -> Iterator[Measurement]:
    for trial in trials:
        if trial.measurement is not None and trial.measurement.is_complete:
            yield trial.measurement
