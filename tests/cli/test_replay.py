"""`nas replay`: a trial comes out the same again, whoever trained it; what differs is told, with what may be why."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from nas.results import changes_of_environment
from tests.cli.conftest import TRIALS, Finished, Nas, Outcome, search


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Finished:
    """Give a copy of the finished study, to change."""
    return Finished(Path(shutil.copytree(finished.results, tmp_path / "copy")), finished.outcome)


def promoted(study: Finished) -> int:
    return next(record.number for record in study.open().records() if len(record.own) == 2)


def test_a_trial_that_was_promoted_comes_out_the_same_at_both_rungs(finished: Finished, nas: Nas) -> None:
    number = promoted(finished)
    outcome = nas("replay", finished.where[0], number, *finished.where[1:])
    assert outcome.code == 0, outcome
    assert "val_accuracy" in outcome.out
    assert outcome.out.splitlines()[-1].startswith("equal to the bit: ")
    assert outcome.out.splitlines()[-1].endswith(" of 2 rungs")
    assert f"trial {number}, rung 2: epoch 2/2" in outcome.err.splitlines()


def test_one_rung_alone_can_be_replayed_as_json(finished: Finished, nas: Nas) -> None:
    number = promoted(finished)
    outcome = nas("replay", finished.where[0], number, "--rung", 2, "--json", *finished.where[1:])
    found = json.loads(outcome.out)
    assert (outcome.code, found["equal"], found["reasons"]) == (0, True, [])
    assert {each["rung"] for each in found["values"]} == {2}
    record = finished.open().records()[number]
    accuracy = next(each for each in found["values"] if each["metric"] == "val_accuracy")
    assert accuracy["recorded"] == accuracy["now"] == record.own[1].metrics["val_accuracy"]


def test_a_replay_leaves_the_study_as_it_was(copy: Finished, nas: Nas) -> None:
    def state() -> tuple[object, ...]:
        files = {
            path: path.read_bytes() for path in copy.folder.rglob("*") if path.is_file() and "study.db" not in str(path)
        }
        return copy.open().records(), files

    before = state()
    assert nas("replay", copy.where[0], promoted(copy), *copy.where[1:]).code == 0
    assert state() == before


def change_record(study: Finished, old: str, new: str) -> None:
    with closing(sqlite3.connect(study.folder / "study.db")) as database, database:
        changed = database.execute(
            "UPDATE trial_user_attributes SET value_json = replace(value_json, ?, ?) WHERE instr(value_json, ?)",
            (old, new, old),
        )
        assert changed.rowcount


def test_a_difference_is_told_with_what_has_changed_since(copy: Finished, nas: Nas) -> None:
    number = promoted(copy)
    loss = copy.open().records()[number].own[0].metrics["val_loss"]
    change_record(copy, f'"val_loss":{loss!r}', f'"val_loss":{loss + 0.25!r}')
    file = copy.folder / "study.json"
    content = json.loads(file.read_text())
    content["environment"]["packages"]["torch"] = "2.0.0"
    file.write_text(json.dumps(content))
    outcome = nas("replay", copy.where[0], number, *copy.where[1:])
    assert outcome.code == 1
    assert "-0.25" in outcome.out
    said = outcome.err.splitlines()[-1]
    assert said.startswith(f"nas: trial {number} of study little: 1 of ")
    assert " values differ: torch was 2.0.0, is " in said


def test_without_a_record_of_the_environment_that_is_told(copy: Finished, nas: Nas) -> None:
    loss = copy.open().records()[0].own[0].metrics["val_loss"]
    change_record(copy, f'"val_loss":{loss!r}', f'"val_loss":{loss + 0.25!r}')
    (copy.folder / "study.json").unlink()
    outcome = nas("replay", copy.where[0], 0, "--json", *copy.where[1:])
    assert (outcome.code, json.loads(outcome.out)["equal"]) == (1, False)
    assert outcome.err.splitlines()[-1].endswith("study.json does not say where it was trained")


def test_every_change_of_the_environment_has_words() -> None:
    before = {"python": "3.11", "packages": {"torch": "2.11", "nas": "1"}, "cores": 2, "processor": "a"}
    now = {"python": "3.11", "packages": {"torch": "2.12", "nas": "1", "moocore": "2"}, "cores": 4, "processor": "b"}
    assert changes_of_environment(before, now) == [
        "processor was a, is b",
        "torch was 2.11, is 2.12",
        "moocore was None, is 2",
    ]
    assert changes_of_environment(now, now) == []


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("litle", 0), "results folder {results}: unknown study 'litle'; did you mean 'little'?"),
        (("little", TRIALS), f"study 'little': no trial {TRIALS}; it has {TRIALS}, numbered from 0"),
        (("little", "best"), "Invalid value for 'TRIAL'"),
        (("little", 0, "--rung", 0), "Invalid value for '--rung'"),
        (("little", 0, "--rung", 9), "study 'little': trial 0 was not trained at rung 9; it has rung 1"),
    ],
)
def test_a_wrong_name_is_one_line(finished: Finished, nas: Nas, arguments: tuple[object, ...], fault: str) -> None:
    outcome = nas("replay", *arguments, "--results", finished.results)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("nas: " + fault.format(results=finished.results))


def test_a_trial_without_a_measurement_is_refused(copy: Finished, nas: Nas) -> None:
    new = (
        nas(
            "enqueue",
            copy.where[0],
            0,
            "--set",
            f"stem.width={stem}",
            "--set",
            f"stage1.width={width}",
            *copy.where[1:],
        )
        for stem, width in product((4, 8), (8, 12, 16))
    )
    assert any(outcome.code == 0 for outcome in new)
    outcome = nas("replay", copy.where[0], TRIALS, *copy.where[1:])
    assert outcome.code == 2
    assert outcome.err == f"nas: study 'little': trial {TRIALS} has no measurement to compare: it is waiting\n"


def test_what_two_workers_trained_comes_out_the_same_from_one(tmp_path: Path, nas: Nas) -> None:
    results = tmp_path / "results"
    assert search(results, "--trials", 4, "--workers", 2).code == 0
    for record in Finished(results, Outcome(0, "", "")).open().records():
        assert nas("replay", "little", record.number, "--results", results).code == 0, record.number
