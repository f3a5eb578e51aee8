"""Which networks a sample takes: over all sizes, over the range of every score, going on with what was begun."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np

from nas.trust.networks import Network
from nas.trust.spread import spread
from nas.value import FrozenMap


def network(number: int, size_bin: int = 0, **scores: float) -> Network:
    return Network(number, 100, 1, size_bin, FrozenMap(scores), None, 0)


def line(count: int, size_bin: int = 0, first: int = 0) -> list[Network]:
    """Return networks whose mixed score rises with their number, and another score falls."""
    return [network(first + i, size_bin, mix=i, other=-i, val_accuracy=0.5) for i in range(count)]


def taken(networks: list[Network], count: int, begun: frozenset[int] = frozenset(), seed: int = 0) -> list[int]:
    return list(islice(spread(networks, begun, mixed="mix", seed=seed), count))


def test_the_first_is_in_the_middle_and_the_next_are_the_ends() -> None:
    first, *ends = taken(line(9), 3)
    assert first == 4
    assert sorted(ends) == [0, 8]


def test_every_part_of_the_range_is_taken_before_any_twice() -> None:
    chosen = sorted(taken(line(65), 9))
    assert max(high - low for low, high in pairwise(chosen)) <= 16
    assert (chosen[0], chosen[-1]) == (0, 64)


def test_a_score_that_says_something_else_is_spread_as_well() -> None:
    rng = np.random.default_rng(0)
    other = rng.permutation(64)
    chosen = taken([network(i, mix=i, other=float(other[i])) for i in range(64)], 16)
    ranks = sorted(int(other[i]) for i in chosen)
    assert max(high - low for low, high in pairwise([0, *ranks, 63])) <= 16


def test_size_bins_give_the_same_share_and_each_at_least_one() -> None:
    networks = [*line(40), *line(20, 1, first=40), *line(4, 2, first=60)]
    chosen = taken(networks, 16)
    counts = [sum(networks[number].size_bin == size_bin for number in chosen) for size_bin in range(3)]
    assert counts == [10, 5, 1]


def test_a_shorter_sample_is_the_beginning_of_a_longer_one() -> None:
    assert taken(line(50), 20)[:8] == taken(line(50), 8)


def test_a_begun_sample_goes_on_as_if_it_had_not_stopped() -> None:
    whole = taken(line(50), 20)
    begun = frozenset(whole[:8])
    resumed = taken(line(50), 20, begun)
    assert set(resumed[:8]) == begun
    assert set(resumed) == set(whole)


def test_the_order_of_the_networks_makes_no_difference() -> None:
    assert taken(line(30), 12) == taken(line(30)[::-1], 12)


def test_all_networks_come_in_the_end_once() -> None:
    networks = [*line(7), *line(5, 1, first=7)]
    assert sorted(taken(networks, 100)) == list(range(12))
    assert taken([], 3) == []


def test_networks_without_a_score_to_tell_them_apart_are_drawn_by_the_seed() -> None:
    same = [network(i) for i in range(20)]
    assert taken(same, 5) == taken(same, 5)
    assert taken(same, 5) != taken(same, 5, seed=1)
