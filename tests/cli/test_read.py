"""The commands that read studies: tables, JSON, CSV and the page."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from nas.records import Status
from nas.search.storage import sqlite_url
from nas.view import StudyView
from tests.cli.conftest import TRIALS, Finished, Nas, Outcome


def read(outcome: Outcome) -> object:
    """Return the JSON on stdout."""
    assert (outcome.code, outcome.err) == (0, "")
    return json.loads(outcome.out)


@pytest.fixture
def view(finished: Finished) -> StudyView:
    """Give the study as the library sees it."""
    return finished.open().view()


def test_studies_are_listed(finished: Finished, nas: Nas, view: StudyView) -> None:
    (row,) = read(nas("studies", "--results", finished.results, "--json"))
    assert (row["study"], row["space"], row["data"], row["cap"]) == ("little", "little", "digits", 2_000)
    assert (row["trials"], row["n_trials"], row["front"]) == (TRIALS, TRIALS, len(view.front))
    assert row["best"] == view.best.metrics["val_accuracy"]
    table = nas("studies", "--results", finished.results).out
    assert f"{TRIALS} of {TRIALS}" in table
    assert f"{100 * row['best']:.2f} %" in table


def test_no_studies_are_said_to_be_none(nas: Nas, tmp_path: Path) -> None:
    assert read(nas("studies", "--results", tmp_path, "--json")) == []
    assert "no study in" in nas("studies", "--results", tmp_path).out


def test_the_status_counts_what_became_of_the_trials(finished: Finished, nas: Nas, view: StudyView) -> None:
    status = read(nas("status", *finished.where, "--json"))
    assert status["evaluated"] == view.counts[Status.EVALUATED] > 0
    assert sum(status[each.value.replace(" ", "_")] for each in Status) == TRIALS
    table = nas("status", *finished.where)
    assert table.code == 0
    assert "stopped early" in table.out


def test_the_status_says_what_was_spent_and_which_rungs_are_in_use(finished: Finished, nas: Nas) -> None:
    status = read(nas("status", *finished.where, "--json"))
    assert 0 < status["hours"] < 1
    assert (status["max_hours"], status["rungs"], status["rungs_in_use"]) == (None, 2, 2)
    assert "2 of 2 in use" in nas("status", *finished.where).out


def test_a_database_can_be_named_instead_of_a_folder(finished: Finished, nas: Nas) -> None:
    url = sqlite_url(finished.folder / "study.db")
    assert read(nas("studies", "--storage", url, "--json"))[0]["study"] == "little"
    assert read(nas("front", "little", "--storage", url, "--json")) == read(nas("front", *finished.where, "--json"))


def test_the_front_is_a_table_with_words(finished: Finished, nas: Nas, view: StudyView) -> None:
    outcome = nas("front", *finished.where)
    assert (outcome.code, outcome.err) == (0, "")
    assert "front of study little under 2k params" in outcome.out
    for record in view.front:
        line = next(line for line in outcome.out.splitlines() if record.arch_id in line)
        assert line.rstrip().endswith(record.architecture.words())
        assert f"{100 * record.metrics['val_accuracy']:.2f} %" in line


def test_the_front_as_json_holds_what_was_measured(finished: Finished, nas: Nas, view: StudyView) -> None:
    rows = read(nas("front", *finished.where, "--json"))
    assert [row["trial"] for row in rows] == [record.number for record in view.front]
    for row, record in zip(rows, view.front, strict=True):
        assert row["val_accuracy"] == record.metrics["val_accuracy"]
        assert row["params"] == record.cost.params


def test_the_front_as_csv_holds_the_same(finished: Finished, nas: Nas) -> None:
    outcome = nas("front", *finished.where, "--csv")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    expected = read(nas("front", *finished.where, "--json"))
    assert [int(row["params"]) for row in rows] == [row["params"] for row in expected]
    assert list(rows[0]) == list(expected[0])


def test_the_front_as_a_page_stands_alone(finished: Finished, nas: Nas, view: StudyView, tmp_path: Path) -> None:
    page = tmp_path / "front.html"
    assert nas("front", *finished.where, "--html", page).code == 0
    text = page.read_text()
    assert view.front[0].arch_id in text
    assert "src=" not in text.split("<body>")[0]


def test_another_cap_gives_another_front_without_a_run(finished: Finished, nas: Nas, view: StudyView) -> None:
    sizes = sorted(record.cost.params for record in view.records)
    rows = read(nas("front", *finished.where, "--cap", sizes[1], "--json"))
    assert {row["params"] for row in rows} <= set(sizes[:2])
    assert f"under {sizes[1]} params" in nas("front", *finished.where, "--cap", sizes[1]).out


def test_a_cap_that_no_trial_fits_gives_an_empty_front(finished: Finished, nas: Nas) -> None:
    assert (
        "the front is empty: no evaluated trial fits under 1 params" in nas("front", *finished.where, "--cap", "1").out
    )
    assert read(nas("front", *finished.where, "--cap", "1", "--json")) == []
    assert nas("front", *finished.where, "--cap", "1", "--csv").out == ""


def test_other_objectives_give_another_front(finished: Finished, nas: Nas, view: StudyView) -> None:
    (row,) = read(nas("front", *finished.where, "--objectives", "val_accuracy", "--json"))
    assert row["trial"] == view.best.number
    table = nas("front", *finished.where, "--objectives", "val_loss, macs").out
    assert "val_loss" in table
    assert "interference" not in table


def test_reading_changes_nothing(finished: Finished, nas: Nas) -> None:
    records = finished.open().records()
    for command in ("front", "status"):
        nas(command, *finished.where, "--json")
    assert finished.open().records() == records


@pytest.mark.parametrize("number", range(TRIALS))
def test_the_parts_of_a_trial_add_up_to_its_cost(finished: Finished, nas: Nas, view: StudyView, number: int) -> None:
    shown = read(nas("show", "little", number, "--results", finished.results, "--json"))
    record = view.records[number]
    assert sum(block["params"] for block in shown["blocks"]) == record.cost.params
    assert sum(block["macs"] for block in shown["blocks"]) == record.cost.macs
    assert max(block["peak_activation_bytes"] for block in shown["blocks"]) == record.cost.peak_activation_bytes
    assert shown["arch_id"] == record.arch_id


def test_a_trial_is_shown_with_its_layers_and_its_record(finished: Finished, nas: Nas, view: StudyView) -> None:
    record = view.front[0]
    shown = nas("show", "little", record.number, "--results", finished.results)
    assert (shown.code, shown.err) == (0, "")
    for words in (record.arch_id, "stage1.block1", "on digits: 8 px", f"{record.cost.params:,} params", "stem.width"):
        assert words in shown.out
    assert f"{100 * record.metrics['val_accuracy']:.2f} %" in shown.out


def test_a_failed_trial_says_why(finished: Finished, nas: Nas, tmp_path: Path) -> None:
    import shutil

    results = tmp_path / "results"
    shutil.copytree(finished.results, results)
    study = Finished(results, finished.outcome).open()
    study.extend(TRIALS + 1)
    study.fail(study.claim(lambda _: None), "RuntimeError: [red]out[/red] of memory")
    said = "RuntimeError: [red]out[/red] of memory"
    assert f"trial {TRIALS} failed: {said}" in nas("status", "little", "--results", results).out
    assert f"failed ({said})" in nas("show", "little", TRIALS, "--results", results).out
