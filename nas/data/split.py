"""Which images: the validation split, nested subsets, and one fixed batch. All seeded, all by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nas.data.images import Images
from nas.errors import DataError

VALIDATION_FRACTION = 0.2
VALIDATION_IMAGES = 10_000  # accuracy on that many has a standard error below half a point; more only costs time

FEWEST_JUDGING, TRAINED_A_JUDGING = 1_000, 4  # validation images; trained images for each of them

_NESTED_SEED = 0  # of the one order: all trainings at a fidelity see the same part of it


def hold_out(labels: Tensor, classes: Sequence[str], fraction: float | None, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices of train and of validation, each in nested order, so that any first part has each class.

    `fraction` of the images is held out; None means a fifth, but at most 10,000 images, and at least as
    many as there are classes. Raises DataError if a class has fewer than two images, or if either side would
    have fewer images than there are classes.
    """
    counts = torch.bincount(labels, minlength=len(classes))
    if counts.min() < 2:
        name, count = classes[int(counts.argmin())], int(counts.min())
        raise DataError(f"class {name!r} has {count} readable image(s); train and validation need one each")
    held_out = _held_out_count(len(labels), len(classes), fraction)
    train, validation = split_labels(labels, held_out, seed=seed)
    return train[nested_order(labels[train])], validation[nested_order(labels[validation])]


def split_labels(labels: Tensor, held_out: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return ascending indices of the kept and of `held_out` held-out images: scikit-learn's stratified split."""
    from sklearn.model_selection import train_test_split  # here, because it takes more than a second to import

    everything = np.arange(len(labels))
    parts = train_test_split(everything, test_size=held_out, stratify=labels.numpy(), random_state=seed % 2**32)
    kept, held = (torch.from_numpy(np.sort(part)) for part in parts)
    return kept, held


def nested_order(labels: Tensor) -> Tensor:
    """Return the order, int64 (N,), in which any prefix has each class in proportion, drawn the same every time.

    A smaller prefix is part of a larger one, so a rung sees what the rung below it saw; scikit-learn's splits do not
    nest.
    """
    count = torch.bincount(labels)[labels]
    # Every image stands somewhere in 0..1 of its own class, and all of them go by that place.
    place = (_rank_in_class(labels, _generator(_NESTED_SEED)) + 0.5).double() / count
    return place.argsort(stable=True)


def subset(images: Images, fraction: float) -> Images:
    """Return the first `fraction` of the images, a view: each class in proportion if they are in nested order.

    Raises DataError unless 0 < fraction <= 1.
    """
    if not 0 < fraction <= 1:
        raise DataError(f"train fraction must be above 0 and at most 1, got {fraction}")
    size = max(1, round(fraction * len(images)))
    return images.part(0, size)


def judging_count(validation: int, trained: int) -> int:
    """Return how many of the `validation` images judge a stage that trains on `trained` images, repeats counted.

    A forward pass costs a third of a step: on all of a large split a short proxy would take as long to judge as to
    train. A fourth of what it trains on adds a twelfth to its cost.
    """
    return min(validation, max(FEWEST_JUDGING, trained // TRAINED_A_JUDGING))


def fixed_batch(images: Images, size: int, *, seed: int) -> Images:
    """Return a seeded batch of `size` images, or all if there are fewer, the classes as even as they allow."""
    labels, generator = images.labels, _generator(seed)
    rank = _rank_in_class(labels, generator)
    num_classes = int(labels.max()) + 1
    turn = torch.randperm(num_classes, generator=generator).to(labels.device)  # who gets the odd image
    order = (rank * num_classes + turn[labels]).argsort()
    return images.select(order[:size].sort().values)


def _held_out_count(images: int, num_classes: int, fraction: float | None) -> int:
    if fraction is None:
        return max(num_classes, min(round(VALIDATION_FRACTION * images), VALIDATION_IMAGES))
    count = round(fraction * images)
    if not num_classes <= count <= images - num_classes:
        raise DataError(
            f"validation fraction {fraction} holds out {count} of {images} images; "
            f"{num_classes} classes need between {num_classes} and {images - num_classes}"
        )
    return count


def _rank_in_class(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return for each image its place, from 0, in a random order of its own class: int64 (N,)."""
    shuffled = torch.randperm(len(labels), generator=generator).to(labels.device)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = torch.bincount(labels)
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(labels)
    rank[by_class] = torch.arange(len(labels), device=labels.device) - starts[labels[by_class]]
    return rank


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
