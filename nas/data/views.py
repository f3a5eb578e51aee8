"""Fixed views: each image seen in the same few ways in every epoch, every process and every run."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nas.data.augment import Augmentation, Indexed
from nas.value import derive_seed, digest


@dataclass(frozen=True)
class FixedViews:
    """`count` ways of augmenting each image, by its index alone, at a `side`. A teacher's answers to them can be kept.

    What torchvision draws for groups of images is not among them: groups are others in every epoch.
    """

    augmentation: Augmentation
    side: int
    count: int

    @property
    def digest(self) -> str:
        """What tells these views from others."""
        return digest(repr((self.augmentation, self.side, self.count)))

    def __call__(self, pixels: Tensor, indices: Tensor, view: int) -> Tensor:
        """Return images uint8 (B, C, H, W), which have `indices` int64 (B,), as a view sees them."""
        return self.augmentation.by(Indexed(indices, derive_seed("view", view)), pixels, side=self.side)
