"""`nas search --warm-start`: what another study has measured stands in a new one, and nothing is trained twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.records import Candidate, Fidelity, Measurement
from nas.search.evaluator import TrainingEvaluator
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.cli.conftest import TRIALS, Finished, Nas, Outcome, search

Trained = list[tuple[str, Fidelity, int]]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Note down what is trained: which network, at which fidelity, from which seed."""
    evaluate, seen = TrainingEvaluator.__call__, Trained()

    def noting(
        self: TrainingEvaluator, candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[..., None]
    ) -> Measurement:
        seen.append((candidate.architecture.arch_id, fidelity, seed))
        return evaluate(self, candidate, fidelity, seed, on_epoch)

    monkeypatch.setattr(TrainingEvaluator, "__call__", noting)
    return seen


@pytest.fixture
def results(finished: Finished, tmp_path: Path) -> Path:
    """Give a folder of the test's own with the finished study in it."""
    return Path(shutil.copytree(finished.results, tmp_path / "results"))


def opened(results: Path, name: str) -> Study:
    return Study.open(open_storage(sqlite_url(results / name / "study.db")), name)


def second(results: Path, *arguments: Any) -> Outcome:
    return search(results, "--study", "second", "--warm-start", "little", *arguments)


def test_a_second_search_starts_from_the_first(results: Path, trained: Trained, nas: Nas) -> None:
    outcome = second(results, "--trials", 3)
    assert outcome.code == 0, outcome.err
    assert f"\nwarm start from little: {TRIALS} taken over\n" in outcome.err
    assert f"\nnew study second: 3 trials beside {TRIALS} taken over, objectives" in outcome.err
    first, study = opened(results, "little"), opened(results, "second")
    records = study.records()
    assert len(records) == TRIALS + 3
    for before, after in zip(first.records(), records, strict=False):
        assert after.measurements[: len(before.measurements)] == before.measurements
    old = {(record.arch_id, made.fidelity) for record in first.records() for made in record.measurements}
    assert not old & {(arch_id, fidelity) for arch_id, fidelity, _ in trained}
    assert len(set(trained)) == len(trained)
    assert len({record.arch_id for record in records}) == len(records)
    assert "nas search --study second --trials 6 " in outcome.out
    shown = nas("show", "second", 2, "--results", results)
    assert "\ntaken over from little:2\n" in shown.out


def test_a_promotion_goes_on_from_the_checkpoint_of_the_first_study(results: Path, trained: Trained) -> None:
    assert second(results, "--trials", 5).code == 0
    study = opened(results, "second")
    seeds = {number: record.measurements[0].seed for number, record in enumerate(study.records())}
    own = {(record.arch_id, made.fidelity): made for record in study.records() for made in record.own}
    ids = {record.arch_id: record.number for record in study.records()}
    later = [job for job in trained if ids[job[0]] in study.taken_over]
    assert later, "nothing that was taken over was promoted: the test says nothing"
    for arch_id, fidelity, seed in later:
        assert seed == seeds[ids[arch_id]]
        assert own[arch_id, fidelity].continued_from == 1


def test_the_same_command_again_trains_nothing(results: Path, trained: Trained) -> None:
    assert second(results, "--trials", 1).code == 0
    done = list(trained)
    again = second(results, "--trials", 1)
    assert again.code == 0
    assert again.err.endswith("study second: nothing is left to train\n")
    assert trained == done
    assert search(results, "--study", "second", "--trials", 1).code == 0


def test_a_source_that_is_gone_is_said_once(results: Path) -> None:
    assert second(results, "--trials", 1, "--epochs", 1).code == 0
    shutil.rmtree(results / "little")
    again = second(results, "--trials", 2, "--epochs", 1)
    assert again.code == 0, again.err
    said = "warm start from little: it cannot be read any more; the search goes on without it"
    assert again.err.count(said) == 1


def test_another_fidelity_only_informs(results: Path) -> None:
    outcome = second(results, "--trials", 1, "--epochs", 1, "--train-fraction", 0.5)
    said = f"warm start from little: 0 taken over, {TRIALS} only inform (another fidelity: 1 epoch at 8 px)"
    assert said in outcome.err
    config = json.loads((results / "second" / "study.json").read_text())["config"]
    trainings = sum(len(record.measurements) for record in opened(results, "little").records())
    assert config["warm_start"] == [{"study": "little", "records": trainings}]


def test_workers_start_from_it_as_well(results: Path) -> None:
    outcome = second(results, "--trials", 2, "--workers", 2)
    assert outcome.code == 0, outcome.err
    study = opened(results, "second")
    assert len(study.records()) == TRIALS + 2
    assert len(study.taken_over) == TRIALS


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ("nowhere", "warm start: unknown study 'nowhere' (known: little)"),
        ("second", "warm start: study 'second' cannot start from itself"),
        ("little,little", "--warm-start must name studies, each once, got 'little, little'"),
        ("", "--warm-start must name studies, each once, got ''"),
    ],
)
def test_a_bad_source_is_refused_in_one_line(results: Path, names: str, why: str) -> None:
    outcome = search(results, "--study", "second", "--warm-start", names)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"nas: {why}\n"
    assert not (results / "second").exists()


def test_another_space_is_refused_with_the_genes_that_differ(results: Path, nas: Nas) -> None:
    outcome = nas("search", "--study", "second", "--warm-start", "little", "--results", results)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("nas: warm start: study 'little' is of another space: ")
    assert "stem.width: " in outcome.err
    assert " there" in outcome.err
    assert not (results / "second").exists()


def test_a_study_that_exists_keeps_its_sources(results: Path) -> None:
    outcome = search(results, "--warm-start", "other")
    assert outcome.code == 2
    assert "study 'little': a different warm-start than it was started with: the study has none, asked was other" in (
        outcome.err
    )


def test_batch_size_and_precision_stay_as_they_were(results: Path) -> None:
    assert search(results, "--study", "small", "--plan", "batch_size=32", "--trials", 1, "--epochs", 1).code == 0
    kept = search(results, "--study", "second", "--warm-start", "small", "--trials", 1, "--epochs", 1)
    assert "\nwarm start from small: 1 taken over\n" in kept.err
    assert "\nwarm start: precision and batch size as they were, so that measurements can be compared\n" in kept.err
    assert opened(results, "second").config.recipe.batch_size == 32
    own = ("--plan", "batch_size=16", "--trials", 1, "--epochs", 1)
    other = search(results, "--study", "third", "--warm-start", "small", *own)
    assert "\nwarm start from small: 0 taken over, 1 only inform (another recipe: batch size 32)\n" in other.err


def test_a_baseline_starts_from_the_same(results: Path) -> None:
    assert second(results, "--trials", 2, "--epochs", 1, "--baseline", "random").code == 0
    study, beside = opened(results, "second"), opened(results, "second-random")
    assert beside.config.warm_start == study.config.warm_start
    assert beside.records()[:TRIALS] == study.records()[:TRIALS]
    assert (study.n_trials, beside.n_trials) == (TRIALS + 2, TRIALS + 2)
