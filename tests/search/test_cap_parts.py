"""The parts of the default sampler, each against a closed form or a count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.pareto import Objective, hypervolume
from nas.search.samplers import arms
from nas.search.samplers.acquisition import boxes, expected_gain, room_of, thinned
from nas.search.samplers.density import dense_suggestions
from nas.search.samplers.forecast import layers_of, standing_of
from nas.search.samplers.start import turn


def _volume(points: np.ndarray) -> float:
    names = [f"o{k}" for k in range(points.shape[1])]
    rows = [dict(zip(names, point, strict=True)) for point in points.tolist()]
    return hypervolume(rows, [Objective(name, "minimize") for name in names], dict.fromkeys(names, 1.0))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(0, 12), st.integers(0, 10_000))
def test_a_known_point_gains_the_volume_that_it_adds(count: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    front, points = rng.random((size, count)), rng.random((5, count)) * 1.1
    front = front[layers_of(front) == 0] if size else front
    gains = expected_gain(points, np.zeros_like(points), room_of(front, np.ones(count)))
    before = _volume(front) if len(front) else 0.0
    for point, gain in zip(points, gains, strict=True):
        assert gain == pytest.approx(_volume(np.vstack([front, point])) - before, abs=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_expected_gain_is_the_mean_over_draws(count: int) -> None:
    rng = np.random.default_rng(0)
    front = 0.3 + 0.7 * rng.random((6, count))
    front = front[layers_of(front) == 0]
    mean, spread = np.full((1, count), 0.4), np.full((1, count), 0.2)
    draws = mean + spread * rng.normal(size=(20_000, count))
    sampled = expected_gain(draws, np.zeros_like(draws), room_of(front, np.ones(count))).mean()
    assert expected_gain(mean, spread, room_of(front, np.ones(count)))[0] == pytest.approx(sampled, rel=0.03)


def test_boxes_do_not_overlap() -> None:
    rng = np.random.default_rng(1)
    front = rng.random((8, 3))
    lower, upper = boxes(front[layers_of(front) == 0], np.ones(3))
    points = rng.random((500, 3))
    inside = np.all((points[:, None] > lower) & (points[:, None] < upper), axis=2).sum(axis=1)
    dominated = np.any(np.all(front <= points[:, None], axis=2), axis=1)
    assert np.array_equal(inside, np.where(dominated, 0, 1))


def test_a_front_with_too_many_points_keeps_its_ends() -> None:
    x = np.linspace(0, 1, 500)
    kept = thinned(np.stack([x, 1 - x], axis=1))
    assert len(kept) <= 40
    assert kept[0].tolist() == [0, 1]
    assert kept[-1].tolist() == [1, 0]


def test_suggestions_lie_where_good_trials_are_and_others_are_not() -> None:
    rng = np.random.default_rng(0)
    good, others = np.zeros((6, 8), dtype=np.int16), rng.integers(3, size=(50, 8)).astype(np.int16)
    drawn = dense_suggestions(np.vstack([good, others]), np.full(8, 3, dtype=np.int16), rng)
    assert (drawn == 0).mean() > 0.7
    assert (drawn[:5] == 0).mean() >= (drawn[-5:] == 0).mean()


def test_trials_without_a_loss_stand_last_and_ties_go_to_the_younger() -> None:
    assert standing_of(np.array([[2.0], [np.nan], [1.0], [1.0]])).tolist() == [3, 2, 0, 1]


def test_an_arm_that_pays_off_is_used_more_and_none_is_dropped() -> None:
    history = [arms.MODEL, arms.MUTATE] * 40
    layers = np.array([5 + i if arm == arms.MODEL else i % 3 for i, arm in enumerate(history)])
    found, before = arms.shares(history, layers, 1.0), arms.shares([], np.array([], dtype=int), 1.0)
    assert found[arms.MUTATE] > 2 * before[arms.MUTATE]
    assert found[arms.MODEL] >= arms.FLOOR
    assert sum(found.values()) == pytest.approx(1)


def test_models_that_rank_badly_are_asked_less() -> None:
    good, bad = (arms.shares([], np.array([], dtype=int), quality)[arms.MODEL] for quality in (0.9, -0.1))
    assert good > 0.7
    assert 0.55 < bad < 0.65


def test_turns_fill_the_range_evenly() -> None:
    turns = sorted(turn(i) for i in range(15))
    assert np.allclose(turns, np.arange(1, 16) / 16)
