"""Batches of images: shuffled for training, in order for evaluation. Both stay uint8 until they are used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.data.images import Images


@dataclass(frozen=True, eq=False)
class Batch(Images):
    """Images drawn for one step, and which they are: `indices` int64 (B,) into what they were drawn from."""

    indices: Tensor


def batches(images: Images, batch_size: int, generator: torch.Generator, device: torch.device | str) -> Iterator[Batch]:
    """Yield one epoch in an order drawn from `generator`, as `batch_count` full batches on `device`."""
    for chunk in epoch_order(images, batch_size, generator):
        batch = images.select(chunk).to(device)
        yield Batch(batch.pixels, batch.labels, chunk.to(device, non_blocking=True))


def epoch_order(images: Images, batch_size: int, generator: torch.Generator) -> Tensor:
    """Return the indices of one epoch, int64 (`batch_count`, batch size), on the images' device.

    The images beyond the last full batch sit this epoch out; fewer images than a batch are one batch.
    """
    order = torch.randperm(len(images), generator=generator, device=generator.device).to(images.pixels.device)
    size, count = min(batch_size, len(images)), batch_count(len(images), batch_size)
    return order[: count * size].view(count, size)


def batch_count(images: int, batch_size: int) -> int:
    """Return how many batches `batches` yields: the optimizer steps of an epoch."""
    return max(1, images // batch_size)


def evaluation_batches(images: Images, batch_size: int, device: torch.device | str) -> Iterator[Images]:
    """Yield every image once, in order, on `device`; the last batch may be smaller."""
    for start in range(0, len(images), batch_size):
        chunk = slice(start, start + batch_size)
        yield Images(images.pixels[chunk], images.labels[chunk]).to(device)
