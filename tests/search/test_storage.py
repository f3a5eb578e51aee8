"""Databases that cannot be used, and how SQLite files are opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from nas.errors import StudyError
from nas.search.catalogue import study_names
from nas.search.storage import open_storage, shown, sqlite_path, sqlite_url
from nas.search.study import Study


def refusal(url: str, *, create: bool = False) -> str:
    with pytest.raises(StudyError) as caught:
        open_storage(url, create=create)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_missing_is_not_made_by_reading(tmp_path: Path) -> None:
    path = tmp_path / "none" / "study.db"
    assert refusal(sqlite_url(path)) == f"storage sqlite:///{path}: no such file"
    assert not path.parent.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file/study.db: cannot be written" in refusal(sqlite_url(tmp_path / "file" / "study.db"), create=True)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_text("these are not the pages of a database " * 100)
    assert "cannot be opened: file is not a database" in refusal(sqlite_url(path))


def test_a_database_of_a_newer_optuna_is_refused(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
        connection.execute("UPDATE version_info SET schema_version = 99, library_version = '99.0'")
    connection.close()
    assert "another Optuna (schema 99, this one reads " in refusal(sqlite_url(database))


@pytest.mark.parametrize("url", ["nonsense", "", "sqlite", "oracle+nothing://host/db", "://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    assert "not a database URL" in refusal(url, create=True)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    assert "in memory" in refusal(url, create=True)


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    pytest.importorskip("psycopg")
    said = refusal("postgresql+psycopg://user:secret@127.0.0.1:1/db")
    assert "user:***@127.0.0.1:1/db: cannot be opened" in said
    assert "secret" not in said


def test_a_driver_that_is_missing_is_named() -> None:
    assert "its driver is not installed" in refusal("mysql+cymysql://root@127.0.0.1/db")


def test_passwords_are_not_shown() -> None:
    assert shown("mysql+pymysql://root:secret@host/db") == "mysql+pymysql://root:***@host/db"
    assert shown("no url:secret") == "(unreadable URL)"


def test_only_sqlite_has_a_file(tmp_path: Path) -> None:
    assert sqlite_path(sqlite_url(tmp_path / "a b.db")) == tmp_path / "a b.db"
    assert sqlite_path("postgresql+psycopg://host/db") is None


def test_a_sqlite_file_has_a_write_ahead_log(database: Path) -> None:
    with open_storage(sqlite_url(database)).engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1


def test_a_writer_waits_for_another(database: Path) -> None:
    with open_storage(sqlite_url(database)).engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000


def test_an_empty_storage_says_so(database: Path) -> None:
    storage = open_storage(sqlite_url(database))
    assert study_names(storage) == []
    with pytest.raises(StudyError, match="unknown study 'fashion': the storage is empty"):
        Study.open(storage, "fashion")
