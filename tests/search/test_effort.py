"""What a study spends: hours that run out, replicates, a ladder that grows, and the same after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from optuna.storages import RDBStorage

from nas.records import Candidate, Fidelity, Measurement
from nas.search.loop import run
from nas.search.study import Study
from tests.core.examples import HIGH, LOW, config, measurement
from tests.search.conftest import MakeStudy
from tests.search.fakes import FakeEvaluator, accept_all

TOP = Fidelity(epochs=6, resolution=8)
LADDER = (LOW, HIGH, TOP)


class Turning(FakeEvaluator):
    """Turns the order of all networks around at each rung."""

    def __call__(self, candidate: Candidate, fidelity: Fidelity, seed: int, *rest: object) -> Measurement:
        """Return the formula's measurement, or its opposite."""
        made = super().__call__(candidate, fidelity, seed, *rest)
        accuracy = candidate.cost.params / 2_000
        turned = accuracy if fidelity == HIGH else 1 - accuracy
        return made.model_copy(update={"metrics": {**made.metrics, "val_accuracy": turned}})


def reached(study: Study) -> set[int]:
    return {made.fidelity.epochs for record in study.records() for made in record.own}


def test_a_ladder_whose_order_changes_is_climbed_to_its_end(make_study: MakeStudy) -> None:
    study = make_study(16, fidelities=LADDER)
    run(study, Turning(), accept_all)
    assert reached(study) == {1, 4, 6}
    assert study.view().compared_fidelity == TOP


def test_a_ladder_whose_order_stays_is_not(make_study: MakeStudy) -> None:
    def evaluate(candidate: Candidate, fidelity: Fidelity, seed: int, _: object) -> Measurement:
        return measurement(candidate.cost.params / 2_000 + fidelity.epochs / 100, fidelity, seed=seed)

    study = make_study(16, fidelities=LADDER)
    run(study, evaluate, accept_all)
    assert reached(study) == {1, 4}
    assert study.view().rungs == (LOW, HIGH)


@pytest.mark.parametrize("job", [3, 12, 14, 20, 27])
def test_a_study_with_replicates_and_growth_ends_like_one_that_was_not_interrupted(
    make_study: MakeStudy, as_dead_worker: Callable[[], None], job: int
) -> None:
    class Interrupted(Turning):
        """Stops in one of the jobs."""

        def __call__(self, candidate: Candidate, fidelity: Fidelity, seed: int, *rest: object) -> Measurement:
            if len(self.seen) == job:
                raise KeyboardInterrupt
            return super().__call__(candidate, fidelity, seed, *rest)

    study, whole = (make_study(18, name=name, fidelities=LADDER) for name in ("study", "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(study, Interrupted(), accept_all)
    as_dead_worker()
    run(Study.open(study.storage, study.name), Turning(), accept_all)
    run(whole, Turning(), accept_all)
    assert study.records() == whole.records()
    assert [record.number for record in study.records() if len(record.own) < len(record.measurements)] == [8, 16]


def test_a_replicate_that_fails_leaves_its_candidate_as_it_is(make_study: MakeStudy) -> None:
    study = make_study(10)
    kinds = []
    while (job := study.claim(accept_all)) is not None:
        kinds.append(job.kind)
        if job.kind == "replicate":
            study.fail(job, "no memory")
        else:
            study.finish(job, measurement(0.5, job.fidelity, seed=job.seed))
    assert kinds.count("replicate") == 1
    assert {record.error for record in study.records()} == {""}


@pytest.fixture
def spent(storage: RDBStorage, request: pytest.FixtureRequest) -> Study:
    """Give a study with two results, whose hours are used up."""
    study = Study.create(storage, config(name=request.node.name), 9, max_hours=0)
    for _ in range(2):
        study.extend(max_hours=1)
        job = study.claim(accept_all)
        study.extend(max_hours=0)
        study.finish(job, measurement(0.5))
    return study


def test_nothing_is_begun_when_the_hours_are_used_up(spent: Study) -> None:
    assert spent.claim(accept_all) is None
    assert (spent.n_trials, spent.max_hours) == (9, 0)
    spent.extend(max_hours=1)
    assert spent.claim(accept_all).rung == 1


def test_hours_are_those_in_which_something_ran(spent: Study) -> None:
    assert len(spent.intervals()) == 2
    assert all(start <= end for start, end in spent.intervals())
    assert 0 <= spent.hours() < 0.1
    (first, second) = spent.intervals()
    assert spent.ends() == {(0, LOW): first[1], (1, LOW): second[1]}
    spent.extend(max_hours=1)
    spent.claim(accept_all)
    assert len(spent.intervals()) == 3


def test_a_lost_worker_spends_nothing(make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, dead_worker: str) -> None:
    study = make_study(2)
    with monkeypatch.context() as patched:
        patched.setattr("nas.search.books.worker_id", lambda: dead_worker)
        study.claim(accept_all)
    assert study.intervals() == []
    before = study._history.candidates[0].started
    job = study.claim(accept_all)
    assert job.candidate.number == 0
    ((start, end),) = study.intervals()
    assert start > before
    assert end - start < timedelta(seconds=60)
