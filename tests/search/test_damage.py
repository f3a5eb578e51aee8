"""Database files that were cut or overwritten, or that may not be written: one line, with what to do."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nas.errors import StudyError
from nas.search.faults import advice, in_one_line
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.core.examples import measurement
from tests.search.conftest import MakeStudy
from tests.search.fakes import accept_all
from tests.search.room import small_disk

COMMANDS = (
    ("status", "study"),
    ("studies",),
    ("front", "study"),
    ("search", "--study", "study", "--trials", "9"),
    ("worker", "study"),
    ("storage", "copy", "study", "elsewhere/study.db"),
)


@pytest.fixture
def results(make_study: MakeStudy, database: Path, tmp_path: Path) -> Path:
    """Give a results folder with a study of some trials in it."""
    study = make_study(30)
    for _ in range(24):
        job = study.claim(accept_all)
        study.finish(job, measurement(0.5, job.fidelity, seed=job.seed))
    study.storage.remove_session()
    study.storage.engine.dispose()
    (tmp_path / "results" / "study").mkdir(parents=True)
    shutil.copy(database, tmp_path / "results" / "study" / "study.db")
    return tmp_path / "results"


def said(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run a command; return its exit code and the one line that it may say, which is no traceback."""
    from nas.cli import run

    capfd.readouterr()
    code = run([str(argument) for argument in arguments])
    err = capfd.readouterr().err
    assert err.count("\n") == 1, err
    return code, err


def overwrite_a_leaf(path: Path) -> None:
    """Overwrite a page of attributes in the middle of the file, which nothing reads when it is opened."""
    with closing(sqlite3.connect(path)) as connection:
        size = int(connection.execute("PRAGMA page_size").fetchone()[0])
        try:
            query = "SELECT pageno FROM dbstat WHERE name = 'trial_user_attributes' AND pagetype = 'leaf'"
            pages = [int(row[0]) for row in connection.execute(query)]
        except sqlite3.OperationalError:
            pytest.skip("this SQLite does not say where its pages are")
    content = bytearray(path.read_bytes())
    start = (pages[len(pages) // 2] - 1) * size
    content[start : start + size] = b"\xff" * size
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("how", "command"),
    [
        *(("cut", command) for command in COMMANDS),
        *(("overwritten", command) for command in COMMANDS if command[0] != "search"),  # which asks for its data first
    ],
)
def test_a_damaged_database_is_one_line_with_what_to_do(
    results: Path, how: str, command: tuple[str, ...], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = results / "study" / "study.db"
    if how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        overwrite_a_leaf(path)
    before = path.read_bytes()
    places = [tmp_path / each if "/" in each else each for each in command]
    code, line = said(capfd, *places, "--results", results)
    assert code in {1, 2}
    assert "malformed: take the newest copy, or what `sqlite3 FILE .recover | sqlite3 NEW.db` still finds" in line
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_read_only_disk_is_one_line_with_what_to_do(
    results: Path, command: tuple[str, ...], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        shutil.copytree(results, disk.path / "results")
        with disk.read_only():
            places = [tmp_path / each if "/" in each else each for each in command]
            _, line = said(capfd, *places, "--results", disk.path / "results")
    assert "make the file and its folder writable, or copy the folder" in line


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_study_that_was_cut_to_nothing_is_not_begun_anew(
    results: Path, command: tuple[str, ...], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (results / "study" / "study.json").write_text("{}")
    (results / "study" / "study.db").write_bytes(b"")
    places = [tmp_path / each if "/" in each else each for each in command]
    code, line = said(capfd, *places, "--results", results)
    assert code == 2
    assert "the file is empty, and it held a study: take the newest copy" in line
    assert (results / "study" / "study.db").read_bytes() == b""


def test_an_error_names_its_database_and_no_password(results: Path) -> None:
    study = Study.open(open_storage(sqlite_url(results / "study" / "study.db")), "study")
    study.storage.remove_session()
    study.storage.engine.dispose()
    overwrite_a_leaf(results / "study" / "study.db")
    with pytest.raises(Exception, match="malformed") as caught:
        study.records()
    line = in_one_line(caught.value)
    assert line is not None
    assert line.startswith(f"storage {sqlite_url(results / 'study' / 'study.db')}: database disk image is malformed: ")


def test_other_errors_are_not_the_databases() -> None:
    assert in_one_line(ValueError("other")) is None
    assert in_one_line(StudyError("other")) is None
    assert advice("something new") == "something new"
