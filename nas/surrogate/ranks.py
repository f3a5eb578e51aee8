"""How well predictions rank what was measured."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

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
    a, b = rankdata(first), rankdata(second)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0
