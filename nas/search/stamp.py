"""How Optuna opens a database without Alembic, which takes longer to import than a study of 1,000 trials to read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.storages._rdb import storage as optuna_storage
from sqlalchemy import Engine, column, inspect, select, table

_STAMPS = table("alembic_version", column("version_num"))
_LOCK = threading.Lock()


class _VersionManager(optuna_storage._VersionManager):
    """Optuna's own, but that it reads by itself whether Alembic has stamped the tables; if not, Alembic does."""

    def _init_alembic(self) -> None:
        if not is_stamped(self.engine):
            super()._init_alembic()


def is_stamped(engine: Engine) -> bool:
    """Return whether a database says which layout its tables have."""
    if not inspect(engine).has_table(_STAMPS.name):
        return False
    with engine.connect() as connection:
        return connection.execute(select(_STAMPS.c.version_num)).first() is not None


@contextmanager
def read_by_ourselves() -> Iterator[None]:
    """Let the storages that are opened inside be asked for their stamp without Alembic. Those of other threads may be.

    They come to the same: that is why it does not matter whose they are.
    """
    with _LOCK:
        theirs = optuna_storage._VersionManager
        optuna_storage._VersionManager = _VersionManager  # type: ignore[misc]
        try:
            yield
        finally:
            optuna_storage._VersionManager = theirs  # type: ignore[misc]
