"""Batched augmentation on the device, with all randomness drawn from a generator that is passed in.

The parts that move pixels are plain functions of where and how; only `Augmentation` draws. Recipe after
He et al. (arXiv 1512.03385, section 4.2) for crop and flip, DeVries & Taylor (arXiv 1708.04552) for cutout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to each training image, each with draws of its own.

    `crop_padding`: pixels by which the image is shifted at most, in each direction, mirrored content moving
    in (4 is usual at 32 px; 0 is off). `mirror`: flip half of the images. `cutout`: side in pixels of an erased
    square (0 is off).
    """

    crop_padding: int = 4
    mirror: bool
    cutout: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for negative pixels."""
        if self.crop_padding < 0 or self.cutout < 0:
            raise ValueError(f"pixels must not be negative, got {self}")

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Return augmented images, same shape (B, C, H, W), dtype and device.

        Before `normalise` this moves a quarter of the bytes, but cutout erases to black; after it, to the mean,
        as published.
        """
        batch, _, height, width = pixels.shape

        def draw(low: int, high: int) -> Tensor:
            drawn = torch.randint(low, high, (batch,), generator=generator, device=generator.device)
            return drawn.to(pixels.device, non_blocking=True)

        if self.crop_padding or self.mirror:
            reach = self.crop_padding
            down, right = draw(-reach, reach + 1), draw(-reach, reach + 1)
            pixels = shift_and_mirror(pixels, down, right, draw(0, 2 if self.mirror else 1).bool())
        if self.cutout:
            pixels = erase_squares(pixels, draw(0, height), draw(0, width), self.cutout)
        return pixels


def normalise(
    pixels: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return uint8 images (B, C, H, W) as (value / 255 - mean) / std, computed in float32.

    `mean` and `std` are per channel, in 0..1.
    """
    centre, spread = torch.tensor((mean, std), device=pixels.device).view(2, -1, 1, 1)
    return pixels.to(torch.float32).sub_(centre * 255).div_(spread * 255).to(dtype)


def shift_and_mirror(pixels: Tensor, down: Tensor, right: Tensor, mirrored: Tensor) -> Tensor:
    """Return each image (B, C, H, W) cut out `down` and `right` of its place, then flipped where `mirrored`.

    The three are (B,), int64 and bool. Beyond an edge the image goes on as its reflection, without repeating
    the edge itself. Crop, padding and flip together are one lookup of where each pixel comes from.
    """
    batch, channels, height, width = pixels.shape
    rows = torch.arange(height, device=pixels.device)
    columns = torch.arange(width, device=pixels.device)
    columns = torch.where(mirrored[:, None], columns.flip(0), columns)
    from_row = _reflect(rows + down[:, None], height)
    from_column = _reflect(columns + right[:, None], width)
    source = (from_row[:, :, None] * width + from_column[:, None, :]).view(batch, 1, -1)
    # gather over flattened images: 5 to 9 times as fast on a CPU as indexing with four broadcast tensors
    return pixels.flatten(2).gather(2, source.expand(-1, channels, -1)).view_as(pixels)


def erase_squares(pixels: Tensor, rows: Tensor, columns: Tensor, side: int) -> Tensor:
    """Return images (B, C, H, W) with a square of `side` set to zero, centred at `rows`, `columns`, int64 (B,).

    What falls outside the image erases nothing. For an even side, the centre is the first pixel after the middle.
    """
    height, width = pixels.shape[2:]
    in_rows = _within(height, rows - side // 2, side)
    in_columns = _within(width, columns - side // 2, side)
    return pixels.masked_fill((in_rows[:, :, None] & in_columns[:, None, :])[:, None], 0)


def _reflect(index: Tensor, size: int) -> Tensor:
    """Fold any integer into 0..size-1 as between two mirrors: -1 is 1, size is size-2."""
    period = max(2 * (size - 1), 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)


def _within(size: int, start: Tensor, length: int) -> Tensor:
    """Return bool (B, size): which positions lie in start..start+length-1."""
    offset = torch.arange(size, device=start.device) - start[:, None]
    return (offset >= 0) & (offset < length)
