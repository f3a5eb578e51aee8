"""A study's hours, what they brought, and whether more will pay."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.effort import advice, busy_hours, has_flattened, hypervolume_over_hours, stage_efforts
from nas.pareto import objectives
from nas.records import Fidelity

START = datetime(2026, 1, 1, 12)
BOTH = objectives(("val_accuracy", "params"))

Curve = list[tuple[float, float]]


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def between(*hours: tuple[float, float]) -> list[tuple[datetime, datetime]]:
    return [(at(start), at(end)) for start, end in hours]


def reached(hours: float, accuracy: float, params: float = 1000) -> tuple[datetime, dict[str, float]]:
    return at(hours), {"val_accuracy": accuracy, "params": params}


def test_hours_with_several_workers_count_once() -> None:
    assert busy_hours(between((0, 1), (0, 1), (0.5, 1.5), (3, 4))) == pytest.approx(2.5)
    assert busy_hours([]) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=12))
def test_busy_hours_are_those_in_which_something_runs(trainings: list[tuple[int, int]]) -> None:
    hours = {hour for start, length in trainings for hour in range(start, start + length)}
    assert busy_hours(between(*((start, start + length) for start, length in trainings))) == pytest.approx(len(hours))


def test_the_curve_has_the_hypervolume_after_each_training() -> None:
    """Best and worst are 0.9 and 0.5, 100 and 10,000; a tenth of each range lies behind the worst."""
    points = [reached(1, 0.5, 10_000), reached(2, 0.9, 1_000), reached(4, 0.7, 100)]
    curve = hypervolume_over_hours(points, between((0, 1), (1, 2), (2, 3), (10, 11)), BOTH)
    first, second = 0.1 * 0.1, 1.1 * 0.6
    third = second + 0.5 * 0.6
    assert [hours for hours, _ in curve] == pytest.approx([1, 2, 3, 4])
    assert [volume * 1.1**2 for _, volume in curve] == pytest.approx([first, second, second, third])


def test_the_curve_never_falls() -> None:
    points = [reached(i, (i * 7 % 10) / 10, 1000 + i * 13 % 7) for i in range(1, 20)]
    volumes = [
        volume for _, volume in hypervolume_over_hours(points, between(*((i - 1, i) for i in range(1, 20))), BOTH)
    ]
    assert volumes == sorted(volumes)
    assert 0 < volumes[0] < volumes[-1] <= 1


def test_what_lacks_an_objective_counts_for_nothing() -> None:
    points = [(at(1), {"params": 10.0}), reached(2, 0.5)]
    assert [volume for _, volume in hypervolume_over_hours(points, between((0, 1), (1, 2)), BOTH)] == [0, 1]


def test_no_trainings_give_no_curve() -> None:
    assert hypervolume_over_hours([], [], BOTH) == []


def flat(trainings: int = 60, *, late: float = 0.0) -> Curve:
    """Return a curve of 3 hours that grows in the first one, and by `late` at the end."""
    hours = [3 * i / trainings for i in range(1, trainings + 1)]
    return [(hour, min(hour, 1.0) + (late if hour > 2.5 else 0.0)) for hour in hours]


@pytest.mark.parametrize(
    ("curve", "is_flat"),
    [
        (flat(), True),
        (flat(late=0.009), True),
        (flat(late=0.011), False),
        (flat(57), False),
        ([(hour, hour) for hour in range(1, 100)], False),
        ([(hour, 0.0) for hour in range(1, 100)], False),
        ([], False),
    ],
)
def test_a_front_has_flattened_when_a_third_of_the_hours_brought_nothing(curve: Curve, is_flat: bool) -> None:
    assert has_flattened(curve) is is_flat


def test_the_advice_says_how_long_and_how_little() -> None:
    assert advice(flat(late=0.004), "mine") == (
        "the front has hardly grown for 1.0 h (0.4%): more trials will pay little; nas confirm mine, or another space"
    )
    assert "for 30 min (" in str(advice([(hours / 2, volume) for hours, volume in flat()], "mine"))
    assert advice(flat(late=1), "mine") is None


def test_a_stage_costs_what_it_adds() -> None:
    ladder = (Fidelity(epochs=1, resolution=14, train_fraction=0.5), Fidelity(epochs=3, resolution=28))
    assert stage_efforts(ladder) == (1 * 0.5 * 14**2, 2 * 28**2)
