"""The noise of seeds, and what it leaves undecided, against closed forms."""

from __future__ import annotations

import math
from statistics import stdev

import numpy as np
import pytest
from scipy import stats

from nas.trust.noise import seed_noise


def test_one_network_has_its_own_standard_deviation() -> None:
    values = [0.80, 0.82, 0.87]
    found = seed_noise([values])
    assert (found.std, found.degrees) == (pytest.approx(stdev(values)), 2)


def test_networks_are_pooled_around_their_own_means() -> None:
    found = seed_noise([[0.1, 0.3], [0.7, 0.9], [0.5]])
    assert found.degrees == 2
    assert found.std == pytest.approx(math.sqrt(4 * 0.1**2 / 2))


def test_one_seed_each_says_nothing() -> None:
    assert seed_noise([[0.5], [0.6], []]) is None


def test_the_margin_of_a_mean_is_the_textbook_t_interval() -> None:
    values = [0.80, 0.82, 0.87, 0.81]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert seed_noise([values]).margin(4) == pytest.approx((high - low) / 2)


def test_the_margin_of_a_difference_is_that_of_the_pooled_t_test() -> None:
    one, other = [0.80, 0.82, 0.87], [0.70, 0.75]
    interval = stats.ttest_ind(one, other).confidence_interval(0.95)
    assert seed_noise([one, other]).margin(3, 2) == pytest.approx((interval.high - interval.low) / 2)
