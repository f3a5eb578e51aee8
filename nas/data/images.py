"""Images in memory: one split, a data set for search, and the same images at another resolution or on a GPU."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.errors import DataError

_MOMENT_IMAGES = 50_000  # enough for mean and std to four digits; ImageNet whole would take a minute and a half
_CHUNK = 4_096  # images worked on at a time
_GREY_LEVEL = 1 / 255
_GPU_RESERVE = 2**30  # bytes of a GPU that are left to training
_FORMS = threading.RLock()  # held while another form of a data set is made: trainings in threads share it

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, in 0..1."""


@dataclass(frozen=True, eq=False)
class Images:
    """Square images and their classes: `pixels` uint8 (N, C, H, W), `labels` int64 (N,), on one device."""

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        """Raise ValueError unless dtypes and shapes are as the class says."""
        count, _, height, width = self.pixels.shape
        if self.pixels.dtype != torch.uint8 or self.labels.dtype != torch.int64:
            raise ValueError(f"pixels must be uint8 and labels int64, got {self.pixels.dtype}, {self.labels.dtype}")
        if height != width or self.labels.shape != (count,):
            raise ValueError(f"not square, or labels do not match: {self.pixels.shape}, {self.labels.shape}")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def resolution(self) -> int:
        """Side of the images, pixels."""
        return self.pixels.shape[-1]

    def select(self, indices: Tensor) -> Images:
        """Return a copy of the images at `indices`, int64 (M,) on the images' device, in that order."""
        # on a CPU index_select copies whole images, 20 times as fast as `pixels[indices]`
        return Images(self.pixels.index_select(0, indices), self.labels.index_select(0, indices))

    @property
    def device(self) -> torch.device:
        """Where indices of the images belong."""
        return self.pixels.device

    def part(self, start: int, stop: int) -> Images:
        """Return the images from `start` to before `stop`, a view."""
        return Images(self.pixels[start:stop], self.labels[start:stop])

    def at(self, side: int) -> Images:
        """Return the images at another side: bilinear, antialiased, rounded to uint8."""
        resized = self.pixels.new_empty(*self.pixels.shape[:2], side, side)
        resize_into(resized, self.pixels)
        return Images(resized, self.labels)

    def in_order(self, size: int) -> Iterator[Images]:
        """Yield all images in order, `size` at a time; the last part may be smaller."""
        return (self.part(start, start + size) for start in range(0, len(self), size))

    def expect(self, batches: Iterable[Tensor]) -> None:
        """Hear which indices will be selected next, one batch after the other: of use where that takes long."""

    @property
    def size_bytes(self) -> int:
        """Bytes of pixels and labels."""
        return self.pixels.nbytes + self.labels.nbytes

    def to(self, device: torch.device | str) -> Images:
        """Return the images on `device`."""
        return Images(self.pixels.to(device, non_blocking=True), self.labels.to(device, non_blocking=True))


class Elsewhere(Images):
    """Images whose pixels lie in another order in a store: at `rows`, int64 (N,), of uint8 (M, C, H, W).

    `pixels` has their shape but no content, and whoever touches it gets an error; what is selected is copied.
    """

    def __init__(self, stored: Tensor, rows: Tensor, labels: Tensor) -> None:
        """Take the images at `rows`, with their labels."""
        super().__init__(torch.empty((len(rows), *stored.shape[1:]), dtype=torch.uint8, device="meta"), labels)
        object.__setattr__(self, "_stored", stored)
        object.__setattr__(self, "_rows", rows)

    _stored: Tensor
    _rows: Tensor

    @property
    def device(self) -> torch.device:
        """Where indices of the images belong."""
        return self.labels.device

    def select(self, indices: Tensor) -> Images:
        """Return a copy of the images at `indices`."""
        return Images(self._stored.index_select(0, self._rows[indices]), self.labels[indices])

    def part(self, start: int, stop: int) -> Images:
        """Return the images from `start` to before `stop`, a view."""
        return Elsewhere(self._stored, self._rows[start:stop], self.labels[start:stop])

    def at(self, side: int) -> Images:
        """Return the images at another side, in memory."""
        return _together([batch.at(side) for batch in self.in_order(_CHUNK)])

    def in_order(self, size: int) -> Iterator[Images]:
        """Yield all images in order, `size` at a time, as copies."""
        return map(self.select, torch.arange(len(self)).split(size))

    def to(self, device: torch.device | str) -> Images:
        """Return the images on `device`, in their order; on the CPU they stay where they are."""
        if torch.device(device).type == "cpu":
            return self
        return _together([batch.to(device) for batch in self.in_order(_CHUNK)])


def _together(parts: Sequence[Images]) -> Images:
    return Images(torch.cat([part.pixels for part in parts]), torch.cat([part.labels for part in parts]))


@dataclass(frozen=True, eq=False)
class Source:
    """One split as its files give it, before anything is held out.

    `fingerprint` is the one `Dataset` carries; `skipped` counts images that could not be decoded.
    """

    images: Images
    classes: tuple[str, ...]
    fingerprint: str
    skipped: int = 0


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a search may see: train, and a validation split held out of it. There is no test split in here.

    Train is in nested order (`nas.data.split`): any first part of it has each class in proportion. `fingerprint` (12
    hex digits) follows the content, images with their classes, and not the path, the resolution or the split.
    `mirror`: a horizontal flip keeps the label. `skipped`: images left out because they could not be decoded.
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    validation: Images
    fingerprint: str
    mirror: bool
    skipped: int = 0
    # What follows is true of these images alone, so that `replace` starts it anew.
    _root: Dataset | None = field(default=None, init=False, repr=False)
    _forms: dict[int | str, Dataset] = field(default_factory=dict, init=False, repr=False)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def in_channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return self.train.pixels.shape[1]

    @property
    def resolution(self) -> int:
        """Side of the images, pixels."""
        return self.train.resolution

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel of train, in 0..1, before any `at`: one normalisation for all resolutions."""
        return self._moments[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel of train, likewise, at least one grey level."""
        return self._moments[1]

    def at(self, resolution: int) -> Dataset:
        """Return the same data at another side, made once in a process; its own side is itself.

        It is resized from the images as they were read, whatever this data set is, and lies in no GPU.
        """
        check_resolution(resolution)
        root = self._root or self
        for same in (self, root):
            if resolution == same.resolution:
                return same
        with _FORMS:
            if resolution not in root._forms:
                root._forms[resolution] = root._form(*root._resized(root, resolution))
            return root._forms[resolution]

    def resident(
        self,
        device: torch.device | str,
        tell: Callable[[str], None],
        *,
        reserve: int = _GPU_RESERVE,
        free_bytes: Callable[[torch.device], int] = lambda device: torch.cuda.mem_get_info(device)[0],
    ) -> Dataset:
        """Return the data in the memory of `device`, put there once in a process, or as it is where it does not fit.

        `reserve` bytes of what is free are left to training. What does not fit is said through `tell`, once.
        """
        device = torch.device(device)
        if device == self.train.device or device.type == "cpu":
            return self
        with _FORMS:
            if str(device) not in self._forms:
                needed, free = self.train.size_bytes + self.validation.size_bytes, free_bytes(device)
                if needed <= free - reserve:
                    self._forms[str(device)] = self._form(self.train.to(device), self.validation.to(device))
                    if device.type == "cuda":  # other threads read it from streams of their own
                        torch.cuda.current_stream(device).synchronize()
                else:
                    self._forms[str(device)] = self
                    tell(
                        f"{self.name} at {self.resolution} px takes {needed / 1e6:,.0f} MB; {device} has "
                        f"{free / 1e6:,.0f} MB free, of which {reserve / 1e6:,.0f} are kept for training: "
                        "the images stay in the machine's memory"
                    )
            return self._forms[str(device)]

    def stored(self, moments: Moments, resized: Resized) -> Self:
        """Return this data set with its moments known, and other resolutions made by `resized`."""
        known = replace(self)
        known.__dict__.update(_moments=moments, _resized=resized)
        return known

    def _form(self, train: Images, validation: Images) -> Self:
        form = replace(self, train=train, validation=validation)
        form.__dict__.update(_moments=self._moments, _root=self._root or self)
        return form

    @cached_property
    def _moments(self) -> Moments:
        return moments(self.train.pixels)

    @cached_property
    def _resized(self) -> Resized:
        return lambda data, resolution: (resize(data.train, resolution), resize(data.validation, resolution))


Resized = Callable[[Dataset, int], tuple[Images, Images]]
"""Gives train and validation of a data set at another side."""


def moments(pixels: Tensor) -> Moments:
    """Return mean and standard deviation of each channel of uint8 images, in 0..1; no deviation is below a grey level.

    Exact over at most 50,000 evenly spaced images: a histogram of 256 levels loses nothing.
    """
    return moments_of(pixels[:: moment_step(len(pixels))].split(_CHUNK))


def moment_step(images: int) -> int:
    """Return how far apart the images are that tell the moments of so many."""
    return -(-images // _MOMENT_IMAGES)


def moments_of(parts: Iterable[Tensor]) -> Moments:
    """Return the moments of images that come in parts (N, C, H, W)."""
    counts: Tensor | None = None
    for part in parts:
        found = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in part.unbind(1)])
        counts = found if counts is None else counts + found
    if counts is None:
        raise ValueError("no images, so no moments")
    levels = torch.arange(256, dtype=torch.float64, device=counts.device) / 255
    means, stds = [], []
    for channel in counts:
        share = channel.double() / channel.sum()
        mean = (share * levels).sum()
        means.append(float(mean))
        stds.append(max(float((share * (levels - mean).square()).sum().sqrt()), _GREY_LEVEL))
    return tuple(means), tuple(stds)


def resize(images: Images, resolution: int) -> Images:
    """Return the images at `resolution` pixels a side: bilinear, antialiased, rounded to uint8.

    Images that have this resolution already are returned as they are. Raises DataError below 1 pixel.
    """
    check_resolution(resolution)
    if images.resolution == resolution:
        return images
    return images.at(resolution)


def resize_into(resized: Tensor, pixels: Tensor) -> None:
    """Fill `resized` (N, C, H, W) with the images of `pixels`, likewise, a few thousand at a time."""
    for into, chunk in zip(*(torch.split(part, _CHUNK) for part in (resized, pixels)), strict=True):
        into.copy_(_bilinear(chunk, resized.shape[-1]))


def check_resolution(resolution: int) -> None:
    """Raise DataError unless `resolution` is at least 1 pixel."""
    if resolution < 1:
        raise DataError(f"resolution must be at least 1 pixel, got {resolution}")


def fingerprint(classes: Sequence[str], content: Iterable[bytes | memoryview]) -> str:
    """Return 12 hex digits of the sha256 of the class names and of `content`, in order."""
    digest = hashlib.sha256("\0".join(classes).encode())
    for part in content:
        digest.update(part)
    return digest.hexdigest()[:12]


def _bilinear(pixels: Tensor, resolution: int) -> Tensor:
    """Return float32 images (N, C, resolution, resolution) on whole grey levels."""
    size = (resolution, resolution)
    resized = F.interpolate(pixels.float(), size, mode="bilinear", antialias=True, align_corners=False)
    return resized.round_().clamp_(0, 255)
