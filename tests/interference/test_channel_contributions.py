"""How few channels make an output, and what a network loses with those alone: by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.interference import measure
from nas.interference.contributions import KEPT_SHARE, activation_ratio, largest_channels, topk_drop

LABELS = torch.arange(8) % 2


def orthogonal(*contributions: float) -> tuple[Tensor, Tensor]:
    """Return a map (n, n) and one row of inputs whose channels contribute these lengths at right angles."""
    return torch.eye(len(contributions)), torch.tensor([contributions])


@pytest.mark.parametrize(
    ("contributions", "expected"),
    [
        ((1, 1, 1, 1), 1.0),
        ((1, 0, 0, 0), 0.25),
        ((1, 0.09, 0.02, 0.02), 0.25),  # sqrt(.09^2 + .02^2 + .02^2) = .0943, the output 1.0044
        ((1, 0.09, 0.05, 0.02), 0.5),  # sqrt(.09^2 + .05^2 + .02^2) = .1049, over .1006
        ((-1, 0.01, 0.01, -0.9), 0.5),
        ((0, 0, 0, 0), 0.0),
    ],
)
def test_ratio_is_the_share_that_makes_nine_tenths(contributions: tuple[float, ...], expected: float) -> None:
    assert activation_ratio(*orthogonal(*contributions)) == pytest.approx(expected)


def test_ratio_is_the_mean_over_positions() -> None:
    weight = torch.eye(4)
    assert activation_ratio(weight, torch.tensor([[1.0, 1, 1, 1], [1, 0, 0, 0]])) == pytest.approx(0.625)


def test_what_is_dropped_may_cancel() -> None:
    """Two opposite contributions of 0.5 beside one of 1: together they are nothing, one alone is too much."""
    weight = torch.tensor([[1.0, 0, 0], [0, 0.5, -0.5]])
    assert activation_ratio(weight, torch.ones(1, 3)) == pytest.approx(1 / 3)


def test_channels_are_dropped_by_what_they_contribute_not_by_their_activity() -> None:
    weight = torch.diag(torch.tensor([100.0, 1.0]))
    assert activation_ratio(weight, torch.tensor([[0.1, 0.5]])) == pytest.approx(0.5)


def test_scale_of_channels_against_their_weights_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, inputs = torch.randn(6, 20, generator=generator), torch.randn(50, 20, generator=generator)
    scale = torch.logspace(-2, 2, 20)
    assert activation_ratio(weight / scale, inputs * scale) == pytest.approx(activation_ratio(weight, inputs))


def test_order_of_channels_does_not_matter_to_the_ratio() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, inputs = torch.randn(6, 20, generator=generator), torch.randn(50, 20, generator=generator)
    order = torch.randperm(20, generator=generator)
    assert activation_ratio(weight[:, order], inputs[:, order]) == pytest.approx(activation_ratio(weight, inputs))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_activity_is_measured_as_any_other(scale: float) -> None:
    weight, inputs = orthogonal(1, 0.5, 0.01)
    assert activation_ratio(weight, inputs * scale) == pytest.approx(2 / 3)


def test_largest_quarter_is_kept_at_each_position() -> None:
    values = torch.tensor([[1.0, -5, 3, 2, 0, 1, 1, 1], [9, 1, 1, 1, -8, 1, 1, 1]])
    kept = torch.tensor([[0.0, -5, 3, 0, 0, 0, 0, 0], [9, 0, 0, 0, -8, 0, 0, 0]])
    assert KEPT_SHARE == 0.25
    assert largest_channels(values, torch.ones(8), dim=-1).equal(kept)
    assert largest_channels(values.T[None], torch.ones(8), dim=1).equal(kept.T[None])


def test_largest_channels_are_those_that_contribute_most() -> None:
    values, lengths = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([9.0, 1.0, 1.0, 1.0])
    assert largest_channels(values, lengths, dim=1).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (3, 1), (5, 2), (8, 2)])
def test_share_of_channels_is_rounded_up(channels: int, kept: int) -> None:
    assert largest_channels(torch.ones(1, channels), torch.ones(channels), dim=1).count_nonzero() == kept


class Voting(nn.Module):
    """Eight channels vote for the brighter class: each has a share of the logit."""

    def __init__(self, shares: list[float]) -> None:
        """Give each channel its share."""
        super().__init__()
        self.vote = nn.Conv2d(8, 2, 1, bias=False)
        self.vote.weight.data = torch.stack([torch.tensor(shares), -torch.tensor(shares)]).view(2, 8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, 2)."""
        return self.vote(x.repeat(1, 8, 1, 1)).mean((2, 3))


def votes() -> Tensor:
    """Return images (8, 1, 2, 2) of plus one for class 0 and minus one for class 1."""
    return (1.0 - 2 * LABELS).view(8, 1, 1, 1).expand(8, 1, 2, 2)


@pytest.mark.parametrize("shares", [[0.25] * 8, [2.0, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]])
def test_drop_is_the_rise_of_the_loss_over_what_was_known(shares: list[float]) -> None:
    model, images = Voting(shares), votes()
    weights = {"vote": model.vote.weight.detach().flatten(1)}
    plain = F.softplus(torch.tensor(-2 * sum(shares))).item()
    quarter = F.softplus(torch.tensor(-2 * sum(shares[:2]))).item()
    expected = (quarter - plain) / (math.log(2) - plain)
    assert topk_drop(model, images, LABELS, model(images).detach(), weights) == pytest.approx(expected, rel=1e-4)


def test_network_that_rests_on_a_quarter_loses_nothing() -> None:
    model = Voting([2.0, 1.0, 0, 0, 0, 0, 0, 0])
    weights = {"vote": model.vote.weight.detach().flatten(1)}
    assert topk_drop(model, votes(), LABELS, model(votes()).detach(), weights) == pytest.approx(0, abs=1e-6)


def test_network_that_knows_nothing_has_nothing_to_lose() -> None:
    model = Voting([0.25] * 8)
    assert topk_drop(model, votes(), 1 - LABELS, model(votes()).detach(), {}) is None


def test_report_has_the_drop_of_a_trained_network_alone() -> None:
    head = nn.Sequential(nn.Conv2d(8, 2, 3, padding=1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 1), head)
    images = votes().repeat(1, 1, 2, 2)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(model(images), LABELS).backward()
        optimizer.step()
    optimizer.zero_grad()
    assert measure(model, images, LABELS).topk_drop is None
    assert measure(model, images, trained=True).topk_drop is None
    drop = measure(model, images, LABELS, trained=True).topk_drop
    assert drop is not None
    assert measure(model, images, LABELS, trained=True).metrics()["topk_drop"] == drop
    assert measure(model, images, 1 - LABELS, trained=True).topk_drop is None
    assert not any(m._forward_pre_hooks for m in model.modules())
