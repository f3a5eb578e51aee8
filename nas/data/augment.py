"""Batched augmentation on the device, with all randomness drawn from a generator that is passed in.

The parts that move pixels are plain functions of where and how; only `Augmentation` draws. Recipe after
He et al. (arXiv 1512.03385, section 4.2) for crop and flip, DeVries & Taylor (arXiv 1708.04552) for cutout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from nas.data.crop import draws_for_boxes, random_boxes, resample, whole
from nas.data.policy import rand_augment

_GOLDEN, _MULTIPLIERS = 0x9E3779B97F4A7C15, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


class Among(NamedTuple):
    """Which part of a batch of `images` some images are, where others have the rest."""

    images: int
    part: slice


class Draws(Protocol):
    """What is drawn for each image of a batch, one after the other."""

    def whole(self, low: int, high: int) -> Tensor:
        """Return whole numbers from `low` up to `high` - 1, int64 (B,)."""

    def uniform(self, count: int) -> Tensor:
        """Return numbers in 0..1, (`count`, B)."""


class Drawn(NamedTuple):
    """Draws from a generator, kept for a part of a batch: all who have a part draw the same for each image."""

    generator: torch.Generator
    among: Among
    device: torch.device

    def whole(self, low: int, high: int) -> Tensor:
        """Return whole numbers from `low` up to `high` - 1, int64 (B,)."""
        generator = self.generator
        drawn = torch.randint(low, high, (self.among.images,), generator=generator, device=generator.device)
        return drawn[self.among.part].to(self.device, non_blocking=True)

    def uniform(self, count: int) -> Tensor:
        """Return numbers in 0..1, (`count`, B)."""
        drawn = torch.rand(count, self.among.images, generator=self.generator, device=self.generator.device)
        return drawn[:, self.among.part].to(self.device, non_blocking=True)


class Indexed:
    """Draws that depend on the index of an image and on a seed alone: the same in every batch and every process."""

    def __init__(self, indices: Tensor, seed: int) -> None:
        """Draw for the images at `indices`, int64 (B,)."""
        self._indices, self._seed, self._taken = indices, seed, 0

    def whole(self, low: int, high: int) -> Tensor:
        """Return whole numbers from `low` up to `high` - 1, int64 (B,)."""
        return low + (self.uniform(1)[0] * (high - low)).long().clamp(max=high - low - 1)

    def uniform(self, count: int) -> Tensor:
        """Return numbers in 0..1, (`count`, B)."""
        numbers = torch.arange(self._taken, self._taken + count, device=self._indices.device)[:, None]
        self._taken += count
        own = _mixed((self._indices + self._seed % 2**31) * _int64(_GOLDEN))
        mixed = _mixed((own + numbers) * _int64(_GOLDEN))
        return ((mixed >> 40) & (2**24 - 1)).float() / 2**24


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to each training image, each with draws of its own.

    `crop_padding`: pixels by which the image is shifted at most, in each direction, mirrored content moving
    in (4 is usual at 32 px; 0 is off). `mirror`: flip half of the images. `jitter`: by how much brightness, contrast
    and, of RGB, saturation change at most, as a share (0 is off). `cutout`: side in pixels of an erased square (0 is
    off). `crop_area`: least share of the image in a crop that is then resized, instead of the shift (0 is off).
    `rand_augment`: magnitude of the operations of `nas.data.policy` (0 is off).
    """

    crop_padding: int = 4
    mirror: bool
    jitter: float = 0.0
    cutout: int = 0
    crop_area: float = 0.0
    rand_augment: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for negative pixels, and for a jitter outside 0..1."""
        if self.crop_padding < 0 or self.cutout < 0:
            raise ValueError(f"pixels must not be negative, got {self}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be within 0..1, got {self.jitter}")

    def __call__(
        self,
        pixels: Tensor,
        generator: torch.Generator,
        mirrored: Tensor | None = None,
        *,
        side: int | None = None,
        seed: int = 0,
        among: Among | None = None,
    ) -> Tensor:
        """Return augmented images (B, C, `side`, `side`), same dtype and device; without a `side` they keep theirs.

        `mirrored`, bool (B,), says which to flip where that is not to be drawn: see `alternating`. Jitter needs images
        that are not normalised yet. Without it the order is free: before the `Normaliser` this moves a quarter of the
        bytes, but cutout erases to black; after it, to the mean, as published. `seed` is for what torchvision draws.
        `among`: these are some of a larger batch, and get what they would get there.
        """
        among = among or Among(len(pixels), slice(None))
        drawn = Drawn(generator, among, pixels.device)
        return self.by(drawn, pixels, mirrored, side=side, seed=seed, first=among.part.start or 0)

    def by(
        self,
        draws: Draws,
        pixels: Tensor,
        mirrored: Tensor | None = None,
        *,
        side: int | None = None,
        seed: int = 0,
        first: int = 0,
    ) -> Tensor:
        """Return augmented images likewise, by given draws; `first` is the place of the first image in its batch."""
        pixels = self._placed(pixels, draws, mirrored, side or pixels.shape[-1])
        if self.rand_augment:
            pixels = rand_augment(pixels, self.rand_augment, seed=seed, first=first)
        if self.jitter:
            pixels = jitter_colours(pixels, *(1 + self.jitter * (2 * draws.uniform(3) - 1)))
        if self.cutout:
            height, width = pixels.shape[2:]
            pixels = erase_squares(pixels, draws.whole(0, height), draws.whole(0, width), self.cutout)
        return pixels

    def _placed(self, pixels: Tensor, draws: Draws, mirrored: Tensor | None, side: int) -> Tensor:
        """Return the images shifted or cropped, mirrored, and of the side that is wanted."""
        own = pixels.shape[-1]
        if self.crop_area:
            boxes = random_boxes(draws.uniform(draws_for_boxes()), own, self.crop_area)
            if mirrored is None and self.mirror:
                mirrored = draws.whole(0, 2).bool()
            return resample(pixels, boxes, side, mirrored)
        if self.crop_padding or self.mirror or mirrored is not None:
            reach = self.crop_padding
            down, right = draws.whole(-reach, reach + 1), draws.whole(-reach, reach + 1)
            drawn = draws.whole(0, 2 if self.mirror else 1).bool() if mirrored is None else mirrored
            pixels = shift_and_mirror(pixels, down, right, drawn)
        return pixels if side == own else resample(pixels, whole(len(pixels), own, pixels.device), side)


@dataclass(frozen=True)
class Normaliser:
    """What turns uint8 pixels into the numbers a network is given: mean and standard deviation per channel, in 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: torch.dtype = torch.float32
    memory_format: torch.memory_format = torch.contiguous_format

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return images of the same shape (B, C, H, W) as (value / 255 - mean) / std, computed in float32."""
        scale, shift = _scale_and_shift(self.mean, self.std, pixels.device)
        # two passes in place: on a CPU a fused addcmul, which broadcasts, takes 3 to 20 times as long
        return pixels.to(torch.float32).mul_(scale).add_(shift).to(self.dtype, memory_format=self.memory_format)


def alternating(indices: Tensor, epoch: int, seed: int) -> Tensor:
    """Return which of the images at `indices`, int64 (B,), are flipped in `epoch`: bool (B,).

    Half of the images are flipped in even epochs, the others in odd ones, so that two epochs show both sides of each
    (Jordan, arXiv 2404.00498, section 3.2). Which half is drawn from `seed`, for each index by itself.
    """
    # a generator would need a table as long as the data
    return (_mixed((indices + seed % 2**31) * _int64(_GOLDEN)) < 0) ^ bool(epoch % 2)


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


def jitter_colours(pixels: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Return images (B, C, H, W) with the three factors, (B,), applied in this order; 1 changes nothing.

    As torchvision's `adjust_*`, which round down to whole grey levels after each step; here uint8 is rounded once, to
    the nearest. uint8 images are in 0..255, float ones in 0..1. Grey images have no saturation.
    """
    top = 1.0 if pixels.is_floating_point() else 255.0
    changed = (pixels.float() * brightness.view(-1, 1, 1, 1)).clamp_(0, top)
    mean = _grey(changed).mean((1, 2, 3), keepdim=True)
    changed = torch.lerp(mean, changed, contrast.view(-1, 1, 1, 1)).clamp_(0, top)
    if pixels.shape[1] == 3:
        changed = torch.lerp(_grey(changed), changed, saturation.view(-1, 1, 1, 1)).clamp_(0, top)
    return changed.to(pixels.dtype) if pixels.is_floating_point() else changed.round_().to(pixels.dtype)


def erase_squares(pixels: Tensor, rows: Tensor, columns: Tensor, side: int) -> Tensor:
    """Return images (B, C, H, W) with a square of `side` set to zero, centred at `rows`, `columns`, int64 (B,).

    What falls outside the image erases nothing. For an even side, the centre is the first pixel after the middle.
    """
    height, width = pixels.shape[2:]
    in_rows = _within(height, rows - side // 2, side)
    in_columns = _within(width, columns - side // 2, side)
    return pixels.masked_fill((in_rows[:, :, None] & in_columns[:, None, :])[:, None], 0)


@lru_cache
def _scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the constants, (C, 1, 1), of ``value * scale + shift``; making them costs as much as using them."""
    scale = [1 / (255 * spread) for spread in std]
    shift = [-centre / spread for centre, spread in zip(mean, std, strict=True)]
    with torch.inference_mode(mode=False):  # they are used outside of it as well
        constants = torch.tensor((scale, shift), device=device).view(2, -1, 1, 1)
        return constants[0], constants[1]


def _grey(images: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W) of RGB images, ITU-R 601; grey images as they are."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return torch.add(red * 0.2989, green, alpha=0.587).add_(blue, alpha=0.114)


def _mixed(values: Tensor) -> Tensor:
    """Return int64 values whose bits all depend on all of those given: splitmix64 (Steele et al. 2014)."""
    for multiplier in _MULTIPLIERS:  # int64 wraps around
        values = (values ^ (values >> 30)) * _int64(multiplier)
    return values


def _int64(value: int) -> int:
    """Return the signed number with the same 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def _reflect(index: Tensor, size: int) -> Tensor:
    """Fold any integer into 0..size-1 as between two mirrors: -1 is 1, size is size-2."""
    period = max(2 * (size - 1), 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)


def _within(size: int, start: Tensor, length: int) -> Tensor:
    """Return bool (B, size): which positions lie in start..start+length-1."""
    offset = torch.arange(size, device=start.device) - start[:, None]
    return (offset >= 0) & (offset < length)
