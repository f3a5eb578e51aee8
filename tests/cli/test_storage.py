"""`nas storage check` and `nas storage copy` as a user meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.cli.conftest import Finished, Nas


@pytest.fixture
def results(finished: Finished, tmp_path: Path) -> Path:
    """Give a results folder of the test's own, with the finished study in it."""
    (tmp_path / "results").mkdir()
    shutil.copytree(finished.folder, tmp_path / "results" / "little")
    return tmp_path / "results"


def records(path: Path) -> object:
    return Study.open(open_storage(sqlite_url(path)), "little").records()


def test_a_study_is_checked_by_its_name(nas: Nas, results: Path) -> None:
    outcome = nas("storage", "check", "little", "--results", results)
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.out.rstrip().endswith("usable")
    assert "integrity     ok" in outcome.out


def test_a_check_can_be_read_by_machines(nas: Nas, results: Path) -> None:
    found = json.loads(nas("storage", "check", results / "little" / "study.db", "--json").out)
    assert found["usable"] is True
    assert found["studies"] == ["little"]
    assert found["file"]["integrity"] == "ok"
    assert found["problems"] == []


def test_a_database_that_cannot_be_used_ends_with_1_and_a_line(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("no database " * 1000)
    outcome = nas("storage", "check", tmp_path / "study.db")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "not usable: file is not a database" in outcome.err
    outcome = nas("storage", "check", tmp_path / "study.db", "--json")
    assert (outcome.code, json.loads(outcome.out)["usable"]) == (1, False)


def test_a_bad_url_ends_with_2(nas: Nas) -> None:
    outcome = nas("storage", "check", "nonsense://x")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("nas: storage nonsense://x: ")


def test_a_password_is_not_printed(nas: Nas) -> None:
    outcome = nas("storage", "check", "postgresql+psycopg://user:geheim@127.0.0.1:1/db")
    assert outcome.code == 1
    assert "geheim" not in outcome.out + outcome.err
    assert "user:***@" in outcome.err


def test_more_workers_than_sqlite_serves_are_refused(nas: Nas, results: Path) -> None:
    outcome = nas("storage", "check", "little", "--results", results, "--workers", 9)
    assert outcome.code == 1
    assert "9 workers are more than the 8 that SQLite serves" in outcome.err


def test_a_study_is_copied_to_a_file_and_searched_on_there(nas: Nas, results: Path, tmp_path: Path) -> None:
    there = tmp_path / "there" / "study.db"
    outcome = nas("storage", "copy", "little", there, "--results", results)
    assert outcome.code == 0
    assert outcome.out == f"study little: {_trainings(outcome.out)} trainings copied to sqlite:///{there}\n"
    assert records(there) == records(results / "little" / "study.db")
    again = nas("storage", "copy", "little", there, "--results", results)
    assert again.code == 2
    assert again.err.count("\n") == 1
    assert "has a study 'little' already" in again.err


def _trainings(said: str) -> int:
    count = int(said.split()[2])
    assert count >= 5
    return count


def test_all_studies_of_a_folder_are_copied_to_another(nas: Nas, results: Path, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    outcome = nas("storage", "copy", results, tmp_path / "archive", "--json")
    (copied,) = json.loads(outcome.out)
    assert (copied["study"], copied["running"]) == ("little", 0)
    assert records(tmp_path / "archive" / "little" / "study.db") == records(results / "little" / "study.db")


def test_a_copy_of_what_is_not_there_is_refused(nas: Nas, results: Path, tmp_path: Path) -> None:
    outcome = nas("storage", "copy", "little", tmp_path / "x.db", "--results", results, "--study", "litle")
    assert outcome.code == 2
    assert "did you mean 'little'" in outcome.err
    assert not (tmp_path / "x.db").exists()
    outcome = nas("storage", "copy", "none", tmp_path / "x.db", "--results", results)
    assert (outcome.code, "no such file" in outcome.err) == (2, True)
