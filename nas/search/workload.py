"""Who works on a study at this moment, how fast it goes, what waits, and what went wrong: for `nas status --watch`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nas.effort import busy_hours
from nas.records import Status
from nas.search.glance import SUFFIXES
from nas.search.hold import ages, pulses
from nas.search.leases import read_pulse
from nas.search.ledger import LOSSES, WORKER, Ledger, StoredTrial
from nas.search.study import Study
from nas.search.worker_id import is_gone, process_of

RECENT_HOURS = 0.25
"""Throughput is of so many of the last hours in which anything ran."""


@dataclass(frozen=True)
class Working:
    """A worker and the training that it holds; `silent_seconds` is the age of its last beat."""

    host: str
    pid: int
    trial: int
    kind: str
    epoch: int
    epochs: int
    silent_seconds: float | None
    is_gone: bool


@dataclass(frozen=True)
class Workload:
    """Where a study stands: rates are trainings per hour, `errors` counts each kind beside its last message."""

    workers: tuple[Working, ...]
    trainings_per_hour: float | None
    waiting: int
    trials: int
    n_trials: int
    hours: float
    max_hours: float | None
    errors: dict[str, tuple[int, str]]

    def as_json(self) -> dict[str, Any]:
        """Return it as `nas status --json` prints it."""
        errors = {kind: {"count": count, "last": last} for kind, (count, last) in self.errors.items()}
        return vars(self) | {"workers": [vars(each) for each in self.workers], "errors": errors}


class Watch:
    """Looks at a study again and again; what has ended is read once."""

    def __init__(self, study: Study) -> None:
        self._study, self._ledger = study, Ledger(study.storage, *(study.name + suffix for suffix in SUFFIXES))

    def look(self) -> Workload:
        """Return where the study stands now."""
        study, trials = self._study, [trial for group in self._ledger.read() for trial in group]
        view, intervals = study.view(), study.intervals()
        return Workload(
            workers=self._workers([trial for trial in trials if trial.is_running]),
            trainings_per_hour=_rate(trials, intervals),
            waiting=sum(trial.is_waiting for trial in trials),
            trials=len(view.records),
            n_trials=study.n_trials,
            hours=busy_hours(intervals),
            max_hours=study.max_hours,
            errors=_errors(
                [(view.status(each), each.error or f"trial {each.number}") for each in view.records], trials
            ),
        )

    def _workers(self, running: Sequence[StoredTrial]) -> tuple[Working, ...]:
        ids = [trial.trial_id for trial in running]
        told, silent = pulses(self._study.storage, ids), ages(self._study.storage, ids)
        found = []
        for trial in running:
            worker, pulse = str(trial.attributes.get(WORKER, "")), read_pulse(told[trial.trial_id][1])
            host, pid = process_of(worker)
            number = trial.candidate_number
            steps = (pulse.epoch, pulse.epochs, silent.get(trial.trial_id))
            found.append(Working(host, pid, number, trial.kind, *steps, is_gone(worker)))
        return tuple(sorted(found, key=lambda each: (each.host, each.pid, each.trial)))


def _rate(trials: Sequence[StoredTrial], intervals: Sequence[tuple[datetime, datetime]]) -> float | None:
    """Return the trainings per hour of late; None where none has ended."""
    ended = sorted(trial.ended for trial in trials if trial.ended is not None and trial.started is not None)
    if not ended:
        return None
    since = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=RECENT_HOURS)
    since = since if ended[-1] > since else ended[-1] - timedelta(hours=RECENT_HOURS)
    late = [(max(start, since), end) for start, end in intervals if end > since]
    hours = busy_hours(late)
    return sum(each > since for each in ended) / hours if hours else None


def _errors(ended: Sequence[tuple[Status, str]], trials: Sequence[StoredTrial]) -> dict[str, tuple[int, str]]:
    """Return what went wrong, by its kind: how often, and the last message."""
    wrong = {Status.FAILED, Status.DIVERGED, Status.OUT_OF_MEMORY, Status.TOO_SLOW}
    counts, last = Counter[str](), dict[str, str]()
    for status, message in ended:
        if status in wrong:
            kind = message.partition(":")[0] if status is Status.FAILED else str(status)
            counts[kind] += 1
            last[kind] = message
    lost = sum(int(trial.attributes.get(LOSSES, {}).get("total", 0)) for trial in trials)
    if lost:
        counts["worker lost"], last["worker lost"] = lost, "its trial went on in another"
    return {kind: (count, last[kind]) for kind, count in counts.most_common()}
