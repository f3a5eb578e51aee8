"""Crops, erased rectangles and torchvision's batch augmentations: where, how large, how often, and from which seed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.data.augment import Among, Augmentation, Indexed
from nas.data.crop import Boxes, _by_matrices, draws_for_boxes, erase, random_boxes, resample, whole
from nas.data.policy import GROUP, mix, rand_augment

CPU = torch.device("cpu")


def images(count: int = 6, side: int = 24, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator)


def uniform(rows: int, count: int) -> Tensor:
    return torch.rand(rows, count, generator=torch.Generator().manual_seed(1))


def test_boxes_keep_to_area_aspect_and_image() -> None:
    boxes = random_boxes(uniform(draws_for_boxes(), 2000), 100, 0.25)
    area, aspect = boxes.height * boxes.width / 100**2, boxes.width / boxes.height
    assert 0.24 < area.min() < 0.3
    assert 0.9 < area.max() <= 1
    assert 0.74 < aspect.min() < 0.8
    assert 1.25 < aspect.max() < 1.36
    for start, length in ((boxes.top, boxes.height), (boxes.left, boxes.width)):
        assert start.min() == 0
        assert (start + length).max() == 100


def test_a_whole_image_is_resized_as_torch_does() -> None:
    pixels = images()
    expected = F.interpolate(pixels, (10, 10), mode="bilinear", antialias=True)
    assert torch.equal(resample(pixels, whole(len(pixels), 24, CPU), 10), expected)


def test_what_a_gpu_computes_with_matrices_is_what_a_cpu_computes() -> None:
    pixels, boxes = images(), random_boxes(uniform(draws_for_boxes(), 6), 24, 0.1)
    mirrored = torch.tensor([True, False] * 3)
    one, other = (f(pixels, boxes, 12, mirrored).int() for f in (resample, _by_matrices))
    assert (one - other).abs().max() <= 1


def test_a_crop_is_its_box_mirrored_if_asked() -> None:
    pixels = images(2)
    boxes = Boxes(*(torch.tensor(each) for each in ([3.0, 0.0], [5.0, 2.0], [8.0, 8.0], [8.0, 8.0])))
    cropped = resample(pixels, boxes, 8, torch.tensor([False, True]))
    assert torch.equal(cropped[0], pixels[0, :, 3:11, 5:13])
    assert torch.equal(cropped[1], pixels[1, :, 0:8, 2:10].flip(2))


def test_rectangles_are_erased_in_their_share_of_images_and_area() -> None:
    filled = torch.ones(2000, 1, 32, 32)
    erased = erase(filled, uniform(5, 2000), 0.25)
    gone = 1 - erased.mean((1, 2, 3))
    hit = gone[gone > 0]
    assert len(hit) / 2000 == pytest.approx(0.25, abs=0.03)
    assert hit.max() < 0.4
    assert hit.mean().item() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.03)


@pytest.mark.parametrize("channels", [1, 3])
def test_parts_of_a_batch_are_augmented_as_they_would_be_in_it(channels: int) -> None:
    pixels = images(GROUP + 8, channels=channels)
    augment = Augmentation(mirror=True, crop_area=0.3, rand_augment=9, jitter=0.2, cutout=4)

    def made(part: slice) -> Tensor:
        generator = torch.Generator().manual_seed(5)
        return augment(pixels[part], generator, side=16, seed=7, among=Among(len(pixels), part))

    everything = made(slice(0, len(pixels)))
    assert everything.shape == (len(pixels), channels, 16, 16)
    assert torch.equal(torch.cat([made(slice(0, 13)), made(slice(13, len(pixels)))]), everything)


def test_random_operations_follow_their_seed_and_leave_torch_s_generator_alone() -> None:
    pixels, before = images(), torch.default_generator.get_state()
    first, again, other = (rand_augment(pixels, 20, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.default_generator.get_state(), before)


def test_mixed_labels_are_the_shares_of_the_mixed_images() -> None:
    inputs, labels = torch.eye(4).view(4, 4, 1, 1) * torch.ones(4, 4, 8, 8), torch.arange(4)
    mixed, shares = mix(inputs, labels, 4, mixup=0.8, cutmix=0, seed=1)
    assert torch.allclose(mixed.mean((2, 3)), shares)
    assert 0.01 < shares[0, 0] < 0.99
    assert torch.allclose(shares[0, 3], 1 - shares[0, 0])
    cut, shares = mix(inputs, labels, 4, mixup=0, cutmix=1.0, seed=2)
    assert torch.allclose(cut.mean((2, 3)), shares)
    assert set(cut.unique().tolist()) == {0.0, 1.0}


def test_one_of_mixup_and_cutmix_is_drawn() -> None:
    inputs = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    kinds = {
        bool((mix(inputs, torch.arange(4), 4, mixup=1, cutmix=1, seed=seed)[0] == inputs).any()) for seed in range(12)
    }
    assert kinds == {True, False}


def test_draws_by_index_are_even_and_the_same_in_any_batch() -> None:
    indices = torch.arange(20_000)
    draws = Indexed(indices, 3)
    first, second = draws.uniform(2)
    assert first.mean().item() == pytest.approx(0.5, abs=0.01)
    assert first.var().item() == pytest.approx(1 / 12, abs=0.002)
    assert torch.corrcoef(torch.stack([first, second]))[0, 1].abs() < 0.03
    assert torch.corrcoef(torch.stack([first[1:], first[:-1]]))[0, 1].abs() < 0.03
    shuffled = torch.randperm(20_000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Indexed(shuffled, 3).uniform(2), torch.stack([first, second])[:, shuffled])
    assert not torch.equal(Indexed(indices, 4).uniform(1)[0], first)
    counts = torch.bincount(Indexed(indices, 5).whole(-1, 2) + 1)
    assert len(counts) == 3
    assert counts.min() > 6_400
