"""What a training is fed: shuffled, augmented, normalised batches, made on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from nas.data.augment import Augmentation, Normaliser, alternating
from nas.data.batches import epoch_order
from nas.data.images import Dataset
from nas.data.split import judging_count, subset
from nas.records import Fidelity, Plan, Recipe
from nas.value import derive_seed

PIXELS_AT_ONCE = 2**23
"""Of the images that a GPU augments together: an epoch of small data, and a hundred launches fewer for each batch.

Fixed, since what is drawn for an image depends on it. A CPU takes a batch at a time, which stays in its cache.
"""


class Feed:
    """The batches of one training, epoch after epoch.

    `seed` draws the order and the augmentation of a stage, `mirror_seed` which half of the images is flipped in even
    epochs: flips alternate through all stages, so these count their epochs from the first one on.
    """

    def __init__(
        self,
        data: Dataset,
        recipe: Recipe,
        fidelity: Fidelity,
        plan: Plan,
        *,
        seed: int,
        mirror_seed: int,
        tell: Callable[[str], None],
    ) -> None:
        """Take the parts of train and validation that a fidelity asks for, at its side, onto the device if they fit."""
        here = data.at(fidelity.resolution).resident(plan.device, tell)
        self.images = subset(here.train, fidelity.train_fraction)
        judging = judging_count(len(here.validation), fidelity.epochs * len(self.images))
        self.validation = subset(here.validation, judging / len(here.validation))
        self.batch_size = min(recipe.batch_size, len(self.images))
        layout = torch.channels_last if plan.channels_last else torch.contiguous_format
        self.normaliser = Normaliser(data.mean, data.std, memory_format=layout)
        shrink = fidelity.resolution / data.resolution
        self._augment = Augmentation(
            crop_padding=round(recipe.crop_padding * shrink),
            mirror=recipe.mirror,
            jitter=recipe.colour_jitter,
            cutout=round(recipe.cutout * shrink),
        )
        self._mirror_seed = derive_seed(mirror_seed, "mirror") if recipe.alternate_mirror else None
        self._generator = torch.Generator(plan.device).manual_seed(derive_seed(seed, "data"))
        self._device = plan.device
        together = PIXELS_AT_ONCE // (fidelity.resolution**2 * self.batch_size)
        self._at_once = 1 if plan.device == "cpu" else max(1, together)

    @property
    def generator(self) -> torch.Generator:
        """What draws the order and the augmentation: its state between two epochs is where the feed stands."""
        return self._generator

    @property
    def batches(self) -> int:
        """How many batches, and so optimizer steps, an epoch has."""
        return max(1, len(self.images) // self.batch_size)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised images (B, C, H, W) and labels (B,) of one epoch, in an order of its own."""
        for rows in epoch_order(self.images, self.batch_size, self._generator).split(self._at_once):
            indices = rows.flatten()
            chosen = self.images.select(indices).to(self._device)
            inputs = self.normaliser(self._augment(chosen.pixels, self._generator, self._mirrored(indices, number)))
            yield from zip(inputs.split(self.batch_size), chosen.labels.split(self.batch_size), strict=True)

    def _mirrored(self, indices: Tensor, epoch: int) -> Tensor | None:
        """Return which images are flipped in an epoch, bool (B,); None where that is drawn, or none ever is."""
        if self._mirror_seed is None:
            return None
        return alternating(indices.to(self._device), epoch, self._mirror_seed)
