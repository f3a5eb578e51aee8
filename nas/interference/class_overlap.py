"""Do the classes need the same channels, more or less than chance would have it?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PERMUTATIONS = 16


def class_overlap(profiles: Tensor, labels: Tensor, *, seed: int) -> float | None:
    """Return the mean cosine between classes, over its mean for `PERMUTATIONS` permutations of the labels.

    `profiles` (B, C) is what each image needs of each channel, mean abs(a dL/da) over positions; a class's vector is
    the mean over its images at unit length. 1 says that labels do not matter, 0 that no two classes share a channel.
    Permuting keeps the sizes of the classes, which the cosine depends on. Untrained networks have about 0.75 with ten
    classes, whatever their width: the gradient at a late block knows the label. Images with no gradient at all say
    nothing and are left out. None with fewer than two classes, or where no two images share a channel. Ours.
    """
    profiles = profiles.double()
    alive = profiles.sum(1) > 0
    profiles, labels = profiles[alive], labels.cpu()[alive]
    classes, members = labels.unique(return_inverse=True)
    if len(classes) < 2:
        return None
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(labels), generator=generator) for _ in range(PERMUTATIONS)]
    observed, *permuted = (
        _mean_cosine(profiles, each, len(classes)) for each in (members, *(members[order] for order in orders))
    )
    chance = torch.stack(permuted).mean()
    return (observed / chance).item() if chance > 0 else None


def _mean_cosine(profiles: Tensor, members: Tensor, classes: int) -> Tensor:
    """Return the mean cosine over pairs of different classes; `members` (B,) numbers each image's class from 0."""
    sums = torch.zeros(classes, profiles.shape[1], dtype=profiles.dtype).index_add_(0, members, profiles)
    total: Tensor = F.normalize(sums, dim=1, eps=torch.finfo(sums.dtype).tiny).sum(0)
    return (total.square().sum() - classes) / (classes * (classes - 1))
