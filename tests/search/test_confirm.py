"""Finalists from further seeds: who they are, that their means decide, and that several workers share them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from threading import Lock

import pytest

from nas.budget import Budget
from nas.records import Candidate, Epoch, Fidelity, Measurement, Recipe
from nas.report.standings import standings
from nas.search.compare import compare
from nas.search.confirm import ROUNDS, confirm, finalists, rounds
from nas.search.evaluator import TrainingEvaluator
from nas.search.fidelity import further, predicted_seconds, stratified
from nas.search.loop import run
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.training.loop import Progress
from nas.value import derive_seed
from tests.core.examples import HIGH, config
from tests.search.conftest import MakeStudy
from tests.search.fakes import accept_all, digits_config, small_digits
from tests.search.test_repeats import copied, opened

NOISE = 0.05
SEEDS = 3


@dataclass
class Noisy:
    """Measures accuracy as a known quality plus a uniform noise of the seed; `seen` is what was trained."""

    seen: list[tuple[int, int, Fidelity]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def __call__(
        self, candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[[Progress], None]
    ) -> Measurement:
        """Return the measurement."""
        del on_epoch
        with self.lock:
            self.seen.append((candidate.number, seed, fidelity))
        return Measurement(
            fidelity=fidelity,
            seed=seed,
            epochs=(Epoch(train_loss=1, seconds=1),),
            metrics={"val_accuracy": quality(candidate) + NOISE * (derive_seed(seed, "noise") % 1_000) / 1_000},
            train_seconds=10,
        )


def quality(candidate: Candidate) -> float:
    """Return the accuracy of a network without the noise: larger is a little better."""
    return 0.3 + candidate.cost.params / 50_000 + derive_seed(candidate.architecture.arch_id) % 100 / 1_000


@pytest.fixture(scope="module")
def searched(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the database of a finished study of twenty trials."""
    path = copied(empty_database, tmp_path_factory.mktemp("searched") / "study.db")
    wanted = config(budget=Budget(params=5_000), finalist_seeds=SEEDS)
    run(Study.create(open_storage(sqlite_url(path)), wanted, 20), Noisy(), accept_all)
    return path


@pytest.fixture
def study(searched: Path, tmp_path: Path) -> Study:
    """Give that study to write to."""
    return opened(copied(searched, tmp_path / "study.db"))


def again(study: Study) -> Study:
    """Return the study as another process has it."""
    return Study.open(open_storage(str(study.storage.url)), study.name)


def test_finalists_are_the_front_and_then_the_best_of_the_rest(study: Study) -> None:
    view = study.view()
    chosen = [each.number for each in finalists(view, len(view.front) + 2)]
    front = {each.number for each in view.front}
    assert set(chosen[: len(front)]) == front
    assert len(chosen) == len(front) + 2
    accuracy = [view.metrics(each)["val_accuracy"] for each in finalists(view, len(front))]
    assert accuracy == sorted(accuracy, reverse=True)
    assert len(finalists(view, 1_000)) == len(view.compared)


def test_every_member_of_the_final_front_has_its_seeds_and_shows_their_mean(study: Study) -> None:
    evaluate = Noisy()
    confirm(study, evaluate, accept_all, top=10, seeds=SEEDS)
    view = study.view()
    for record in view.front:
        values = view.values(record, "val_accuracy")
        assert len(set(view.seeds(record))) == SEEDS
        assert view.metrics(record)["val_accuracy"] == pytest.approx(fmean(values))
        assert max(values) > fmean(values)
    assert {fidelity for *_, fidelity in evaluate.seen} == {view.compared_fidelity}
    assert len(evaluate.seen) == len(set(evaluate.seen))


def test_the_own_training_is_one_of_the_seeds(study: Study) -> None:
    evaluate, (first, *_) = Noisy(), finalists(study.view(), 1)
    confirm(study, evaluate, accept_all, top=1, seeds=SEEDS)
    assert sum(number == first.number for number, *_ in evaluate.seen) == SEEDS - 1


def test_a_confirmed_study_has_nothing_left_to_train(study: Study) -> None:
    confirm(study, Noisy(), accept_all, top=20, seeds=SEEDS)
    evaluate = Noisy()
    confirm(again(study), evaluate, accept_all, top=20, seeds=SEEDS)
    assert evaluate.seen == []


def test_rounds_are_bounded_however_often_the_front_moves(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    found = study.view().compared
    turns = iter(found)
    monkeypatch.setattr("nas.search.confirm.finalists", lambda *_: (next(turns),))
    evaluate, count = Noisy(), 0
    for trainings in rounds(study, 1, SEEDS):
        compare(trainings, evaluate, accept_all)
        count += 1
    assert count == ROUNDS < len(found)


def test_a_stopped_confirmation_goes_on_where_it_stopped(study: Study) -> None:
    first = Noisy()
    confirm(study, first, accept_all, top=4, seeds=SEEDS, time_is_up=lambda: len(first.seen) >= 3)
    assert len(first.seen) == 3
    second = Noisy()
    confirm(again(study), second, accept_all, top=4, seeds=SEEDS)
    assert not set(first.seen) & set(second.seen)
    confirmed = [each for each in study.view().compared if len(study.view().seeds(each)) == SEEDS]
    assert len(confirmed) >= 4


def test_no_time_trains_nothing(study: Study) -> None:
    evaluate = Noisy()
    confirm(study, evaluate, accept_all, top=4, seeds=SEEDS, time_is_up=lambda: True)
    assert evaluate.seen == []


def test_a_training_that_fails_is_not_tried_for_ever(study: Study) -> None:
    tried = []

    def fail(candidate: Candidate, *_: object) -> Measurement:
        tried.append(candidate.number)
        raise RuntimeError("no")

    confirm(study, fail, accept_all, top=2, seeds=SEEDS)
    assert len(tried) == 2 * (SEEDS - 1)


def test_two_workers_share_the_finalists(study: Study) -> None:
    evaluate = Noisy()
    studies = [again(study), again(study)]
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(confirm, each, evaluate, accept_all, top=6, seeds=SEEDS) for each in studies]
        for each in done:
            each.result()
    assert len(evaluate.seen) == len(set(evaluate.seen))
    view = study.view()
    assert all(len(view.seeds(each)) == SEEDS for each in finalists(view, 1))


def test_a_study_without_results_has_no_finalists(make_study: MakeStudy) -> None:
    evaluate = Noisy()
    confirm(make_study(3), evaluate, accept_all, top=5, seeds=SEEDS)
    assert evaluate.seen == []


def test_an_unconfirmed_front_has_neither_intervals_nor_ties(study: Study) -> None:
    for each in standings(study.view()).values():
        assert (each.seeds, each.margin, each.tied, each.is_confirmed) == (1, None, (), False)
        assert each.seed_words == "1 of 3"


def test_ties_are_mutual_and_lie_within_the_noise(study: Study) -> None:
    confirm(study, Noisy(), accept_all, top=20, seeds=SEEDS)
    found = standings(study.view())
    assert any(each.is_confirmed for each in found.values())
    for number, each in found.items():
        for other in each.tied:
            assert number in found[other].tied
            assert abs(each.mean - found[other].mean) < 2 * NOISE
    spread = NOISE / 12**0.5
    assert found[study.view().front[-1].number].margin == pytest.approx(2.1 * spread / SEEDS**0.5, rel=0.5)


def test_the_sample_of_the_meter_is_of_further_seeds_and_goes_on(study: Study) -> None:
    first = stratified(study, 4)
    compare(further(study, first), (evaluate := Noisy()), accept_all)
    own = {each.number: derive_seed(study.config.seed, each.number, "train") for each in first}
    assert len(evaluate.seen) == 4
    assert all(seed != own[number] and fidelity == HIGH for number, seed, fidelity in evaluate.seen)
    assert {each.number for each in stratified(again(study), 4)} == {each.number for each in first}
    more = stratified(study, 7)
    assert {each.number for each in first} < {each.number for each in more}
    assert further(study, more).left() == 3


def test_a_sample_takes_no_longer_than_it_may(study: Study) -> None:
    one = predicted_seconds(study.records()[0], study.config)
    assert one == 10 * HIGH.epochs
    assert len(stratified(study, None, 3.5 * one)) == 3
    assert stratified(study, None, one / 2) == ()
    assert len(stratified(study, 2, 100 * one)) == 2
    compare(further(study, stratified(study, 2)), Noisy(), accept_all)
    assert len(stratified(study, None, one)) == 3


def test_digits_are_confirmed_by_real_trainings(make_study: MakeStudy) -> None:
    study = make_study(4, digits_config(finalist_seeds=2))
    evaluate = TrainingEvaluator(small_digits(), Recipe(batch_size=32), study.config.plan)
    run(study, evaluate, accept_all)
    confirm(study, evaluate, accept_all, top=2, seeds=2)
    view = study.view()
    twice = [each for each in view.compared if len(view.seeds(each)) == 2]
    assert len(twice) >= 2
    assert all(len(set(view.seeds(each))) == 2 for each in twice)
    assert all(each.margin is not None for each in standings(view).values())
