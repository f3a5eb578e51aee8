"""Which candidates go on to the next rung, on records made by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.pareto import objectives
from nas.records import Fidelity, TrialRecord
from nas.search.promotion import composite_values, metrics_at, next_promotion, ranking
from tests.core.examples import HIGH, LOW, diverged, measurement, record

TOP = Fidelity(epochs=16, resolution=8)
BY_ACCURACY = objectives(("val_accuracy",))
TWO = objectives(("val_accuracy", "params"))


def trials(*accuracies: float) -> list[TrialRecord]:
    """Return trials of equal size, measured on the lowest rung."""
    return [record(measurement(accuracy), number=number) for number, accuracy in enumerate(accuracies)]


def promote(
    records: list[TrialRecord], *claimed: tuple[int, int], rungs: tuple[Fidelity, ...] = (LOW, HIGH), reduction: int = 2
) -> tuple[int, int] | None:
    return next_promotion(records, frozenset(claimed), rungs, BY_ACCURACY, reduction)


@pytest.mark.parametrize(("measured", "reduction"), [(0, 2), (1, 2), (2, 3), (3, 4)])
def test_too_few_to_compare_promote_nobody(measured: int, reduction: int) -> None:
    assert promote(trials(*[0.5] * measured), reduction=reduction) is None


def test_the_best_is_promoted() -> None:
    assert promote(trials(0.3, 0.9, 0.5)) == (1, 1)


@pytest.mark.parametrize(("measured", "reduction", "quota"), [(2, 2, 1), (3, 2, 2), (8, 2, 4), (9, 4, 3)])
def test_one_in_so_many_is_promoted(measured: int, reduction: int, quota: int) -> None:
    records, claimed = trials(*[i / 10 for i in range(measured)]), []
    while (chosen := promote(records, *claimed, reduction=reduction)) is not None:
        claimed.append(chosen)
    assert claimed == [(measured - 1 - i, 1) for i in range(quota)]


def test_a_late_leader_is_promoted_when_there_is_room() -> None:
    assert promote(trials(0.3, 0.5, 0.9), (1, 1)) == (2, 1)


def test_of_equals_the_first_is_promoted() -> None:
    assert promote(trials(0.5, 0.5, 0.5)) == (0, 1)


def test_the_highest_rung_comes_first() -> None:
    *low, first, second = trials(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    high = [record(*each.measurements, measurement(0.7, HIGH), number=each.number) for each in (first, second)]
    rungs = (LOW, HIGH, TOP)
    assert promote([*low, *high], (4, 1), (5, 1), rungs=rungs) == (4, 2)
    assert promote([*low, *high], (4, 1), (5, 1), (4, 2), rungs=rungs) == (3, 1)


def test_a_study_of_one_rung_promotes_nobody() -> None:
    assert promote(trials(0.3, 0.9), rungs=(LOW,)) is None


@pytest.mark.parametrize("other", [record(number=9), record(diverged(), number=9), record(error="lost", number=9)])
def test_what_was_not_measured_neither_counts_nor_goes_on(other: TrialRecord) -> None:
    assert promote([*trials(0.5), other]) is None
    assert promote([*trials(0.5, 0.4), other]) == (0, 1)
    assert promote([*trials(0.5, 0.4), other], (0, 1)) is None


def test_a_promotion_that_diverged_is_not_repeated() -> None:
    records = [record(measurement(0.9), diverged(HIGH), number=0), *trials(0.9, 0.5)[1:]]
    assert promote(records, (0, 1)) is None


def test_metrics_of_a_rung_hold_cost_and_measurement() -> None:
    trial = record(measurement(0.5), measurement(0.7, HIGH), params=7)
    assert metrics_at(trial, LOW)["val_accuracy"] == 0.5
    assert metrics_at(trial, HIGH)["params"] == 7
    assert metrics_at(trial, TOP) is None


def test_small_networks_of_the_front_go_before_large_dominated_ones() -> None:
    points = {
        0: {"val_accuracy": 0.90, "params": 900},
        1: {"val_accuracy": 0.89, "params": 950},
        2: {"val_accuracy": 0.20, "params": 10},
    }
    assert ranking(points, TWO) == [0, 2, 1]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_nobody_is_ranked_before_who_dominates_it(values: list[tuple[int, int]]) -> None:
    points = {i: {"val_accuracy": float(a), "params": float(p)} for i, (a, p) in enumerate(values)}
    order = ranking(points, TWO)
    assert sorted(order) == list(points)
    for i, first in enumerate(order):
        for later in order[i + 1 :]:
            (a, p), (b, q) = values[first], values[later]
            assert not (b >= a and q <= p and (b, q) != (a, p))


def test_a_quantity_that_was_not_measured_ranks_last() -> None:
    points = {0: {"params": 5.0}, 1: {"params": 5.0, "val_accuracy": 0.1}}
    assert ranking(points, TWO) == [1, 0]


def test_interference_is_ranked_by_the_composite_of_the_rung() -> None:
    """Cross-talk follows accuracy on a line, but for trial 5, which lies far below it."""
    talk = [0.1 * i + 0.01 * (-1) ** i - 2 * (i == 5) for i in range(10)]
    records = [
        record(measurement(i / 10, cross_talk=t, excess_coherence=t, val_loss=1 - i / 10, interference=0.0), number=i)
        for i, t in enumerate(talk)
    ]
    chosen = next_promotion(records, frozenset(), (LOW, HIGH), objectives(("interference",)), 10)
    assert chosen == (5, 1)
    values = composite_values(records, LOW)
    assert min(values, key=values.__getitem__) == 5


def test_few_records_are_ranked_by_their_plain_composite() -> None:
    records = [record(measurement(0.5, interference=value), number=i) for i, value in enumerate((0.3, 0.1, 0.2))]
    assert composite_values(records, LOW) is None
    assert next_promotion(records, frozenset(), (LOW, HIGH), objectives(("interference",)), 2) == (1, 1)


def test_nothing_is_ranked_in_no_order() -> None:
    assert ranking({}, TWO) == []
