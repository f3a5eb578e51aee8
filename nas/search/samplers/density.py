"""Suggestions from where good trials are dense and others are not: multivariate TPE over finite genes.

After Watanabe, Tree-Structured Parzen Estimator (arXiv:2304.11127): each trial is a kernel over whole genotypes.
"""

from __future__ import annotations

import numpy as np

from nas.surrogate.encoding import Codes, Floats

SAMPLED = 32
MOST_GOOD = 25
MOST_OTHERS = 200


def dense_suggestions(codes: Codes, sizes: Codes, rng: np.random.Generator) -> Codes:
    """Return suggestions, best first, from trials in the order of their standing, the best first.

    `sizes` has the number of values of each gene.
    """
    good = codes[: min(MOST_GOOD, max(1, -(-len(codes) // 10)))]
    others = codes[len(good) :]
    if len(others) > MOST_OTHERS:
        others = others[rng.choice(len(others), MOST_OTHERS, replace=False)]
    kernels = rng.integers(len(good), size=SAMPLED)
    drawn = np.where(
        rng.random((SAMPLED, len(sizes))) < _kept(len(good), sizes),
        good[kernels],
        rng.integers(0, sizes, size=(SAMPLED, len(sizes))),
    ).astype(np.int16)
    ratio = _log_density(drawn, good, sizes) - _log_density(drawn, others, sizes)
    return drawn[np.argsort(-ratio, kind="stable")]


def _kept(count: int, sizes: Codes) -> Floats:
    """Return how likely each gene of a kernel keeps its value rather than draws anew."""
    return 1 / (1 + sizes / (count + 1.0))


def _log_density(points: Codes, kernels: Codes, sizes: Codes) -> Floats:
    if not len(kernels):
        return np.zeros(len(points))
    kept = _kept(len(kernels), sizes)
    other = (1 - kept) / sizes
    same = points[:, None] == kernels[None]
    logs = np.where(same, np.log(kept + other), np.log(other)).sum(axis=2)  # (points, kernels)
    uniform = np.full((len(points), 1), -np.log(sizes).sum())
    total: Floats = np.logaddexp.reduce(np.hstack([logs, uniform]), axis=1) - np.log(len(kernels) + 1)
    return total
