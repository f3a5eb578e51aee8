"""Expected improvement: of the best loss, or of the volume that a front dominates. All losses are minimised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from nas.surrogate.encoding import Floats

MOST_FRONT = {1: 1, 2: 40, 3: 20}
MOST_FRONT_OF_MANY = 10
"""So many points of a front are kept, by the number of objectives: the boxes between them grow with its powers."""


Boxes = tuple[Floats, Floats]
"""The lower and the upper corners of disjoint boxes, a row for each."""


def expected_gain(means: Floats, spreads: Floats, room: Boxes) -> Floats:
    """Return how much of `room`, what a front does not dominate yet, each candidate is expected to add.

    `means` and `spreads` have a row for each candidate and a column for each objective, normal and independent of each
    other; a spread of 0 is of a loss that is known. With one objective it is the expected improvement.
    """
    lower, upper = room
    gain = np.ones((len(means), len(lower)))
    for k in range(means.shape[1]):
        edges, places = np.unique(np.concatenate([lower[:, k], upper[:, k]]), return_inverse=True)
        table = np.stack([_improvement(edge, means[:, k], spreads[:, k]) for edge in edges], axis=1)
        gain *= table[:, places[len(lower) :]] - table[:, places[: len(lower)]]
    total: Floats = np.maximum(gain, 0).sum(axis=1)
    return total


def _improvement(edge: float, mean: Floats, spread: Floats) -> Floats:
    """Return how far below `edge` each loss is expected to be."""
    if edge == -np.inf:
        return np.zeros_like(mean)
    safe = np.maximum(spread, 1e-12)
    z = (edge - mean) / safe
    smooth = safe * (z * ndtr(z) + np.exp(-0.5 * np.minimum(z * z, 1400)) / np.sqrt(2 * np.pi))
    return np.where(spread > 0, smooth, np.maximum(edge - mean, 0))


def room_of(front: Floats, reference: Floats) -> Boxes:
    """Return what is below `reference` and not dominated by a front; of a long one some points are left out."""
    return boxes(thinned(front), reference)


def boxes(front: Floats, reference: Floats) -> Boxes:
    """Return disjoint boxes that cover what is below `reference` and not dominated."""
    front = front[np.all(front < reference, axis=1)]
    if len(reference) == 1:
        best = front.min(axis=0) if len(front) else reference
        return np.full((1, 1), -np.inf), best[None]
    levels = np.unique(front[:, -1])
    below = [-np.inf, *levels]
    parts = []
    for low, high in zip(below, [*levels, reference[-1]], strict=True):
        lower, upper = boxes(_nondominated(front[front[:, -1] <= low, :-1]), reference[:-1])
        parts.append(
            (
                np.hstack([lower, np.full((len(lower), 1), low)]),
                np.hstack([upper, np.full((len(upper), 1), high)]),
            )
        )
    return np.vstack([lower for lower, _ in parts]), np.vstack([upper for _, upper in parts])


def thinned(front: Floats) -> Floats:
    """Return points of a front spread evenly along it, the ends among them, if it has too many."""
    most = MOST_FRONT.get(front.shape[1], MOST_FRONT_OF_MANY)
    if len(front) <= most:
        return front
    if front.shape[1] == 1:
        return front[[int(np.argmin(front[:, 0]))]]
    order: NDArray[np.int64] = np.lexsort(front.T[::-1])
    kept: Floats = front[order[np.unique(np.linspace(0, len(front) - 1, most).round().astype(int))]]
    return kept


def _nondominated(points: Floats) -> Floats:
    """Return the points that no other dominates; a few dozen at most."""
    if len(points) < 2:
        return points
    worse = np.all(points[:, None] >= points[None], axis=2) & np.any(points[:, None] > points[None], axis=2)
    return np.unique(points[~worse.any(axis=1)], axis=0)
