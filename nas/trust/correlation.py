"""Does one score order networks as another does, beyond what is known of them anyway, and how sure is that?

Spearman's rank correlation, the partial one (Pearson's correlation of what is left of the ranks when least squares has
taken the ranks of the controls out of them), Kendall's tau-b, both also inside groups of networks, and percentile
bootstrap intervals over networks (Efron 1979). What cannot be said is None, never a number: too few networks, a score
that does not vary, or one that the controls explain.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.value import Value

FEWEST = 5
"""Networks below which no correlation is given; each control asks for one more."""
RESAMPLES = 1_000
LEVEL = 0.95
DRAWS_AT_ONCE = 250_000
"""Networks in the resamples that are ranked together."""
LEAST_LEFT = 1e-6
"""Share of the length of a vector of ranks below which nothing of it is left beside the controls."""

Array = NDArray[np.float64]
Method = Literal["kendall", "spearman"]


class Correlation(Value):
    """A rank correlation between -1 and 1, its 95 % interval, and over how many networks."""

    value: float
    low: float
    high: float
    count: int

    @property
    def leaves_out_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float | None:
    """Return Spearman's correlation of `x` and `y`, (N,) each, ties at their mean rank; None where it has no meaning.

    Networks with a value that is missing (NaN) or infinite are left out.
    """
    return partial_rank_correlation(x, y, ())


def partial_rank_correlation(x: ArrayLike, y: ArrayLike, controls: Sequence[ArrayLike]) -> float | None:
    """Return the rank correlation of `x` and `y`, (N,) each, given the `controls`, (N,) each; None as above."""
    columns = _complete(x, y, controls)
    if columns is None:
        return None
    once = np.arange(columns.shape[1])[None]
    value = float((_correlations(columns[:, once]) if len(controls) else _spearmans(columns, once))[0])
    return None if np.isnan(value) else value


def mean_ranks(values: Array) -> Array:
    """Return the ranks of `values` (N,), from 1, ties at their mean rank: without scipy, which is slow to import."""
    _, order, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[order])


def bootstrap_interval(
    x: ArrayLike, y: ArrayLike, controls: Sequence[ArrayLike] = (), *, resamples: int = RESAMPLES, seed: int = 0
) -> Correlation | None:
    """Return the (partial) rank correlation with its interval; None as above.

    Networks are drawn with replacement and ranked anew in each resample; one without a meaning (all draws alike) does
    not count, and where half of them have none, nor has the interval.
    """
    columns = _complete(x, y, controls)
    value = partial_rank_correlation(x, y, controls)
    if columns is None or value is None:
        return None
    count = columns.shape[1]
    draws = np.random.default_rng(seed).integers(0, count, (resamples, count))
    found = _correlations(columns[:, draws]) if len(controls) else _spearmans(columns, draws)
    found = found[~np.isnan(found)]
    if 2 * len(found) <= resamples:
        return None
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Correlation(value=value, low=float(low), high=float(high), count=count)


def association(
    x: ArrayLike,
    y: ArrayLike,
    method: Method = "kendall",
    groups: Sequence[Hashable] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Correlation | None:
    """Return Kendall's tau-b or Spearman's correlation of `x` and `y`, (N,) each, with its interval; None as above.

    `groups`, (N,), compares networks with those of their own group alone: the result is the mean over the groups of
    which something can be said, weighted by their networks; each group is resampled by itself.
    """
    pairs = np.array([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    names = list(groups) if groups is not None else [None] * pairs.shape[1]
    rng, found = np.random.default_rng(seed), list[Array]()
    counts = []
    for group in dict.fromkeys(names):
        members = pairs[:, [name == group for name in names]]
        columns = _complete(members[0], members[1], ())
        if columns is not None:
            count = columns.shape[1]
            draws = np.vstack([np.arange(count), rng.integers(0, count, (resamples, count))])
            values = _taus(columns, draws) if method == "kendall" else _spearmans(columns, draws)
            if not np.isnan(values[0]):
                found.append(values)
                counts.append(count)
    if not found:
        return None
    value, *drawn = _mean(np.array(found), np.array(counts))
    sound = np.array(drawn)[~np.isnan(drawn)]
    if 2 * len(sound) <= resamples:
        return None
    low, high = np.quantile(sound, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Correlation(value=value, low=float(low), high=float(high), count=sum(counts))


def _mean(found: Array, counts: Array) -> Array:
    """Return the mean of values (G, R) over the groups, weighted by `counts` (G,), where a value has a meaning."""
    weights = counts[:, None] * ~np.isnan(found)
    total = weights.sum(axis=0)
    return np.asarray(np.where(total > 0, (weights * np.nan_to_num(found)).sum(axis=0) / np.maximum(total, 1), np.nan))


def _taus(columns: Array, draws: NDArray[np.int64]) -> Array:
    """Return Kendall's tau-b of columns (2, N) in each resample (R, N), (R,); NaN where it has no meaning.

    A resample gives each network a weight, so that the sums over its pairs are products of matrices: no ranking.
    """
    weights = _weights(draws)
    x, y = np.sign(columns[:, :, None] - columns[:, None, :])
    agreeing, *untied = (((weights @ pairs) * weights).sum(axis=1) for pairs in (x * y, x * x, y * y))
    lengths = np.sqrt(untied[0] * untied[1])
    return np.asarray(np.where(lengths > 0, agreeing / np.maximum(lengths, 1), np.nan))


def _weights(draws: NDArray[np.int64]) -> Array:
    """Return how often each network was drawn in each resample, (R, N)."""
    places = draws + draws.shape[1] * np.arange(len(draws))[:, None]
    return np.bincount(places.ravel(), minlength=draws.size).reshape(draws.shape).astype(np.float64)


def _spearmans(columns: Array, draws: NDArray[np.int64]) -> Array:
    """Return Spearman's correlation of columns (2, N) in each resample (R, N), (R,); NaN where it has no meaning.

    As `_correlations` of what was drawn, but that the networks are put in order once and not in each resample: a
    network's rank there follows from how often those below it were drawn. Some resamples at a time, to stay in cache.
    """
    orders = [np.unique(column, return_inverse=True)[1] for column in columns]
    parts = range(0, len(draws), max(1, DRAWS_AT_ONCE // draws.shape[1]))
    found = [_of_part(orders, _weights(draws[first : first + parts.step])) for first in parts]
    return np.concatenate(found)


def _of_part(orders: Sequence[NDArray[np.int64]], weights: Array) -> Array:
    x, y = (_resampled_ranks(order, weights) for order in orders)
    weighted_x, weighted_y = weights * x, weights * y
    product, x_square, y_square = (
        np.einsum("rn,rn->r", *pair) for pair in ((weighted_x, y), (weighted_x, x), (weighted_y, y))
    )
    lengths = np.sqrt(x_square * y_square)
    return np.asarray(np.where(lengths > 0, product / np.maximum(lengths, 1e-300), np.nan).clip(-1, 1))


def _resampled_ranks(order: NDArray[np.int64], weights: Array) -> Array:
    """Return the centred ranks (R, N) of networks in resamples that draw them so often (R, N).

    `order` (N,) is the place of a network's value among those there are, the same for equal ones.
    """
    sorted_by, starts = np.argsort(order, kind="stable"), np.r_[True, np.diff(np.sort(order)) > 0].nonzero()[0]
    alike = np.add.reduceat(weights[:, sorted_by], starts, axis=1)  # how many draws have each value
    ranks = np.cumsum(alike, axis=1) - (alike - 1) / 2
    return np.asarray((ranks - (weights.shape[1] + 1) / 2)[:, order])


def _complete(x: ArrayLike, y: ArrayLike, controls: Sequence[ArrayLike]) -> Array | None:
    """Return the columns (2 + controls, N) of the networks with all values; None for too few."""
    columns = np.array([np.asarray(column, dtype=np.float64) for column in (x, y, *controls)])
    columns = columns[:, np.isfinite(columns).all(axis=0)]
    return columns if columns.shape[1] >= FEWEST + len(controls) else None


def _correlations(columns: Array) -> Array:
    """Return the correlation in each resample, (R,), of columns (2 + controls, R, N); NaN where it has no meaning."""
    from scipy.stats import rankdata  # here, because it takes a second to import, and most readers need no controls

    ranks = rankdata(columns, axis=-1)
    centred = ranks - ranks.mean(axis=-1, keepdims=True)
    left = _without(centred[:2], centred[2:])
    lengths, whole = np.linalg.norm(left, axis=-1), np.linalg.norm(centred[:2], axis=-1)
    has_meaning = (lengths > LEAST_LEFT * whole).all(axis=0)
    product = np.where(has_meaning, lengths.prod(axis=0), 1.0)
    return np.where(has_meaning, (left[0] * left[1]).sum(axis=-1) / product, np.nan).clip(-1, 1)


def _without(ranks: Array, controls: Array) -> Array:
    """Return centred `ranks` (2, R, N) less their least-squares fit by the centred `controls` (K, R, N)."""
    if not len(controls):
        return ranks
    design = np.moveaxis(controls, 0, -1)  # (R, N, K)
    targets = np.moveaxis(ranks, 0, -1)  # (R, N, 2)
    fitted = design @ (np.linalg.pinv(design, rcond=LEAST_LEFT) @ targets)  # pinv: controls may repeat each other
    return np.asarray(np.moveaxis(targets - fitted, -1, 0))
