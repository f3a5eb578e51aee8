"""Which candidates go on to the next rung, and which are trained again, on records made by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.pareto import objectives
from nas.records import Fidelity, TrialRecord
from nas.search.promotion import DRAWN, Standing, is_replicated, layers, next_promotion, next_replicate, ranking
from nas.trust.ladder import noise
from nas.trust.measured import all_measured_at
from tests.core.examples import HIGH, LOW, config, diverged, measurement, record

TOP = Fidelity(epochs=16, resolution=8)
TWO = objectives(("val_accuracy", "params"))
LARGE, SMALL = 900, 100
"""Sizes of two bins under the cap of 1,000."""


def trials(*accuracies: float, params: int = LARGE, first: int = 0) -> list[TrialRecord]:
    """Return trials of equal size, measured on the lowest rung."""
    return [record(measurement(a), number=number, params=params) for number, a in enumerate(accuracies, start=first)]


def standing(
    records: list[TrialRecord],
    *claimed: tuple[int, int],
    rungs: tuple[Fidelity, ...] = (LOW, HIGH),
    reduction: int = 2,
    by: tuple[str, ...] = ("val_accuracy",),
) -> Standing:
    return Standing(
        config(fidelities=rungs, reduction=reduction),
        rungs=[all_measured_at(records, rung, own=True) for rung in rungs],
        above=[all_measured_at(records, rung) for rung in rungs],
        claimed=frozenset(claimed),
        deciding=objectives(by),
        noise={name: noise(records, name) for name in by},
    )


def promote(records: list[TrialRecord], *claimed: tuple[int, int], **given: object) -> tuple[int, int] | None:
    return next_promotion(standing(records, *claimed, **given))


def promoted(records: list[TrialRecord], **given: object) -> list[int]:
    """Return all that are promoted of some records, in turn."""
    claimed: list[tuple[int, int]] = []
    while (chosen := promote(records, *claimed, **given)) is not None:
        claimed.append(chosen)
    return [number for number, _ in claimed]


@pytest.mark.parametrize(("measured", "reduction"), [(0, 2), (1, 2), (2, 3), (3, 4)])
def test_too_few_to_compare_promote_nobody(measured: int, reduction: int) -> None:
    assert promote(trials(*[0.5] * measured), reduction=reduction) is None


def test_the_best_is_promoted() -> None:
    assert promote(trials(0.3, 0.9, 0.5)) == (1, 1)


@pytest.mark.parametrize(("measured", "reduction", "quota"), [(2, 2, 1), (3, 2, 2), (8, 2, 4), (9, 4, 3)])
def test_one_in_so_many_is_promoted(measured: int, reduction: int, quota: int) -> None:
    records = trials(*[i / 10 for i in range(measured)])
    assert promoted(records, reduction=reduction) == [measured - 1 - i for i in range(quota)]


def test_a_late_leader_is_promoted_when_there_is_room() -> None:
    assert promote(trials(0.3, 0.5, 0.9), (1, 1)) == (2, 1)


def test_of_equals_the_first_is_promoted() -> None:
    assert promote(trials(0.5, 0.5, 0.5)) == (0, 1)


def test_each_size_bin_promotes_its_own_best() -> None:
    records = [*trials(0.9, 0.8, 0.7, 0.6), *trials(0.4, 0.3, 0.2, 0.1, params=SMALL, first=4)]
    assert promoted(records) == [0, 4, 1, 5]


def test_what_the_bins_leave_over_fills_the_next_rung() -> None:
    records = [*trials(0.9, 0.8, 0.7), *trials(0.4, params=SMALL, first=3), *trials(0.3, params=10, first=4)]
    assert promoted(records) == [0, 1, 3]
    assert len(promoted([*trials(0.9), *trials(0.8, params=SMALL, first=1)])) == 1


@given(st.lists(st.sampled_from([LARGE, SMALL, 10]), max_size=20), st.integers(2, 4))
def test_the_next_rung_holds_the_studys_share_rounded_up(sizes: list[int], reduction: int) -> None:
    records = [record(measurement(i / 20), number=i, params=size) for i, size in enumerate(sizes)]
    seats = -(-len(sizes) // reduction) if len(sizes) >= reduction else 0
    assert len(promoted(records, reduction=reduction)) == seats


def test_the_highest_rung_comes_first() -> None:
    *low, first, second = trials(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    high = [
        record(*each.measurements, measurement(a, HIGH), number=each.number, params=LARGE)
        for each, a in ((first, 0.8), (second, 0.7))
    ]
    rungs, records = (LOW, HIGH, TOP), [*low, *high]
    assert promote(records, (4, 1), (5, 1), rungs=rungs) == (4, 2)
    assert promote(records, (4, 1), (5, 1), (4, 2), rungs=rungs) == (3, 1)


def test_a_rung_that_is_not_in_use_promotes_nobody() -> None:
    kept = [record(measurement(a), measurement(a + 0.1, HIGH), number=i) for i, a in enumerate((0.5, 0.6))]
    rungs, claimed = (LOW, HIGH, TOP), ((0, 1), (1, 1))
    assert promote(kept, *claimed, rungs=rungs) is None
    assert promote(kept, *claimed, (7, 2), rungs=rungs) == (1, 2)
    swapped = [record(measurement(a), measurement(1 - a, HIGH), number=i) for i, a in enumerate((0.3, 0.4))]
    assert promote(swapped, *claimed, rungs=rungs) == (0, 2)


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


def test_one_promotion_in_eight_is_drawn_from_the_rest_of_the_bin() -> None:
    records = trials(*[1 - i / 100 for i in range(48)])
    order = promoted(records)
    by_rank = [number for k, number in enumerate(order, start=1) if k % DRAWN]
    drawn = [number for k, number in enumerate(order, start=1) if not k % DRAWN]
    assert by_rank == [number for number in range(48) if number not in drawn][: len(by_rank)]
    assert len(drawn) == 3
    assert max(drawn) >= len(order)
    assert promoted(records) == order


def test_networks_within_the_noise_of_seeds_are_tied() -> None:
    smaller = record(measurement(0.500), number=0, params=800)
    larger = record(measurement(0.505), number=1, params=900)
    worse = record(measurement(0.505), number=2, params=950)
    noisy = [record(measurement(0.1), measurement(0.2, seed=5), number=3, params=10)]
    by = ("val_accuracy", "params")
    assert promoted([smaller, larger, worse, *trials(0.0, first=4)], by=by)[:2] == [1, 0]
    assert promoted([smaller, larger, worse, *noisy, *trials(0.0, first=4)], by=by)[:2] == [1, 0]
    assert layers(np.array([[-0.500, 800], [-0.495, 800.0]]), np.array([0.07, 0.0])) == [0, 0]
    assert layers(np.array([[-0.500, 800], [-0.400, 800.0]]), np.array([0.07, 0.0])) == [0, 1]
    assert layers(np.array([[-0.500, 800], [-0.495, 801.0]]), np.array([0.07, 0.0])) == [0, 1]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12), st.integers(0, 3))
def test_layers_are_the_longest_chains_of_dominance(values: list[tuple[int, int]], epsilon: int) -> None:
    losses = np.array(values, dtype=float).reshape(len(values), 2)
    layer = layers(losses, np.array([epsilon, 0.0]))

    def dominates(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return a[0] <= b[0] and a[1] <= b[1] and (a[0] + epsilon < b[0] or a[1] < b[1])

    for i, each in enumerate(values):
        above = [layer[j] for j, other in enumerate(values) if dominates(other, each)]
        assert layer[i] == max(above, default=-1) + 1


def test_small_networks_of_the_front_go_before_large_dominated_ones() -> None:
    points = {
        0: {"val_accuracy": 0.90, "params": 900},
        1: {"val_accuracy": 0.89, "params": 950},
        2: {"val_accuracy": 0.20, "params": 10},
    }
    assert ranking(points, TWO) == [0, 2, 1]


def test_a_quantity_that_was_not_measured_ranks_last() -> None:
    points = {0: {"params": 5.0}, 1: {"params": 5.0, "val_accuracy": 0.1}}
    assert ranking(points, TWO) == [1, 0]
    assert ranking({}, TWO) == []


def measured_twice(count: int, *, naswot: float) -> list[TrialRecord]:
    """Return promoted trials whose accuracy above follows NASWOT, with so much noise, and not their accuracy below."""
    rng = random.Random(0)
    made = []
    for number in range(count):
        skill = rng.random()
        low = measurement(rng.random(), naswot=skill + naswot * rng.random())
        made.append(record(low, measurement(skill, HIGH), number=number, params=LARGE))
    return made


def test_accuracy_ranks_until_another_score_has_earned_its_weight() -> None:
    new = [
        record(measurement(0.9, naswot=0.0), number=98, params=LARGE),
        record(measurement(0.1, naswot=9.0), number=99, params=LARGE),
    ]
    few, many = measured_twice(5, naswot=0.0), measured_twice(40, naswot=0.0)
    claimed_few, claimed_many = ([(each.number, 1) for each in some[: len(some) // 2]] for some in (few, many))
    assert promote([*few[:2], *new], *claimed_few[:1]) == (98, 1)
    assert promote([*many, *new], *claimed_many) == (99, 1)


def test_interference_is_ranked_by_the_composite_of_the_rung() -> None:
    """Cross-talk follows accuracy on a line, but for trial 5, which lies far below it."""
    talk = [0.1 * i + 0.01 * (-1) ** i - 2 * (i == 5) for i in range(10)]
    records = [
        record(measurement(i / 10, cross_talk=t, excess_coherence=t, val_loss=1 - i / 10, interference=0.0), number=i)
        for i, t in enumerate(talk)
    ]
    assert promote(records, reduction=10, by=("interference",)) == (5, 1)


def test_few_records_are_ranked_by_their_plain_composite() -> None:
    records = [record(measurement(0.5, interference=value), number=i) for i, value in enumerate((0.3, 0.1, 0.2))]
    assert promote(records, by=("interference",)) == (1, 1)


def test_every_eighth_candidate_then_every_sixteenth_is_trained_from_a_second_seed() -> None:
    assert [number for number in range(100) if is_replicated(number)] == [8, 16, 24, 32, 48, 64, 80, 96]


def test_a_replicate_is_of_a_candidate_that_was_measured_and_has_none() -> None:
    records = [*trials(*[0.5] * 20)]
    records[8] = record(diverged(), number=8)
    assert next_replicate(standing(records), set()) == 16
    assert next_replicate(standing(records), {16}) is None
    assert next_replicate(standing(records, rungs=(LOW,)), set()) is None


def test_replicates_do_not_change_who_is_promoted() -> None:
    records = trials(0.5, 0.6, 0.4)
    again = record(*records[0].measurements, measurement(0.99, seed=5), number=0, params=LARGE)
    assert promote([again, *records[1:]]) == promote(records) == (1, 1)
