"""Which images go together: in a drawn order for training, one after the other for evaluation."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nas.data.images import Images


def epoch_order(images: Images, batch_size: int, generator: torch.Generator) -> Tensor:
    """Return the indices of one epoch, int64 (batches, batch size), on the images' device.

    The images beyond the last full batch sit this epoch out; fewer images than a batch are one batch.
    """
    size = min(batch_size, len(images))
    count = len(images) // size
    order = torch.randperm(len(images), generator=generator, device=generator.device).to(images.device)
    return order[: count * size].view(count, size)


def evaluation_batches(images: Images, batch_size: int, device: torch.device | str) -> Iterator[Images]:
    """Yield every image once, in order, on `device`; the last batch may be smaller."""
    for batch in images.in_order(batch_size):
        yield batch.to(device)
