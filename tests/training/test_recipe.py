"""Recipes and rungs, derived from the data."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from nas.data.images import Dataset, Images
from nas.errors import InputError
from nas.records import Fidelity, Suppression
from nas.training.recipe import (
    STEPS_AN_EPOCH,
    default_recipe,
    effort_shares,
    parse_rungs,
    reduction_for,
    rungs,
)


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
def test_rungs_differ_in_their_epochs(epochs: int) -> None:
    low, *_, high = rungs(epochs, 28, 0.5)
    assert high == Fidelity(epochs=epochs, train_fraction=0.5, resolution=28)
    assert low == high.model_copy(update={"epochs": low.epochs})


@pytest.mark.parametrize(
    ("epochs", "steps_an_epoch", "ladder"),
    [
        (1, 78, [1]),
        (2, 16, [1, 2]),
        (6, 22, [2, 6]),
        (6, 78, [2, 6]),
        (27, 22, [9, 27]),
        (27, 78, [3, 9, 27]),
        (81, 390, [1, 3, 9, 27, 81]),
    ],
)
def test_the_ladder_goes_down_while_a_rung_has_steps_to_rank_by(
    epochs: int, steps_an_epoch: int, ladder: list[int]
) -> None:
    assert [each.epochs for each in rungs(epochs, 28, steps_an_epoch=steps_an_epoch)] == ladder


@pytest.mark.parametrize("text", ["2,6", "1,2", "3,9,27", "1,3,9,27,81", "1x0.5,3,9", "4@14,9"])
def test_most_of_the_effort_is_at_the_lowest_rung(text: str) -> None:
    fidelities = parse_rungs(text, 28)
    shares = effort_shares(fidelities, reduction_for(fidelities, 1_000))
    assert 0.7 <= shares[0] <= 0.8
    assert sum(shares) == pytest.approx(1)


def test_shares_count_what_a_stage_adds() -> None:
    """A candidate that goes on from 3 epochs to 9 trains for 6 more; of six candidates at first, one does."""
    assert effort_shares(rungs(9, 28), 6) == pytest.approx([3 / (3 + 6 / 6), (6 / 6) / (3 + 6 / 6)])


def test_a_ladder_too_steep_for_that_still_promotes_one_in_sixteen() -> None:
    assert reduction_for(parse_rungs("1,300", 28), 1_000) == 16


@pytest.mark.parametrize(("trials", "reduction"), [(1, 2), (8, 2), (20, 5), (48, 6)])
def test_a_short_search_promotes_some_as_well(trials: int, reduction: int) -> None:
    assert reduction_for(parse_rungs("2,6", 8), trials) == reduction


def test_a_single_rung_has_a_reduction_as_well() -> None:
    assert reduction_for(rungs(1, 8), 1_000) == 2


def test_a_ladder_is_read_from_text() -> None:
    assert parse_rungs("1@16x.5, 3@16,9", 28, 0.8) == (
        Fidelity(epochs=1, resolution=16, train_fraction=0.5),
        Fidelity(epochs=3, resolution=16, train_fraction=0.8),
        Fidelity(epochs=9, resolution=28, train_fraction=0.8),
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "--rungs: a rung must be EPOCHS[@RESOLUTION][xFRACTION] such as 3, 1@16 or 1@16x0.5, got ''"),
        ("1,two", "--rungs: a rung must be EPOCHS[@RESOLUTION][xFRACTION] such as 3, 1@16 or 1@16x0.5, got 'two'"),
        ("0,3", "--rungs: epochs must be at least 1, got '0'"),
        ("3,3", "--rungs: epochs must rise from rung to rung, got 3@28x1,3@28x1"),
        ("9,3", "--rungs: epochs must rise from rung to rung, got 9@28x1,3@28x1"),
        ("1,3@14", "--rungs: resolution must not fall from rung to rung, got 1@28x1,3@14x1"),
        ("1,3x0.5", "--rungs: train_fraction must not fall from rung to rung, got 1@28x1,3@28x0.5"),
        ("1@32", "--rungs: resolution must be from 4 to the data's 28, got '1@32'"),
        ("1@3", "--rungs: resolution must be from 4 to the data's 28, got '1@3'"),
        ("1x0", "--rungs: fraction must be above 0 and at most 1, got '1x0'"),
        ("1x1.5", "--rungs: fraction must be above 0 and at most 1, got '1x1.5'"),
    ],
)
def test_what_is_no_ladder_is_refused_in_one_line(text: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_rungs(text, 28)
    assert str(caught.value) == line


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
