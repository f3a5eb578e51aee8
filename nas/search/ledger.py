"""What our own code reads and writes of a database: trials with our JSON, in as few statements as will do.

Optuna builds every parameter of every trial that it reads, and asks the database twice for each one that it writes;
that is four fifths of the time of opening a study, and of claiming a trial. The tables are Optuna's and so is what
stands in them: any tool that reads an Optuna study reads ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyModel, TrialModel, TrialParamModel, TrialUserAttributeModel
from optuna.trial import TrialState
from sqlalchemy import func, insert, or_, select, update

from nas.records import Candidate, Measurement, ReferenceRecord

CANDIDATE, MEASUREMENT, ERROR, WORKER, PROMOTES, SEED, RUNG = (
    f"nas:{name}" for name in ("candidate", "measurement", "error", "worker", "promotes", "seed", "rung")
)
"""The attributes of a trial that are ours."""

Kind = Literal["candidate", "promotion", "replicate"]


@dataclass(frozen=True)
class StoredTrial:
    """One row of a study: its place, its state, when it ran (UTC), and our attributes."""

    trial_id: int
    number: int
    state: TrialState
    started: datetime | None
    ended: datetime | None
    attributes: dict[str, Any]

    @property
    def is_running(self) -> bool:
        """Whether a worker holds the trial, or held it when it died."""
        return not self.state.is_finished()

    @property
    def counts(self) -> bool:
        """Whether the trial counts: all do but those whose worker was lost before it could say anything."""
        return self.state != TrialState.FAIL or ERROR in self.attributes

    @property
    def kind(self) -> Kind:
        """What the trial is of: a candidate, its promotion, or its first rung once more from another seed."""
        if PROMOTES not in self.attributes:
            return "candidate"
        return "replicate" if SEED in self.attributes else "promotion"

    @property
    def promotes(self) -> tuple[int, int]:
        """The (candidate, rung) of a promotion or a replicate."""
        candidate, rung = self.attributes[PROMOTES]
        return int(candidate), int(rung)

    @cached_property
    def candidate(self) -> Candidate:
        """The candidate; its number is that of its trial among the candidates."""
        candidate = Candidate.model_validate_json(self.attributes[CANDIDATE])
        number = self.promotes[0] if PROMOTES in self.attributes else self.number
        return candidate if candidate.number == number else candidate.model_copy(update={"number": number})

    @cached_property
    def reference(self) -> ReferenceRecord:
        """What a trial of a reference is of, without what it gave."""
        return ReferenceRecord.model_validate_json(self.attributes[CANDIDATE])

    @cached_property
    def measurement(self) -> Measurement | None:
        """The measurement, None before there is one."""
        text = self.attributes.get(MEASUREMENT)
        return None if text is None else Measurement.model_validate_json(text)

    @property
    def error(self) -> str:
        """Why the candidate could not be evaluated, empty otherwise."""
        return str(self.attributes.get(ERROR, ""))


class Ledger:
    """The trials of one Optuna study, by its name. What has ended cannot change and is read once."""

    def __init__(self, storage: RDBStorage, study_name: str) -> None:
        self._storage, self._study_name = storage, study_name
        self._id: int | None = None
        self._trials: dict[int, StoredTrial] = {}

    def trials(self) -> list[StoredTrial]:
        """Return all trials in the order of their numbers; those that are as they were are the same objects."""
        study_id = self._study_id()
        for trial in () if study_id is None else self._read(study_id):
            if self._trials.get(trial.trial_id) != trial:
                self._trials[trial.trial_id] = trial
        return list(self._trials.values())

    def write(
        self,
        attributes: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        distributions: Mapping[str, BaseDistribution] | None = None,
    ) -> tuple[int, int]:
        """Write a trial that is RUNNING from its first moment; return its id and its number.

        Under the lock of the study (`nas.search.lock`): the number is the count of the trials before.
        """
        trials, given, told = TrialModel.__table__, TrialUserAttributeModel.__table__, TrialParamModel.__table__
        with self._storage.engine.begin() as connection:
            counted = select(func.count()).select_from(trials).where(trials.c.study_id == self._study_id())
            number: int = connection.execute(counted).scalar_one()
            running = {"study_id": self._study_id(), "number": number, "state": TrialState.RUNNING}
            made = connection.execute(insert(trials).values(**running, datetime_start=_now()))
            trial_id = int(made.inserted_primary_key[0]) if made.inserted_primary_key else 0
            rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(v)} for key, v in attributes.items()]
            connection.execute(insert(given), rows)
            if params and distributions:
                connection.execute(insert(told), _param_rows(trial_id, params, distributions))
        return trial_id, number

    def restart(self, trial: StoredTrial, worker: str) -> None:
        """Let a running trial begin anew, with another worker: the time since it was lost was nobody's."""
        given = TrialUserAttributeModel
        with self._storage.engine.begin() as connection:
            mine = (given.trial_id == trial.trial_id, given.key == WORKER)
            connection.execute(update(given).where(*mine).values(value_json=json.dumps(worker)))
            trials = TrialModel.__table__
            connection.execute(update(trials).where(trials.c.trial_id == trial.trial_id).values(datetime_start=_now()))

    def _study_id(self) -> int | None:
        """Return the id of the study, None while there is none of that name."""
        if self._id is None:
            with self._storage.engine.connect() as connection:
                query = select(StudyModel.study_id).where(StudyModel.study_name == self._study_name)
                self._id = connection.execute(query).scalar()
        return self._id

    def _read(self, study_id: int) -> Iterable[StoredTrial]:
        """Return the trials that are new, or were running when last read.

        Trials are made under the lock of their study, so that a higher id is a later one.
        """
        trials, given = TrialModel, TrialUserAttributeModel
        newest = max(self._trials, default=-1)
        running = [trial.trial_id for trial in self._trials.values() if trial.is_running]
        query = (
            select(
                trials.trial_id,
                trials.number,
                trials.state,
                trials._datetime_start_utc,
                trials._datetime_complete_utc,
                given.key,
                given.value_json,
            )
            .outerjoin(given, given.trial_id == trials.trial_id)
            .where(trials.study_id == study_id, or_(trials.trial_id > newest, trials.trial_id.in_(running)))
            .order_by(trials.trial_id)
        )
        found: dict[int, StoredTrial] = {}
        with self._storage.engine.connect() as connection:
            for trial_id, number, state, started, ended, key, value in connection.execute(query):
                trial = found.setdefault(trial_id, StoredTrial(trial_id, number, state, started, ended, {}))
                if key is not None:
                    trial.attributes[key] = json.loads(value)
        return found.values()


def read_trials(storage: RDBStorage, study_name: str) -> list[StoredTrial]:
    """Return all trials of an Optuna study, in the order of their numbers; none where there is no such study."""
    return Ledger(storage, study_name).trials()


def _now() -> datetime:
    """Return the time as Optuna stores it: UTC, without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


def _param_rows(
    trial_id: int, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(distributions[name]),
        }
        for name, value in params.items()
    ]
