"""Rank correlations, partial ones and their intervals, against closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from nas.trust import bootstrap_interval, partial_rank_correlation, rank_correlation

UP = list(range(12))


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (UP, [2.0**i for i in UP], 1),
        (UP, UP[::-1], -1),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),  # 1 - 6 sum d^2 / (n (n^2 - 1)) with d^2 = 1, 1, 1, 1, 0
        ([1, 2, 3, 4, 5, 6], [1, 3, 2, 5, 4, 6], 1 - 6 * 4 / 210),
        ([1, 1, 2, 2, 3, 3], [1, 1, 2, 2, 3, 3], 1),  # ties
    ],
)
def test_rank_correlations_have_their_closed_form(x: list[float], y: list[float], expected: float) -> None:
    assert rank_correlation(x, y) == pytest.approx(expected)


def test_the_partial_correlation_of_one_control_is_the_textbook_formula() -> None:
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 50)) + rng.normal(size=50)
    xy, xz, yz = rank_correlation(x, y), rank_correlation(x, z), rank_correlation(y, z)
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_rank_correlation(x, y, [z]) == pytest.approx(expected)


def test_a_confounder_that_explains_everything_leaves_about_nothing() -> None:
    rng = np.random.default_rng(0)
    size = rng.normal(size=400)
    x, y = size + rng.normal(size=(2, 400)) / 2
    assert rank_correlation(x, y) > 0.7
    assert abs(partial_rank_correlation(x, y, [size])) < 0.1
    interval = bootstrap_interval(x, y, [size])
    assert interval.low < 0 < interval.high
    assert not interval.leaves_out_zero


def test_controls_that_repeat_one_another_or_never_vary_change_nothing() -> None:
    rng = np.random.default_rng(1)
    x, y, z = rng.normal(size=(3, 40)) + rng.normal(size=40)
    alone = partial_rank_correlation(x, y, [z])
    assert partial_rank_correlation(x, y, [z, z**3, np.ones(40)]) == pytest.approx(alone)


def test_only_ranks_count() -> None:
    rng = np.random.default_rng(2)
    x, y, z = rng.normal(size=(3, 30))
    changed = partial_rank_correlation(np.exp(x), y**3, [5 * z - 1])
    assert changed == pytest.approx(partial_rank_correlation(x, y, [z]))


@pytest.mark.parametrize(
    ("x", "y", "controls"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], []),  # four networks
        ([], [], []),
        ([1] * 9, range(9), []),  # a constant
        (range(9), [0.1] * 9, []),
        (range(9), [*range(8), 3], [range(9)]),  # a score that the controls explain
        (range(5), [1, 3, 2, 5, 4], [[5, 1, 4, 2, 3]]),  # five networks and a control
        ([1, 2, 3, 4, math.nan, math.inf], [1, 2, 3, 4, 5, 6], []),  # two of six are missing
    ],
)
def test_what_has_no_meaning_has_no_value(
    x: Sequence[float], y: Sequence[float], controls: list[Sequence[float]]
) -> None:
    x, y = list(x), list(y)
    assert partial_rank_correlation(x, y, list(map(list, controls))) is None
    assert bootstrap_interval(x, y, list(map(list, controls))) is None


def test_networks_with_a_missing_value_are_left_out() -> None:
    assert rank_correlation([*UP, math.nan], [*UP, 0]) == pytest.approx(1)
    assert bootstrap_interval([*UP, math.nan], [*UP, 0]).count == len(UP)


def test_an_interval_holds_its_value_and_depends_on_the_seed_alone() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 40)) + rng.normal(size=40)
    found = bootstrap_interval(x, y, seed=1)
    assert found.low < found.value < found.high
    assert found == bootstrap_interval(x, y, seed=1)
    assert found != bootstrap_interval(x, y, seed=2)
    assert found.value == bootstrap_interval(x, y, seed=2).value


def test_more_networks_give_a_narrower_interval_of_about_the_normal_width() -> None:
    rng = np.random.default_rng(4)
    few, many = (bootstrap_interval(*rng.normal(size=(2, n))) for n in (50, 800))
    assert few.high - few.low == pytest.approx(2 * 1.96 / math.sqrt(50), rel=0.25)
    assert many.high - many.low == pytest.approx(2 * 1.96 / math.sqrt(800), rel=0.25)
