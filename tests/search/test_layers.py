"""Non-dominated layers are those that comparing every row with every other gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.search.layers import layers

LOSS = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.25, 3.0, float("inf")])
EPSILON = st.sampled_from([0.0, 0.0, 0.3, 1.0])


def by_definition(losses: np.ndarray, epsilons: np.ndarray) -> list[int]:
    """Return the layers by taking away, again and again, what no row that is left dominates."""
    no_larger = (losses[:, None] <= losses[None]).all(axis=2)
    smaller = (losses[:, None] + epsilons < losses[None]).any(axis=2)
    dominates, found, depth = no_larger & smaller, np.full(len(losses), -1), 0
    while (found < 0).any():
        left = found < 0
        found[left & ~dominates[left].any(axis=0)] = depth
        depth += 1
    return [int(layer) for layer in found]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@given(data=st.data())
def test_layers_are_those_of_the_definition(count: int, data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 12))
    losses = data.draw(arrays(float, (rows, count), elements=LOSS))
    epsilons = data.draw(arrays(float, (count,), elements=EPSILON))
    assert layers(losses, epsilons) == by_definition(losses, epsilons)


@pytest.mark.parametrize("epsilons", [[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [0.1, 0.1], [0.1, 0.0, 0.0], [0.0] * 3])
def test_layers_of_many_rows_are_those_of_the_definition(epsilons: list[float]) -> None:
    losses = np.random.default_rng(0).normal(size=(300, len(epsilons))).round(1)
    assert layers(losses, np.array(epsilons)) == by_definition(losses, np.array(epsilons))


def test_no_rows_have_no_layers() -> None:
    assert layers(np.empty((0, 2)), np.zeros(2)) == []
