"""One claim at a time: a lock for all processes and machines that work on a study."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import filelock
from optuna.storages import RDBStorage
from sqlalchemy import Connection, text

from nas.errors import StudyError
from nas.search.storage import shown, sqlite_path
from nas.value import derive_seed

PATIENCE_SECONDS = 600
"""A claim takes milliseconds; whoever waits as long as this waits for a machine that hangs."""

_IN_THIS_PROCESS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


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
        try:
            yield
        finally:
            _release(connection, study_name)


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
