"""A study moves to another database, equal, with all of its Optuna studies: at once, or nothing of it.

`optuna.copy_study` takes a transaction for each trial, and writes our texts anew, which are then other texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from optuna.storages import RDBStorage
from optuna.storages._rdb.models import (
    StudyDirectionModel,
    StudySystemAttributeModel,
    TrialIntermediateValueModel,
    TrialSystemAttributeModel,
)
from optuna.trial import TrialState
from sqlalchemy import Connection, Row, Table, delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from nas.errors import NasError, StudyError
from nas.search.books import LEASE_SECONDS
from nas.search.catalogue import CONFIG, FIDELITY_SUFFIX, REFERENCES_SUFFIX, RUNGS_SUFFIX, check_name, read_config
from nas.search.faults import advice, first_line
from nas.search.hold import ages
from nas.search.ledger import (
    ATTRIBUTES,
    HEARTBEATS,
    PARAMS,
    STUDIES,
    STUDY_ATTRIBUTES,
    TRIALS,
    VALUES,
    WORKER,
    study_attributes,
)
from nas.search.lock import exclusive
from nas.search.storage import shown
from nas.search.study import LEASE
from nas.search.worker_id import NOBODY, is_gone, process_of

DIRECTIONS, STUDY_NOTES, TRIAL_NOTES, STEPS = (
    cast(Table, model.__table__)
    for model in (
        StudyDirectionModel,
        StudySystemAttributeModel,
        TrialSystemAttributeModel,
        TrialIntermediateValueModel,
    )
)
OF_A_STUDY, OF_A_TRIAL = (DIRECTIONS, STUDY_ATTRIBUTES, STUDY_NOTES), (PARAMS, VALUES, STEPS, ATTRIBUTES, TRIAL_NOTES)
SUFFIXES = ("", RUNGS_SUFFIX, REFERENCES_SUFFIX, FIDELITY_SUFFIX)
CHUNK = 500
"""Trials that are in memory at once."""
MYSQL = ("mysql", "mariadb")
MYSQL_TEXT_BYTES = 65_535
"""What a TEXT of MySQL holds, which Optuna keeps attributes in; a lenient server cuts what is longer."""


@dataclass(frozen=True)
class Copied:
    """What was copied: trials of all the Optuna studies of a study; `running` are those that a lost worker left."""

    study: str
    trials: int
    running: int
    time_resolution: str


def copy_study(source: RDBStorage, target: RDBStorage, name: str) -> Copied:
    """Copy a study; StudyError where there is none, workers are at it, or the target has one of this name.

    Trials keep their numbers and their order, across the Optuna studies too. Those that a lost worker left running are
    nobody's in the copy: its next worker takes them up. The study is locked meanwhile, so that no trial begins.
    """
    check_name(source, name)
    read_config(name, source.get_study_user_attrs(source.get_study_id_from_name(name)))
    refuse_taken(target, name)  # before any lock: a copy onto itself would wait for its own
    source.remove_session()
    target.remove_session()
    with exclusive(source, name), exclusive(target, name):
        refuse_taken(target, name)
        _refuse_living(source, name)
        try:
            with _snapshot(source) as reader, target.engine.begin() as writer:
                return _Copier(reader, writer, name).copy()
        except SQLAlchemyError as error:
            cause = advice(first_line(error))
            raise NasError(
                f"study {name!r}: cannot be copied to {shown(str(target.url))}, which has nothing of it now: {cause}"
            ) from None


def refuse_taken(target: RDBStorage, name: str) -> None:
    """Raise StudyError where the target has the name, but for what a killed process left of a new study."""
    trials = select(TRIALS.c.study_id).join(STUDIES, STUDIES.c.study_id == TRIALS.c.study_id)
    begun = select(STUDY_ATTRIBUTES.c.study_id).join(STUDIES, STUDIES.c.study_id == STUDY_ATTRIBUTES.c.study_id)
    is_ours = STUDIES.c.study_name.in_(_names(name))
    with target.engine.connect() as connection:
        taken = connection.execute(begun.where(is_ours, STUDY_ATTRIBUTES.c.key == CONFIG)).first()
        taken = taken or connection.execute(trials.where(is_ours).limit(1)).first()
    if taken:
        raise StudyError(f"storage {shown(str(target.url))}: has a study {name!r} already; copy to another database")


def _refuse_living(source: RDBStorage, name: str) -> None:
    """Raise StudyError where a trial is running whose worker may be alive."""
    worker = select(ATTRIBUTES.c.value_json).where(
        ATTRIBUTES.c.trial_id == TRIALS.c.trial_id, ATTRIBUTES.c.key == WORKER
    )
    columns = (TRIALS.c.trial_id, STUDIES.c.study_name, TRIALS.c.number, worker.scalar_subquery().label("worker"))
    with source.engine.connect() as reader:
        rows = {row.trial_id: row for row in _running(reader, name, *columns)}
    lease = _lease(source, name)
    silent = {trial_id for trial_id, age in ages(source, rows).items() if age > lease}
    workers = {row: str(json.loads(row.worker or '""')) for place, row in rows.items() if place not in silent}
    living = {row: process_of(worker) for row, worker in workers.items() if not is_gone(worker)}
    if living:
        held = [f"{row.study_name}:{row.number} by process {by.pid} on {by.host}" for row, by in living.items()]
        more = f" and {len(held) - 5} more" * (len(held) > 5)
        raise StudyError(
            f"study {name!r}: workers are at it: {', '.join(held[:5])}{more}; end them first with `nas stop` "
            f"(one that died on another host counts as gone {lease:.0f} seconds after its last beat)"
        )


def _lease(source: RDBStorage, name: str) -> float:
    given = study_attributes(source, source.get_study_id_from_name(name), (LEASE,))
    source.remove_session()  # which keeps a connection, and there are two
    return float(given.get(LEASE, LEASE_SECONDS))


def _running(reader: Connection, name: str, *columns: Any) -> Sequence[Row[Any]]:
    joined = select(*columns).join(STUDIES, STUDIES.c.study_id == TRIALS.c.study_id)
    wanted = joined.where(STUDIES.c.study_name.in_(_names(name)), TRIALS.c.state == TrialState.RUNNING)
    return reader.execute(wanted.order_by(TRIALS.c.trial_id)).all()


def _names(name: str) -> list[str]:
    return [name + suffix for suffix in SUFFIXES]


@contextmanager
def _snapshot(storage: RDBStorage) -> Iterator[Connection]:
    """Give a connection that sees a database as it is now, whatever is written meanwhile."""
    is_sqlite = storage.engine.dialect.name == "sqlite"
    with storage.engine.connect() as pooled:
        connection = pooled.execution_options(isolation_level="AUTOCOMMIT" if is_sqlite else "REPEATABLE READ")
        if is_sqlite:  # its driver begins a transaction no sooner than something is written
            connection.exec_driver_sql("BEGIN")
        try:
            yield connection
        finally:
            if is_sqlite:
                connection.exec_driver_sql("ROLLBACK")


class _Copier:
    """Copies the rows of one study, in a transaction of the caller's."""

    def __init__(self, reader: Connection, writer: Connection, name: str) -> None:
        self._reader, self._writer, self._name = reader, writer, name
        self._is_mysql = writer.dialect.name in MYSQL
        self._studies: dict[int, int] = {}

    def copy(self) -> Copied:
        """Copy everything; return how much it was."""
        self._clear()
        for row in self._reader.execute(select(STUDIES).where(STUDIES.c.study_name.in_(_names(self._name)))).all():
            made = self._writer.execute(insert(STUDIES).values(study_name=row.study_name)).inserted_primary_key
            self._studies[row.study_id] = int(made[0]) if made else 0
        for table in OF_A_STUDY:
            self._move(table, "study_id", self._studies)
        of_ours = select(TRIALS).where(TRIALS.c.study_id.in_(self._studies)).order_by(TRIALS.c.trial_id)
        n_trials, newest = 0, 0
        for rows in self._reader.execute(of_ours).partitions(CHUNK):
            newest = self._move_trials(rows, newest)
            n_trials += len(rows)
        n_running = len(_running(self._reader, self._name, TRIALS.c.trial_id))
        return Copied(self._name, n_trials, n_running, "1 second" if self._is_mysql else "1 microsecond")

    def _clear(self) -> None:
        """Remove what a killed process left of a new study: it has no trials."""
        left = select(STUDIES.c.study_id).where(STUDIES.c.study_name.in_(_names(self._name)))
        places = list(self._writer.execute(left).scalars())
        for table in (*OF_A_STUDY, STUDIES):
            self._writer.execute(delete(table).where(table.c.study_id.in_(places)))

    def _move_trials(self, rows: Sequence[Row[Any]], newest: int) -> int:
        """Copy some trials with all that is theirs; return the highest id that the target has given now."""
        self._writer.execute(insert(TRIALS), [self._moved(TRIALS, row, "study_id", self._studies) for row in rows])
        columns = (TRIALS.c.study_id, TRIALS.c.number, TRIALS.c.trial_id)
        made = select(*columns).where(TRIALS.c.study_id.in_(self._studies.values()), TRIALS.c.trial_id > newest)
        given = {(study, number): trial_id for study, number, trial_id in self._writer.execute(made)}
        ids = {row.trial_id: given[self._studies[row.study_id], row.number] for row in rows}
        for table in OF_A_TRIAL:
            self._move(table, "trial_id", ids)
        running = [ids[row.trial_id] for row in rows if row.state == TrialState.RUNNING]
        if running:
            self._let_go(running)
        highest: int = max(ids.values())
        return highest

    def _let_go(self, running: Sequence[int]) -> None:
        """Make trials nobody's, and give each a first beat: clocks of two databases cannot be compared."""
        mine = (ATTRIBUTES.c.trial_id.in_(running), ATTRIBUTES.c.key == WORKER)
        self._writer.execute(delete(ATTRIBUTES).where(*mine))
        nobody = [{"trial_id": trial_id, "key": WORKER, "value_json": json.dumps(NOBODY)} for trial_id in running]
        self._writer.execute(insert(ATTRIBUTES), nobody)
        for trial_id in running:
            self._writer.execute(insert(HEARTBEATS).values(trial_id=trial_id, heartbeat=func.current_timestamp()))

    def _move(self, table: Table, owner: str, ids: Mapping[int, int]) -> None:
        """Copy the rows of a table that belong to some studies or trials, by their ids here and there."""
        (key,) = table.primary_key.columns
        rows = self._reader.execute(select(table).where(table.c[owner].in_(ids)).order_by(key)).all()
        if rows:
            self._writer.execute(insert(table), [self._moved(table, row, owner, ids) for row in rows])

    def _moved(self, table: Table, row: Row[Any], owner: str, ids: Mapping[int, int]) -> dict[str, Any]:
        (key,) = table.primary_key.columns
        values = {**row._mapping, owner: ids[row._mapping[owner]]}
        del values[key.name]
        return {name: self._fitting(value) for name, value in values.items()} if self._is_mysql else values

    def _fitting(self, value: Any) -> Any:
        """Return a value as MySQL keeps it: times in whole seconds. NasError for a text that it would cut."""
        if isinstance(value, datetime):
            return value.replace(microsecond=0)
        if isinstance(value, str) and len(value) > MYSQL_TEXT_BYTES // 4 and len(value.encode()) > MYSQL_TEXT_BYTES:
            raise NasError(
                f"study {self._name!r}: a text of {len(value.encode()):,} bytes is more than MySQL holds in Optuna's "
                f"tables ({MYSQL_TEXT_BYTES:,}): copy to PostgreSQL or SQLite"
            )
        return value
