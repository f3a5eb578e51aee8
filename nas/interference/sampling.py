"""Which positions of a map stand for it: the same random number from each image, fixed by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True)
class PositionSampler:
    """Draws about `positions` positions from the maps of a batch of `images`; equal map sizes give equal positions.

    Neighbouring positions are correlated, so whole maps would count a few images many times over. An image gives
    max(1, positions // images) distinct ones, or all that it has.
    """

    images: int
    positions: int
    seed: int

    def has_positions(self, values: Tensor) -> bool:
        """Say whether `values` (..., C) hold more than one position per image."""
        return prod(values.shape[:-1]) > self.images

    def rows(self, values: Tensor) -> Tensor:
        """Return the sampled rows (N, C) of `values` (..., C) on the CPU, in float32 or wider.

        The leading dimension is the image, or the image times its windows; where it is neither, positions are
        drawn from all images together.
        """
        leading = values.shape[:-1]
        groups = self.images if leading[0] % self.images == 0 else 1
        index = self._index(groups, prod(leading) // groups).to(values.device)
        # Unravelled, so that a channels-first map is gathered without being copied.
        rows = values[torch.unravel_index(index, leading)]
        return rows.to("cpu", torch.promote_types(rows.dtype, torch.float32))

    def by_image(self, values: Tensor) -> Tensor | None:
        """Return the sampled rows as (B, n, C), image by image; None where the leading dimension is no image."""
        if values.shape[0] % self.images:
            return None
        rows = self.rows(values)
        return rows.view(self.images, -1, rows.shape[1])

    def _index(self, groups: int, available: int) -> Tensor:
        """Return flat positions, (N,): one random set, shifted at random for each group."""
        generator = torch.Generator().manual_seed(self.seed)
        count = min(available, max(1, self.positions // groups))
        chosen = torch.randperm(available, generator=generator)[:count]
        shifts = torch.randint(available, (groups, 1), generator=generator)
        return ((chosen + shifts) % available + torch.arange(groups).unsqueeze(1) * available).flatten()
