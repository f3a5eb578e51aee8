"""Which positions stand for a map."""

from __future__ import annotations

import torch

from nas.interference.sampling import PositionSampler


def image_of_each_position(images: int, height: int, width: int) -> torch.Tensor:
    """Return a map (B, H, W, 2) that holds at every position its image and its place in it."""
    places = torch.arange(height * width).view(1, height, width).expand(images, -1, -1)
    return torch.stack([torch.arange(images).view(-1, 1, 1).expand_as(places), places], -1).float()


def test_every_image_gives_the_same_number_of_distinct_positions() -> None:
    rows = PositionSampler(images=6, positions=60, seed=0).rows(image_of_each_position(6, 5, 7))
    assert rows[:, 0].long().bincount().tolist() == [10] * 6
    assert len({tuple(row) for row in rows.tolist()}) == 60


def test_images_differ_in_the_positions_they_give() -> None:
    rows = PositionSampler(images=4, positions=40, seed=0).rows(image_of_each_position(4, 16, 16))
    assert len({tuple(sorted(rows[rows[:, 0] == image, 1].tolist())) for image in range(4)}) == 4


def test_a_small_map_gives_all_its_positions() -> None:
    rows = PositionSampler(images=3, positions=1000, seed=0).rows(image_of_each_position(3, 2, 2))
    assert len({tuple(row) for row in rows.tolist()}) == len(rows) == 12


def test_the_seed_fixes_the_positions() -> None:
    maps = image_of_each_position(4, 16, 16)
    first, again, other = (PositionSampler(4, 64, seed).rows(maps) for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)


def test_windows_of_an_image_are_positions_of_that_image() -> None:
    windows = image_of_each_position(2, 4, 6).reshape(2 * 3, 8, 2)
    rows = PositionSampler(images=2, positions=16, seed=0).rows(windows)
    assert rows[:, 0].tolist() == [0] * 8 + [1] * 8


def test_one_value_per_image_is_no_map() -> None:
    sampler = PositionSampler(images=4, positions=16, seed=0)
    assert not sampler.has_positions(torch.zeros(4, 1, 1, 8))
    assert not sampler.has_positions(torch.zeros(4, 8))
    assert sampler.has_positions(torch.zeros(4, 2, 8))


def test_low_precision_is_widened() -> None:
    rows = PositionSampler(images=2, positions=4, seed=0).rows(torch.zeros(2, 2, 2, 3, dtype=torch.bfloat16))
    assert rows.dtype == torch.float32
