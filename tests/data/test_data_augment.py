"""Augmentation moves pixels exactly, image by image, and only as the generator says."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from nas.data.augment import (
    Augmentation,
    Normaliser,
    alternating,
    erase_squares,
    jitter_colours,
    shift_and_mirror,
)


def ramp(batch: int = 1, side: int = 3, channels: int = 1) -> Tensor:
    """Return images whose pixels count up from 1, the same in each image and channel."""
    return torch.arange(1, side * side + 1).view(1, 1, side, side).repeat(batch, channels, 1, 1)


def per_image(*values: int) -> Tensor:
    return torch.tensor(values)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_shift_and_no_mirror_change_nothing() -> None:
    still = shift_and_mirror(ramp(), per_image(0), per_image(0), torch.tensor([False]))
    assert torch.equal(still, ramp())


def test_shift_moves_reflected_content_in() -> None:
    shifted = shift_and_mirror(ramp(2), per_image(1, 0), per_image(0, -1), torch.tensor([False, False]))
    assert shifted[0, 0].tolist() == [[4, 5, 6], [7, 8, 9], [4, 5, 6]]
    assert shifted[1, 0].tolist() == [[2, 1, 2], [5, 4, 5], [8, 7, 8]]


def test_mirror_flips_the_chosen_images_left_to_right() -> None:
    flipped = shift_and_mirror(ramp(2), per_image(0, 0), per_image(0, 0), torch.tensor([False, True]))
    assert torch.equal(flipped[0], ramp()[0])
    assert flipped[1, 0].tolist() == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]


def test_shift_equals_reflect_padding_and_cropping() -> None:
    pixels = torch.rand(6, 3, 8, 8, generator=generator())
    down, right = per_image(-3, -1, 0, 1, 2, 3), per_image(3, 0, -3, 2, -1, 1)
    mirrored = torch.tensor([True, False] * 3)
    padded = F.pad(pixels, (3, 3, 3, 3), mode="reflect")
    for i, image in enumerate(shift_and_mirror(pixels, down, right, mirrored)):
        crop = padded[i, :, 3 + down[i] : 11 + down[i], 3 + right[i] : 11 + right[i]]
        assert torch.equal(image, crop.flip(-1) if mirrored[i] else crop)


def test_shift_beyond_the_image_goes_on_reflecting() -> None:
    far = shift_and_mirror(ramp(), per_image(4), per_image(0), torch.tensor([False]))
    assert torch.equal(far, ramp())  # 3 rows repeat with period 4


def test_square_is_erased_in_every_channel() -> None:
    erased = erase_squares(ramp(side=4, channels=2), per_image(1), per_image(2), side=2)
    expected = [[1, 0, 0, 4], [5, 0, 0, 8], [9, 10, 11, 12], [13, 14, 15, 16]]
    assert erased[0].tolist() == [expected, expected]


def test_square_is_cut_at_the_border() -> None:
    erased = erase_squares(ramp(), per_image(0), per_image(2), side=3)
    assert erased[0, 0].tolist() == [[1, 0, 0], [4, 0, 0], [7, 8, 9]]


def test_normalise_gives_the_stated_moments() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    result = Normaliser(mean=(0.5, 0.2, 0.0), std=(0.5, 1.0, 0.25))(pixels)
    assert result.flatten().tolist() == pytest.approx([-1, 0, 4], abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_normaliser_leaves_its_input_and_gives_dtype_and_layout(
    dtype: torch.dtype, layout: torch.memory_format
) -> None:
    pixels = torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)
    result = Normaliser((0.0,) * 3, (1.0,) * 3, dtype, layout)(pixels)
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=layout)
    assert pixels.unique().tolist() == [255]


def test_constants_made_in_inference_mode_serve_training() -> None:
    normaliser = Normaliser((0.125,), (0.625,))
    with torch.inference_mode():
        normaliser(ramp())
    weight = torch.ones(1, requires_grad=True)
    (normaliser(ramp()) * weight).sum().backward()
    assert weight.grad is not None


def test_same_generator_gives_the_same_images() -> None:
    augment = Augmentation(mirror=True, cutout=3)
    pixels = torch.rand(32, 3, 16, 16, generator=generator())
    first, again, other = (augment(pixels, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_augmentation_keeps_shape_and_dtype(dtype: torch.dtype) -> None:
    pixels = ramp(batch=4, side=8, channels=3).to(dtype)
    augmented = Augmentation(mirror=True, jitter=0.2, cutout=2)(pixels, generator())
    assert (augmented.shape, augmented.dtype) == (pixels.shape, dtype)


def test_nothing_to_do_changes_nothing() -> None:
    assert torch.equal(Augmentation(crop_padding=0, mirror=False)(ramp(4), generator()), ramp(4))


def test_mirror_off_never_flips() -> None:
    augmented = Augmentation(crop_padding=1, mirror=False)(ramp(256, side=8), generator())
    steps = augmented[:, 0, 0, 3:5].diff().flatten()
    assert steps.unique().tolist() == [1]


def test_mirror_flips_about_half() -> None:
    augmented = Augmentation(crop_padding=0, mirror=True)(ramp(1000), generator())
    assert 450 < int((augmented[:, 0, 0, 0] == 3).sum()) < 550


def test_every_shift_occurs() -> None:
    augmented = Augmentation(crop_padding=2, mirror=False)(ramp(2000, side=9), generator())
    centres = augmented[:, 0, 4, 4].unique()
    assert len(centres) == 25


def test_negative_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Augmentation(crop_padding=-1, mirror=True)


@pytest.mark.parametrize("jitter", [-0.1, 1.1])
def test_impossible_jitter_is_refused(jitter: float) -> None:
    with pytest.raises(ValueError, match=r"jitter must be within 0..1"):
        Augmentation(mirror=True, jitter=jitter)


def test_two_epochs_show_both_sides_of_every_image() -> None:
    indices = torch.arange(1000)
    for seed in range(3):
        assert torch.equal(alternating(indices, 0, seed), ~alternating(indices, 1, seed))
        assert torch.equal(alternating(indices, 0, seed), alternating(indices, 2, seed))


def test_alternating_flips_half_and_follows_index_and_seed() -> None:
    indices = torch.arange(10_000)
    first = alternating(indices, 0, 1)
    assert torch.equal(first[[5, 3]], alternating(torch.tensor([5, 3]), 0, 1))
    for seed in (0, 2, 2**62):
        other = alternating(indices, 0, seed)
        assert 4800 < int(other.sum()) < 5200
        assert 4800 < int((first ^ other).sum()) < 5200


def test_given_flips_are_done_instead_of_drawn_ones() -> None:
    mirrored = torch.tensor([True, False, False, True])
    for mirror in (False, True):
        augmented = Augmentation(crop_padding=0, mirror=mirror)(ramp(4), generator(), mirrored)
        assert (augmented[:, 0, 0, 0] == 3).tolist() == mirrored.tolist()


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_equals_torchvision_image_by_image(channels: int) -> None:
    pixels = torch.rand(20, channels, 8, 8, generator=generator())
    factors = 2 * torch.rand(3, 20, generator=generator(1))
    jittered = jitter_colours(pixels, *factors)
    in_grey_levels = jitter_colours(pixels.mul(255).byte(), *factors)
    for i, (brightness, contrast, saturation) in enumerate(factors.T.tolist()):
        expected = tv.adjust_contrast(tv.adjust_brightness(pixels[i], brightness), contrast)
        expected = tv.adjust_saturation(expected, saturation) if channels == 3 else expected
        torch.testing.assert_close(jittered[i], expected, atol=1e-5, rtol=0)
        levels = tv.adjust_contrast(tv.adjust_brightness(pixels[i].mul(255).byte(), brightness), contrast)
        levels = tv.adjust_saturation(levels, saturation) if channels == 3 else levels
        assert (in_grey_levels[i].int() - levels.int()).abs().max() <= 5  # which rounds down after each step


def test_jitter_draws_for_each_image() -> None:
    grey = torch.full((1000, 1, 2, 2), 100, dtype=torch.uint8)
    levels = Augmentation(crop_padding=0, mirror=False, jitter=0.2)(grey, generator())[:, 0, 0, 0]
    assert levels.unique().tolist() == list(range(80, 121))
