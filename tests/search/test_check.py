"""What `nas storage check` finds out about a database, and that it leaves nothing there."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url

from nas.errors import StudyError
from nas.search import check_server
from nas.search.check import Report, check
from nas.search.check_file import file_system
from nas.search.faults import first_line
from nas.search.storage import sqlite_url
from nas.search.study import Study
from tests.core.examples import config, measurement
from tests.search.conftest import MakeStudy
from tests.search.fakes import accept_all

MOUNTS = (
    "/dev/sda1 / ext4 rw 0 0",
    "server:/home /home nfs4 rw 0 0",
    "//server/my\\040share /home/my\\040share cifs rw 0 0",
    "tmpfs /home/fast tmpfs rw 0 0",
)


def contents(engine: sqlalchemy.Engine) -> list[object]:
    """Return every table with its rows."""
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        return [
            (table.name, sorted(map(repr, connection.execute(sqlalchemy.select(table)))))
            for table in tables.sorted_tables
        ]


def test_a_database_that_is_fit_is_said_to_be(storage: RDBStorage, url: str) -> None:
    name = "checked"
    study = Study.create(storage, config(name=name), 4)
    study.finish(study.claim(accept_all), measurement(0.5))
    before = contents(storage.engine)
    report = check(url, 2)
    assert (report.problems, report.warnings) == ((), ())
    assert name in report.studies
    assert report.allowed == ("read", "write", "create", "lock")
    assert report.round_trip_seconds is not None
    assert 0 < report.round_trip_seconds[0] <= report.round_trip_seconds[1]
    assert report.database.split()[0] in {"SQLite", "PostgreSQL", "MariaDB", "MySQL"}
    assert contents(storage.engine) == before


def test_the_clock_of_a_server_is_compared(storage: RDBStorage, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if storage.engine.dialect.name == "sqlite":
        assert check(url).clock_skew_seconds is None
        return
    report = check(url)
    assert report.clock_skew_seconds is not None
    assert abs(report.clock_skew_seconds) < 1
    now = time.time
    monkeypatch.setattr("nas.search.check.time.time", lambda: now() - 3600)
    report = check(url)
    assert report.clock_skew_seconds == pytest.approx(3600, abs=1)
    assert "its clock is 3600.0 s ahead of this machine's" in report.warnings[0]
    assert report.problems == ()


def test_workers_are_counted_against_connections(storage: RDBStorage, url: str) -> None:
    (problem,) = check(url, 5_000).problems
    assert "5000 workers" in problem
    if storage.engine.dialect.name == "sqlite":
        assert "`nas storage copy` to a server" in problem
    else:
        assert "need 10000 connections" in problem


@contextmanager
def reader(url: str) -> Iterator[str]:
    """Give the URL of a user who may read and nothing else."""
    server, name = make_url(url), "nas_test_reader"
    postgres = server.get_backend_name() == "postgresql"
    grants = ["GRANT SELECT ON ALL TABLES IN SCHEMA public TO nas_test_reader"]
    make, drop = ["CREATE USER nas_test_reader PASSWORD 'geheim'"], ["DROP OWNED BY nas_test_reader"]
    if not postgres:
        make, drop = ["CREATE USER nas_test_reader@'%' IDENTIFIED BY 'geheim'"], []
        grants = [f"GRANT SELECT ON {server.database}.* TO nas_test_reader@'%'"]
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        try:
            for statement in (*make, *grants):
                connection.exec_driver_sql(statement.replace("%", "%%"))
            yield server.set(username=name, password="geheim").render_as_string(hide_password=False)
        finally:
            for statement in (*drop, "DROP USER nas_test_reader"):
                connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_user_who_may_only_read_is_told_so_in_one_line(storage: RDBStorage, url: str) -> None:
    if storage.engine.dialect.name == "sqlite":
        pytest.skip("a file has no users")
    with reader(url) as theirs:
        report = check(theirs)
    (problem,) = report.problems
    assert problem.startswith("may not write here: ")
    assert "GRANT ALL" in problem
    assert "\n" not in problem
    assert "geheim" not in repr(report)


def test_an_empty_server_is_asked_whether_tables_may_be_made(url: str) -> None:
    if url.startswith("sqlite"):
        pytest.skip("a file is made by the search")
    server = make_url(url)
    name = f"{server.database}_empty"
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    empty = server.set(database=name)
    fresh = sqlalchemy.create_engine(empty)
    try:
        report = check(empty.render_as_string(hide_password=False))
        assert report.problems == ()
        assert report.schema.startswith("none yet")
        assert "create" in report.allowed
        assert contents(fresh) == []
        if server.get_backend_name() != "postgresql":
            with reader(empty.render_as_string(hide_password=False)) as theirs:
                (problem,) = check(theirs).problems
            assert problem.startswith("may not create here: ")
    finally:
        fresh.dispose()
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}")
        engine.dispose()


def test_a_file_is_examined_and_nothing_is_left_beside_it(make_study: MakeStudy, database: Path) -> None:
    study = make_study()
    study.claim(accept_all)
    study.storage.remove_session()
    study.storage.engine.dispose()
    before, listing = database.read_bytes(), sorted(path.name for path in database.parent.iterdir())
    facts = check(sqlite_url(database)).file
    assert facts is not None
    assert (facts.journal, facts.integrity, facts.is_writable, facts.is_network) == ("wal", "ok", True, False)
    assert facts.free_bytes is not None
    assert facts.size_bytes == len(before)
    assert database.read_bytes() == before
    assert sorted(path.name for path in database.parent.iterdir()) == listing


def test_a_file_that_is_still_to_be_made_is_fit(tmp_path: Path) -> None:
    assert check(sqlite_url(tmp_path / "study.db")).problems == ()
    assert list(tmp_path.iterdir()) == []
    (problem,) = check(sqlite_url(tmp_path / "none" / "study.db")).problems
    assert problem == f"no folder {tmp_path / 'none'}: make it, or mend the path"


def damaged(database: Path, how: str) -> Report:
    whole = database.read_bytes()
    if how == "truncated":
        database.write_bytes(whole[: len(whole) // 2])
    elif how == "a page overwritten":
        database.write_bytes(whole[:8192] + b"\xff" * 4096 + whole[12288:])
    else:
        database.write_text("no database at all " * 1000)
    return check(sqlite_url(database))


@pytest.mark.parametrize(
    ("how", "way"),
    [
        ("truncated", "sqlite3 FILE .recover"),
        ("a page overwritten", "sqlite3 FILE .recover"),
        ("other", "not a database: give the study.db of a study"),
    ],
)
def test_a_damaged_file_is_refused_with_what_to_do(database: Path, how: str, way: str) -> None:
    (problem,) = damaged(database, how).problems
    assert way in problem
    assert "\n" not in problem


def test_another_schema_is_refused_with_what_to_do(database: Path) -> None:
    for schema, way in ((99, "use the Optuna that it was written with"), (3, "optuna storage upgrade")):
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("UPDATE version_info SET schema_version = ?", (schema,))
            connection.commit()
        (problem,) = check(sqlite_url(database)).problems
        assert way in problem


def test_tables_that_are_missing_are_named(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TABLE trial_values")
    (problem,) = check(sqlite_url(database)).problems
    assert problem.startswith("tables of Optuna are missing: trial_values")


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/srv/x", "ext4"), ("/home/x", "nfs4"), ("/home/my share/x", "cifs"), ("/home/fast", "tmpfs")],
)
def test_the_file_system_of_a_folder_is_that_of_the_nearest_mount(folder: str, kind: str) -> None:
    assert file_system(Path(folder), MOUNTS) == kind


def test_a_network_file_system_is_warned_of(database: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr("nas.search.check_file.MOUNTS", mounts)
    report = check(sqlite_url(database))
    assert report.problems == ()
    assert report.warnings[0].startswith("nfs4 is a network file system")


def test_little_room_is_said(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(database.parent)
    monkeypatch.setattr("nas.search.check_file.shutil.disk_usage", lambda _: usage._replace(free=50 * 2**20))
    assert check(sqlite_url(database)).warnings == ("50 MiB are free beside it: make room",)
    monkeypatch.setattr("nas.search.check_file.shutil.disk_usage", lambda _: usage._replace(free=4096))
    assert check(sqlite_url(database)).problems == ("0 MiB are free beside it: make room",)


def test_a_server_that_is_not_there_is_one_line_without_a_password() -> None:
    pytest.importorskip("psycopg")
    report = check("postgresql+psycopg://user:geheim@127.0.0.1:1/db")
    (problem,) = report.problems
    assert "is the server running" in problem
    assert "geheim" not in repr(report)


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "oracle+oracledb://host/db"])
def test_what_is_no_database_of_a_study_is_a_bad_url(url: str) -> None:
    with pytest.raises(StudyError):
        check(url)


def test_a_driver_that_is_missing_is_named_with_its_extra() -> None:
    (problem,) = check("mysql+cymysql://root@127.0.0.1/db").problems
    assert "pip install 'nas[mysql]'" in problem


def test_room_for_workers_is_half_of_the_free_connections() -> None:
    known = check_server.Connections(most=100, used=91)
    assert (known.free, known.workers) == (9, 4)
    assert first_line(ValueError("first\nsecond")) == "first"
