"""One claim at a time: a lock for all processes and machines that work on a study."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import filelock
from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from nas.errors import StudyError
from nas.search.storage import shown, sqlite_path
from nas.value import derive_seed

PATIENCE_SECONDS = 600
"""A claim takes milliseconds; whoever waits as long as this waits for a machine that hangs."""

_IN_THIS_PROCESS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


class LockLostError(Exception):
    """The server ended the connection that held the lock: what it guarded was not written, and is to be tried again."""


@dataclass(frozen=True)
class _Held:
    key: int
    connection_id: int


_HELD: WeakKeyDictionary[Engine, _Held] = WeakKeyDictionary()
"""The lock that this process holds on a server; one at a time through one engine."""


@contextmanager
def exclusive(storage: RDBStorage, study_name: str) -> Iterator[None]:
    """Hold the lock on creating a study and on claiming from it; StudyError where it cannot be had.

    A file's lock is the file's, whatever the study: processes that share a SQLite file share a machine. On a server it
    is an advisory lock of one connection: it ends with its process. Threads that share a connection pool take turns
    before, since one that waited with a connection in its hand could keep the holder from getting its second.
    """
    url = str(storage.url)
    path = sqlite_path(url)
    if path is not None:
        with filelock.FileLock(f"{path}.lock"):
            yield
        return
    with _IN_THIS_PROCESS[url], storage.engine.connect() as pooled:
        connection = pooled.execution_options(isolation_level="AUTOCOMMIT")  # no transaction is held open meanwhile
        _take(connection, study_name, shown(url))
        _HELD[storage.engine] = _Held(_key(connection, study_name), _connection_id(connection))
        try:
            yield
        finally:
            del _HELD[storage.engine]
            with suppress(SQLAlchemyError):  # it ended with its connection then, and what was done inside stands
                _release(connection, study_name)


def confirm(connection: Connection) -> None:
    """Raise LockLostError, in the transaction that is about to write, where the lock on a server was lost meanwhile.

    A lock ends with its connection: where the server was started anew, another process may have it by now.
    """
    held = _HELD.get(connection.engine)
    if held is None:
        return
    if connection.dialect.name == "postgresql":
        query = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = :connection_id "
            "AND (classid::bigint << 32) + objid::bigint = :key"
        )
        is_held = bool(connection.execute(text(query), {"connection_id": held.connection_id, "key": held.key}).scalar())
    else:
        query = "SELECT IS_USED_LOCK(:name)"
        is_held = connection.execute(text(query), {"name": f"nas:{held.key}"}).scalar() == held.connection_id
    if not is_held:
        raise LockLostError


def _connection_id(connection: Connection) -> int:
    query = "SELECT pg_backend_pid()" if connection.dialect.name == "postgresql" else "SELECT CONNECTION_ID()"
    return int(connection.execute(text(query)).scalar_one())


def _take(connection: Connection, study_name: str, where: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET lock_timeout = '{PATIENCE_SECONDS}s'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _key(connection, study_name)})
        connection.execute(text("RESET lock_timeout"))
    else:
        name = {"name": f"nas:{_key(connection, study_name)}", "seconds": PATIENCE_SECONDS}
        if connection.execute(text("SELECT GET_LOCK(:name, :seconds)"), name).scalar() != 1:
            raise StudyError(f"storage {where}: study {study_name!r} stayed locked for {PATIENCE_SECONDS} seconds")


def _release(connection: Connection, study_name: str) -> None:
    key = _key(connection, study_name)
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
    else:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": f"nas:{key}"})


def _key(connection: Connection, study_name: str) -> int:
    """Return the number of a study's lock; MySQL's are of the server, so the database takes part."""
    return derive_seed(str(connection.engine.url.database), study_name)
