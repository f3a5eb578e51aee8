"""Candidates trained from further seeds: drawn, kept, resumed, and what they change in the search."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nas.architecture import Architecture
from nas.records import Candidate, Epoch, Fidelity, Measurement, TrialRecord
from nas.search.catalogue import study_names
from nas.search.compare import compare
from nas.search.fidelity import Sample, repeats, sample
from nas.search.loop import Event, Finished, Started, run
from nas.search.proposals import Mirror
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.training.loop import Progress
from nas.trust.gate import NETWORKS
from nas.value import derive_seed
from tests.core.examples import HIGH, LOW, config, diverged
from tests.search.conftest import MakeStudy
from tests.search.fakes import FakeEvaluator, accept_all

TRIALS = 34
OBJECTIVES = ("val_accuracy", "params", "interference", "cross_talk")


@dataclass
class Overlapping:
    """Measures by a formula: cross-talk costs accuracy at the top rung, and the first rung does not show it."""

    seen: list[tuple[int, int]] = field(default_factory=list)

    def __call__(
        self, candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[[Progress], None]
    ) -> Measurement:
        """Return the measurement."""
        del on_epoch
        self.seen.append((candidate.number, seed))
        talk = derive_seed(candidate.architecture.arch_id) % 1_000 / 1_000
        noise = derive_seed(seed, fidelity.epochs) % 100 / 1_000
        accuracy = 0.7 - 0.5 * talk + noise if fidelity == HIGH else 0.3 + noise
        parts = {"interference": 0.5, "cross_talk": talk, "excess_coherence": talk, "val_loss": 1 - accuracy}
        return Measurement(
            fidelity=fidelity,
            seed=seed,
            epochs=(Epoch(train_loss=1, seconds=1),),
            metrics={"val_accuracy": accuracy, **parts},
            train_seconds=1,
        )


@pytest.fixture(scope="module")
def searched(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the database of a finished study of candidates whose cross-talk matters."""
    path = copied(empty_database, tmp_path_factory.mktemp("searched") / "study.db")
    run(Study.create(open_storage(sqlite_url(path)), config(objectives=OBJECTIVES), TRIALS), Overlapping(), accept_all)
    return path


@pytest.fixture(scope="module")
def repeated(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the same with thirty networks trained from three seeds each."""
    path = copied(searched, tmp_path_factory.mktemp("repeated") / "study.db")
    study = opened(path)
    compare(repeats(study, sample(study, NETWORKS).records, 3), Overlapping(), accept_all)
    return path


def copied(source: Path, target: Path) -> Path:
    """Copy a database with what its write-ahead log still holds."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    return target


def opened(path: Path) -> Study:
    return Study.open(open_storage(sqlite_url(path)), "study")


@pytest.fixture
def before(searched: Path, tmp_path: Path) -> Study:
    """Give the finished study to write to."""
    return opened(copied(searched, tmp_path / "before.db"))


@pytest.fixture
def after(repeated: Path, tmp_path: Path) -> Study:
    """Give the study with further seeds to write to."""
    return opened(copied(repeated, tmp_path / "after.db"))


def finals(record: TrialRecord) -> list[int]:
    """Return the seeds of a record at the top rung."""
    return [each.seed for each in record.measurements if each.fidelity == HIGH]


def test_a_sample_is_of_one_size_bin_and_spread_over_the_proxy_accuracy(before: Study) -> None:
    drawn = sample(before, 5)
    ranked = sorted(before.records(), key=lambda each: (each.measurements[0].metrics["val_accuracy"], each.number))
    ranked = [each for each in ranked if each.cost.params > 250]
    assert (len(drawn.records), drawn.available) == (5, len(ranked))
    cuts = [len(ranked) * i // 5 for i in range(6)]
    places = sorted(ranked.index(each) for each in drawn.records)
    assert all(low <= place < high for low, place, high in zip(cuts, places, cuts[1:], strict=False))


def test_a_sample_goes_on_with_what_was_begun_and_depends_on_nothing_else(before: Study) -> None:
    drawn = sample(before, 4)
    assert sample(opened(Path(before.storage.url.removeprefix("sqlite:///"))), 4) == drawn
    other = next(each for each in before.records() if each not in drawn.records and each.cost.params > 250)
    compare(repeats(before, (other,), 2), Overlapping(), accept_all)
    assert other.number in {each.number for each in sample(before, 4).records}


def test_more_networks_than_there_are_are_all_of_them(before: Study) -> None:
    drawn = sample(before, 1_000)
    assert len(drawn.records) == drawn.available <= TRIALS


def test_a_study_without_results_has_nothing_to_draw_from(make_study: MakeStudy) -> None:
    assert sample(make_study(3), 30) == Sample(None, (), 0)


def test_candidates_that_failed_or_diverged_are_not_drawn(make_study: MakeStudy) -> None:
    study = make_study(6, fidelities=(LOW,))
    run(study, FakeEvaluator({1: RuntimeError("no"), 3: diverged()}), accept_all)
    assert [each.number for each in sample(study, 30).records] == [0, 2, 4, 5]


def test_every_network_of_the_sample_has_so_many_seeds_its_own_among_them(before: Study) -> None:
    drawn, evaluator = sample(before, 6), Overlapping()
    own = {each.number: len(finals(each)) for each in drawn.records}
    assert set(own.values()) == {0, 1}
    trainings = repeats(before, drawn.records, 3)
    assert trainings.total == trainings.left() == sum(3 - count for count in own.values())
    compare(trainings, evaluator, accept_all)
    assert trainings.left() == 0
    records = {each.number: each for each in before.records()}
    assert {len(set(finals(records[number]))) for number in own} == {3}
    assert len(evaluator.seen) == len(set(evaluator.seen)) == trainings.total


def test_a_second_run_trains_only_what_is_missing(before: Study) -> None:
    drawn = sample(before, 3)
    compare(repeats(before, drawn.records, 2), Overlapping(), accept_all)
    again = Overlapping()
    compare(repeats(before, sample(before, 3).records, 3), again, accept_all)
    assert sorted(number for number, _ in again.seen) == [each.number for each in drawn.records]
    assert repeats(before, sample(before, 3).records, 3).left() == 0


def test_what_an_ended_process_left_is_trained_with_the_same_seed(
    before: Study, dead_worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed: list[Event] = []

    def interrupted(*_: object) -> Measurement:
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.search.books.worker_id", lambda: dead_worker)
    with pytest.raises(KeyboardInterrupt):
        compare(repeats(before, sample(before, 2).records, 2), interrupted, accept_all, claimed.append)
    monkeypatch.undo()
    events: list[Event] = []
    compare(repeats(before, sample(before, 2).records, 2), Overlapping(), accept_all, events.append)
    started = [event.job for event in events if isinstance(event, Started)]
    assert claimed[0].job.candidate in [job.candidate for job in started]
    assert claimed[0].job.seed in [job.seed for job in started]
    assert not [event.error for event in events if isinstance(event, Finished) and event.error]


def test_further_seeds_are_no_trials_and_no_study_of_their_own(before: Study, after: Study) -> None:
    assert [each.candidate for each in after.records()] == [each.candidate for each in before.records()]
    assert study_names(after.storage) == ["study"]
    assert after.n_trials == before.n_trials


def test_a_record_is_the_mean_over_its_seeds(after: Study) -> None:
    trial = next(each for each in after.records() if len(finals(each)) == 3)
    found = [each.metrics["val_accuracy"] for each in trial.measurements if each.fidelity == HIGH]
    assert trial.metrics["val_accuracy"] == pytest.approx(sum(found) / 3)


def test_a_further_seed_that_diverges_does_not_undo_the_trial(before: Study) -> None:
    drawn = sample(before, 2)
    records = before.records()
    trainings = repeats(before, drawn.records, 2)
    compare(trainings, lambda _, __, seed, ___: diverged(HIGH).model_copy(update={"seed": seed}), accept_all)
    assert before.records() == records
    assert trainings.left() == 0


def test_an_earned_weight_lets_the_objective_decide(before: Study, after: Study) -> None:
    denied, earned = before.view(), after.view()
    assert [each.name for each in denied.deciding] == ["val_accuracy", "params"]
    talk = next(each for each in earned.verdicts if each.metric == "cross_talk")
    assert talk.weight > 0.3
    assert talk.networks == NETWORKS
    assert {"val_accuracy", "params", "cross_talk"} <= {each.name for each in earned.deciding}


def told(study: Study, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[list[float]]]:
    """Return how many directions samplers hear of at the next claim, and what they hear of each trial."""
    mirrors: list[Mirror] = []
    make = Mirror.__init__

    def noted(self: Mirror, *given: object) -> None:
        mirrors.append(self)
        make(self, *given)

    class _StopError(Exception):
        """Keeps the claim from being written."""

    def refuse(_: Architecture) -> None:
        raise _StopError

    monkeypatch.setattr(Mirror, "__init__", noted)
    study.extend(TRIALS + 40)
    monkeypatch.setattr("nas.search.claims.next_promotion", lambda *_: None)
    with pytest.raises(_StopError):
        study.claim(refuse)
    trials = mirrors[-1]._study.get_trials(deepcopy=False)
    return [each.name for each in mirrors[-1]._study.directions], [each.values for each in trials if each.values]


def test_samplers_hear_of_no_objective_without_a_weight(before: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    directions, values = told(before, monkeypatch)
    assert directions == ["MAXIMIZE", "MINIMIZE"]
    stored = before._main.get_trials(deepcopy=False)
    assert values == [each.values[:2] for each in stored]
    assert {len(each.values) for each in stored} == {4}


def test_samplers_hear_of_an_objective_that_has_earned_a_weight(after: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    directions, values = told(after, monkeypatch)
    names = [each.name for each in after.view().deciding]
    assert len(directions) == len(names) > 2
    column = names.index("cross_talk")
    assert [each[column] for each in values] == [each.values[3] for each in after._main.get_trials(deepcopy=False)]


def test_the_composite_that_samplers_hear_is_the_refitted_one(after: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.trust.gate.deciding", lambda objectives, _: tuple(objectives))
    _, values = told(after, monkeypatch)
    heard = [each[2] for each in values]
    assert len(set(heard)) == TRIALS
    by_talk = sorted(zip(heard, [each[3] for each in values], strict=True))
    assert by_talk[0][1] < by_talk[-1][1]


def test_what_is_proposed_and_promoted_depends_on_the_verdict_alone(before: Study, after: Study) -> None:
    more = TRIALS + 6
    for study in (before, after):
        study.extend(more)
    run(before, Overlapping(), accept_all)
    few = sample(after, 2)
    run(after, Overlapping(), accept_all)
    assert len(few.records) == 2
    assert [each.genotype for each in before.records()] != [each.genotype for each in after.records()]


def test_further_seeds_below_the_gate_change_nothing_in_the_search(
    before: Study, searched: Path, tmp_path: Path
) -> None:
    compare(repeats(before, sample(before, 4).records, 3), Overlapping(), accept_all)
    other = opened(copied(searched, tmp_path / "other.db"))
    for study in (before, other):
        study.extend(TRIALS + 4)
        run(study, Overlapping(), accept_all)
    assert [each.genotype for each in before.records()] == [each.genotype for each in other.records()]
    assert [trial.params for trial in before._rungs.trials] == [trial.params for trial in other._rungs.trials]


def test_a_process_that_saw_the_verdict_change_goes_on_like_one_that_comes_new(before: Study, tmp_path: Path) -> None:
    before.extend(TRIALS + 1)
    run(before, Overlapping(), accept_all)  # with a mirror of two objectives
    compare(repeats(before, sample(before, NETWORKS).records, 3), Overlapping(), accept_all)
    path = Path(before.storage.url.removeprefix("sqlite:///"))
    new = opened(copied(path, tmp_path / "new.db"))
    for study in (before, new):
        study.extend(TRIALS + 4)
        run(study, Overlapping(), accept_all)
    assert [each.genotype for each in before.records()] == [each.genotype for each in new.records()]
