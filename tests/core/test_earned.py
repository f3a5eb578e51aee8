"""What scores earn: correlations with the rung above inside size bins, drawn to a prior, and counted once."""

from __future__ import annotations

import random

import pytest

from nas.records import TrialRecord
from nas.trust.earned import (
    FEWEST_NETWORKS,
    LEAST_TRUST,
    PRIOR_NETWORKS,
    PRIORS,
    Earned,
    earned,
    mixed,
    running_estimate,
)
from nas.trust.gate import GATED
from nas.trust.measured import all_measured_at
from tests.core.examples import HIGH, LOW, config, measurement, record

CAP = 1_000


def study_of(count: int, *, size: int = 900, seed: int = 0, first: int = 0, **of: float) -> list[TrialRecord]:
    """Return networks whose final accuracy is a skill; each score of `of` is that skill with so much noise."""
    rng = random.Random(seed)
    made = []
    for number in range(first, first + count):
        skill = rng.random()
        scores = {name: skill + noise * rng.gauss(0, 1) for name, noise in of.items()}
        low = measurement(scores.pop("val_accuracy", rng.random()) / 10 + 0.4, LOW, **scores)
        made.append(record(low, measurement(skill, HIGH), number=number, params=size))
    return made


def earn(records: list[TrialRecord], silent: frozenset[str] = frozenset(GATED)) -> Earned:
    low, high = (all_measured_at(records, fidelity) for fidelity in (LOW, HIGH))
    return earned(low, [high], CAP, silent)


def test_the_constants_are_those_that_are_written_down() -> None:
    assert PRIORS == {"val_accuracy": 0.6, "train_loss_ema": 0.6}
    assert (PRIOR_NETWORKS, LEAST_TRUST, FEWEST_NETWORKS) == (10, 0.2, 8)


def test_trust_is_the_rank_correlation_drawn_to_the_prior_by_count() -> None:
    found = earn(study_of(30, val_accuracy=0.0, synflow=0.0))
    assert found.trust["val_accuracy"] == pytest.approx((30 * 1 + 10 * 0.6) / 40)
    assert found.trust["synflow"] == pytest.approx(30 / 40)
    assert found.networks == 30


def test_too_few_networks_earn_nothing_and_accuracy_speaks_for_itself() -> None:
    records = study_of(FEWEST_NETWORKS - 1, val_accuracy=0.0)
    assert earn(records).weights == {}
    accuracies = {each.number: each.measurements[0].metrics["val_accuracy"] for each in records}
    values = mixed(config(), records)
    assert sorted(values, key=values.get) == sorted(accuracies, key=accuracies.get)


def test_a_score_of_chance_counts_for_nothing() -> None:
    assert set(earn(study_of(60, val_accuracy=0.3, naswot=1e6)).weights) == {"val_accuracy"}


def test_a_redundant_score_does_not_count_twice() -> None:
    records = study_of(60, val_accuracy=0.3)
    low = {each.number: each.measurements[0].metrics["val_accuracy"] for each in records}
    doubled = [
        record(measurement(low[each.number], LOW, zen=low[each.number]), each.measurements[1], number=each.number)
        for each in records
    ]
    assert len(earn(doubled).weights) == 1


def test_two_scores_that_complement_each_other_are_both_mixed_and_say_more() -> None:
    records = study_of(60, val_accuracy=0.2, zen=0.2)
    found = earn(records)
    assert set(found.weights) == {"val_accuracy", "zen"}
    low = {each.number: each.measurements[0].metrics["val_accuracy"] for each in records}
    final = [each.number for each in sorted(records, key=lambda each: each.measurements[1].metrics["val_accuracy"])]
    assert _distance(mixed(config(), records), final) < _distance(low, final)


def _distance(values: dict[int, float], final: list[int]) -> int:
    order = sorted(values, key=values.get)
    return sum((order.index(number) - final.index(number)) ** 2 for number in final)


def test_a_score_that_measures_size_earns_what_it_does_inside_the_bins() -> None:
    small = study_of(20, size=100, val_accuracy=0.3)
    large = [
        record(each.measurements[0], measurement(1, HIGH), number=each.number, params=900)
        for each in study_of(20, first=20, val_accuracy=0.3)
    ]
    found = earn([*small, *large])
    assert "params" not in found.trust or found.trust["params"] < LEAST_TRUST


def test_interference_has_to_pass_its_gate_first() -> None:
    records = study_of(40, val_accuracy=5.0, cross_talk=0.0)
    turned = [
        record(
            measurement(low.metrics["val_accuracy"], LOW, cross_talk=-low.metrics["cross_talk"]),
            high,
            number=i,
            params=9,
        )
        for i, (low, high) in enumerate(each.measurements for each in records)
    ]
    assert "cross_talk" not in earn(turned).trust
    assert "cross_talk" in earn(turned, frozenset(GATED) - {"cross_talk"}).weights


def test_zero_cost_scores_are_joined_from_the_lowest_rung() -> None:
    trial = record(measurement(0.5, LOW, synflow=3.0), measurement(0.7, HIGH))
    assert all_measured_at([trial], HIGH)[0].metrics["synflow"] == 3.0


def test_the_running_estimate_says_how_the_rung_ranks() -> None:
    (line,) = running_estimate(config(), study_of(30, val_accuracy=0.1, train_loss_ema=1e6))
    assert line.startswith("rank correlation of 1 epoch with accuracy after 4 epochs: val_accuracy 0.9")
    assert line.endswith("; 30 networks")
    assert "train_loss_ema" in line
    assert "mix 0.9" in line


def test_a_study_without_promotions_estimates_nothing() -> None:
    assert running_estimate(config(), [record(measurement(0.5))]) == []
