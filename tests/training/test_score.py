"""Scores against closed forms: top-1, top-5, loss, calibration, and each class by itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from nas.data.augment import Normaliser
from nas.data.images import Images
from nas.errors import DataError, InputError
from nas.model_folder import TrainedTask
from nas.references import references
from nas.training.score import fit, score

NAMES = tuple("abcdefg")
ARCHITECTURE = references()["mobilenetv2_035"].architecture


class Told(nn.Module):
    """A network that answers what it is told, image by image: the first pixel is the row of `table`."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows that the images name."""
        return self.table[(x[:, 0, 0, 0] * 255).round().long()]


def scored(table: Tensor, labels: list[int]):
    """Return the scores of a network that gives the rows of `table` for one image each."""
    count, classes = table.shape
    pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    return score(Told(table), Images(pixels, torch.tensor(labels)), Normaliser((0.0,), (1.0,)), NAMES[:classes])


def test_a_network_that_knows_nothing_is_calibrated_and_scores_by_chance() -> None:
    found = scored(torch.zeros(200, 2), [i % 2 for i in range(200)])
    assert (found.top1, found.top5) == (0.5, None)
    assert found.loss == pytest.approx(math.log(2))
    assert found.calibration_error == pytest.approx(0)


def test_sure_and_half_wrong_is_half_a_calibration_error() -> None:
    found = scored(torch.tensor([[40.0, 0], [40, 0], [0, 40], [0, 40]]), [0, 1, 0, 1])
    assert found.top1 == 0.5
    assert found.calibration_error == pytest.approx(0.5)
    assert found.loss == pytest.approx(20)


def test_gaps_of_other_bins_do_not_cancel() -> None:
    sure, unsure = torch.tensor([0.95, 0.05]).log(), torch.tensor([0.6, 0.4]).log()
    found = scored(torch.stack([sure, sure, unsure, unsure]), [0, 1, 0, 0])
    assert found.calibration_error == pytest.approx((2 * (0.95 - 0.5) + 2 * (1 - 0.6)) / 4, abs=1e-6)


def test_the_fifth_answer_counts_and_the_sixth_does_not() -> None:
    ranks = torch.tensor([7.0, 6, 5, 4, 3, 2, 1])
    found = scored(ranks.expand(3, -1).clone(), [0, 4, 5])
    assert (found.top1, found.top5) == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_each_class_has_its_own_line() -> None:
    table = torch.eye(3)[[0, 0, 1, 0]] * 9
    found = scored(table, [0, 0, 1, 1])
    assert [(each.images, each.accuracy, each.answered, each.precision) for each in found.classes] == [
        (2, 1.0, 3, pytest.approx(2 / 3)),
        (2, 0.5, 1, 1.0),
        (0, 0.0, 0, None),
    ]


def test_batches_add_up_to_the_whole() -> None:
    table = torch.randn(250, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 7, (250,), generator=torch.Generator().manual_seed(1))
    found = scored(table, labels.tolist())
    assert found.top1 == pytest.approx((table.argmax(1) == labels).float().mean().item())
    assert found.loss == pytest.approx(nn.functional.cross_entropy(table, labels).item(), rel=1e-5)
    assert sum(each.answered for each in found.classes) == 250


def images(channels: int = 3, side: int = 32) -> Images:
    return Images(torch.zeros(2, channels, side, side, dtype=torch.uint8), torch.tensor([0, 1]))


def task(channels: int = 3) -> TrainedTask:
    return TrainedTask(classes=("cat", "dog"), resolution=32, mean=(0.5,) * channels, std=(0.2,) * channels)


@pytest.mark.parametrize(
    ("given", "classes", "channels", "fault"),
    [
        (images(), ("cat", "dog", "owl"), 3, "the data has 3 classes, the head of the model has 2"),
        (images(), ("cat", "rat"), 3, "'rat' where the model has 'dog'"),
        (images(), ("cat", "dog"), 1, "the data has 3 channels, the model takes 1"),
        (images(side=4), ("cat", "dog"), 3, "at least the network's stride, 8 pixels, got 4"),
    ],
)
def test_images_that_do_not_fit_are_refused(given: Images, classes: tuple[str, ...], channels: int, fault: str) -> None:
    with pytest.raises((DataError, InputError), match=fault):
        fit(given, classes, ARCHITECTURE, task(channels))


def test_grey_images_become_rgb() -> None:
    assert fit(images(channels=1), ("cat", "dog"), ARCHITECTURE, task()).pixels.shape == (2, 3, 32, 32)
