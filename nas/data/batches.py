"""Batches of images: shuffled for training, in order for evaluation. Both stay uint8 until they are used."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from nas.data.images import Images


def batches(
    images: Images, batch_size: int, generator: torch.Generator, device: torch.device | str
) -> Iterator[Images]:
    """Yield one epoch in an order drawn from `generator`, as `batch_count` full batches on `device`.

    The images beyond the last full batch sit this epoch out; fewer images than a batch are one batch.
    """
    order = torch.randperm(len(images), generator=generator, device=generator.device).to(images.pixels.device)
    for chunk in torch.split(order, batch_size)[: batch_count(len(images), batch_size)]:
        yield images.select(chunk).to(device)


def batch_count(images: int, batch_size: int) -> int:
    """Return how many batches `batches` yields: the optimizer steps of an epoch."""
    return max(1, images // batch_size)


def evaluation_batches(images: Images, batch_size: int, device: torch.device | str) -> Iterator[Images]:
    """Yield every image once, in order, on `device`; the last batch may be smaller."""
    for start in range(0, len(images), batch_size):
        chunk = slice(start, start + batch_size)
        yield Images(images.pixels[chunk], images.labels[chunk]).to(device)
