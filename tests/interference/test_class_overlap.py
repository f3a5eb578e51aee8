"""Overlap of the classes' channels, by hand and against chance."""

from __future__ import annotations

import math
from statistics import fmean

import pytest
import torch

from nas.interference.class_overlap import class_overlap

LABELS = torch.arange(6) % 3


def test_labels_that_say_nothing_give_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    profiles = torch.rand(300, 40, generator=generator)
    labels = torch.randint(5, (300,), generator=generator)
    assert class_overlap(profiles, labels, seed=0) == pytest.approx(1, abs=0.01)


def test_classes_with_channels_of_their_own_do_not_overlap() -> None:
    assert class_overlap(torch.eye(3)[LABELS], LABELS, seed=0) == pytest.approx(0, abs=1e-12)


def test_chance_is_the_mean_over_the_ways_to_label() -> None:
    """Four images fall into two pairs in three ways: with cosine 6/10 as labelled, and with cosine 1 twice."""
    profiles = torch.tensor([[2.0, 1.0], [1.0, 0.0], [1.0, 2.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1, 1])
    overlaps = [class_overlap(profiles, labels, seed=seed) or math.nan for seed in range(100)]
    assert fmean(0.6 / overlap for overlap in overlaps) == pytest.approx((0.6 + 1 + 1) / 3, abs=0.02)


def test_order_of_channels_does_not_matter() -> None:
    profiles = torch.rand(6, 8, generator=torch.Generator().manual_seed(0))
    assert class_overlap(profiles.flip(1), LABELS, seed=0) == pytest.approx(class_overlap(profiles, LABELS, seed=0))


def test_images_without_a_gradient_are_left_out() -> None:
    profiles = torch.rand(6, 8, generator=torch.Generator().manual_seed(0))
    with_silent = torch.cat([profiles, torch.zeros(2, 8)])
    labels = torch.cat([LABELS, torch.tensor([0, 9])])
    assert class_overlap(with_silent, labels, seed=0) == class_overlap(profiles, LABELS, seed=0)


@pytest.mark.parametrize(
    ("profiles", "labels"),
    [
        (torch.zeros(6, 4), LABELS),
        (torch.ones(6, 4), torch.zeros(6, dtype=torch.long)),
        (torch.eye(6), torch.arange(6)),
    ],
)
def test_what_has_no_pair_of_classes_or_no_shared_channel_is_not_measured(
    profiles: torch.Tensor, labels: torch.Tensor
) -> None:
    assert class_overlap(profiles, labels, seed=0) is None


def test_gradients_too_small_for_a_square_are_compared_as_any_others() -> None:
    profiles = torch.rand(6, 8, generator=torch.Generator().manual_seed(0))
    tiny = class_overlap(profiles * 1e-30, LABELS, seed=0)
    assert tiny == pytest.approx(class_overlap(profiles, LABELS, seed=0), rel=1e-4)
