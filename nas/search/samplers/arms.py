"""The ways to propose a member, and how often each is used: as its trials have paid off in this study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

START, MODEL, MUTATE, DENSITY = "start", "model", "mutate", "density"
SHARES: Mapping[str, float] = {MODEL: 0.8, MUTATE: 0.1, DENSITY: 0.1}
"""How often each arm is used before any has paid off, where models rank well."""
RANKS_WELL = 0.4
"""A model of less rank quality than this has as much less of its share, down to half."""
FLOOR = 0.05
MEMORY = 200
"""So many of the last trials count."""
DOUBT = 6.0
"""The weight, in trials, of the belief that all arms pay off alike."""


def shares(arms: Sequence[str], layers: NDArray[np.int64], quality: float) -> dict[str, float]:
    """Return how often each arm should be used.

    `arms` are those of the trials told, in their order, and `layers` the places of the trials among all, 0 the best: a
    trial pays off if it is in the best tenth. `quality` is the rank quality of the models.
    """
    trust = 0.5 + 0.5 * min(max(quality / RANKS_WELL, 0.0), 1.0)
    recent = np.array(arms[-MEMORY:])
    places = np.asarray(layers, dtype=float)
    paid = (places <= np.quantile(places, 0.1))[-MEMORY:] if len(places) else np.zeros(0, dtype=bool)
    ours = np.isin(recent, list(SHARES))
    rate = (paid[ours].sum() + 1) / (ours.sum() + 2)
    raw = {}
    for arm, share in SHARES.items():
        mine = recent == arm
        raw[arm] = (
            share * (trust if arm == MODEL else 1.0) * (paid[mine].sum() + DOUBT * rate) / (mine.sum() + DOUBT) / rate
        )
    total = sum(raw.values())
    free = 1 - FLOOR * len(raw)
    return {arm: FLOOR + free * value / total for arm, value in raw.items()}
