"""Recipes that fit a data set, derived from its size and its kind rather than asked for."""

from __future__ import annotations

from nas.data.images import Dataset
from nas.records import Fidelity, Recipe, Suppression

STEPS_AN_EPOCH = 16
"""Small data gets smaller batches, so that an epoch has at least this many steps."""

CHEAPER = 3
"""How many times longer the top rung is than the one below it."""


def default_recipe(data: Dataset, suppression: Suppression | None = None) -> Recipe:
    """Return the proxy recipe of a data set: batch size from its size, shifts from its side, flips where they keep a
    label; interference is suppressed only if asked for.
    """
    batch_size = 128
    while batch_size > 16 and len(data.train) // batch_size < STEPS_AN_EPOCH:
        batch_size //= 2
    padding = data.resolution // 8
    return Recipe(batch_size=batch_size, crop_padding=padding, mirror=data.mirror, suppression=suppression)


def rungs(epochs: int, resolution: int, train_fraction: float = 1.0) -> tuple[Fidelity, ...]:
    """Return the fidelities of a search whose best candidates train for `epochs`: a cheap rung, then the full one."""
    cheap = max(1, epochs // CHEAPER)
    lengths = sorted({cheap, epochs})
    return tuple(Fidelity(epochs=n, train_fraction=train_fraction, resolution=resolution) for n in lengths)
