"""`nas worker`, and a search that is shared, limited or interrupted: what is said, and what the study is left as."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.records import Measurement, ReferenceRecord, Status
from nas.search.evaluator import TrainingEvaluator
from tests.cli import conftest
from tests.cli.conftest import TRIALS, Finished, Nas, search
from tests.search.conftest import MakeFolder, as_dead_worker, dead_worker, make_folder

__all__ = ["as_dead_worker", "dead_worker", "make_folder"]


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Finished:
    """Give a copy of the finished study, to work on."""
    return Finished(Path(shutil.copytree(finished.results, tmp_path / "copy")), finished.outcome)


def last_line(outcome: conftest.Outcome) -> str:
    """Return the last line on stderr; whatever happened, it is told without a traceback."""
    assert "Traceback" not in outcome.err
    return outcome.err.splitlines()[-1]


def test_a_worker_does_what_is_left_of_a_study(copy: Finished, nas: Nas) -> None:
    copy.open().extend(TRIALS + 2)
    outcome = nas("worker", *copy.where)
    records = copy.open().records()
    assert (outcome.code, outcome.out) == (0, "")
    assert "working on study little: cpu, float32, contiguous, 1 thread" in outcome.err
    assert f"trial {TRIALS + 1} (1 epochs, " in outcome.err
    assert last_line(outcome) == "study little: nothing is left to do for this worker"
    assert len(records) == TRIALS + 2
    assert Status.RUNNING not in {record.status(copy.open().config.fidelities) for record in records}


@pytest.mark.parametrize(
    ("device", "fault"),
    [
        ("cuda:0", "--device cuda:0: study 'little' is trained on cpu"),
        ("cuda:0,1", "--device cuda:0,1: a worker has one device; start another for each"),
    ],
)
def test_a_worker_has_one_device_of_the_study_s_kind(
    finished: Finished, nas: Nas, monkeypatch: pytest.MonkeyPatch, device: str, fault: str
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    outcome = nas("worker", *finished.where, "--device", device)
    assert (outcome.code, last_line(outcome)) == (2, f"nas: {fault}")


@pytest.mark.parametrize("command", ["worker", "search"])
def test_images_that_have_changed_are_refused_with_both_fingerprints(
    tmp_path: Path, make_folder: MakeFolder, nas: Nas, command: str
) -> None:
    pets, results = make_folder("pets"), tmp_path / "results"
    assert search(results, "--data", f"folder:{pets}", "--epochs", 1, "--trials", 1).code == 0
    study = Finished(results, conftest.Outcome(0, "", "")).open()
    (pets / "cat" / "0.png").write_bytes((pets / "dog" / "0.png").read_bytes())
    outcome = nas(command, *(["little"] if command == "worker" else ["--study", "little"]), "--results", results)
    said = last_line(outcome)
    assert outcome.code == 2
    assert f"nas: study 'little': data: the images of folder:{pets} are not those the study was started with" in said
    assert f"the study has {study.config.data_fingerprint})" in said


def test_when_all_workers_die_the_search_ends_with_the_first_one_s_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.cli.search._command", lambda *_: ["no-such-command"])
    outcome = search(tmp_path / "results", "--workers", 2)
    assert outcome.code == 1
    died = "worker 2 died: No such command 'no-such-command'.; it is not started again; all it said is in "
    assert died in outcome.err
    assert last_line(outcome) == "nas: study little: all 2 workers died; the first: No such command 'no-such-command'."


def test_hours_are_the_study_s_and_can_be_raised(tmp_path: Path) -> None:
    asked = (tmp_path / "results", "--trials", 24, "--epochs", 1)
    first = search(*asked, "--max-hours", 0.0002)
    done = len(Finished(tmp_path / "results", first).open().records())
    assert 0 < done < 24
    assert last_line(first) == "ended: the study's 0.0002 hours are used; a higher --max-hours goes on"
    again = search(*asked)
    assert len(Finished(tmp_path / "results", again).open().records()) == done
    assert "it ends after 0.0002 hours" in again.err
    assert search(*asked, "--max-hours", 1).code == 0
    assert len(Finished(tmp_path / "results", again).open().records()) == 24


def test_finalists_are_confirmed_and_ctrl_c_there_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_dead_worker: Callable[[], None]
) -> None:
    evaluate = TrainingEvaluator.__call__

    def interrupted(self: TrainingEvaluator, candidate: object, *rest: object) -> Measurement:
        if isinstance(candidate, ReferenceRecord):
            raise KeyboardInterrupt
        return evaluate(self, candidate, *rest)

    asked = (tmp_path / "results", "--epochs", 1, "--finalists", 2, "--finalist-seeds", 2)
    with monkeypatch.context() as patched:
        patched.setattr(TrainingEvaluator, "__call__", interrupted)
        stopped = search(*asked)
    assert (stopped.code, stopped.out) == (130, "")
    assert last_line(stopped).startswith(f"stopped; {TRIALS} of {TRIALS} trials are in the study. ")
    as_dead_worker()
    ended = search(*asked)
    study = Finished(tmp_path / "results", ended).open()
    assert "then 2 finalists again, from 2 seeds in all" in ended.err
    assert " again (1 epochs, " in ended.err
    assert sum(len(record.measurements) == 2 for record in study.records()) >= 2
    assert search(*asked).err.endswith("study little: nothing is left to train\n")
