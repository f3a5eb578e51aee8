"""Dominance, fronts, layers and hypervolume against brute force on small whole numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import InputError
from nas.pareto import DEFAULT_OBJECTIVES, DIRECTIONS, front, hypervolume, layers, losses, objectives

Loss = tuple[float, ...]
NAMES = ("val_accuracy", "params", "interference")
SIDE = 5
REFERENCE = {"val_accuracy": 0.0, "params": float(SIDE), "interference": float(SIDE)}


def _points(most: int = 12) -> st.SearchStrategy[list[dict[str, float]]]:
    coordinate = st.integers(0, SIDE + 1).map(float)
    return st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, coordinate)), max_size=most)


def _losses(points: Sequence[dict[str, float]], names: Sequence[str]) -> list[Loss]:
    """Return the points to be minimised, without the code under test."""
    return [tuple(-p[name] if DIRECTIONS[name] == "maximize" else p[name] for name in names) for p in points]


def _dominates(one: Loss, other: Loss) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _front(rows: Sequence[Loss]) -> list[int]:
    return [i for i, row in enumerate(rows) if not any(_dominates(other, row) for other in rows)]


counts = pytest.mark.parametrize("number", [1, 2, 3])


@counts
@given(_points())
def test_the_front_is_what_no_point_dominates(number: int, points: list[dict[str, float]]) -> None:
    names = NAMES[:number]
    assert front(points, objectives(names)) == _front(_losses(points, names))


def test_what_is_infinitely_good_is_on_the_front() -> None:
    """In a process of its own such points of three objectives would have ended it."""
    points = [dict(zip(NAMES, row, strict=True)) for row in ((math.inf, 0.0, 1.0), (0.0, -math.inf, 1.0), (0, 1, 1))]
    assert front(points, objectives(NAMES)) == [0, 1]
    assert layers(points, objectives(NAMES)) == [0, 0, 1]
    assert hypervolume(points, objectives(NAMES), REFERENCE) > 1e300


@counts
@given(_points())
def test_layers_are_the_fronts_of_what_is_left(number: int, points: list[dict[str, float]]) -> None:
    names = NAMES[:number]
    found = layers(points, objectives(names))
    left = list(range(len(points)))
    for layer in range(max(found, default=-1) + 1):
        rows = _losses([points[i] for i in left], names)
        assert [i for i in left if found[i] == layer] == [left[j] for j in _front(rows)]
        left = [i for i in left if found[i] > layer]
    assert left == []


@counts
@given(_points())
def test_the_hypervolume_is_the_number_of_dominated_unit_cubes(number: int, points: list[dict[str, float]]) -> None:
    names = NAMES[:number]
    corner = _losses([REFERENCE], names)[0]
    rows = [row for row in _losses(points, names) if all(a < b for a, b in zip(row, corner, strict=True))]
    cubes = product(*(np.arange(end - 2 * SIDE, end) for end in corner))  # each by its lower corner
    expected = sum(any(all(a <= b for a, b in zip(row, cube, strict=True)) for row in rows) for cube in cubes)
    assert hypervolume(points, objectives(names), REFERENCE) == expected


def test_nothing_has_an_empty_front_and_no_volume() -> None:
    wanted = objectives(NAMES)
    assert (front([], wanted), layers([], wanted), hypervolume([], wanted, REFERENCE)) == ([], [], 0.0)


def test_equal_points_all_stay_on_the_front() -> None:
    assert front([{"params": 2}, {"params": 1}, {"params": 1}], objectives(["params"])) == [1, 2]


@pytest.mark.parametrize("missing", [{}, {"val_accuracy": math.nan}])
def test_what_was_not_measured_counts_as_worst(missing: dict[str, float]) -> None:
    wanted = objectives(["val_accuracy", "params"])
    unmeasured, measured = {"params": 1.0, **missing}, {"params": 1.0, "val_accuracy": 0.1}
    assert losses([unmeasured], wanted).tolist() == [[math.inf, 1.0]]
    assert front([unmeasured, measured], wanted) == [1]
    assert layers([unmeasured, measured], wanted) == [1, 0]
    assert hypervolume([unmeasured], wanted, {"val_accuracy": 0, "params": 2}) == 0


def test_what_is_maximised_is_negated() -> None:
    assert losses([{"val_accuracy": 0.5, "params": 3}], objectives(["val_accuracy", "params"])).tolist() == [[-0.5, 3]]


def test_a_reference_point_without_an_objective_is_refused() -> None:
    with pytest.raises(InputError, match="hypervolume: the reference point lacks params"):
        hypervolume([{"params": 1}], objectives(["params"]), {})


def test_the_default_objectives_are_known() -> None:
    assert [each.name for each in objectives(DEFAULT_OBJECTIVES)] == list(DEFAULT_OBJECTIVES)


def test_an_unknown_objective_is_named_with_its_neighbour() -> None:
    with pytest.raises(InputError, match=r"unknown objective 'val_acuracy'; did you mean 'val_accuracy'\?"):
        objectives(["val_acuracy"])


@pytest.mark.parametrize(("names", "given_names"), [([], "none"), (["params", "params"], "params, params")])
def test_objectives_are_at_least_one_and_each_once(names: list[str], given_names: str) -> None:
    with pytest.raises(InputError) as caught:
        objectives(names)
    assert str(caught.value) == f"objectives: name at least one, each once, got {given_names}"
