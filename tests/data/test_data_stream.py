"""Images decoded on the fly are those of the store, in its order, and nothing of them stays in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nas.cli.subject import data_task
from nas.data.batches import evaluation_batches
from nas.data.images import Dataset, moments_of
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.data.split import subset
from nas.data.stream import FileImages
from nas.errors import DataError
from nas.network.build import build
from nas.records import Fidelity, Plan, Recipe
from nas.references import references
from nas.training.loop import train
from tests.data.conftest import MakeFolder


def both(root: Path, resolution: int | None = None) -> tuple[Dataset, Dataset]:
    """Return the data of a folder decoded on the fly, and that of its store."""
    fly, store = (
        load_dataset(DataSpec.parse(f"folder:{root}"), seed=0, resolution=resolution, on_the_fly=on)
        for on in (True, False)
    )
    return fly, store


@pytest.mark.parametrize("resolution", [None, 4])
def test_images_and_labels_are_those_of_the_store(make_folder: MakeFolder, resolution: int | None) -> None:
    fly, store = both(make_folder(per_class=20), resolution)
    for streamed, kept in ((fly.train, store.train), (fly.validation, store.validation)):
        assert torch.equal(streamed.labels, kept.labels)
        batches = list(evaluation_batches(streamed, 7, "cpu"))
        assert torch.equal(torch.cat([batch.pixels for batch in batches]), kept.pixels)
    assert (fly.mean, fly.std, fly.resolution) == (store.mean, store.std, store.resolution)


def test_a_part_of_train_is_a_part_of_the_store(make_folder: MakeFolder) -> None:
    fly, store = both(make_folder(per_class=20))
    indices = torch.tensor([3, 0, 9])
    part = subset(fly.train, 0.5)
    assert isinstance(part, FileImages)
    assert torch.equal(part.select(indices).pixels, store.train.select(indices).pixels)


def test_another_side_is_that_of_the_store(make_folder: MakeFolder) -> None:
    fly, store = (data.at(5) for data in both(make_folder(per_class=20)))
    assert torch.equal(torch.cat([batch.pixels for batch in fly.validation.in_order(3)]), store.validation.pixels)


def test_moments_are_those_of_the_store_where_not_all_images_tell_them(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.data.images._MOMENT_IMAGES", 10)
    fly, store = both(make_folder(per_class=20))
    assert (fly.mean, fly.std) == (store.mean, store.std)
    assert fly.mean != moments_of([store.train.pixels])[0]


def test_what_is_expected_is_decoded_ahead_and_other_wishes_are_met(make_folder: MakeFolder) -> None:
    fly, store = both(make_folder(per_class=20))
    order = torch.randperm(32).split(4)
    fly.train.expect(iter(order))
    for indices in (*order[:3], torch.tensor([1, 2]), *order[3:]):
        assert torch.equal(fly.train.select(indices).pixels, store.train.select(indices).pixels)


def test_a_training_is_the_same_to_the_bit(make_folder: MakeFolder) -> None:
    fly, store = both(make_folder(per_class=20))
    architecture = references()["mobilenetv2_035"].architecture
    recipe = Recipe(batch_size=8, crop_padding=1, mirror=True)
    losses = [
        train(build(architecture, data_task(data)), data, recipe, Fidelity(epochs=2, resolution=8), Plan(), seed=0)
        .epochs[-1]
        .train_loss
        for data in (fly, store)
    ]
    assert losses[0] == losses[1]


def test_a_broken_file_is_named_when_it_is_met(make_folder: MakeFolder) -> None:
    root = make_folder(per_class=5)
    (root / "cat" / "2.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"2\.png: not a readable image"):
        load_dataset(DataSpec.parse(f"folder:{root}"), seed=0, resolution=8, on_the_fly=True).train.select(
            torch.arange(8)
        )


def test_only_folders_are_decoded_on_the_fly() -> None:
    with pytest.raises(DataError, match="only images in folders"):
        load_dataset(DataSpec.parse("digits"), seed=0, on_the_fly=True)
