"""Recipes that fit a data set, derived from its size and its kind rather than asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from nas.data.images import Dataset
from nas.effort import stage_efforts
from nas.errors import InputError
from nas.records import Fidelity, Recipe, Suppression

STEPS_AN_EPOCH = 16
"""Small data gets smaller batches, so that an epoch has at least this many steps."""

RANKING_STEPS = 200
"""The ladder goes down while its lowest rung keeps this many steps: after 36 the order was still nearly a coin toss."""
LEAST_STEPS = 100
"""A batch is not made larger than what leaves the lowest rung this many steps."""
LEAST_RESOLUTION = 4
"""Pixels; as for the data."""
FACTOR = 3
"""How many times longer a rung is than the one below it."""
LOWEST_SHARE = 0.75
"""Of a search's effort belongs to the lowest rung, where the space is explored; 70 to 80 % will do."""
MOST_REDUCTION, FEWEST_PROMOTED = 16, 4
"""Candidates of which one goes on at least, however steep the ladder; and how many do in a short search."""


def default_recipe(data: Dataset, suppression: Suppression | None = None) -> Recipe:
    """Return the proxy recipe of a data set: batch size from its size, shifts from its side, flips where they keep a
    label; interference is suppressed only if asked for.
    """
    batch_size = 128
    while batch_size > 16 and len(data.train) // batch_size < STEPS_AN_EPOCH:
        batch_size //= 2
    padding = data.resolution // 8
    return Recipe(batch_size=batch_size, crop_padding=padding, mirror=data.mirror, suppression=suppression)


def rungs(
    epochs: int, resolution: int, train_fraction: float = 1.0, *, steps_an_epoch: int = STEPS_AN_EPOCH
) -> tuple[Fidelity, ...]:
    """Return the ladder of a search whose best candidates train for `epochs`, each rung a third of the one above.

    It ends where a rung would rank by fewer than 200 steps, but never with less than two rungs: the lowest is at most
    a third of the top one, or it would save nothing. A single epoch is a ladder of one.
    """
    lengths = [epochs]
    while lengths[0] > 1 and (len(lengths) == 1 or lengths[0] // FACTOR * steps_an_epoch >= RANKING_STEPS):
        lengths.insert(0, max(1, lengths[0] // FACTOR))
    return tuple(Fidelity(epochs=n, train_fraction=train_fraction, resolution=resolution) for n in lengths)


def effort_shares(fidelities: Sequence[Fidelity], reduction: int) -> tuple[float, ...]:
    """Return the share of a search's effort that each rung takes when one in `reduction` goes on from each."""
    efforts = [effort / reduction**rung for rung, effort in enumerate(stage_efforts(fidelities))]
    return tuple(effort / sum(efforts) for effort in efforts)


def reduction_for(fidelities: Sequence[Fidelity], trials: int) -> int:
    """Return the reduction that gives the lowest rung the share of the effort nearest to 75 %, from 2 to 16.

    In a short search it is smaller, so that at least `FEWEST_PROMOTED` of its `trials` go on.
    """
    most = max(2, min(MOST_REDUCTION, trials // FEWEST_PROMOTED))
    return min(range(2, most + 1), key=lambda each: abs(effort_shares(fidelities, each)[0] - LOWEST_SHARE))


def parse_rungs(text: str, resolution: int, train_fraction: float = 1.0) -> tuple[Fidelity, ...]:
    """Return the ladder of ``1@16,3,9``: for each rung epochs[@resolution][xfraction], cheapest first.

    What a rung leaves out is `resolution`, the data's, and `train_fraction`. InputError for what is no ladder.
    """
    ladder = tuple(_rung(part.strip(), resolution, train_fraction) for part in text.split(","))
    for below, above in pairwise(ladder):
        for name in ("resolution", "train_fraction"):
            if getattr(above, name) < getattr(below, name):
                raise InputError(
                    f"--rungs: {name} must not fall from rung to rung, got {_shown(below)},{_shown(above)}"
                )
        if above.epochs <= below.epochs:
            raise InputError(f"--rungs: epochs must rise from rung to rung, got {_shown(below)},{_shown(above)}")
    return ladder


def _rung(text: str, resolution: int, train_fraction: float) -> Fidelity:
    match = re.fullmatch(r"(\d{1,6})(?:@(\d{1,6}))?(?:x(\d*\.?\d+))?", text)
    if match is None:
        raise InputError(
            f"--rungs: a rung must be EPOCHS[@RESOLUTION][xFRACTION] such as 3, 1@16 or 1@16x0.5, got {text!r}"
        )
    epochs, side, fraction = int(match[1]), int(match[2] or resolution), float(match[3] or train_fraction)
    if epochs < 1:
        raise InputError(f"--rungs: epochs must be at least 1, got {text!r}")
    if not min(LEAST_RESOLUTION, resolution) <= side <= resolution:
        raise InputError(
            f"--rungs: resolution must be from {LEAST_RESOLUTION} to the data's {resolution}, got {text!r}"
        )
    if not 0 < fraction <= 1:
        raise InputError(f"--rungs: fraction must be above 0 and at most 1, got {text!r}")
    return Fidelity(epochs=epochs, train_fraction=fraction, resolution=side)


def _shown(rung: Fidelity) -> str:
    return f"{rung.epochs}@{rung.resolution}x{rung.train_fraction:g}"
