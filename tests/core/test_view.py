"""A study as its readers see it, under its own caps and under others."""

from __future__ import annotations

import pytest

from nas.budget import Budget
from nas.errors import InputError
from nas.records import Fidelity, Status, TrialRecord
from nas.view import StudyView
from tests.core.examples import HIGH, LOW, config, diverged, measurement, record

RECORDS = (
    record(measurement(0.5, LOW), measurement(0.80, HIGH), number=0, params=900),
    record(measurement(0.4, LOW), measurement(0.70, HIGH), number=1, params=500),
    record(measurement(0.4, LOW), measurement(0.60, HIGH), number=2, params=700),
    record(measurement(0.9, LOW), number=3, params=100),
    record(measurement(0.3, LOW), number=4, params=200),
    record(measurement(0.9, LOW), diverged(HIGH), number=5, params=50),
    record(measurement(0.9, HIGH), number=6, params=60, error="disk full"),
    record(number=7, params=40),
)


def _numbers(records: tuple[TrialRecord, ...]) -> list[int]:
    return [record.number for record in records]


VIEW = StudyView.of(config(), RECORDS)


def test_only_records_of_the_highest_fidelity_are_compared() -> None:
    assert VIEW.compared_fidelity == HIGH
    assert _numbers(VIEW.compared) == [0, 1, 2]


def test_the_front_is_what_none_dominates_smallest_first() -> None:
    assert _numbers(VIEW.front) == [1, 0]


def test_equally_small_members_of_the_front_are_ordered_by_number() -> None:
    twins = [record(measurement(0.5, HIGH), number=number) for number in (2, 1)]
    assert _numbers(StudyView.of(config(), twins).front) == [1, 2]


def test_a_smaller_cap_needs_no_new_run() -> None:
    assert _numbers(StudyView.of(config(), RECORDS, budget=Budget(params=899)).front) == [1]
    assert _numbers(StudyView.of(config(), RECORDS, budget=Budget(params=500)).compared) == [1]


def test_under_a_cap_that_no_finalist_fits_the_next_fidelity_is_compared() -> None:
    view = StudyView.of(config(), RECORDS, budget=Budget(params=499))
    assert view.compared_fidelity == LOW
    assert _numbers(view.compared) == [3, 4]


def test_other_objectives_need_no_new_run() -> None:
    assert _numbers(StudyView.of(config(), RECORDS, objectives=["val_accuracy"]).front) == [0]
    with pytest.raises(InputError, match="unknown objective"):
        StudyView.of(config(), RECORDS, objectives=["beauty"])


def test_the_best_record_leads_in_the_first_objective() -> None:
    assert VIEW.best == RECORDS[0]
    assert StudyView.of(config(), RECORDS, objectives=["params", "val_accuracy"]).best == RECORDS[1]


def test_an_unmeasured_objective_does_not_hide_the_others() -> None:
    view = StudyView.of(config(), RECORDS, objectives=["val_accuracy", "params", "interference"])
    assert view.front == VIEW.front


def test_every_trial_is_counted_whatever_became_of_it() -> None:
    expected = {
        Status.EVALUATED: 3,
        Status.STOPPED_EARLY: 2,
        Status.DIVERGED: 1,
        Status.FAILED: 1,
        Status.RUNNING: 1,
    }
    assert VIEW.counts == expected
    assert StudyView.of(config(), RECORDS, budget=Budget(params=1)).counts == expected


@pytest.mark.parametrize("records", [(), RECORDS[5:]])
def test_a_study_without_results_has_no_front(records: tuple[TrialRecord, ...]) -> None:
    view = StudyView.of(config(), records)
    assert (view.compared_fidelity, view.compared, view.front, view.best) == (None, (), (), None)


def test_a_view_leaves_the_study_as_it_was() -> None:
    assert StudyView.of(config(), RECORDS, budget=Budget(params=1)).config == config()
    assert VIEW.budget == Budget(params=1_000)


SAMPLED = record(measurement(0.45, LOW), measurement(0.75, HIGH, seed=9), number=8, params=600)
"""Not promoted, but trained at the top from a further seed."""


def test_further_seeds_at_the_top_do_not_decide_what_is_compared() -> None:
    view = StudyView.of(config(), [*RECORDS[3:5], SAMPLED])
    assert view.compared_fidelity == LOW
    assert _numbers(view.compared) == [3, 4, 8]
    assert view.metrics(SAMPLED)["val_accuracy"] == 0.45


def test_further_seeds_at_the_compared_fidelity_are_compared() -> None:
    view = StudyView.of(config(), [*RECORDS, SAMPLED])
    assert _numbers(view.compared) == [0, 1, 2, 8]
    assert (view.fidelity_of(SAMPLED), view.seeds(SAMPLED)) == (HIGH, (9,))


def test_a_record_is_shown_as_the_mean_over_its_seeds() -> None:
    repeated = record(measurement(0.5), measurement(0.8, HIGH), measurement(0.6, HIGH, seed=1), number=0)
    view = StudyView.of(config(), [repeated])
    assert view.values(repeated, "val_accuracy") == (0.8, 0.6)
    assert view.seeds(repeated) == (0, 1)
    assert view.metrics(repeated)["val_accuracy"] == pytest.approx(0.7)


def test_who_reached_the_end_of_the_ladder_in_use_is_evaluated() -> None:
    view = StudyView.of(config(fidelities=(LOW, HIGH, Fidelity(epochs=16, resolution=8))), RECORDS)
    assert view.rungs == (LOW, HIGH)
    assert view.status(RECORDS[0]) is Status.EVALUATED
    assert view.fidelity_of(RECORDS[3]) == LOW
