"""The hold of a worker on a running trial: taken, kept by beats, given back, and what came of it written.

A worker that was paused for so long that another took its trial over finds that out here: what it made is dropped. Each
claim has a name of its own, so that not even a process can take itself for an earlier holder.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import Connection, delete, func, insert, select, update

from nas.search.ledger import (
    ATTRIBUTES,
    HEARTBEATS,
    PULSE,
    TRIALS,
    VALUES,
    WORKER,
    StoredTrial,
    attribute_rows,
    now,
    value_row,
)


def take(storage: RDBStorage, trial: StoredTrial, attributes: Mapping[str, Any]) -> bool:
    """Let a worker, named by `attributes`, hold a trial that waits or was lost; False where that has changed meanwhile.

    The trial begins now: the time since it was lost was nobody's.
    """
    with storage.engine.begin() as connection:
        as_seen = (TRIALS.c.trial_id == trial.trial_id, TRIALS.c.state == trial.state)
        begun = {"state": TrialState.RUNNING, "datetime_start": now()}
        if not connection.execute(update(TRIALS).where(*as_seen).values(**begun)).rowcount:
            return False
        _put(connection, trial.trial_id, attributes)
        connection.execute(delete(HEARTBEATS).where(HEARTBEATS.c.trial_id == trial.trial_id))
        connection.execute(insert(HEARTBEATS).values(trial_id=trial.trial_id, heartbeat=func.current_timestamp()))
    return True


def beat(storage: RDBStorage, trial_id: int, worker: str, pulse: str) -> bool:
    """Tell the database that a worker is alive and how far it is; False where it holds the trial no longer."""
    with storage.engine.connect() as connection, connection.begin() as transaction:
        alive = {"heartbeat": func.current_timestamp()}
        connection.execute(update(HEARTBEATS).where(HEARTBEATS.c.trial_id == trial_id).values(**alive))
        if not _holds(connection, trial_id, worker):
            transaction.rollback()
            return False
        mine = (ATTRIBUTES.c.trial_id == trial_id, ATTRIBUTES.c.key == PULSE)
        connection.execute(update(ATTRIBUTES).where(*mine).values(value_json=pulse))
    return True


def let_go(storage: RDBStorage, trial_id: int, worker: str, other: str) -> None:
    """Write another worker to a trial that this one holds."""
    mine = (
        ATTRIBUTES.c.trial_id == trial_id,
        ATTRIBUTES.c.key == WORKER,
        ATTRIBUTES.c.value_json == json.dumps(worker),
    )
    running = select(TRIALS.c.trial_id).where(TRIALS.c.state == TrialState.RUNNING)
    with storage.engine.begin() as connection:
        left = update(ATTRIBUTES).where(*mine, ATTRIBUTES.c.trial_id.in_(running))
        connection.execute(left.values(value_json=json.dumps(other)))


def end(
    storage: RDBStorage,
    trial_id: int,
    worker: str,
    state: TrialState,
    attributes: Mapping[str, Any],
    values: Sequence[float] = (),
) -> bool:
    """Write at once what came of a running trial and that it has ended; False where another worker took it over.

    The state is written first, which waits for whoever is about to take the trial over; then it is seen who holds it.
    Saying the same twice, since an answer was lost with its connection, is saying it once.
    """
    with storage.engine.connect() as connection, connection.begin() as transaction:
        running = (TRIALS.c.trial_id == trial_id, TRIALS.c.state == TrialState.RUNNING)
        ended = {"state": state, "datetime_complete": now()}
        was_running = bool(connection.execute(update(TRIALS).where(*running).values(**ended)).rowcount)
        if not _holds(connection, trial_id, worker):
            transaction.rollback()
            return False
        if was_running:
            connection.execute(delete(ATTRIBUTES).where(ATTRIBUTES.c.trial_id == trial_id, ATTRIBUTES.c.key == PULSE))
            _put(connection, trial_id, attributes)
            if values:
                connection.execute(insert(VALUES), [value_row(trial_id, *each) for each in enumerate(values)])
    return True


def pulses(storage: RDBStorage, trial_ids: Collection[int]) -> dict[int, tuple[str, str]]:
    """Return the last heartbeat and the pulse of some trials, as texts to be compared; empty where there is none."""
    wanted = sorted(trial_ids)
    heartbeats = select(HEARTBEATS.c.trial_id, HEARTBEATS.c.heartbeat).where(HEARTBEATS.c.trial_id.in_(wanted))
    given = select(ATTRIBUTES.c.trial_id, ATTRIBUTES.c.value_json).where(
        ATTRIBUTES.c.trial_id.in_(wanted), ATTRIBUTES.c.key == PULSE
    )
    with storage.engine.connect() as connection:
        beats = {int(trial_id): str(heartbeat) for trial_id, heartbeat in connection.execute(heartbeats)}
        told = {int(trial_id): str(text) for trial_id, text in connection.execute(given)}
    return {trial_id: (beats.get(trial_id, ""), told.get(trial_id, "")) for trial_id in wanted}


def ages(storage: RDBStorage, trial_ids: Collection[int]) -> dict[int, float]:
    """Return how many seconds ago, by the clock of the database, the last heartbeat of some trials was."""
    wanted = HEARTBEATS.c.trial_id.in_(sorted(trial_ids))
    heartbeats = select(HEARTBEATS.c.trial_id, HEARTBEATS.c.heartbeat, func.current_timestamp()).where(wanted)
    with storage.engine.connect() as connection:
        rows = connection.execute(heartbeats).all()
    return {int(trial_id): (_moment(now) - _moment(beat)).total_seconds() for trial_id, beat, now in rows}


def _moment(found: datetime | str) -> datetime:
    """Return a time as the database has it; SQLite gives its own clock as text, PostgreSQL with a zone."""
    return (datetime.fromisoformat(found) if isinstance(found, str) else found).replace(tzinfo=None)


def _holds(connection: Connection, trial_id: int, worker: str) -> bool:
    query = select(ATTRIBUTES.c.value_json).where(ATTRIBUTES.c.trial_id == trial_id, ATTRIBUTES.c.key == WORKER)
    return connection.execute(query).scalar() == json.dumps(worker)


def _put(connection: Connection, trial_id: int, attributes: Mapping[str, Any]) -> None:
    known = (ATTRIBUTES.c.trial_id == trial_id, ATTRIBUTES.c.key.in_(attributes))
    connection.execute(delete(ATTRIBUTES).where(*known))
    connection.execute(insert(ATTRIBUTES), attribute_rows(trial_id, attributes))
