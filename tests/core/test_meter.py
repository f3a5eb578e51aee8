"""The trust meter: which networks it looks at, which way a score counts, and what it cannot say."""

from __future__ import annotations

import math
import random

import pytest

from nas.budget import Budget
from nas.records import TrialRecord
from nas.trust.meter import final_accuracies, trust
from tests.core.examples import HIGH, LOW, config, measurement, record

CAP = 10_000
CONFIG = config(budget=Budget(params=CAP))


def study_of(count: int, *, further: int = 1) -> list[TrialRecord]:
    """Return networks of two sizes: accuracy and loss order them rightly, `grad_norm` backwards, size only a little."""
    rng, made = random.Random(0), []
    for number in range(count):
        quality, params = rng.uniform(0.3, 0.8), rng.randint(3_000, CAP) // (1 + 7 * (number % 3 == 0))
        first = measurement(
            quality, seed=1, val_loss=1 - quality, train_loss_ema=1 - quality + rng.gauss(0, 0.1), grad_norm=-quality
        )
        finals = [measurement(quality + 0.1 + rng.gauss(0, 0.005), HIGH, seed=10 + i) for i in range(further)]
        made.append(record(first, *finals, number=number, params=params))
    return made


def test_a_score_is_positive_where_it_ranks_rightly_whichever_end_is_better() -> None:
    rows = {each.name: each for each in trust(CONFIG, study_of(40)).scores}
    for name in ("val_accuracy", "val_loss", "train_loss_ema", "mix"):
        assert rows[name].overall.kendall.low > 0.4
        assert rows[name].in_bins.spearman.low > 0.4
    assert rows["grad_norm"].overall.kendall.high < -0.8
    assert abs(rows["params"].in_bins.kendall.value) < 0.4
    assert next(iter(rows)) == "mix"
    assert "synflow" not in rows


def test_the_top_fifth_is_that_of_the_final_accuracy() -> None:
    found = trust(CONFIG, study_of(41))
    assert (found.networks, found.bins, found.top) == (41, 3, 9)
    finals = sorted(values[0] for values in final_accuracies(CONFIG, study_of(41)).values())[-9:]
    assert found.top_range == pytest.approx(finals[-1] - finals[0])
    assert {each.top.kendall.count for each in found.scores if each.top.kendall} == {9}


def test_the_noise_of_the_truth_is_that_of_networks_with_two_seeds() -> None:
    assert trust(CONFIG, study_of(10)).noise is None
    noise = trust(CONFIG, study_of(40, further=2)).noise
    assert noise.degrees == 40
    assert noise.std == pytest.approx(0.005, rel=0.4)


def test_networks_that_only_a_promotion_trained_in_full_are_counted_apart() -> None:
    own = [record(measurement(0.5, LOW), measurement(0.6, HIGH), number=99, params=5_000)]
    assert (trust(CONFIG, study_of(10)).promoted, trust(CONFIG, [*study_of(10), *own]).promoted) == (0, 1)


def test_a_training_is_never_held_against_itself() -> None:
    one_rung = config(fidelities=(LOW,))
    alone, again = record(measurement(0.5)), record(measurement(0.5), measurement(0.7, seed=3), number=1)
    assert final_accuracies(one_rung, [alone, again]) == {1: [0.7]}
    assert trust(one_rung, [alone, again]).advice.startswith("one rung")


@pytest.mark.parametrize("records", [[], study_of(3, further=0), study_of(4)])
def test_a_study_with_few_finals_says_nothing_and_does_not_fail(records: list[TrialRecord]) -> None:
    found = trust(CONFIG, records)
    assert all(each.overall.kendall is None for each in found.scores)
    assert found.advice.startswith("the rungs cannot be judged yet")


def test_a_meter_reads_the_same_in_any_order_of_the_records() -> None:
    records = study_of(20)
    found = trust(CONFIG, records)
    assert found == trust(CONFIG, records[::-1])
    assert all(math.isfinite(each.overall.kendall.low) for each in found.scores if each.overall.kendall)
