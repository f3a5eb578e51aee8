"""Databases for those who only look: opened so that the database itself refuses to write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from nas.errors import StudyError
from nas.search.faults import first_line
from nas.search.stamp import read_by_ourselves
from nas.search.storage import NOT_A_URL, shown, sqlite_path, timeout_settings, without_driver

TIMEOUT_SECONDS = 10
SETTINGS = {
    "postgresql": {"options": "-c default_transaction_read_only=on"},
    "mysql": {"init_command": "SET SESSION TRANSACTION READ ONLY"},
    "mariadb": {"init_command": "SET SESSION TRANSACTION READ ONLY"},
}
"""What a connection to a server is opened with: every transaction of it is read-only."""


class ReadOnlyStorage(RDBStorage):
    """A database for those who only look: where it is away they say so at once, and nobody waits for it."""


def open_read_only(url: str) -> ReadOnlyStorage:
    """Return the storage at `url` for reading; StudyError when there is none. A write to it is the database's error."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = sqlite_path(url)
    if path is not None and not path.is_file():
        raise StudyError(f"storage {shown(url)}: no such file")
    try:
        with read_by_ourselves():
            return ReadOnlyStorage(
                url, engine_kwargs=_settings(url, path), skip_compatibility_check=True, skip_table_creation=True
            )
    except (ArgumentError, NoSuchModuleError):
        raise StudyError(NOT_A_URL) from None
    except ImportError:
        raise StudyError(without_driver(url)) from None
    except (SQLAlchemyError, RuntimeError, OSError) as error:
        raise StudyError(f"storage {shown(url)}: cannot be opened: {first_line(error)}") from None


@contextmanager
def reachable(url: str) -> Iterator[None]:
    """Let what a database says in here, when it cannot be read, be a StudyError in one line."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, sqlite3.Error) as error:
        raise StudyError(f"storage {shown(url)}: cannot be read: {first_line(error)}") from None


def _settings(url: str, path: Path | None) -> dict[str, Any]:
    if path is None:
        backend = make_url(url).get_backend_name()
        arguments = SETTINGS.get(backend, {}) | timeout_settings(url)
        return {"pool_pre_ping": True, "pool_size": 1, "max_overflow": 1, "connect_args": arguments}
    address = f"file:{quote(str(path.resolve()))}?mode=ro"

    def connect() -> sqlite3.Connection:
        if not path.is_file():  # or a file that is made again under its name would never be looked at
            raise sqlite3.OperationalError("no such file")
        return sqlite3.connect(address, uri=True, timeout=TIMEOUT_SECONDS, check_same_thread=False)

    return {"creator": connect, "poolclass": NullPool}  # a file that another took the place of is seen
