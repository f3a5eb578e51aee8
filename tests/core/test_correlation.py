"""Rank correlations, partial ones and their intervals, against closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import kendalltau, rankdata, spearmanr

from nas.trust import bootstrap_interval, correlation, partial_rank_correlation, rank_correlation
from nas.trust.correlation import FEWEST, association, mean_ranks

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


def _tied(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return two related columns of few distinct values."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count).round()
    return x, (x + rng.normal(size=count)).round()


@pytest.mark.parametrize("count", [5, 6, 31, 200])
def test_kendall_and_spearman_are_those_of_scipy_ties_included(count: int) -> None:
    x, y = _tied(count, seed=count)
    assert association(x, y, "kendall").value == pytest.approx(kendalltau(x, y).statistic)
    assert association(x, y, "spearman").value == pytest.approx(spearmanr(x, y).statistic)


def test_the_interval_of_kendall_is_that_of_drawing_networks_again() -> None:
    x, y = _tied(40)
    draws = np.random.default_rng(7).integers(0, 40, (400, 40))
    expected = np.nanquantile([kendalltau(x[each], y[each]).statistic for each in draws], [0.025, 0.975])
    found = association(x, y, seed=1, resamples=400)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.06)
    assert association(x, y, seed=7, resamples=400).low == pytest.approx(expected[0])


def test_groups_are_compared_inside_alone_and_weighted_by_their_networks() -> None:
    x = [1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
    y = [5, 4, 3, 2, 1, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
    found = association(x, y, groups=["small"] * 5 + ["large"] * 10)
    assert found.value == pytest.approx((-1 * 5 + 1 * 10) / 15)
    assert found.count == 15
    assert association(x, y).value > 0.8


def test_a_group_of_which_nothing_can_be_said_is_left_out() -> None:
    constant = association([*UP, *[1] * 9], [*UP, *range(9)], groups=[0] * 12 + [1] * 9)
    few = association([*UP, 5, 6], [*UP, 6, 5], groups=[0] * 12 + [1] * 2)
    missing = association([*UP, *[math.nan] * 9], [*UP, *range(9)], groups=[0] * 12 + [1] * 9)
    assert {each.count for each in (constant, few, missing)} == {12}
    assert {each.value for each in (constant, few, missing)} == {1.0}


@pytest.mark.parametrize("method", ["kendall", "spearman"])
@pytest.mark.parametrize(("x", "y"), [([], []), (range(FEWEST - 1), range(FEWEST - 1)), ([1] * 9, range(9))])
def test_an_association_without_a_meaning_has_no_value(x: Sequence[float], y: Sequence[float], method: str) -> None:
    assert association(list(x), list(y), method) is None


@pytest.mark.parametrize("count", [5, 8, 200])
@pytest.mark.parametrize("tied", [True, False])
def test_ranks_that_follow_from_counts_are_those_of_each_resample(
    monkeypatch: pytest.MonkeyPatch, count: int, *, tied: bool
) -> None:
    rng = np.random.default_rng(count)
    columns = np.array(_tied(count)) if tied else rng.normal(size=(2, count))
    draws = rng.integers(0, count, (300, count))
    monkeypatch.setattr(correlation, "DRAWS_AT_ONCE", 7 * count)
    ranked_anew = correlation._correlations(columns[:, draws])
    assert correlation._spearmans(columns, draws) == pytest.approx(ranked_anew, abs=1e-12, nan_ok=True)


def test_equal_values_have_their_mean_rank() -> None:
    values = _tied(50)[0]
    assert list(mean_ranks(values)) == list(rankdata(values))
    assert list(mean_ranks(np.array([]))) == []
