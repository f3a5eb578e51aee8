"""A forest of regression trees, whose out-of-bag predictions are its cross-validation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.surrogate.encoding import Floats

TREES = 48
LEAST_ROWS = 12
"""A forest of fewer rows says too little."""


@dataclass(frozen=True)
class ForestModel:
    """A fitted forest; the variance is that between its trees, halved: the rest is noise of the leaves."""

    trees: tuple[Any, ...]
    left_out: Floats
    noise: float

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the variance at each row of `features`."""
        rows = np.ascontiguousarray(features, dtype=np.float32)
        votes = np.stack([tree.tree_.predict(rows)[:, 0] for tree in self.trees])
        return votes.mean(axis=0), 0.5 * votes.var(axis=0) + 1e-6


def fit_forest(features: Floats, targets: Floats, *, seed: int) -> ForestModel:
    """Return a forest of extremely randomised trees, each grown on a bootstrap sample of the rows."""
    from sklearn.ensemble import ExtraTreesRegressor  # slow to import

    model = ExtraTreesRegressor(
        n_estimators=TREES, min_samples_leaf=2, max_features=0.5, bootstrap=True, oob_score=True, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows that every tree saw
        model.fit(features, targets)
    left_out = np.nan_to_num(model.oob_prediction_)
    return ForestModel(tuple(model.estimators_), left_out, float(np.mean((targets - left_out) ** 2)) / 2)
