"""`nas fidelity`: trainings from further seeds, the table of scores, and the verdict; and where else it is said."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from nas.records import Measurement
from nas.search.evaluator import TrainingEvaluator
from tests.cli.conftest import TRIALS, Finished, Nas, Outcome, captured
from tests.cli.test_app import loaded
from tests.cli.test_bad_input import refusal

NOTHING = "interference: report-only (0 of 30 networks with three seeds in one size bin)"

PLAIN = r"interference shown: plain composite (3 records with its parts, refitting needs 8)"


@pytest.fixture
def results(finished: Finished, tmp_path: Path) -> Path:
    """Give the results of the finished study to write to."""
    return Path(shutil.copytree(finished.results, tmp_path / "results"))


def fidelity(nas: Nas, results: Path, *arguments: object) -> Outcome:
    return nas("fidelity", "little", "--results", results, *arguments)


def read(outcome: Outcome) -> dict[str, object]:
    """Return the JSON on stdout."""
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_networks_are_trained_and_the_scores_shown(nas: Nas, results: Path, finished: Finished) -> None:
    outcome = fidelity(nas, results, "--gate", "--networks", 2, "--seeds", 3)
    assert outcome.code == 0, outcome.err
    trained = [line for line in outcome.err.splitlines() if line.startswith("[")]
    total = len(trained)
    assert trained[-1].startswith(f"[{total}/{total}] trial ")
    assert f"2 networks, 3 seeds each at the top rung: {total} to train" in outcome.err
    for words in ("val_accuracy", "class_overlap", "depth", "2 of ", "with at least 3 seeds"):
        assert words in outcome.out
    verdict = "interference: report-only (2 of 30 networks with three seeds in one size bin)"
    assert outcome.out.splitlines()[-1] == verdict
    after = Finished(results, finished.outcome).open().records()
    assert sorted(len({m.seed for m in each.measurements if m.fidelity.epochs == 2}) for each in after)[-2:] == [3, 3]
    for command in ("status", "front"):
        assert verdict in nas(command, "little", "--results", results).out


def test_the_same_command_again_trains_nothing(nas: Nas, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fidelity(nas, results, "--gate", "--networks", 1, "--seeds", 2, "--json")
    monkeypatch.setattr(TrainingEvaluator, "__call__", lambda *_: pytest.fail("trained again"))
    again = fidelity(nas, results, "--gate", "--networks", 1, "--seeds", 2, "--json")
    assert read(again) == read(first)
    assert "0 to train" in again.err


def test_json_holds_the_table_and_the_verdicts(nas: Nas, results: Path) -> None:
    found = read(fidelity(nas, results, "--gate", "--no-training", "--json"))
    assert (found["study"], found["seeds"], found["in_bin"], found["sizes"]) == ("little", 3, 0, None)
    assert [rung["epochs"] for rung in found["fidelities"]] == [1, 2]
    assert {"name", "overall", "in_bin", "partial"} == set(found["scores"][0])
    (verdict,) = found["verdicts"]
    assert (verdict["metric"], verdict["weight"], verdict["words"]) == ("interference", 0, NOTHING)
    assert found["composite"] == f"plain composite ({TRIALS} records with its parts, refitting needs 8)"


@pytest.mark.parametrize("gate", [(), ("--gate",)])
def test_reading_trains_nothing_and_needs_no_torch(finished: Finished, gate: tuple[str, ...]) -> None:
    command = ["fidelity", *finished.where, "--no-training", *gate]
    assert loaded(f"from nas.cli import run\nassert run({command!r}) == 0", "torch", "sklearn", "optuna") == {"optuna"}


def test_ctrl_c_leaves_one_line_and_130_and_the_rest_follows(
    nas: Nas, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, trained = TrainingEvaluator.__call__, []

    def interrupted(self: TrainingEvaluator, *given: object) -> Measurement:
        trained.append(given)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return evaluate(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingEvaluator, "__call__", interrupted)
        patched.setattr("nas.search.books.worker_id", lambda: "")
        patched.setattr("nas.search.leases.is_gone", lambda _: False)
        outcome = fidelity(nas, results, "--gate", "--networks", 1, "--seeds", 4)
    assert (outcome.code, outcome.out) == (130, "")
    *_, announced, _, last = outcome.err.splitlines()
    assert last == "stopped; what was trained is in the study. The same command goes on from here."
    total = int(announced.split()[-3])
    monkeypatch.setattr("nas.search.leases.is_gone", lambda _: True)
    again = fidelity(nas, results, "--gate", "--networks", 1, "--seeds", 4)
    assert again.code == 0
    assert len([line for line in again.err.splitlines() if line.startswith("[")]) == total - 1


def test_a_study_that_is_too_small_says_so_and_reports_what_it_can(nas: Nas, results: Path) -> None:
    outcome = fidelity(nas, results, "--gate", "--seeds", 1)
    assert outcome.code == 0
    first, second, *_ = outcome.err.splitlines()
    (count,) = re.findall(r"study little: (\d) of 30 networks in its fullest size bin", first)
    assert second.startswith(f"{count} networks, 1 seed each at the top rung: ")
    assert f"in the size bin: {count} of " in outcome.out


def test_a_training_that_fails_ends_with_one_after_the_table(
    nas: Nas, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(TrainingEvaluator, "__call__", fail)
    outcome = fidelity(nas, results, "--gate", "--networks", 1, "--seeds", 2)
    assert outcome.code == 1
    assert "failed: RuntimeError: no memory" in outcome.err
    assert outcome.err.splitlines()[-1].endswith(" trainings are not done; see above")
    assert NOTHING in outcome.out


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["litle"], "unknown study 'litle'; did you mean 'little'?"),
        (["little", "--networks", "0"], "Invalid value for '--networks'"),
        (["little", "--seeds", "0"], "Invalid value for '--seeds'"),
        (["little", "--budget", "an hour"], "--budget must be a time such as 1h, 30m or 90s, got 'an hour'"),
        (["little", "--budget", "0s"], "--budget must be a time such as 1h, 30m or 90s, got '0s'"),
        (["little", "--networks", "some"], "Invalid value for '--networks'"),
        ([], "Missing argument 'STUDY'"),
        (["little", "--no-training", "--storage", "nonsense"], "storage: not a database URL"),
    ],
)
def test_a_mistake_is_one_line(nas: Nas, finished: Finished, arguments: list[str], fault: str) -> None:
    assert fault in refusal(nas("fidelity", *arguments, "--results", finished.results))


def test_images_that_are_no_longer_there_are_one_line(nas: Nas, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.errors import DataError

    def gone(*_: object, **__: object) -> None:
        raise DataError("digits: no such data")

    monkeypatch.setattr("nas.search.setup.load_dataset", gone)
    assert fault_of(fidelity(nas, results, "--networks", 1)) == "nas: digits: no such data"


def fault_of(outcome: Outcome) -> str:
    assert (outcome.code, outcome.out) == (2, "")
    return outcome.err.splitlines()[-1]


def test_search_status_front_and_page_say_what_interference_may_do(finished: Finished, nas: Nas) -> None:
    assert NOTHING in finished.outcome.out
    assert NOTHING in nas("status", *finished.where).out
    assert read(nas("status", *finished.where, "--json"))["trust"] == [NOTHING, PLAIN]
    assert NOTHING in nas("front", *finished.where).out
    assert NOTHING in (finished.folder / "front.html").read_text()


def test_a_front_that_is_asked_for_with_interference_is_decided_by_it(finished: Finished, nas: Nas) -> None:
    asked = nas("front", *finished.where, "--objectives", "val_accuracy,interference")
    assert f"{NOTHING}; here it decides, as it was asked for" in asked.out
    assert "report-only" not in nas("front", *finished.where, "--objectives", "val_accuracy,params").out


@pytest.fixture(scope="module")
def metered(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """Give the results of a study whose networks were all trained once more, and what that printed."""
    results = Path(shutil.copytree(finished.results, tmp_path_factory.mktemp("metered") / "results"))
    return results, captured("fidelity", "little", "--results", results)


def test_the_meter_trains_each_network_once_more_and_says_how_every_score_ranks(
    metered: tuple[Path, Outcome], finished: Finished
) -> None:
    results, outcome = metered
    assert outcome.code == 0, outcome.err
    assert f"{TRIALS} networks, 1 seed each at the top rung: {TRIALS} to train" in outcome.err
    for record in Finished(results, finished.outcome).open().records():
        own = record.measurements[0].seed
        assert sum(each.seed != own and each.fidelity.epochs == 2 for each in record.measurements) == 1
    assert f"study little: {TRIALS} networks with a final accuracy in " in outcome.out
    for words in ("Kendall's tau of each score", "Spearman's correlation of each score", "synflow", "mix", "params"):
        assert words in outcome.out
    assert "Kendall's tau of each rung with the final accuracy" in outcome.out
    assert "lowest rung" in outcome.out.splitlines()[-1]


def test_the_meter_goes_on_with_its_sample(metered: tuple[Path, Outcome], nas: Nas) -> None:
    results, _ = metered
    again = fidelity(nas, results)
    assert f"{TRIALS} networks, 1 seed each at the top rung: 0 to train" in again.err
    assert again.out == metered[1].out


def test_the_meter_as_json_and_on_the_page(metered: tuple[Path, Outcome], nas: Nas) -> None:
    results, _ = metered
    found = read(fidelity(nas, results, "--no-training", "--json"))
    assert (found["study"], found["networks"], found["promoted"]) == ("little", TRIALS, 0)
    scores = {each["name"]: each for each in found["scores"]}
    assert {"mix", "val_accuracy", "train_loss_ema", "naswot", "params", "depth"} <= set(scores)
    assert {"value", "low", "high", "count"} == set(scores["mix"]["overall"]["kendall"])
    assert [each["rung"] for each in found["rungs"]] == [0]
    assert "Trust meter: how the proxy ranks" in (results / "little" / "front.html").read_text()


def test_a_budget_ends_the_sample(nas: Nas, results: Path) -> None:
    outcome = fidelity(nas, results, "--budget", "0.0001s")
    assert outcome.code == 0, outcome.err
    assert "0 networks, 1 seed each at the top rung: 0 to train" in outcome.err
    assert "a rank correlation takes 5 networks" in outcome.out
