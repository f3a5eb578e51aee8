"""One score out of several: the sum of their log-ranks, each weighted by the trust that it has earned.

After AZ-NAS (Lee and Ham 2024): `sum of w * log(rank / n)`, the best network at rank n. The logarithm punishes being
last in one score harder than it rewards being first in another. Ranks are those among the networks of one rung; any
network has a value, between two of them by interpolation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.pareto import Direction

NAME = "mix"

ZERO_COST = ("synflow", "naswot", "grad_norm", "zen", "swap", "expressivity")
"""Scores of the untrained network; measured once for each candidate."""

SCORE_DIRECTIONS: dict[str, Direction] = {
    "val_accuracy": "maximize",
    "val_loss": "minimize",
    "train_loss_ema": "minimize",
    "train_loss": "minimize",
    **dict.fromkeys(ZERO_COST, "maximize"),
    **dict.fromkeys(("params", "macs", "depth"), "maximize"),
    "interference": "minimize",
    "cross_talk": "minimize",
    "excess_coherence": "minimize",
    "class_overlap": "minimize",
    "importance_weighted": "minimize",
    "redundancy": "minimize",
    "channel_correlation": "minimize",
}
"""Everything that may speak for the accuracy of a network, and which of its ends is said to be the better one."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One score over the networks of a rung: its distinct values, rising, and the weighted log-rank of each."""

    values: Array
    log_ranks: Array
    missing: float

    @classmethod
    def of(cls, scores: Array, direction: Direction, weight: float) -> Column:
        """Return the column of `scores` (N,), NaN where a network has none; those rank in the middle."""
        values, counts = np.unique(scores[~np.isnan(scores)], return_counts=True)
        ranks = counts.cumsum() - (counts - 1) / 2  # ties at their mean rank, the largest value at rank n
        total = int(counts.sum())
        better = ranks if direction == "maximize" else total + 1 - ranks
        return cls(values, weight * np.log(better / max(1, total)), weight * float(np.log((total + 1) / 2 / total)))

    def __call__(self, scores: Array) -> Array:
        """Return the weighted log-ranks of `scores` (M,)."""
        return np.where(np.isnan(scores), self.missing, np.interp(scores, self.values, self.log_ranks))


@dataclass(frozen=True)
class Mix:
    """The mixed score of a rung. Higher is better, 0 is the best network in every score."""

    weights: Mapping[str, float]
    columns: Mapping[str, Column]

    @classmethod
    def fitted(cls, networks: Sequence[Mapping[str, float]], weights: Mapping[str, float]) -> Mix:
        """Return the mix over the scores of the networks of a rung; a score that none of them has is left out."""
        columns = {name: column(networks, name) for name, weight in weights.items() if weight > 0}
        known = {name: values for name, values in columns.items() if not np.isnan(values).all()}
        total = sum(weights[name] for name in known)
        return cls(
            {name: weights[name] / total for name in known},
            {name: Column.of(known[name], SCORE_DIRECTIONS[name], weights[name] / total) for name in known},
        )

    def values(self, networks: Sequence[Mapping[str, float]]) -> Array:
        """Return the mixed score of each of some networks, (N,), by the scores that it has."""
        mixed = np.zeros(len(networks))
        for name, each in self.columns.items():
            mixed += each(column(networks, name))
        return mixed


def column(networks: Sequence[Mapping[str, float]], name: str) -> Array:
    """Return one score of each network, (N,), NaN where it was not measured."""
    return np.array([network.get(name, np.nan) for network in networks], dtype=np.float64)
