"""Measured losses as the targets of models: robust against the heavy tail at the bad end."""

from __future__ import annotations

import numpy as np

from nas.surrogate.encoding import Floats


def soften(losses: Floats) -> Floats:
    """Return losses for models to learn, of mean 0 and spread 1, in the same order.

    The better half keeps its distances, up to one factor; beyond the median they shrink logarithmically. What is not
    finite counts as worse than all that is. All 0 where nothing differs.
    """
    finite = np.isfinite(losses)
    if not finite.any():
        return np.zeros(len(losses))
    peak = float(np.abs(losses[finite]).max())
    losses = losses / (peak if peak > 0 else 1.0)  # what is squared below is no longer too large
    known = losses[finite]
    middle = float(np.median(known))
    unit = middle - float(np.quantile(known, 0.1))
    unit = unit if unit > 0 else float(known.std())
    unit = unit if unit > 0 else 1.0
    worst = float(known.max())
    filled = (np.where(finite, losses, worst) - middle) / unit
    soft = np.where(filled > 0, np.log1p(np.maximum(filled, 0)), filled)
    soft[~finite] += 0.5
    spread = float(soft.std())
    result: Floats = (soft - soft.mean()) / (spread if spread > 1e-12 else 1.0)
    return result
