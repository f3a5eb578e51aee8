"""Images as values: checks, moments, resizing, batches."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from nas.data.batches import epoch_order, evaluation_batches
from nas.data.images import Dataset, Images, resize
from nas.errors import DataError


def noise(count: int, channels: int = 3, side: int = 8) -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, channels, side, side), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(count))


def dataset(train: Images) -> Dataset:
    return Dataset("x", ("a", "b"), train, train, "", mirror=True)


def test_moments_are_those_of_float64() -> None:
    images = noise(50)
    data = dataset(images)
    exact = images.pixels.double() / 255
    assert data.mean == pytest.approx(exact.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert data.std == pytest.approx(exact.std((0, 2, 3), correction=0).tolist(), abs=1e-12)


def test_constant_channel_keeps_a_spread() -> None:
    flat = Images(torch.full((4, 1, 2, 2), 7, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    assert dataset(flat).std == (1 / 255,)


def test_images_and_dataset_are_frozen() -> None:
    images = noise(2)
    with pytest.raises(FrozenInstanceError):
        images.labels = images.labels  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        dataset(images).name = "y"  # type: ignore[misc]


def test_a_dataset_has_no_test_split() -> None:
    assert not any("test" in name for name in Dataset.__dataclass_fields__)


@pytest.mark.parametrize(
    ("pixels", "labels"),
    [
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2)),
        (torch.zeros(2, 1, 4, 5, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
    ],
)
def test_images_of_the_wrong_kind_are_refused(pixels: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"uint8|square"):
        Images(pixels, labels)


def test_halving_averages_and_doubling_keeps_a_constant() -> None:
    board = torch.tensor([[0, 100], [100, 200]], dtype=torch.uint8).repeat(4, 4)[None, None]
    flat = torch.full((1, 1, 4, 4), 9, dtype=torch.uint8)
    label = torch.zeros(1, dtype=torch.int64)
    assert resize(Images(board, label), 1).pixels.item() == 100
    assert resize(Images(flat, label), 8).pixels.unique().tolist() == [9]


def test_resize_to_the_same_side_copies_nothing() -> None:
    images = noise(2)
    assert resize(images, 8) is images


def test_resize_to_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="at least 1 pixel, got 0"):
        resize(noise(2), 0)


def epoch(count: int, batch_size: int, seed: int = 0) -> list[list[int]]:
    return epoch_order(noise(count), batch_size, torch.Generator().manual_seed(seed)).tolist()


def test_training_batches_are_full_and_disjoint() -> None:
    drawn = epoch(10, 4)
    assert [len(batch) for batch in drawn] == [4, 4]
    assert len({index for batch in drawn for index in batch}) == 8


def test_training_batches_follow_the_generator() -> None:
    assert epoch(10, 4, seed=1) == epoch(10, 4, seed=1) != epoch(10, 4, seed=2)


def test_fewer_images_than_a_batch_are_one_batch() -> None:
    assert sorted(epoch(3, 8)[0]) == [0, 1, 2]


@pytest.mark.parametrize("count", [3, 8, 10, 16])
def test_an_epoch_has_as_many_batches_as_are_full_but_one_at_least(count: int) -> None:
    assert len(epoch(count, 8)) == max(1, count // 8)


def test_evaluation_sees_every_image_once_in_order() -> None:
    drawn = [batch.labels.tolist() for batch in evaluation_batches(noise(10), 4, "cpu")]
    assert drawn == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_another_side_is_made_once_and_equals_resizing() -> None:
    data = dataset(noise(6))
    half = data.at(4)
    assert torch.equal(half.train.pixels, resize(data.train, 4).pixels)
    assert data.at(4) is half is half.at(4)
    assert half.at(8) is data is data.at(8)
    assert half.at(2) is data.at(2)
    assert torch.equal(half.at(2).train.pixels, resize(data.train, 2).pixels)


def test_all_sides_share_one_normalisation() -> None:
    data = dataset(noise(6))
    assert (data.at(4).mean, data.at(4).std) == (data.mean, data.std)


def test_replaced_images_are_resized_themselves() -> None:
    data = dataset(noise(6))
    data.at(4)
    dark = replace(data, train=replace(data.train, pixels=data.train.pixels // 2))
    assert torch.equal(dark.at(4).train.pixels, resize(dark.train, 4).pixels)
    assert dark.mean < data.mean


def test_no_side_below_one_pixel() -> None:
    with pytest.raises(DataError, match="at least 1 pixel, got 0"):
        dataset(noise(2)).at(0)


def test_data_that_fits_moves_to_the_device_once() -> None:
    data, said = dataset(noise(6)), list[str]()
    there = data.resident("meta", said.append, reserve=0, free_bytes=lambda _: 6 * (192 + 8) * 2)
    assert {images.pixels.device.type for images in (there.train, there.validation)} == {"meta"}
    assert there.mean == data.mean
    assert data.resident("meta", said.append) is there is there.resident("meta", said.append)
    assert said == []
    assert there.at(4).train.pixels.device.type == "cpu"


def test_data_that_does_not_fit_stays_and_says_so_once() -> None:
    data, said = dataset(noise(6)), list[str]()
    for _ in range(2):
        assert data.resident("meta", said.append, reserve=1, free_bytes=lambda _: 6 * (192 + 8) * 2) is data
    assert len(said) == 1
    assert "x at 8 px takes 0 MB; meta has 0 MB free" in said[0]


def test_the_cpu_has_the_data_already() -> None:
    data = dataset(noise(2))
    assert data.resident("cpu", pytest.fail) is data
