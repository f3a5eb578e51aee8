"""Recipes and rungs, derived from the data."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from nas.data.images import Dataset, Images
from nas.records import Fidelity, Suppression
from nas.training.recipe import STEPS_AN_EPOCH, default_recipe, rungs


def data(images: int, side: int = 8, *, mirror: bool = False) -> Dataset:
    train = Images(torch.zeros(images, 1, side, side, dtype=torch.uint8), torch.zeros(images, dtype=torch.int64))
    return Dataset("some", ("a", "b"), train, train, "0", mirror)


@pytest.mark.parametrize("images", [10, 500, 1_000, 2_000, 3_000, 50_000])
def test_small_data_gets_small_batches(images: int) -> None:
    size = default_recipe(data(images)).batch_size
    assert size in {16, 32, 64, 128}
    assert size == 16 or images // size >= STEPS_AN_EPOCH
    assert size == 128 or images // (2 * size) < STEPS_AN_EPOCH


@pytest.mark.parametrize(("side", "padding"), [(8, 1), (28, 3), (32, 4), (224, 28)])
def test_images_are_shifted_by_an_eighth_of_their_side(side: int, padding: int) -> None:
    assert default_recipe(data(10, side)).crop_padding == padding


@pytest.mark.parametrize("mirror", [True, False])
def test_images_are_flipped_where_that_keeps_their_label(mirror: bool) -> None:
    assert default_recipe(data(10, mirror=mirror)).mirror is mirror


@pytest.mark.parametrize("epochs", [2, 3, 8, 12, 100])
def test_a_search_has_a_cheap_rung_and_a_full_one(epochs: int) -> None:
    low, high = rungs(epochs, 28, 0.5)
    assert high == Fidelity(epochs=epochs, train_fraction=0.5, resolution=28)
    assert low.epochs < epochs
    assert low == high.model_copy(update={"epochs": low.epochs})


def test_one_epoch_is_one_rung() -> None:
    assert rungs(1, 8) == (Fidelity(epochs=1, resolution=8),)


def test_a_recipe_suppresses_only_if_asked() -> None:
    assert default_recipe(data(500)).suppression is None
    asked = default_recipe(data(500), Suppression(target=0.1))
    assert asked == default_recipe(data(500)).model_copy(update={"suppression": Suppression(target=0.1)})


@pytest.mark.parametrize(
    "fields", [{"strength": 0}, {"target": -0.1}, {"target": 1}, {"kind": "other"}, {"layers": "some"}, {"rate": 1}]
)
def test_a_suppression_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Suppression.model_validate(fields)
