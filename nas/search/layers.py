"""Non-dominated layers where small differences are ties, without comparing every row with every other at once."""

from __future__ import annotations

from bisect import bisect_right
from itertools import groupby

import moocore
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def layers(losses: Array, epsilons: Array) -> list[int]:
    """Return the non-dominated layer of each row of `losses` (N, K): 0 for those that none dominates, and so on.

    A row dominates another if it is nowhere larger and somewhere smaller by more than the epsilon (K,) of the column:
    a strict order, so that a row's layer is the length of the longest chain of rows that dominate one another up to it.
    """
    if not len(losses):
        return []
    if not epsilons.any() and np.isfinite(losses).all():
        return [int(rank) for rank in moocore.pareto_rank(losses)]
    exact = np.flatnonzero(epsilons == 0)
    if losses.shape[1] == 2 and len(exact):
        first = int(exact[0])
        return _of_two(losses[:, first], losses[:, 1 - first], float(epsilons[1 - first]))
    return _of_many(losses, epsilons)


def _of_two(exact: Array, other: Array, epsilon: float) -> list[int]:
    """Return the layers of rows with two losses, the first without ties.

    Rows come in by their first loss, those with an equal one together. `least` is the smallest other loss in each layer
    so far, and rises: whoever is in a layer is dominated from the layer before.
    """
    order = [int(row) for row in np.lexsort((other, exact))]
    firsts, others, found, least = exact.tolist(), other.tolist(), [0] * len(exact), list[float]()
    for _, rows in groupby(order, key=firsts.__getitem__):
        group = list(rows)
        deepest, waiting = 0, 0  # the layer behind those that are smaller by more than epsilon, and how many they are
        for row in group:
            while others[group[waiting]] + epsilon < others[row]:
                deepest = max(deepest, found[group[waiting]] + 1)
                waiting += 1
            found[row] = max(deepest, bisect_right(least, others[row]))
        for row in group:
            if found[row] == len(least):
                least.append(others[row])
            least[found[row]] = min(least[found[row]], others[row])
    return found


def _of_many(losses: Array, epsilons: Array) -> list[int]:
    """Return the layers of any rows: each is compared with those that come before it in the order of their losses."""
    order = np.lexsort(losses.T[::-1])
    columns, found = np.ascontiguousarray(losses[order].T), np.zeros(len(order), dtype=int)
    for i in range(1, len(order)):
        no_larger, smaller = np.ones(i, dtype=bool), np.zeros(i, dtype=bool)
        for column, epsilon in zip(columns, epsilons, strict=True):
            no_larger &= column[:i] <= column[i]
            smaller |= column[:i] + epsilon < column[i]
        above = found[:i][no_larger & smaller]
        found[i] = above.max() + 1 if len(above) else 0
    layer = np.empty(len(order), dtype=int)
    layer[order] = found
    return [int(each) for each in layer]
