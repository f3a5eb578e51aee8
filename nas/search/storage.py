"""Databases: opened with settings that keep a search fast, and refused in one line when they cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import filelock
import optuna
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import SCHEMA_VERSION, BaseModel, VersionInfoModel
from sqlalchemy import create_engine, event, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from nas.errors import StudyError
from nas.search.faults import advice, first_line, name_database
from nas.search.stamp import read_by_ourselves

LOCK_TIMEOUT_SECONDS = 60
CONNECT_TIMEOUT_SECONDS = 10
DRIVERS = {"psycopg", "psycopg2", "pymysql", "mysqldb"}
"""Those that are known to take `connect_timeout`."""
INSTALL = {
    "postgresql": "give postgresql+psycopg://… and pip install 'nas[postgres]'",
    "mysql": "give mysql+pymysql://… and pip install 'nas[mysql]'",
    "mariadb": "give mysql+pymysql://… and pip install 'nas[mysql]'",
}
"""What to do where a driver is missing, by database; those in here and SQLite are what a study can live in."""
STAMPS = {12: "v3.2.0.a"}
"""Alembic's name of each layout of tables that we can make without Alembic, which takes half a second for it."""
NOT_A_URL = "storage: not a database URL; give sqlite:///FILE, postgresql://… or mysql://…"


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file."""
    return f"sqlite:///{path.resolve()}"


def sqlite_path(url: str) -> Path | None:
    """Return the file of a SQLite URL, None for other databases; StudyError for what is no URL, or for memory."""
    try:
        parsed = make_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
    except (ArgumentError, NoSuchModuleError):
        raise StudyError(NOT_A_URL) from None
    if is_sqlite and parsed.database in {None, "", ":memory:"}:
        raise StudyError(f"storage {shown(url)}: a database in memory ends with its process; give sqlite:///FILE")
    return Path(str(parsed.database)) if is_sqlite else None


def shown(url: str) -> str:
    """Return a URL without its password, as it may be printed or stored."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "(unreadable URL)"


def without_driver(url: str) -> str:
    """Return what to do where the driver of a URL is not installed."""
    hint = INSTALL.get(make_url(url).get_backend_name(), "give sqlite:///FILE, postgresql://… or mysql://…")
    return f"storage {shown(url)}: its driver is not installed; {hint}"


def timeout_settings(url: str) -> dict[str, Any]:
    """Return what has a driver give up on a server that does not answer; nothing for one that does not know it."""
    is_known = make_url(url).get_dialect().driver in DRIVERS
    return {"connect_timeout": CONNECT_TIMEOUT_SECONDS} if is_known else {}


def open_storage(url: str, *, create: bool = False) -> RDBStorage:
    """Return the Optuna storage at `url`; StudyError in one line when there is none, or it cannot be opened."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        path = sqlite_path(url)
        if path is not None:
            if not create and not path.is_file():
                raise StudyError(f"storage {shown(url)}: no such file")
            _refuse_emptied(path)
            path.parent.mkdir(parents=True, exist_ok=True)
        is_new = create and path is not None and _lay_out(path)
        is_ours = is_new or not create
        with read_by_ourselves():
            storage = RDBStorage(
                url,
                engine_kwargs=_engine_settings(url, is_sqlite=path is not None),
                skip_compatibility_check=is_ours,  # by Alembic, a fifth of a second; `_check_schema` asks less
                skip_table_creation=is_new,
            )
        name_database(storage.engine, shown(url))
        if is_ours:
            _check_schema(storage, shown(url))
    except (ArgumentError, NoSuchModuleError):
        raise StudyError(NOT_A_URL) from None
    except ImportError:
        raise StudyError(without_driver(url)) from None
    except OSError as error:
        raise StudyError(f"storage {shown(url)}: cannot be written: {error.strerror or error}") from None
    except (SQLAlchemyError, RuntimeError) as error:
        raise StudyError(f"storage {shown(url)}: cannot be opened: {advice(first_line(error))}") from None
    if path is not None:
        _tune_sqlite(storage)
    return storage


def _refuse_emptied(path: Path) -> None:
    """Raise StudyError for an empty file where there was a study: to begin another one in it would hide the loss."""
    if path.is_file() and not path.stat().st_size and (path.parent / "study.json").is_file():
        raise StudyError(
            f"storage {sqlite_url(path)}: the file is empty, and it held a study: take the newest copy, or move the "
            f"folder {path.parent} away to begin anew"
        )


def _lay_out(path: Path) -> bool:
    """Make the tables of a SQLite file that has none; return whether that was done: what we do not know is Optuna's."""
    if SCHEMA_VERSION not in STAMPS or (path.is_file() and path.stat().st_size):
        return False
    engine = create_engine(sqlite_url(path))
    try:
        with filelock.FileLock(f"{path}.lock"), engine.begin() as connection:
            BaseModel.metadata.create_all(connection)
            connection.execute(
                text(
                    "CREATE TABLE IF NOT EXISTS alembic_version "
                    "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
                )
            )
            stamp = {"stamp": STAMPS[SCHEMA_VERSION]}
            connection.execute(text("INSERT OR IGNORE INTO alembic_version VALUES (:stamp)"), stamp)
    finally:
        engine.dispose()
    return True


def _check_schema(storage: RDBStorage, where: str) -> None:
    """Raise StudyError when a version of Optuna that this one does not read laid the tables out."""
    with storage.engine.connect() as connection:
        found = connection.execute(select(VersionInfoModel.schema_version)).scalar()
    if found is not None and found != SCHEMA_VERSION:
        raise StudyError(
            f"storage {where}: laid out by another Optuna (schema {found}, this one reads {SCHEMA_VERSION}); "
            f"use the Optuna it was written with, or `optuna storage upgrade` if it is older"
        )


def _engine_settings(url: str, *, is_sqlite: bool) -> dict[str, Any]:
    if is_sqlite:
        return {"connect_args": {"timeout": LOCK_TIMEOUT_SECONDS}}
    return {
        "pool_pre_ping": True,
        "pool_size": 2,  # one holds the lock, the other works; what overflows a pool is connected anew each time
        "max_overflow": 0,
        "connect_args": timeout_settings(url),
    }


def _tune_sqlite(storage: RDBStorage) -> None:
    """Write-ahead log and fewer syncs: a trial costs tens of milliseconds in commits instead of hundreds.

    With a write-ahead log, `synchronous=NORMAL` loses nothing when a process is killed; only a power cut can take the
    last commits, never the file.
    """

    def set_pragmas(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", set_pragmas)
    storage.engine.dispose()  # connections made before the listener
