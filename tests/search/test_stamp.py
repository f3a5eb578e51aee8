"""Databases are opened without Alembic where they say which layout they have, and with it where they do not."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.storages._rdb import storage as optuna_storage

from nas.search.stamp import is_stamped, read_by_ourselves
from nas.search.storage import STAMPS, open_storage, sqlite_url


def test_a_study_is_opened_without_alembic(database: Path) -> None:
    code = (
        "import sys\nfrom nas.search.storage import open_storage\n"
        f"open_storage({sqlite_url(database)!r}).get_all_studies()\nprint('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("statement", ["DROP TABLE alembic_version", "DELETE FROM alembic_version"])
def test_a_database_without_a_stamp_gets_one(database: Path, statement: str) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(statement)
    connection.close()
    engine = open_storage(sqlite_url(database)).engine
    assert is_stamped(engine)
    with engine.connect() as found:
        (stamp,) = found.exec_driver_sql("SELECT version_num FROM alembic_version").scalars()
    assert stamp in STAMPS.values()


def test_optuna_is_as_it_was_afterwards() -> None:
    theirs = optuna_storage._VersionManager
    with read_by_ourselves():
        assert optuna_storage._VersionManager is not theirs
    assert optuna_storage._VersionManager is theirs
