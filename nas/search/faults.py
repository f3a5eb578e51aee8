"""What databases say when they fail, in one line, with what to do about it."""

from __future__ import annotations

import optuna
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

BESIDE = "make the file and its folder writable, or copy the folder: SQLite writes beside the file even to read it"
SERVER = "is the server running, and does it listen at this host and port?"
WAYS = {
    "malformed": "take the newest copy, or what `sqlite3 FILE .recover | sqlite3 NEW.db` still finds",
    "not a database": "give the study.db of a study, take the newest copy, or move the file away to begin anew",
    "unable to open database": BESIDE,
    "readonly database": BESIDE,
    "disk is full": "free some space and give the same command again; what had ended is safe",
    "disk i/o error": "free some space or mend the disk, then the same command again; what had ended is safe",
    "database is locked": "another process has held it for long; end it, or wait",
    "no such table": "the file is no database of a study",
    "authentication failed": "check user and password of the URL",
    "access denied": "check user, password and database of the URL",
    "does not exist": "make it first: CREATE DATABASE",
    "unknown database": "make it first: CREATE DATABASE",
    "connection refused": SERVER,
    "can't connect": SERVER,
    "timeout": "does a firewall stand between this machine and the server?",
    "timed out": "does a firewall stand between this machine and the server?",
    "too many": "raise max_connections of the server, or start fewer workers",
}
"""What to do, by what databases say in lower case."""


def advice(said: str) -> str:
    """Return what a database said, with what to do where that is known."""
    lower = said.lower()
    return next((f"{said}: {way}" for part, way in WAYS.items() if part in lower), said)


def first_line(error: BaseException) -> str:
    """Return what a driver said, in a line."""
    if isinstance(error, optuna.exceptions.StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    cause = getattr(error, "orig", None) or error
    words = str(cause)
    if len(cause.args) == 2 and isinstance(cause.args[1], str):  # PyMySQL: a number, and words
        words = cause.args[1]
    return words.strip().splitlines()[0] if words.strip() else type(cause).__name__


def name_database(engine: Engine, where: str) -> None:
    """Let the errors of an engine say which database they are of."""

    def note(context: ExceptionContext) -> None:
        if context.sqlalchemy_exception is not None:
            context.sqlalchemy_exception.add_note(where)

    event.listen(engine, "handle_error", note)


def in_one_line(error: BaseException | None) -> str | None:
    """Return what a database failed with, for a user; None for what is no error of a database."""
    if isinstance(error, optuna.exceptions.StorageInternalError):
        return in_one_line(error.__cause__) or str(error)
    if not isinstance(error, DBAPIError):
        return str(error) if isinstance(error, SQLAlchemyError) else None
    where = f"storage {error.__notes__[0]}" if getattr(error, "__notes__", None) else "the database"
    return f"{where}: {advice(first_line(error))}"
