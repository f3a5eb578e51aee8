"""Augmentation moves pixels exactly, image by image, and only as the generator says."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.data.augment import Augmentation, erase_squares, normalise, shift_and_mirror


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
    result = normalise(pixels, mean=(0.5, 0.2, 0.0), std=(0.5, 1.0, 0.25))
    assert result.flatten().tolist() == pytest.approx([-1, 0, 4])


def test_normalise_leaves_its_input_and_takes_a_dtype() -> None:
    pixels = torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
    assert normalise(pixels, (0.0,), (1.0,), torch.bfloat16).dtype == torch.bfloat16
    assert pixels.unique().tolist() == [255]


def test_same_generator_gives_the_same_images() -> None:
    augment = Augmentation(mirror=True, cutout=3)
    pixels = torch.rand(32, 3, 16, 16, generator=generator())
    first, again, other = (augment(pixels, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_augmentation_keeps_shape_and_dtype(dtype: torch.dtype) -> None:
    pixels = ramp(batch=4, side=8, channels=3).to(dtype)
    augmented = Augmentation(mirror=True, cutout=2)(pixels, generator())
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
