"""A database that goes away for a while: what was asked of it is asked again, at growing intervals."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import optuna
from optuna.storages import RDBStorage
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from nas.errors import StudyError
from nas.search.faults import first_line
from nas.search.lock import LockLostError
from nas.search.read_only import ReadOnlyStorage
from nas.search.storage import shown

PATIENCE_SECONDS = 600
"""After so long a worker gives up; whoever restarts it goes on."""
FIRST_WAIT, LONGEST_WAIT = 0.25, 15.0
SAID_AFTER = 1.0
"""Seconds of waiting from which on a user hears of it: two transactions that got into each other's way are no news."""
HOPELESS = ("readonly database", "malformed", "not a database", "no such table", "unable to open")
"""What SQLite says of faults that time does not mend."""

T = TypeVar("T")
P = ParamSpec("P")


class Stored(Protocol):
    """Something that is kept in a database."""

    @property
    def storage(self) -> RDBStorage:
        """The database."""


S = TypeVar("S", bound=Stored)

_log = logging.getLogger(__name__)


def outlast(storage: RDBStorage, call: Callable[[], T]) -> T:
    """Return what `call` gives, tried again while the database is away; StudyError after `PATIENCE_SECONDS`.

    The call must be one that may be made twice: an answer that was lost may have been a yes. For those who only look
    it is made once.
    """
    if isinstance(storage, ReadOnlyStorage):
        return call()
    wait, began, is_said = FIRST_WAIT, time.monotonic(), False
    while True:  # ends: with an answer, with another error, or with patience
        try:
            found = call()
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, LockLostError) as error:
            if not is_outage(error):
                raise
            where, reason, waited = shown(str(storage.url)), _reason(error), time.monotonic() - began
            if waited > PATIENCE_SECONDS:
                raise StudyError(f"storage {where}: away for {waited / 60:.0f} minutes: {reason}") from None
            if waited > SAID_AFTER and not is_said:
                _log.warning("storage %s is away, tried again for %d minutes: %s", where, PATIENCE_SECONDS / 60, reason)
                is_said = True
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        else:
            if is_said:
                _log.warning("storage %s is back", shown(str(storage.url)))
            return found


def patient(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Let a method outlast its database: it must be one that may be called twice."""

    def call(self: S, /, *given: P.args, **named: P.kwargs) -> T:
        return outlast(self.storage, partial(method, self, *given, **named))

    return update_wrapper(call, method)


def is_outage(error: BaseException | None) -> bool:
    """Return whether an error says that the database, or the lock on it, is away: not that what was asked is wrong."""
    if isinstance(error, optuna.exceptions.StorageInternalError):
        return is_outage(error.__cause__)
    if isinstance(error, OperationalError | InterfaceError):
        return not any(words in str(error.orig) for words in HOPELESS)
    is_cut = isinstance(error, DBAPIError) and error.connection_invalidated
    return is_cut or isinstance(error, PoolTimeoutError | LockLostError)


def _reason(error: Exception) -> str:
    if isinstance(error, LockLostError):
        return "the connection that held the lock of the study was ended"
    return first_line(error)
