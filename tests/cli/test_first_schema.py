"""A study that the first schema of ours laid out goes on under the code of today.

`tests/search/data/first_schema.sql` is what `nas search` wrote then, of seven trials; the last was stopped by Ctrl-C.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nas.records import TrialRecord
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.cli.conftest import Nas
from tests.search import data

DUMP = Path(data.__path__[0]) / "first_schema.sql"
MEASURED = {
    0: [(1, 29), (3, 48)],
    1: [(1, 22), (3, 44)],
    2: [(1, 36)],
    3: [(1, 18)],
    4: [(1, 44), (3, 50), (3, 69)],
    5: [(1, 29)],
    6: [],
}
"""By trial: the epochs of each training, and how many of the 288 validation images its network got right."""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Give a results folder with the old study in it."""
    folder = tmp_path / "results" / "little"
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "study.db")) as connection:
        connection.executescript(DUMP.read_text(encoding="utf-8"))
    return folder.parent


def records(results: Path) -> tuple[TrialRecord, ...]:
    return Study.open(open_storage(sqlite_url(results / "little" / "study.db")), "little").records()


def measured(records: tuple[TrialRecord, ...]) -> dict[int, list[tuple[int, int]]]:
    """Return what `MEASURED` has of the records."""
    return {
        record.number: [
            (made.fidelity.epochs, round(288 * made.metrics["val_accuracy"])) for made in record.measurements
        ]
        for record in records
    }


def test_its_records_are_read(results: Path) -> None:
    found = records(results)
    assert measured(found) == MEASURED
    assert found[4].arch_id == "5563098a3fb9"
    assert all(made.epochs for record in found for made in record.measurements)


def test_the_commands_read_it(nas: Nas, results: Path) -> None:
    outcome = nas("status", "little", "--results", results, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["trials"] == 7
    outcome = nas("front", "little", "--results", results, "--json")
    assert [row["trial"] for row in json.loads(outcome.out)] == [1, 0, 4]


def test_its_search_goes_on_from_the_trial_that_was_stopped(nas: Nas, results: Path) -> None:
    before = records(results)
    outcome = nas("search", "--study", "little", "--trials", 9, "--results", results)
    assert outcome.code == 0, outcome.err
    after = records(results)
    assert [record.number for record in after] == list(range(9))
    assert all(set(old.measurements) <= set(new.measurements) for old, new in zip(before, after, strict=False))
    assert after[6].arch_id == before[6].arch_id
    assert after[6].own
    assert len({record.arch_id for record in after}) == 9
