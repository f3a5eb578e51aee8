"""What a trained network says of image files: the likeliest classes of each, or why there are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.data.augment import Normaliser
from nas.data.decode import decode, read
from nas.data.images import Images
from nas.errors import DataError
from nas.model_folder import TrainedTask, check_side
from nas.network.folder import Model
from nas.training.score import logits

_TOGETHER = 64
_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow

Square = NDArray[np.uint8]


@dataclass(frozen=True)
class Prediction:
    """What is said of a file: classes with their probabilities, the likeliest first, or the fault of the file."""

    file: str
    classes: tuple[tuple[str, float], ...] = ()
    fault: str = ""


def answers(model: Model, files: Sequence[str], *, top: int = 5, side: int | None = None) -> Iterator[Prediction]:
    """Yield what a network says of each file, in their order; images are squares of `side`, or as in its training.

    Their shorter side is brought to it and the centre cut out. InputError for a side below the network's stride.
    """
    side = side or model.task.resolution
    check_side(model.architecture, model.task, side)
    for start in range(0, len(files), _TOGETHER):
        decoded = [(file, _decode(file, side)) for file in files[start : start + _TOGETHER]]
        squares = [found for _, found in decoded if not isinstance(found, str)]
        shares = iter(probabilities(model.network, squares, model.task) if squares else ())
        for file, found in decoded:
            if isinstance(found, str):
                yield Prediction(file, fault=found)
            else:
                yield Prediction(file, _likeliest(next(shares), model.task.classes, top))


def probabilities(network: nn.Module, squares: Sequence[Square], task: TrainedTask) -> Tensor:
    """Return probabilities (N, classes) of RGB images, uint8 (3, side, side) each; a grey network gets their luma."""
    pixels = torch.from_numpy(np.stack(squares))
    if len(task.mean) == 1:
        grey = torch.tensordot(torch.tensor(_LUMA), pixels.float(), dims=([0], [1]))
        pixels = grey.round_().to(torch.uint8)[:, None]
    images = Images(pixels, torch.zeros(len(pixels), dtype=torch.int64))
    normaliser = Normaliser(task.mean, task.std)
    return torch.cat([each.softmax(1).cpu() for each, _ in logits(network, images, normaliser)])


def _decode(file: str, side: int) -> Square | str:
    """Return an image, or what is wrong with its file."""
    try:
        square = decode(read(file)[0], side)
    except DataError as error:
        return str(error).removeprefix(f"{file}: ")
    return "not a readable image" if square is None else square


def _likeliest(shares: Tensor, classes: Sequence[str], top: int) -> tuple[tuple[str, float], ...]:
    best = shares.topk(min(top, len(classes)))
    return tuple((classes[i], share) for i, share in zip(best.indices.tolist(), best.values.tolist(), strict=True))
