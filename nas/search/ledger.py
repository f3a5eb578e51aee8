"""What our own code reads and writes of a database: trials with our JSON, in as few statements as will do.

Optuna builds every parameter of every trial that it reads, and asks the database twice for each one that it writes;
that is four fifths of the time of opening a study, and of claiming a trial. The tables are Optuna's and so is what
stands in them: any tool that reads an Optuna study reads ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, Literal, TypeVar, cast

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import (
    StudyModel,
    StudyUserAttributeModel,
    TrialHeartbeatModel,
    TrialModel,
    TrialParamModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.trial import TrialState
from pydantic_core import from_json
from sqlalchemy import Connection, Table, and_, func, insert, or_, select

from nas.records import Candidate, Measurement, ReferenceRecord, TrialRecord
from nas.search.lock import confirm
from nas.search.texts import genotype, measurement, read
from nas.space import GeneValue
from nas.value import FrozenMap

CANDIDATE, MEASUREMENT, ERROR, WORKER, PROMOTES, SEED, RUNG, NOTES = (
    f"nas:{name}" for name in ("candidate", "measurement", "error", "worker", "promotes", "seed", "rung", "notes")
)
ENQUEUED, FROM, PULSE, LOSSES = "nas:enqueued", "nas:from", "nas:pulse", "nas:losses"
"""The attributes of a trial that are ours; `NOTES` is what its sampler noted down of it, `ENQUEUED` the number that a
candidate was given when a user put it first. `FROM` is the STUDY:NUMBER that a trial was taken over from. While it
runs, `WORKER` says who holds it and `PULSE` how far that is; `LOSSES` how often one was lost with it.
"""
TEXTS = {CANDIDATE, MEASUREMENT}
"""Attributes that are JSON already: stored as they are, and parsed when they are asked for."""

TRIALS, PARAMS, VALUES, ATTRIBUTES, HEARTBEATS = (
    cast(Table, model.__table__)
    for model in (TrialModel, TrialParamModel, TrialValueModel, TrialUserAttributeModel, TrialHeartbeatModel)
)
STUDIES, STUDY_ATTRIBUTES = (cast(Table, model.__table__) for model in (StudyModel, StudyUserAttributeModel))


Kind = Literal["candidate", "promotion", "replicate"]
T = TypeVar("T")


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
        return self.state == TrialState.RUNNING

    @property
    def is_waiting(self) -> bool:
        """Whether the trial was enqueued and no worker has begun it."""
        return self.state == TrialState.WAITING

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
        """The candidate; its number is that of its trial among the candidates. StudyError where it cannot be read."""
        found, number = self._read(CANDIDATE, Candidate.model_validate_json), self.candidate_number
        return found if found.number == number else found.model_copy(update={"number": number})

    @property
    def candidate_number(self) -> int:
        """The number of the candidate that the trial is of."""
        return self.promotes[0] if PROMOTES in self.attributes else self.number

    @cached_property
    def genotype(self) -> FrozenMap[GeneValue]:
        """The genotype of the candidate, without the rest; StudyError where it cannot be read."""
        return self._read(CANDIDATE, genotype)

    def record(self, measurements: tuple[Measurement, ...], error: str) -> TrialRecord:
        """Return the record of the candidate with what was measured of it; StudyError where its cost cannot be read."""

        def parse(text: str) -> TrialRecord:
            return TrialRecord.of(text, self.number, measurements, error=error, waiting=self.is_waiting)

        return self._read(CANDIDATE, parse)

    @cached_property
    def reference(self) -> ReferenceRecord:
        """What a trial of a reference is of, without what it gave; StudyError where it cannot be read."""
        return self._read(CANDIDATE, ReferenceRecord.model_validate_json)

    @cached_property
    def measurement(self) -> Measurement | None:
        """The measurement, None before there is one; StudyError where it cannot be read, its epochs when asked for."""
        what = f"trial {self.number}: its measurement"
        text = self.attributes.get(MEASUREMENT)
        return None if text is None else self._read(MEASUREMENT, partial(measurement, what))

    def _read(self, key: str, parse: Callable[[str], T]) -> T:
        return read(self.attributes.get(key), parse, f"trial {self.number}: its {key.removeprefix('nas:')}")

    @property
    def error(self) -> str:
        """Why the candidate could not be evaluated, empty otherwise."""
        return str(self.attributes.get(ERROR, ""))


@dataclass(frozen=True)
class FinishedTrial:
    """What another study has measured: a trial without a start, since it took no time of the study it is written to."""

    state: TrialState
    attributes: Mapping[str, Any]
    values: Sequence[float] = ()
    params: Mapping[str, Any] = field(default_factory=dict)


class Ledger:
    """The trials of some Optuna studies, by their names. What has ended cannot change and is read once.

    Of the studies in `repeating` trials are read without their candidate once they have ended: another study has it.
    """

    def __init__(self, storage: RDBStorage, *study_names: str, repeating: Collection[str] = ()) -> None:
        self._storage, self._repeating = storage, frozenset(repeating)
        self._trials: dict[str, dict[int, StoredTrial]] = {name: {} for name in study_names}
        self._newest = -1
        self._open: set[int] = set()

    def read(self) -> list[list[StoredTrial]]:
        """Return the trials of each study in the order of their numbers; those that are as they were are the same.

        A study that there is not has none.
        """
        changed = self._changed()
        for name, trial in changed:
            if self._trials[name].get(trial.trial_id) != trial:
                self._trials[name][trial.trial_id] = trial
        self._newest = max((self._newest, *(trial.trial_id for _, trial in changed)))
        self._open = {trial.trial_id for _, trial in changed if not trial.state.is_finished()}
        return [list(trials.values()) for trials in self._trials.values()]

    def _changed(self) -> Collection[tuple[str, StoredTrial]]:
        """Return the trials that are new, or had not ended when last read, each with the name of its study.

        Trials are made under the lock that these studies share, so that a higher id is a later one. Attributes are read
        after the trials: of one that has ended all are there, and one that ends in between is read again.
        """
        trial, given, study = TRIALS.c, ATTRIBUTES.c, STUDIES.c
        names = select(study.study_id, study.study_name).where(study.study_name.in_(self._trials))
        is_changed = or_(trial.trial_id > self._newest, trial.trial_id.in_(sorted(self._open)))
        wanted = (trial.study_id, trial.trial_id, trial.number, trial.state, trial.datetime_start)
        rows = select(*wanted, trial.datetime_complete).order_by(trial.trial_id)
        attributes = select(given.trial_id, given.key, given.value_json).join(TRIALS, trial.trial_id == given.trial_id)
        with self._storage.engine.connect() as connection:
            known: dict[int, str] = {row.study_id: row.study_name for row in connection.execute(names)}
            changed = and_(is_changed, trial.study_id.in_(sorted(known)))
            found = {
                trial_id: (known[study_id], StoredTrial(trial_id, number, state, started, ended, {}))
                for study_id, trial_id, number, state, started, ended in connection.execute(rows.where(changed)).all()
            }
            told = [place for place, name in known.items() if name in self._repeating]
            is_open = trial.state.in_((TrialState.RUNNING, TrialState.WAITING))
            is_wanted = and_(given.key != WORKER, or_(given.key != CANDIDATE, trial.study_id.not_in(told)))
            rows_of = attributes.where(changed, given.key != PULSE, or_(is_wanted, is_open))  # who it was, is past then
            for trial_id, key, value in connection.execute(rows_of).all():
                if trial_id in found:
                    found[trial_id][1].attributes[key] = value if key in TEXTS else from_json(value)
        return found.values()


def read_trials(storage: RDBStorage, study_name: str) -> list[StoredTrial]:
    """Return all trials of an Optuna study, in the order of their numbers; none where there is no such study."""
    (trials,) = Ledger(storage, study_name).read()
    return trials


def study_attributes(storage: RDBStorage, study_id: int, keys: Sequence[str]) -> dict[str, Any]:
    """Return some attributes of a study; Optuna's reader gives all, the configuration and the space among them."""
    given = StudyUserAttributeModel
    query = select(given.key, given.value_json).where(given.study_id == study_id, given.key.in_(keys))
    with storage.engine.connect() as connection:
        return {key: json.loads(value) for key, value in connection.execute(query)}


def begin(
    storage: RDBStorage,
    study_id: int,
    attributes: Mapping[str, Any],
    params: Mapping[str, Any] | None = None,
    distributions: Mapping[str, BaseDistribution] | None = None,
) -> tuple[int, int]:
    """Write a trial that is RUNNING, and alive, from its first moment; return its id and its number.

    Under the lock of the study (`nas.search.lock`): the number is the count of the trials before.
    """
    with storage.engine.begin() as connection:
        running = {"study_id": study_id, "state": TrialState.RUNNING, "datetime_start": now()}
        trial_id, number = _add(connection, running, attributes)
        connection.execute(insert(HEARTBEATS).values(trial_id=trial_id, heartbeat=func.current_timestamp()))
        if params and distributions:
            connection.execute(insert(PARAMS), _param_rows(trial_id, params, distributions))
    return trial_id, number


def enqueue(
    storage: RDBStorage,
    study_id: int,
    attributes: Mapping[str, Any],
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
) -> None:
    """Write a trial that is WAITING for a worker, under the lock of the study."""
    with storage.engine.begin() as connection:
        trial_id, _ = _add(connection, {"study_id": study_id, "state": TrialState.WAITING}, attributes)
        if params:
            connection.execute(insert(PARAMS), _param_rows(trial_id, params, distributions))


def create(
    storage: RDBStorage,
    study_id: int,
    attributes: Mapping[str, Any],
    trials: Mapping[int, Sequence[FinishedTrial]],
    distributions: Mapping[str, BaseDistribution],
) -> None:
    """Write at once the attributes of a study and the trials, by the id of the empty study, that it has from its start.

    All of it or, if the process is killed, nothing.
    """
    with storage.engine.begin() as connection:
        for place, finished in trials.items():
            if finished:
                _add_finished(connection, place, finished, distributions)
        rows = [{"study_id": study_id, "key": key, "value_json": json.dumps(v)} for key, v in attributes.items()]
        connection.execute(insert(STUDY_ATTRIBUTES), rows)


def _add_finished(
    connection: Connection,
    study_id: int,
    trials: Sequence[FinishedTrial],
    distributions: Mapping[str, BaseDistribution],
) -> None:
    ended = {"study_id": study_id, "datetime_complete": now()}
    rows = [{**ended, "number": number, "state": trial.state} for number, trial in enumerate(trials)]
    connection.execute(insert(TRIALS), rows)
    numbered = select(TRIALS.c.number, TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
    ids = {int(number): int(trial_id) for number, trial_id in connection.execute(numbered)}
    placed = [(ids[number], trial) for number, trial in enumerate(trials)]
    given = [row for trial_id, trial in placed for row in attribute_rows(trial_id, trial.attributes)]
    values = [value_row(trial_id, *value) for trial_id, trial in placed for value in enumerate(trial.values)]
    params = [row for trial_id, trial in placed for row in _param_rows(trial_id, trial.params, distributions)]
    for table, found in ((ATTRIBUTES, given), (VALUES, values), (PARAMS, params)):
        if found:
            connection.execute(insert(table), found)


def _add(connection: Connection, row: Mapping[str, Any], attributes: Mapping[str, Any]) -> tuple[int, int]:
    """Write a row of the trials with the next number of its study, and its attributes; return its id and its number."""
    confirm(connection)
    counted = select(func.count()).select_from(TRIALS).where(TRIALS.c.study_id == row["study_id"])
    number: int = connection.execute(counted).scalar_one()
    made = connection.execute(insert(TRIALS).values(**row, number=number))
    trial_id = int(made.inserted_primary_key[0]) if made.inserted_primary_key else 0
    connection.execute(insert(ATTRIBUTES), attribute_rows(trial_id, attributes))
    return trial_id, number


def now() -> datetime:
    """Return the time as Optuna stores it: UTC, without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


def attribute_rows(trial_id: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that hold some attributes of a trial."""
    return [
        {"trial_id": trial_id, "key": key, "value_json": value if key in TEXTS else json.dumps(value)}
        for key, value in attributes.items()
    ]


def value_row(trial_id: int, objective: int, value: float) -> dict[str, Any]:
    """Return the row that holds the value of an objective."""
    stored, kind = TrialValueModel.value_to_stored_repr(value)
    return {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind}


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
