"""A small network to be retrained on digits by a recipe of seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.architecture import Architecture, Stage, Stem
from nas.blocks import Block
from nas.data.load import load_dataset, load_test
from nas.data.spec import DataSpec
from nas.records import Plan
from nas.retrain.job import Job, Source
from nas.retrain.run import How
from nas.training.named import NamedRecipe, changed, find_recipe

SMALL = Architecture(
    stem=Stem(width=8, stride=1), stages=(Stage(width=16, stride=2, blocks=(Block(family="separable"),)),)
)
SETTINGS = ("epochs=3", "ema_decay=0.8", "crop_area=0", "crop_padding=1")
DIGITS = DataSpec(kind="digits")

MakeJob = Callable[..., Job]


@pytest.fixture(scope="session")
def source() -> Source:
    """Give digits with a tenth held out."""
    data = load_dataset(DIGITS, seed=0, validation_fraction=0.1)
    return Source(DIGITS, data, 0.1, lambda side: load_test(DIGITS, resolution=side))


@pytest.fixture
def job(source: Source, tmp_path: Path) -> MakeJob:
    """Make jobs below a folder of their own."""

    def make(*settings: str, folder: str = "study", **more: Any) -> Job:
        recipe: NamedRecipe = changed(TINY, settings)
        return Job(
            **{
                "title": "a network",
                "architecture": SMALL,
                "source": source,
                "named": recipe,
                "label": "tiny",
                "study": tmp_path / folder,
            }
            | more
        )

    return make


TINY = changed(find_recipe("tiny"), SETTINGS)
PLAIN = How(Plan())
