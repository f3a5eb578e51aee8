"""How good a trained network is: top-1, top-5, loss, calibration, each class by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.architecture import Architecture
from nas.data.augment import Normaliser
from nas.data.batches import evaluation_batches
from nas.data.images import Images
from nas.errors import DataError
from nas.model_folder import TrainedTask, check_side

BINS = 15
"""Of confidence, all of one width, as in Guo et al. 2017 (On Calibration of Modern Neural Networks, section 2)."""
TOP = 5
_BATCH, _BATCH_GPU = 128, 1024


@dataclass(frozen=True)
class ClassScore:
    """One class: how many images it has, the share of them that is recognised, and how often it was answered."""

    name: str
    images: int
    accuracy: float
    answered: int
    precision: float | None


@dataclass(frozen=True)
class Scores:
    """What a network achieves on `images` images; shares in 0..1. `top5` is None with five classes or fewer.

    `calibration_error` is the mean gap between confidence and accuracy over 15 bins of confidence, each weighed by its
    images.
    """

    images: int
    loss: float
    top1: float
    top5: float | None
    calibration_error: float
    classes: tuple[ClassScore, ...]


def score(network: nn.Module, images: Images, normaliser: Normaliser, classes: Sequence[str]) -> Scores:
    """Return how good `network`, in eval mode afterwards too if it was, is on `images`; it runs on its own device."""
    device, count = _device(network), len(classes)
    loss = torch.zeros((), device=device, dtype=torch.float64)
    right = torch.zeros(2, device=device, dtype=torch.int64)
    tallies = torch.zeros(3, count, device=device, dtype=torch.int64)  # images, recognised, answered
    bins = torch.zeros(2, BINS, device=device, dtype=torch.float64)  # confidence, accuracy
    for answers, labels in logits(network, images, normaliser):
        confidence, answer = answers.softmax(1).max(1)
        is_right = answer == labels
        loss += F.cross_entropy(answers, labels, reduction="sum").double()
        right[0] += is_right.sum()
        right[1] += (answers.topk(min(TOP, count), 1).indices == labels[:, None]).sum()
        for row, chosen in enumerate((labels, labels[is_right], answer)):
            tallies[row] += chosen.bincount(minlength=count)
        place = (confidence.double() * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
        bins[0].index_add_(0, place, confidence.double())
        bins[1].index_add_(0, place, is_right.double())
    return Scores(
        images=len(images),
        loss=loss.item() / len(images),
        top1=right[0].item() / len(images),
        top5=right[1].item() / len(images) if count > TOP else None,
        calibration_error=(bins[0] - bins[1]).abs().sum().item() / len(images),
        classes=tuple(_class(name, *row) for name, row in zip(classes, tallies.T.tolist(), strict=True)),
    )


def fit(images: Images, classes: Sequence[str], architecture: Architecture, task: TrainedTask) -> Images:
    """Return labelled images as a trained network takes them: grey ones as RGB where it takes those.

    DataError in one line for other classes or channels, InputError for a side below its stride.
    """
    check_side(architecture, task, images.resolution)
    if len(classes) != len(task.classes):
        raise DataError(f"the data has {len(classes)} classes, the head of the model has {len(task.classes)}")
    odd = next(((a, b) for a, b in zip(classes, task.classes, strict=True) if a != b), None)
    if odd is not None:
        raise DataError(f"the classes of the data are others: {odd[0]!r} where the model has {odd[1]!r}")
    own, wanted = images.pixels.shape[1], len(task.mean)
    if own == wanted:
        return images
    if own != 1:
        raise DataError(f"the data has {own} channels, the model takes {wanted}")
    return Images(images.pixels.expand(-1, wanted, -1, -1), images.labels)


def logits(network: nn.Module, images: Images, normaliser: Normaliser) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits, float32 (B, classes), and labels (B,) of all images in order, in eval mode."""
    device = _device(network)
    was_training = network.training
    network.eval()
    try:
        for batch in evaluation_batches(images, _BATCH if device.type == "cpu" else _BATCH_GPU, device):
            with torch.inference_mode():
                answers = network(normaliser(batch.pixels)).float()
            yield answers, batch.labels
    finally:
        network.train(was_training)


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _class(name: str, images: int, recognised: int, answered: int) -> ClassScore:
    accuracy = recognised / images if images else 0.0
    return ClassScore(name, images, accuracy, answered, recognised / answered if answered else None)
