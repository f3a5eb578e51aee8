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
    value = float(_correlations(columns[:, None, :])[0])
    return None if np.isnan(value) else value


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
    found = _correlations(columns[:, draws])
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
            values = _taus(columns, draws) if method == "kendall" else _correlations(columns[:, draws])
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
    count = columns.shape[1]
    offsets = count * np.arange(len(draws))[:, None]
    weights = np.bincount((draws + offsets).ravel(), minlength=draws.size).reshape(draws.shape).astype(np.float64)
    x, y = np.sign(columns[:, :, None] - columns[:, None, :])
    agreeing, *untied = (((weights @ pairs) * weights).sum(axis=1) for pairs in (x * y, x * x, y * y))
    lengths = np.sqrt(untied[0] * untied[1])
    return np.asarray(np.where(lengths > 0, agreeing / np.maximum(lengths, 1), np.nan))


def _complete(x: ArrayLike, y: ArrayLike, controls: Sequence[ArrayLike]) -> Array | None:
    """Return the columns (2 + controls, N) of the networks with all values; None for too few."""
    columns = np.array([np.asarray(column, dtype=np.float64) for column in (x, y, *controls)])
    columns = columns[:, np.isfinite(columns).all(axis=0)]
    return columns if columns.shape[1] >= FEWEST + len(controls) else None


def _correlations(columns: Array) -> Array:
    """Return the correlation in each resample, (R,), of columns (2 + controls, R, N); NaN where it has no meaning."""
    from scipy.stats import rankdata  # here, because it takes a second to import, and most readers rank nothing

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
