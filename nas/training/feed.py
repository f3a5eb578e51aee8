"""What a training is fed: shuffled, augmented, normalised batches, made on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nas.data.augment import Among, Augmentation, Drawn, Normaliser, alternating
from nas.data.batches import epoch_order
from nas.data.crop import erase
from nas.data.images import Dataset, Images, resize
from nas.data.policy import mix
from nas.data.split import judging_count, subset
from nas.data.views import FixedViews
from nas.records import Fidelity, Plan, Recipe
from nas.training.ranks import ALONE, Ranks
from nas.value import derive_seed

PIXELS_AT_ONCE = 2**23
"""Of the images that a GPU augments together: an epoch of small data, and a hundred launches fewer for each batch.

Fixed, since what is drawn for an image depends on it. A CPU takes a batch at a time, which stays in its cache.
"""


class Batch(NamedTuple):
    """Normalised images (B, C, H, W), their labels, and where they stand in train, int64 (B,).

    Labels are classes (B,), or where images are mixed shares of them (B, classes).
    """

    inputs: Tensor
    labels: Tensor
    indices: Tensor


class Feed:
    """The batches of one training, epoch after epoch; of several processes each is fed its share of every batch.

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
        ranks: Ranks = ALONE,
    ) -> None:
        """Take the parts of train and validation that a fidelity asks for, at its side, onto the device if they fit.

        Crops are cut out of the images as they are.
        """
        here = training_data(recipe, data, fidelity).resident(plan.device, tell)
        self.images = subset(here.train, fidelity.train_fraction)
        self.validation = judging_images(recipe, data, fidelity, here=here)
        self.batch_size = min(recipe.batch_size, len(self.images))
        layout = torch.channels_last if plan.channels_last else torch.contiguous_format
        self.normaliser = Normaliser(data.mean, data.std, memory_format=layout)
        self._augment = augmentation(recipe, data, fidelity)
        self._recipe, self._fidelity, self._ranks, self._classes = recipe, fidelity, ranks, data.num_classes
        self._views = fixed_views(recipe, data, fidelity)
        self._seed = derive_seed(seed, "data")
        self._mirror_seed = derive_seed(mirror_seed, "mirror") if recipe.alternate_mirror else None
        self._generator = torch.Generator(plan.device).manual_seed(self._seed)
        self._begun = self._generator.get_state()
        self._within: tuple[Tensor, int] | None = None
        self._device = plan.device
        together = PIXELS_AT_ONCE // (fidelity.resolution**2 * self.batch_size)
        self.at_once = 1 if plan.device == "cpu" or ranks.world > 1 else max(1, together)

    @property
    def generator(self) -> torch.Generator:
        """What draws the order and the augmentation: its state between two epochs is where the feed stands."""
        return self._generator

    @property
    def begun(self) -> Tensor:
        """The state of the generator when the present epoch began: within one, its order is drawn from there again."""
        return self._begun

    @property
    def batches(self) -> int:
        """How many batches, and so optimizer steps, an epoch has."""
        return max(1, len(self.images) // self.batch_size)

    def side(self, number: int) -> int:
        """Return the side of the images in an epoch of this stage."""
        ramp, fidelity = self._recipe.ramp, self._fidelity
        return fidelity.resolution if ramp is None else ramp.side(number, fidelity.epochs, fidelity.resolution)

    def go_on_within(self, begun: Tensor, batches: int) -> None:
        """Begin the next epoch behind its first batches; the generator is where it was behind them."""
        self._within = begun, batches

    def epoch(self, number: int, *, in_stage: int | None = None) -> Iterator[Batch]:
        """Yield the batches of one epoch, in an order of its own.

        `in_stage`: the number of the epoch in this stage, where that is another one.
        """
        in_stage = number if in_stage is None else in_stage
        order, first = self._order()
        coming = order.split(self.at_once)[first // self.at_once :]
        self.images.expect(rows[:, self._ranks.share(rows.shape[1])].flatten() for rows in coming)
        for at, rows in enumerate(order.split(self.at_once)):
            if (at + 1) * self.at_once <= first:
                continue
            seed = derive_seed(self._seed, "batches", in_stage, at)
            yield from self._fed(rows, number, in_stage, seed)

    def _order(self) -> tuple[Tensor, int]:
        """Return the indices of the batches of an epoch, and how many of these are behind us."""
        if self._within is not None:
            (begun, first), now = self._within, self._generator.get_state()
            self._within, self._begun = None, begun
            self._generator.set_state(begun)
            order = epoch_order(self.images, self.batch_size, self._generator)
            self._generator.set_state(now)
            return order, first
        self._begun = self._generator.get_state()
        return epoch_order(self.images, self.batch_size, self._generator), 0

    def _fed(self, rows: Tensor, number: int, in_stage: int, seed: int) -> Iterator[Batch]:
        """Yield the batches of which `rows` (batches, B) are the indices: this process's share of each."""
        recipe, share = self._recipe, self._ranks.share(rows.shape[1])
        among = Among(rows.numel(), slice(None) if self._ranks.world == 1 else share)
        indices = rows.flatten()[among.part]
        chosen = self.images.select(indices).to(self._device)
        if self._views is not None:
            pixels = self._views(chosen.pixels, indices.to(self._device), in_stage % self._views.count)
        else:
            mirrored, side = self._mirrored(indices, number), self.side(in_stage)
            pixels = self._augment(chosen.pixels, self._generator, mirrored, side=side, seed=seed, among=among)
        inputs = self.normaliser(pixels)
        if recipe.erasing:
            inputs = erase(inputs, Drawn(self._generator, among, inputs.device).uniform(5), recipe.erasing)
        size = self.batch_size if self._ranks.world == 1 else len(indices)
        parts = (inputs.split(size), chosen.labels.split(size), indices.split(size))
        for i, batch in enumerate(map(Batch, *parts)):
            if not (recipe.mixup or recipe.cutmix):
                yield batch
                continue
            drawn = derive_seed(seed, "mix", i)
            mixed = mix(*batch[:2], self._classes, mixup=recipe.mixup, cutmix=recipe.cutmix, seed=drawn)
            yield Batch(*mixed, batch.indices)

    def _mirrored(self, indices: Tensor, epoch: int) -> Tensor | None:
        """Return which images are flipped in an epoch, bool (B,); None where that is drawn, or none ever is."""
        if self._mirror_seed is None:
            return None
        return alternating(indices.to(self._device), epoch, self._mirror_seed)


def judging_images(recipe: Recipe, data: Dataset, fidelity: Fidelity, *, here: Dataset | None = None) -> Images:
    """Return the part of the validation split that judges, at the side for it; `here` is the data on another device.

    Resized it lies in memory; train, which of ImageNet would take a hundred gigabytes, is left alone.
    """
    here = here or training_data(recipe, data, fidelity)
    trained = max(1, round(fidelity.train_fraction * len(here.train)))
    judging = judging_count(len(here.validation), fidelity.epochs * trained)
    return resize(subset(here.validation, judging / len(here.validation)), judged_side(recipe, fidelity.resolution))


def judged_side(recipe: Recipe, resolution: int) -> int:
    """Return the side of the images that a network is judged by, which was trained on those of a resolution."""
    return max(1, round(recipe.test_scale * resolution))


def training_data(recipe: Recipe, data: Dataset, fidelity: Fidelity) -> Dataset:
    """Return what training images are made from: images as they are for crops, else those of a fidelity's side."""
    return data if recipe.crop_area else data.at(fidelity.resolution)


def augmentation(recipe: Recipe, data: Dataset, fidelity: Fidelity) -> Augmentation:
    """Return what a recipe does to training images, at the resolution of a fidelity."""
    shrink = fidelity.resolution / data.resolution
    return Augmentation(
        crop_padding=round(recipe.crop_padding * shrink),
        mirror=recipe.mirror,
        jitter=recipe.colour_jitter,
        cutout=round(recipe.cutout * shrink),
        crop_area=recipe.crop_area,
        rand_augment=recipe.rand_augment,
    )


def fixed_views(recipe: Recipe, data: Dataset, fidelity: Fidelity) -> FixedViews | None:
    """Return the fixed views that a recipe asks for, None where images are new in each epoch."""
    count = recipe.distillation.views if recipe.distillation is not None else 0
    return FixedViews(augmentation(recipe, data, fidelity), fidelity.resolution, count) if count else None
