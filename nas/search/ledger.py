"""What our own code reads of a database: trial states and our JSON, in one query.

Optuna's reader builds every parameter of every trial with its distribution, four fifths of the time of opening a
study; only its samplers need them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyModel, TrialModel, TrialUserAttributeModel
from optuna.trial import TrialState
from sqlalchemy import select

from nas.records import Candidate, Measurement, ReferenceRecord

CANDIDATE, MEASUREMENT, ERROR, WORKER, PROMOTES, SEED, RUNG = (
    f"nas:{name}" for name in ("candidate", "measurement", "error", "worker", "promotes", "seed", "rung")
)
"""The attributes of a trial that are ours."""


@dataclass(frozen=True)
class StoredTrial:
    """One row of a study: its place, its state, and our attributes."""

    trial_id: int
    number: int
    state: TrialState
    attributes: dict[str, Any]

    @property
    def counts(self) -> bool:
        """Whether the trial counts: all do but those whose worker was lost before it could say anything."""
        return self.state != TrialState.FAIL or ERROR in self.attributes

    @property
    def promotes(self) -> tuple[int, int]:
        """The (candidate, rung) of a promotion."""
        candidate, rung = self.attributes[PROMOTES]
        return int(candidate), int(rung)

    @property
    def candidate(self) -> Candidate:
        """The candidate; its number is that of its trial among the candidates."""
        candidate = _candidate(self.attributes[CANDIDATE])
        number = self.promotes[0] if PROMOTES in self.attributes else self.number
        return candidate if candidate.number == number else candidate.model_copy(update={"number": number})

    @property
    def reference(self) -> ReferenceRecord:
        """What a trial of a reference is of, without what it gave."""
        return _reference(self.attributes[CANDIDATE])

    @property
    def measurement(self) -> Measurement | None:
        """The measurement, None before there is one."""
        text = self.attributes.get(MEASUREMENT)
        return None if text is None else _measurement(text)

    @property
    def error(self) -> str:
        """Why the candidate could not be evaluated, empty otherwise."""
        return str(self.attributes.get(ERROR, ""))


def read_trials(storage: RDBStorage, study_name: str) -> list[StoredTrial]:
    """Return all trials of an Optuna study, in the order of their numbers."""
    query = (
        select(
            TrialModel.trial_id,
            TrialModel.number,
            TrialModel.state,
            TrialUserAttributeModel.key,
            TrialUserAttributeModel.value_json,
        )
        .join(StudyModel, StudyModel.study_id == TrialModel.study_id)
        .outerjoin(TrialUserAttributeModel, TrialUserAttributeModel.trial_id == TrialModel.trial_id)
        .where(StudyModel.study_name == study_name)
        .order_by(TrialModel.number)
    )
    trials: dict[int, StoredTrial] = {}
    with storage.engine.connect() as connection:
        for trial_id, number, state, key, value in connection.execute(query):
            trial = trials.setdefault(number, StoredTrial(trial_id, number, state, {}))
            if key is not None:
                trial.attributes[key] = json.loads(value)
    return list(trials.values())


@lru_cache(maxsize=65_536)
def _candidate(text: str) -> Candidate:
    return Candidate.model_validate_json(text)


@lru_cache(maxsize=1_024)
def _reference(text: str) -> ReferenceRecord:
    return ReferenceRecord.model_validate_json(text)


@lru_cache(maxsize=65_536)
def _measurement(text: str) -> Measurement:
    return Measurement.model_validate_json(text)
