"""A forest of regression trees, whose out-of-bag predictions are its cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.surrogate.encoding import Floats

TREES = 40
LEAST_ROWS = 32
"""A forest of fewer rows says too little for the time that it takes."""


@dataclass(frozen=True)
class ForestModel:
    """A fitted forest; the variance is that between its trees, halved: the rest is noise of the leaves."""

    trees: tuple[Any, ...]
    left_out: Floats
    noise: float

    def mean(self, features: Floats) -> Floats:
        """Return the mean at each row of `features`."""
        return self.predict(features)[0]

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the variance at each row of `features`."""
        votes = _votes(self.trees, features)
        return votes.mean(axis=0), 0.5 * votes.var(axis=0) + 1e-6


def fit_forest(features: Floats, targets: Floats, *, seed: int) -> ForestModel:
    """Return a forest of extremely randomised trees, each grown on a bootstrap sample of the rows."""
    from sklearn.tree import ExtraTreeRegressor  # slow to import; its forests cost twice as much as their trees

    rng = np.random.default_rng(seed)
    rows = np.ascontiguousarray(features, dtype=np.float32)
    drawn = rng.integers(len(rows), size=(TREES, len(rows)))
    seeds = rng.integers(2**31, size=TREES)
    trees = []
    for sample, state in zip(drawn, seeds, strict=True):
        tree = ExtraTreeRegressor(min_samples_leaf=2, max_features=0.5, random_state=int(state))
        weights = np.bincount(sample, minlength=len(rows)).astype(float)
        trees.append(tree.fit(rows, targets, sample_weight=weights, check_input=False).tree_)
    votes = _votes(trees, features)
    unseen = np.stack([np.bincount(sample, minlength=len(rows)) == 0 for sample in drawn])
    left_out = np.where(unseen, votes, 0).sum(axis=0) / np.maximum(unseen.sum(axis=0), 1)
    return ForestModel(tuple(trees), left_out, float(np.mean((targets - left_out) ** 2)) / 2)


def _votes(trees: tuple[Any, ...] | list[Any], features: Floats) -> Floats:
    rows = np.ascontiguousarray(features, dtype=np.float32)
    return np.stack([tree.predict(rows).reshape(len(rows)) for tree in trees])
