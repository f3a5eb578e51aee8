"""One score out of several: log-ranks, weights, and networks that were not there when it was fitted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.trust.composite import PARTS
from nas.trust.gate import GATED
from nas.trust.mix import SCORE_DIRECTIONS, ZERO_COST, Mix

NETWORKS = [{"val_accuracy": a, "train_loss_ema": loss} for a, loss in ((0.1, 2.0), (0.5, 1.0), (0.9, 1.5))]


def test_the_mix_is_the_weighted_sum_of_log_ranks() -> None:
    mix = Mix.fitted(NETWORKS, {"val_accuracy": 0.6, "train_loss_ema": 0.2})
    expected = [math.log(1 / 3), 0.75 * math.log(2 / 3), 0.25 * math.log(2 / 3)]
    assert mix.values(NETWORKS) == pytest.approx(expected)
    assert mix.weights == pytest.approx({"val_accuracy": 0.75, "train_loss_ema": 0.25})


def test_ties_share_their_mean_rank() -> None:
    twins = [{"val_accuracy": value} for value in (0.5, 0.5, 0.7)]
    assert Mix.fitted(twins, {"val_accuracy": 1}).values(twins) == pytest.approx([math.log(0.5), math.log(0.5), 0])


def test_a_new_network_stands_between_its_neighbours_and_never_outside() -> None:
    mix = Mix.fitted(NETWORKS, {"val_accuracy": 1})
    low, between, high = mix.values([{"val_accuracy": value} for value in (0.0, 0.7, 1.0)])
    assert (low, high) == pytest.approx((math.log(1 / 3), 0))
    assert math.log(2 / 3) < between < 0


def test_what_was_not_measured_ranks_in_the_middle() -> None:
    mix = Mix.fitted([*NETWORKS, {}], {"val_accuracy": 1})
    assert mix.values([{}]) == pytest.approx([math.log(2 / 3)])


def test_a_score_that_nobody_has_leaves_its_weight_to_the_others() -> None:
    assert Mix.fitted(NETWORKS, {"val_accuracy": 0.3, "synflow": 0.6}).weights == {"val_accuracy": 1.0}


def test_scores_without_weight_say_nothing() -> None:
    assert Mix.fitted(NETWORKS, {"val_accuracy": 1, "train_loss_ema": 0}).weights == {"val_accuracy": 1.0}
    assert list(Mix.fitted(NETWORKS, {}).values(NETWORKS)) == [0, 0, 0]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 9)), min_size=1, max_size=9))
def test_better_in_every_score_is_never_mixed_worse(pairs: list[tuple[float, float]]) -> None:
    networks = [{"val_accuracy": a, "train_loss_ema": loss} for a, loss in pairs]
    values = Mix.fitted(networks, {"val_accuracy": 0.5, "train_loss_ema": 0.5}).values(networks)
    for (a, loss), mixed in zip(pairs, values, strict=True):
        assert mixed <= 0
        assert all(mixed <= other for (b, less), other in zip(pairs, values, strict=True) if b >= a and less <= loss)


def test_every_score_that_can_be_mixed_has_a_better_end() -> None:
    assert {*ZERO_COST, *GATED, *PARTS} <= SCORE_DIRECTIONS.keys()
    assert {SCORE_DIRECTIONS[name] for name in GATED} == {"minimize"}
