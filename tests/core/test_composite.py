"""The composite `interference`, refitted on the records of a study."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.trust import Composite
from nas.trust.composite import FEWEST, LEAST_IN_BIN, MOST_BINS, size_edges
from nas.trust.measured import Measured
from nas.value import FrozenMap


def network(number: int, *, params: int = 1_000, depth: int = 3, **metrics: float) -> Measured:
    return Measured(number, params, depth, FrozenMap(metrics))


def population(count: int, seed: int = 0) -> list[Measured]:
    """Return networks whose parts depend on size, depth and loss, plus something of their own."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        params, depth, loss = rng.randint(500, 50_000), rng.randint(1, 8), rng.uniform(0.5, 2)
        shift = 0.3 * math.log(params) - 0.1 * depth + loss
        parts = {name: shift + rng.gauss(0, 0.1) for name in ("cross_talk", "excess_coherence", "class_overlap")}
        more = {"redundancy": rng.gauss(0.2, 0.05), "val_loss": loss, "interference": 0.5}
        made.append(network(number, params=params, depth=depth, **parts, **more))
    return made


def changed(one: Measured, **metrics: float) -> Measured:
    return Measured(one.number, one.params, one.depth, FrozenMap({**one.metrics, **metrics}), one.seeds)


def values(found: Sequence[Measured]) -> list[float]:
    composite = Composite.fitted(found)
    return [composite.value(each) for each in found]


@given(st.randoms(use_true_random=False), st.sampled_from([8, 25, 60]))
def test_the_order_of_the_records_changes_no_bit(rng: random.Random, count: int) -> None:
    found = population(count)
    shuffled = rng.sample(found, count)
    assert Composite.fitted(found) == Composite.fitted(shuffled)


@pytest.mark.parametrize("count", [8, 25, 60])
def test_a_constant_added_to_a_part_changes_nothing(count: int) -> None:
    found = population(count)
    moved = [changed(each, cross_talk=each.metrics["cross_talk"] + 7) for each in found]
    assert values(moved) == pytest.approx(values(found))


def test_a_part_counts_in_units_of_its_own_spread() -> None:
    found = population(30)
    scaled = [changed(each, excess_coherence=100 * each.metrics["excess_coherence"]) for each in found]
    assert values(scaled) == pytest.approx(values(found))


def test_what_size_depth_and_loss_explain_is_not_interference() -> None:
    found = population(40)
    tilted = [
        changed(each, cross_talk=each.metrics["cross_talk"] + 2 * math.log(each.params) - each.depth) for each in found
    ]
    tilted = [changed(each, cross_talk=each.metrics["cross_talk"] + 3 * each.metrics["val_loss"]) for each in tilted]
    assert values(tilted) == pytest.approx(values(found))


def test_of_two_networks_that_differ_in_one_part_the_higher_interferes_more() -> None:
    found = population(30)
    composite = Composite.fitted(found)
    worse = changed(found[4], class_overlap=found[4].metrics["class_overlap"] + 0.1)
    assert composite.value(worse) > composite.value(found[4])


def test_the_composite_of_a_bin_without_controls_is_the_mean_robust_z_score() -> None:
    talk = (0, 0, 1, 2, 3, 4, 5, 9, 9)
    found = [network(i, cross_talk=value, excess_coherence=value, redundancy=0) for i, value in enumerate(talk)]
    # the median is 3, the deviations from it 3, 3, 2, 1, 0, 1, 2, 6, 6, and of those the median is 2
    assert values(found) == pytest.approx([(value - 3) / (1.4826 * 2) for value in talk])


def test_a_redundancy_outlier_is_penalised_and_no_other_network() -> None:
    found = population(20)
    usual = [changed(each, redundancy=0.2 + 0.001 * (i % 10)) for i, each in enumerate(found)]
    collapsed = [changed(usual[0], redundancy=1.0), *usual[1:]]
    before, after = values(usual), values(collapsed)
    assert after[0] > before[0] + 10
    assert after[5] == pytest.approx(before[5])


def test_redundancy_below_the_guard_makes_no_difference() -> None:
    found = population(20)
    level = [changed(each, redundancy=0.2) for each in found]
    low = [changed(level[0], redundancy=-3), *level[1:]]
    assert values(low) == pytest.approx(values(level))


def test_too_few_records_have_the_plain_composite_and_say_so() -> None:
    found = population(FEWEST - 1)
    composite = Composite.fitted(found)
    assert [composite.value(each) for each in found] == [0.5] * len(found)
    assert composite.words == "plain composite (7 records with its parts, refitting needs 8)"
    assert Composite.fitted(population(FEWEST)).words == "refitted on 8 records in 1 size bin"
    assert Composite.fitted(population(60)).words == "refitted on 60 records in 4 size bins"


def test_a_network_without_the_parts_has_no_refitted_composite() -> None:
    composite = Composite.fitted(population(12))
    bare = network(99, interference=0.4, val_accuracy=0.5)
    assert composite.value(bare) is None
    assert composite.metrics(bare) == {"val_accuracy": 0.5}


def test_a_part_that_few_records_have_takes_no_part() -> None:
    found = population(12)
    without = [Measured(e.number, e.params, e.depth, FrozenMap(_without(e, "class_overlap"))) for e in found]
    some = [*found[:3], *without[3:]]
    assert values(some) == pytest.approx(values(without))


def _without(one: Measured, *names: str) -> dict[str, float]:
    return {name: value for name, value in one.metrics.items() if name not in names}


def test_records_without_a_loss_are_fitted_on_size_and_depth() -> None:
    found = [Measured(e.number, e.params, e.depth, FrozenMap(_without(e, "val_loss"))) for e in population(20)]
    assert Composite.fitted(found).loss is None
    assert len(set(values(found))) == 20


def test_a_part_that_its_controls_explain_wholly_scores_nothing() -> None:
    found = [changed(each, cross_talk=math.log(each.params), excess_coherence=1.0) for each in population(20)]
    flat = [Measured(e.number, e.params, e.depth, FrozenMap(_without(e, "class_overlap", "redundancy"))) for e in found]
    assert values(flat) == [0.0] * 20


def test_another_network_is_scored_by_the_bin_it_would_be_in() -> None:
    found = population(40)
    composite = Composite.fitted(found)
    for each in found:
        stranger = Measured(1_000, each.params, each.depth, each.metrics)
        assert composite.value(stranger) == composite.value(each)
    largest = max(found, key=lambda each: each.params)
    assert math.isfinite(composite.value(Measured(0, 10 * largest.params, 4, largest.metrics)))


@given(st.lists(st.integers(1, 40), max_size=120))
def test_size_bins_are_few_and_none_is_small(params: list[int]) -> None:
    edges = size_edges(params)
    assert list(edges) == sorted(set(edges))
    assert len(edges) < MOST_BINS
    counts = np.bincount(np.searchsorted(edges, params, side="left"), minlength=len(edges) + 1)
    assert not edges or counts.min() >= LEAST_IN_BIN


def test_size_bins_have_equal_counts_where_sizes_differ() -> None:
    assert size_edges(range(40)) == (9, 19, 29)
    assert size_edges(range(25)) == (11,)
    assert size_edges([7] * 100) == ()
