"""`nas search` from its first line to its last."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from nas.cli import run
from nas.errors import NasError
from nas.records import Measurement
from nas.search.evaluator import TrainingEvaluator
from nas.search.storage import sqlite_url
from tests.cli.conftest import TRIALS, Finished, Nas, Outcome, search, space_file


def test_a_search_ends_with_its_front(finished: Finished) -> None:
    assert finished.outcome.code == 0, finished.outcome.err
    front = finished.open().view().front
    assert "front of study little" in finished.outcome.out
    for record in front:
        assert record.arch_id in finished.outcome.out
    assert len(front) >= 1


def test_a_search_leaves_study_space_database_and_front(finished: Finished) -> None:
    written = {path.name for path in finished.folder.iterdir()}
    assert {"study.json", "space.toml", "study.db", "front.html"} <= written
    assert not [name for name in written if name.startswith(".")]


def test_a_search_says_before_it_starts_what_is_to_come(finished: Finished) -> None:
    assert "space little: 24 networks, " in finished.outcome.err
    assert "training on cpu, float32, contiguous, 1 thread, batches of 64: 1,000 images/s" in finished.outcome.err
    assert "  float32: as the test has it\n" in finished.outcome.err
    assert f"new study little: {TRIALS} trials, objectives val_accuracy, params, interference" in finished.outcome.err
    assert (
        "rungs: 1 epoch at 8 px -> 2 epochs at 8 px; one in 2 goes on, so that the lowest takes 67% of the search"
        in (finished.outcome.err)
    )
    assert f"expected: about 4 s: {TRIALS + 3} trainings, " in finished.outcome.err


def test_a_search_that_is_no_terminal_writes_plain_lines(finished: Finished) -> None:
    lines = [line for line in finished.outcome.err.splitlines() if line.startswith("[")]
    assert lines[0].startswith(f"[1/{TRIALS}] trial 0 (1 epochs, ")
    assert lines[-1].startswith(f"[{TRIALS}/{TRIALS}] trial ")
    assert all("val accuracy" in line and "front" in line and "left" in line for line in lines)
    assert "\x1b" not in finished.outcome.err + finished.outcome.out


def test_what_to_type_next_can_be_typed(finished: Finished, nas: Nas) -> None:
    show, search_on, fidelity = [
        line for line in finished.outcome.out.splitlines() if line.startswith(("next: nas", "      nas"))
    ]
    command = shlex.split(show.removeprefix("next: ").split("   (")[0])
    assert nas(*command[1:]).code == 0
    assert fidelity.startswith(f"      nas fidelity little --results {finished.results}")
    assert f"nas search --study little --trials {2 * TRIALS} --results {finished.results}" in search_on


def test_the_same_command_again_trains_nothing(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingEvaluator, "__call__", lambda *_: pytest.fail("trained again"))
    again = search(finished.results)
    assert again.code == 0
    assert f"going on with study little at trial {TRIALS}: {TRIALS} trials" in again.err
    assert again.err.endswith("study little: nothing is left to train\n")
    assert again.out == finished.outcome.out


def test_json_is_all_there_is_on_stdout(finished: Finished) -> None:
    front = json.loads(search(finished.results, "--json").out)
    assert [row["trial"] for row in front] == [record.number for record in finished.open().view().front]


def test_a_study_elsewhere_is_named_in_what_to_type_next(tmp_path: Path, nas: Nas) -> None:
    url = sqlite_url(tmp_path / "elsewhere.db")
    outcome = search(tmp_path / "results", "--storage", url, "--trials", 1, "--epochs", 1)
    assert f"nas show little 0 --results {tmp_path}/results --storage {url} " in outcome.out
    assert nas("show", "little", 0, "--storage", url).code == 0


def test_ctrl_c_leaves_one_line_and_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = TrainingEvaluator.__call__

    def interrupted(self: TrainingEvaluator, candidate: object, *rest: object) -> Measurement:
        if candidate.number == 2:
            raise KeyboardInterrupt
        return evaluate(self, candidate, *rest)

    monkeypatch.setattr(TrainingEvaluator, "__call__", interrupted)
    outcome = search(tmp_path / "results", "--epochs", 1)
    assert (outcome.code, outcome.out) == (130, "")
    expected = f"stopped; 2 of {TRIALS} trials are in the study. The same command goes on from here."
    assert outcome.err.splitlines()[-1] == expected


@pytest.mark.parametrize("phase", ["nas.search.setup.load_dataset", "tests.cli.conftest.plain_choice"])
def test_ctrl_c_before_the_first_trial_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(phase, interrupted)
    outcome = search(tmp_path / "results")
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == "stopped; 0 trials are in the study. The same command goes on from here."
    assert not list(tmp_path.glob("results/*/*"))


def fail(*_: object) -> None:
    raise RuntimeError("no space left on device")


def test_a_run_that_fails_ends_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingEvaluator, "__call__", fail)
    outcome = search(tmp_path / "results")
    *_, before, last = outcome.err.splitlines()
    assert outcome.code == 1
    assert "failed: RuntimeError: no space left on device" in before
    assert last.startswith("nas: 3 candidates in a row could not be evaluated")


def test_a_search_without_a_single_result_ends_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nas: Nas
) -> None:
    monkeypatch.setattr(TrainingEvaluator, "__call__", fail)
    outcome = search(tmp_path / "results", "--trials", 2)
    assert outcome.code == 1
    assert "nas: study little: no trial could be evaluated; see `nas status little`" in outcome.err
    assert (
        "trial 1 failed: RuntimeError: no space left on device"
        in nas("status", "little", "--results", tmp_path / "results").out
    )


def test_nan_accuracy_is_recorded_as_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nas: Nas) -> None:
    evaluate = TrainingEvaluator._metrics

    def spoiled(self: TrainingEvaluator, *given: object) -> dict[str, float]:
        return evaluate(self, *given) | {"val_accuracy": float("nan")}

    monkeypatch.setattr(TrainingEvaluator, "_metrics", spoiled)
    outcome = search(tmp_path / "results", "--trials", 2, "--epochs", 1)
    assert outcome.code == 1
    front = nas("front", "little", "--results", tmp_path / "results", "--json")
    assert (front.code, json.loads(front.out)) == (0, [])


def test_an_exhausted_space_ends_early_with_the_reason(tmp_path: Path) -> None:
    path = Path(space_file(tmp_path))
    path.write_text(path.read_text().replace("[8, 12, 16]", "8").replace("[1, 2]", "1").replace("[4, 8]", "4"))
    outcome = search_in(path, tmp_path / "results")
    assert "ended early: space 'little': all 2 members within the caps were seen" in outcome.err


def test_a_cap_on_macs_holds_for_every_network(tmp_path: Path, nas: Nas) -> None:
    path = Path(space_file(tmp_path))
    path.write_text(path.read_text().replace('cap = "2k"', 'cap = "2k"\nmacs = "12k"'))
    outcome = search_in(path, tmp_path / "results")
    assert "of random ones fit under 2k params, 12k MACs; smallest" in outcome.err
    where = ("little", "--results", tmp_path / "results")
    assert "front of study little under 3k params, 12k MACs" in nas("front", *where, "--cap", "3k").out
    shown = (nas("show", *where[:1], number, *where[1:], "--json").out for number in range(TRIALS))
    assert max(json.loads(each)["cost"]["macs"] for each in shown) <= 12_000


def search_in(space: Path, results: Path) -> Outcome:
    """Search a space for five trials and return what was said."""
    from tests.cli import conftest

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(conftest, "space_file", lambda _: str(space))
        outcome = search(results, "--epochs", 1)
    assert outcome.code == 0
    return outcome


def test_images_that_were_left_out_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from nas.search import setup

    load = setup.load_dataset
    monkeypatch.setattr(setup, "load_dataset", lambda *given, **more: replace(load(*given, **more), skipped=3))
    outcome = search(tmp_path / "results", "--trials", 1, "--epochs", 1)
    assert "left out 3 images that cannot be read" in outcome.err


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="unknown space"):
        run(["--debug", "search", "--space", "nowhere", "--results", str(tmp_path / "results")])
