"""How well predictions rank what was measured."""

from __future__ import annotations

import numpy as np

from nas.surrogate.encoding import Floats


def rank_quality(predicted: Floats, measured: Floats) -> float:
    """Return the mean of Spearman's correlation over all rows and over those whose measured loss is the better half.

    0 where nothing can be ranked.
    """
    better = measured <= np.median(measured)
    return 0.5 * (spearman(predicted, measured) + spearman(predicted[better], measured[better]))


def spearman(first: Floats, second: Floats) -> float:
    """Return Spearman's rank correlation; 0 where one of them is constant."""
    if len(first) < 3:
        return 0.0
    a, b = ranks(first), ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def ranks(values: Floats) -> Floats:
    """Return the rank of each value, 0 the least; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles: Floats = np.cumsum(counts) - (counts + 1) / 2
    return middles[places]
