"""A small part of digits, and a network for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from nas.architecture import Architecture, Stage, Stem, Task
from nas.blocks import Block
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.data.split import fixed_batch
from nas.network.build import Network, build

Build = Callable[..., Network]

DIGITS = Task(num_classes=10, in_channels=1, resolution=8)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """Give scikit-learn's digits as a search sees them."""
    return load_dataset(DataSpec(kind="digits"), seed=0)


@pytest.fixture(scope="session")
def few(digits: Dataset) -> Dataset:
    """Give 160 digits to train on and 80 to validate with."""
    return replace(
        digits, train=fixed_batch(digits.train, 160, seed=0), validation=fixed_batch(digits.validation, 80, seed=0)
    )


@pytest.fixture(scope="session")
def small() -> Architecture:
    """Give a network of one block."""
    return Architecture(
        stem=Stem(width=8, stride=1), stages=(Stage(width=16, stride=2, blocks=(Block(family="separable"),)),)
    )


@pytest.fixture
def make(small: Architecture) -> Build:
    """Build the small network for digits."""

    def make(seed: int = 0) -> Network:
        return build(small, DIGITS, seed=seed)

    return make
