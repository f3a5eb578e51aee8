"""Which rung is worth its cost: shares, what a rung is judged by, and the rule of the advice."""

from __future__ import annotations

import pytest

from nas.records import Epoch, Fidelity, TrialRecord
from nas.trust.correlation import Correlation
from nas.trust.rungs import RungTrust, advice, cost_shares, rung_accuracy, rung_trust
from tests.core.examples import HIGH, LOW, config, diverged, measurement, record

MIDDLE = Fidelity(epochs=2, resolution=8)
LADDER = (LOW, MIDDLE, HIGH)


def tau(value: float | None) -> Correlation | None:
    return None if value is None else Correlation(value=value, low=value - 0.1, high=value + 0.1, count=30)


def rung(number: int, fidelity: Fidelity, order: float | None, beside: float | None = None) -> RungTrust:
    cost = fidelity.epochs / HIGH.epochs
    found = {"accuracy": tau(order), "mixed": tau(order), "beside": tau(beside)}
    return RungTrust(rung=number, fidelity=fidelity, cost=cost, networks=30, **found)


def test_a_rung_costs_the_epochs_up_to_it_by_images_and_pixels() -> None:
    ladder = (Fidelity(epochs=2, resolution=4), Fidelity(epochs=6, resolution=8))
    assert cost_shares(ladder) == pytest.approx((2 * 16 / (2 * 16 + 4 * 64), 1))
    assert cost_shares((LOW,)) == (1.0,)


def test_a_rung_that_adds_little_is_left_out() -> None:
    words = advice([rung(0, LOW, 0.7, beside=0.66), rung(1, MIDDLE, 0.68)], HIGH)
    assert words == (
        "rung 0 (1 epoch, 8 px) orders as well as rung 1 (2 epochs, 8 px), 0.66 and 0.68, at 50 % of its cost: "
        "--rungs 1,4"
    )


def test_a_rung_that_orders_clearly_better_stays() -> None:
    words = advice([rung(0, LOW, 0.6, beside=0.5), rung(1, MIDDLE, 0.7)], HIGH)
    assert (
        words == "the lowest rung (1 epoch, 8 px) orders by 0.60 at 25 % of the cost, and every rung is worth its own"
    )


def test_a_lowest_rung_that_orders_too_little_gives_way_to_the_next_that_orders_enough() -> None:
    words = advice([rung(0, LOW, 0.41), rung(1, MIDDLE, 0.7)], HIGH)
    assert words == (
        "the lowest rung (1 epoch, 8 px) orders by 0.41 only: start at rung 1 (2 epochs, 8 px), "
        "which orders by 0.70 at 50 % of the cost: --rungs 2,4"
    )


def test_where_no_rung_orders_enough_the_lowest_gets_three_times_the_epochs() -> None:
    assert advice([rung(0, LOW, 0.41), rung(1, MIDDLE, 0.45)], HIGH).endswith(
        "orders by 0.41 only: give it 3 times the epochs: --rungs 3,4"
    )


def test_a_lowest_rung_at_fewer_pixels_gets_all_of_them_first() -> None:
    small = Fidelity(epochs=1, resolution=4)
    assert advice([rung(0, small, 0.3)], HIGH).endswith("give it the full resolution: --rungs 1,4")


def test_a_lowest_rung_that_cannot_grow_says_so() -> None:
    top = Fidelity(epochs=3, resolution=8)
    assert advice([rung(0, LOW, 0.1)], top).endswith("only full trainings order these networks")


def test_order_to_spare_suggests_half_the_resolution() -> None:
    assert advice([rung(0, LOW, 0.85)], HIGH) == (
        "the lowest rung (1 epoch, 8 px) orders by 0.85 at 25 % of the cost; "
        "half its resolution costs a fourth and is worth a try: --rungs 1@4,4"
    )


def test_nothing_is_advised_without_networks_or_without_a_proxy() -> None:
    assert advice([rung(0, LOW, None)], HIGH).startswith("the rungs cannot be judged yet: that takes 5 networks")
    assert advice([], HIGH) == "one rung: every network is trained in full, there is no proxy to trust"


def test_a_rung_is_judged_by_the_trainings_that_went_on_from_it_else_by_those_that_ended_there() -> None:
    epochs = tuple(Epoch(train_loss=1, seconds=1, val_accuracy=value) for value in (0.2, 0.3, None, 0.9))
    passed = measurement(0.9, HIGH).model_copy(update={"epochs": epochs})
    assert rung_accuracy(record(measurement(0.5), passed), LOW) == 0.2
    assert rung_accuracy(record(measurement(0.5)), LOW) == 0.5
    assert rung_accuracy(record(measurement(0.5), passed), MIDDLE) == 0.3
    assert rung_accuracy(record(passed), Fidelity(epochs=3, resolution=8)) is None
    assert rung_accuracy(record(diverged()), LOW) is None


def _study(count: int = 12) -> list[TrialRecord]:
    """Return networks that the lowest rung orders backwards and the middle one rightly; half reach the middle."""
    made = []
    for i in range(count):
        middle = [measurement(i / 100, MIDDLE)] * (i % 2)
        made.append(record(measurement(0.9 - i / 100), *middle, measurement(i / 100, HIGH, seed=9), number=i))
    return made


def test_each_rung_is_held_against_the_final_accuracy_of_the_networks_that_have_it() -> None:
    study, final = _study(), {i: i / 100 for i in range(12)}
    low, middle = rung_trust(config(fidelities=LADDER), study, final, {0: final, 1: {}})
    assert (low.networks, low.cost, low.accuracy.value, low.mixed.value) == (12, 0.25, -1, 1)
    assert (low.beside.count, low.beside.value) == (6, -1)
    assert (middle.networks, middle.accuracy.value, middle.mixed, middle.beside) == (6, 1, None, None)
