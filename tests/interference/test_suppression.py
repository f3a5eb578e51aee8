"""Suppression: the penalty against values by hand, and its gradient against differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nas.interference import statistics
from nas.interference.statistics import Features
from nas.interference.suppression import excess_interference, ramp, row_overlap
from nas.interference.training_look import Positions


def columns(*vectors: tuple[float, ...]) -> Tensor:
    return torch.tensor(vectors, dtype=torch.float64).T


def ones(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.float64)


@pytest.mark.parametrize(
    ("vectors", "variance", "importance", "expected"),
    [
        # one dimension: r_1 = 1/10, r_2 = 9/10; 0.1 / 4 + 0.9 * 3/4 - 1/2
        (columns((3,), (1,)), (1, 1), (1, 3), 0.2),
        # S = 4 and 9: r_1 = 9/13, r_2 = 4/13, weighed 3 to 1, minus 1/2
        (columns((2,), (3,)), (1, 1), (3, 1), (3 * 9 + 4) / 52 - 0.5),
        (columns((1,), (1,)), (4, 9), (3, 1), (3 * 9 + 4) / 52 - 0.5),
        # r = 1/2, 1/2, 1/3, minus 1/3
        (columns((1, 0), (0, 1), (1, 1)), (1, 1, 1), (1, 1, 1), 1 / 9),
        # orthogonal; and a map that keeps the width has no floor: r_1 = r_2 = 1/2
        (columns((1, 0), (0, 2)), (1, 1), (1, 1), 0),
        (columns((1, 1), (1, 1)), (1, 1), (1, 1), 0.5),
    ],
)
def test_the_penalty_by_hand(
    vectors: Tensor, variance: tuple[float, ...], importance: tuple[float, ...], expected: float
) -> None:
    given = (torch.tensor(values, dtype=torch.float64) for values in (variance, importance))
    assert excess_interference(vectors, *given).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("count", [3, 5, 8])
def test_a_tight_frame_has_no_excess(count: int) -> None:
    turns = [2 * math.pi * i / count for i in range(count)]
    frame = columns(*((math.cos(turn), math.sin(turn)) for turn in turns))
    assert excess_interference(frame, ones(count), ones(count)).item() == pytest.approx(0, abs=1e-12)


def test_below_the_floor_there_is_neither_penalty_nor_gradient() -> None:
    weight = columns((3,), (1,)).requires_grad_()
    value = excess_interference(weight, ones(2), torch.tensor([1.0, 0.0]).double())
    value.backward()
    assert value == 0
    assert not weight.grad.any()


def test_cancelling_features_interfere_only_when_independent() -> None:
    # a_3 = -a_2 and both on one direction: nothing of theirs reaches feature 1
    vectors = columns((1, 0), (1, 1), (1, 1))
    covariance = torch.tensor([[1.0, 0, 0], [0, 1, -1], [0, -1, 1]]).double()
    first = torch.tensor([1.0, 0, 0]).double()
    # r_1 = 2/3 when independent, 0 together; the floor is 1/3
    assert excess_interference(vectors, ones(3), first).item() == pytest.approx(1 / 3)
    assert excess_interference(vectors, ones(3), first, covariance) == 0


def made(dims: int = 3, count: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return vectors, variance, importance and covariance, drawn at random in float64."""
    factor = torch.randn(count, count).double()
    covariance = factor @ factor.T
    return torch.randn(dims, count).double(), covariance.diagonal(), torch.rand(count).double(), covariance


def test_it_is_the_importance_weighted_ratio_of_the_statistics_above_the_floor() -> None:
    vectors, variance, importance, covariance = made()
    floor = 1 - 3 / 7
    features = Features.from_covariance(vectors, covariance)
    full = statistics.importance_weighted(features, importance)
    noise = statistics.independent_interference(features)
    independent = (noise / (statistics.signal(features) + noise)) @ importance / importance.sum()
    assert min(full, independent) > floor
    assert torch.allclose(excess_interference(vectors, variance, importance, covariance), full - floor)
    assert torch.allclose(excess_interference(vectors, variance, importance), independent - floor)


@pytest.mark.parametrize("is_full", [False, True])
def test_the_gradient_is_that_of_differences(is_full: bool) -> None:
    vectors, variance, importance, covariance = made()
    rest = (variance, importance, covariance) if is_full else (variance, importance)
    assert excess_interference(vectors, *rest) > 0
    assert torch.autograd.gradcheck(lambda w: excess_interference(w, *rest), vectors.requires_grad_())


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("is_full", [False, True])
def test_scales_leave_it_unchanged_in_single_precision(factor: float, is_full: bool) -> None:
    vectors, variance, importance, covariance = (tensor.float() for tensor in made())

    def value(scale: float, power: float) -> Tensor:
        return excess_interference(
            scale * vectors, power * variance, importance, power * covariance if is_full else None
        )

    assert value(1, 1) > 0.01
    for scale, power in [(factor, 1), (1, factor), (factor, factor)]:
        assert torch.allclose(value(scale, power), value(1, 1), rtol=1e-4)


def test_the_gradient_does_not_change_the_length_of_the_weight() -> None:
    vectors, variance, importance, _ = made()
    (gradient,) = torch.autograd.grad(excess_interference(vectors.requires_grad_(), variance, importance), vectors)
    assert abs((gradient * vectors).sum()) < 1e-12 < gradient.norm()


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("what", ["vector", "variance", "importance", "everything"])
def test_what_is_zero_gives_a_finite_gradient(what: str, is_full: bool) -> None:
    vectors, _, importance, covariance = (tensor.float().clone() for tensor in made())
    if what in {"vector", "everything"}:
        vectors[:, 0 if what == "vector" else slice(None)] = 0
    if what in {"variance", "everything"}:
        covariance[0 if what == "variance" else slice(None)] = 0
        covariance[:, 0 if what == "variance" else slice(None)] = 0
    if what in {"importance", "everything"}:
        importance.zero_()
    vectors.requires_grad_()
    value = excess_interference(vectors, covariance.diagonal(), importance, covariance if is_full else None)
    (gradient,) = torch.autograd.grad(value, vectors)
    assert 0 <= value <= 1
    assert gradient.isfinite().all()


def test_row_overlap_by_hand() -> None:
    # unit rows with cosine 0.6: |U U^T - I|^2 = 2 * 0.36, per row 0.36
    weight = torch.tensor([[1.0, 0, 0], [3.0, 4.0, 0]])
    assert row_overlap(weight).item() == pytest.approx(0.36)
    assert row_overlap(torch.eye(3, 5)).item() == pytest.approx(0)


def test_the_ramp_rises_stays_and_ends() -> None:
    shares = [ramp(step, 20) for step in range(21)]
    assert shares == pytest.approx([*(i / 6 for i in range(1, 7)), *[1.0] * 12, 0, 0, 0])
    assert [ramp(step, 1) for step in range(2)] == [1, 0]


def test_positions_are_as_many_of_each_image_and_distinct() -> None:
    b, y, x = Positions(0).draw(torch.Size((100, 6, 5)), torch.device("cpu"))
    assert torch.bincount(b).tolist() == [10] * 100
    assert len({*zip(b.tolist(), y.tolist(), x.tolist(), strict=True)}) == 1000
    assert (y.max(), x.max()) == (5, 4)


def test_positions_are_new_at_each_look_and_the_same_for_a_seed() -> None:
    shape, cpu = torch.Size((64, 8, 8)), torch.device("cpu")
    first, second = Positions(0), Positions(0)
    drawn = [torch.stack(first.draw(shape, cpu)) for _ in range(2)]
    assert not torch.equal(*drawn)
    assert all(torch.equal(each, torch.stack(second.draw(shape, cpu))) for each in drawn)
    assert not torch.equal(drawn[0], torch.stack(Positions(1).draw(shape, cpu)))
