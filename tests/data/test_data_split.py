"""Who is in validation, in a subset, in the fixed batch: by class, by seed, and never twice."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas.data.images import Images
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.data.split import fixed_batch, hold_out, judging_count, nested_order, subset
from nas.errors import DataError


def numbered(*per_class: int) -> Images:
    """Return 2x2 images that carry their own number in their first two pixels."""
    number = torch.arange(sum(per_class))
    pixels = torch.stack([number // 256, number % 256, number * 0, number * 0], 1).to(torch.uint8).view(-1, 1, 2, 2)
    return Images(pixels, torch.repeat_interleave(torch.arange(len(per_class)), torch.tensor(per_class)))


def numbers(images: Images) -> list[int]:
    high, low = images.pixels.flatten(1)[:, :2].long().unbind(1)
    return (high * 256 + low).tolist()


def held_out(*per_class: int, fraction: float | None = None, seed: int = 0) -> tuple[Tensor, Tensor]:
    classes = [f"c{i}" for i in range(len(per_class))]
    return hold_out(numbered(*per_class).labels, classes, fraction, seed=seed)


def nested(*per_class: int) -> Images:
    images = numbered(*per_class)
    return images.select(nested_order(images.labels))


def test_train_and_validation_share_nothing_and_lose_nothing() -> None:
    assert torch.cat(held_out(100, 50)).sort().values.tolist() == list(range(150))


def test_validation_is_in_proportion() -> None:
    _, validation = held_out(1000, 500, 100, fraction=0.1)
    assert numbered(1000, 500, 100).labels[validation].bincount().tolist() == [100, 50, 10]


def test_split_follows_the_seed() -> None:
    first, again, other = (held_out(50, 50, seed=seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_seed_may_be_larger_than_32_bits() -> None:
    assert len(held_out(5, 5, seed=2**40 + 1)[1]) == 2


@pytest.mark.parametrize(("per_class", "expected"), [(100, 40), (40_000, 10_000), (2, 2)])
def test_default_is_a_fifth_up_to_10000_and_one_per_class(per_class: int, expected: int) -> None:
    assert len(held_out(per_class, per_class)[1]) == expected


def test_digits_have_a_useful_validation_split() -> None:
    dataset = load_dataset(DataSpec.parse("digits"), seed=0)
    assert (len(dataset.train), len(dataset.validation)) == (1150, 288)
    assert dataset.validation.labels.bincount().min() >= 27


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.99, 1.5, -1.0])
def test_fraction_that_leaves_a_side_too_small_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match=r"of 20 images; 2 classes need between 2 and 18"):
        held_out(10, 10, fraction=fraction)


def test_refusal_names_the_data() -> None:
    with pytest.raises(DataError, match=r"^digits: validation fraction 1.5 holds out"):
        load_dataset(DataSpec.parse("digits"), seed=0, validation_fraction=1.5)


def test_class_of_one_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"class 'c1' has 1 readable image\(s\); train and validation need one each"):
        held_out(10, 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5))
def test_smaller_subset_begins_the_larger(per_class: list[int]) -> None:
    images = nested(*per_class)
    parts = [numbers(subset(images, fraction)) for fraction in (0.1, 0.25, 0.5, 0.9, 1.0)]
    assert all(large[: len(small)] == small for small, large in pairwise(parts))
    assert sorted(parts[-1]) == list(range(len(images)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.floats(0.05, 1))
def test_subset_is_in_proportion_to_within_one_image(per_class: list[int], fraction: float) -> None:
    chosen = subset(nested(*per_class), fraction)
    counts = chosen.labels.bincount(minlength=len(per_class)).tolist()
    assert len(chosen) == max(1, round(fraction * sum(per_class)))
    assert all(abs(count - fraction * total) <= 1.5 for count, total in zip(counts, per_class, strict=True))


def test_subset_is_a_view() -> None:
    images = nested(50, 50)
    assert subset(images, 0.3).pixels.data_ptr() == images.pixels.data_ptr()


def test_classes_are_mixed_in_nested_order() -> None:
    order = nested_order(numbered(50, 50).labels)
    assert order.tolist() == nested_order(numbered(50, 50).labels).tolist()
    assert order.tolist() != sorted(order.tolist())


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.01])
def test_impossible_subset_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match="train fraction must be above 0 and at most 1"):
        subset(numbered(3, 3), fraction)


def test_fixed_batch_is_even_over_uneven_classes() -> None:
    batch = fixed_batch(numbered(500, 30, 20), 32, seed=0)
    assert sorted(batch.labels.bincount().tolist()) == [10, 11, 11]


def test_fixed_batch_fills_up_from_larger_classes() -> None:
    assert fixed_batch(numbered(50, 3), 20, seed=0).labels.bincount().tolist() == [17, 3]


def test_fixed_batch_is_fixed_by_its_seed() -> None:
    images = numbered(50, 50)
    first, again, other = (numbers(fixed_batch(images, 8, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_fixed_batch_is_at_most_everything() -> None:
    assert numbers(fixed_batch(numbered(3, 2), 64, seed=0)) == list(range(5))


def test_nothing_touches_the_global_generators() -> None:
    torch.manual_seed(7)
    expected = torch.get_rng_state()
    held_out(10, 10)
    nested_order(numbered(10, 10).labels)
    fixed_batch(numbered(10, 10), 4, seed=0)
    assert torch.equal(torch.get_rng_state(), expected)


@pytest.mark.parametrize(
    ("validation", "trained", "judging"), [(287, 2_300, 287), (12_000, 2_400, 1_000), (12_000, 20_000, 5_000)]
)
def test_a_stage_is_judged_on_a_fourth_of_what_it_trains_on(validation: int, trained: int, judging: int) -> None:
    assert judging_count(validation, trained) == judging
