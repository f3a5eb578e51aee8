"""How much do the features that one linear map packs into a narrow space interfere, and what would chance give?

A 1x1 convolution joins a wide space, whose channels are the *features* (n of them), to a narrow one (d dimensions).
Feature i owns a direction w_i of the narrow space and an activity a_i:

- **written** features (the map narrows, or keeps the width): the n columns of W; a_i is input channel i, and the
  narrow space receives the sum W a.
- **read** features (the map expands): the n rows of W; a_i = w_i . x is output channel i before its nonlinearity. The
  narrow space is the one x lives in, and the sum is what the features make of x, each put back where it was read.

Everything here is a pure, differentiable function in float64. Ratios are against a closed-form expectation over random
directions, so 1 means chance at any width; metrics are their logarithms (`log_ratio`).

Scaling a written feature against its vector changes no ratio; scaling a dimension of the narrow space does, since it
changes which directions are close. Sources: ours, but for the Welch bound (Welch 1974) and the dimensionality (Elhage
et al. 2022, arXiv 2209.10652).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

RATIO_FLOOR = 0.01
"""Ratios below 1 % of chance count as 1 %: an orthogonal layer has ratio 0, and its logarithm must stay a number."""


@dataclass(frozen=True, eq=False)
class Features:
    """n features in d dimensions: their directions, and how they are active together.

    `vectors` (d, n) holds w_i in column i; `variance` (n,) is Var(a_i); `sum_covariance` (d, n) is W Sigma_a, whose
    column i is the covariance of the whole sum W a with a_i: all that the formulas need of the n x n Sigma_a.
    `read` says that the activity was read off these very directions, which lifts chance (`forced_by_reading`).
    """

    vectors: Tensor
    variance: Tensor
    sum_covariance: Tensor
    read: bool = False

    @classmethod
    def from_covariance(cls, vectors: Tensor, covariance: Tensor) -> Features:
        """Return written features with directions `vectors` (d, n) and activity covariance Sigma_a (n, n)."""
        vectors, covariance = vectors.double(), covariance.double()
        return cls(vectors, covariance.diagonal(), vectors @ covariance)

    @classmethod
    def written_by(cls, weight: Tensor, inputs: Tensor) -> Features:
        """Return the columns of `weight` (d, n) as features; their activity is `inputs` (N, n), N >= 2."""
        vectors, activity = weight.double(), _centred(inputs)
        # Two N x d x n products instead of Sigma_a's N x n x n: n is up to ten times d.
        sum_covariance = (activity @ vectors.T).T @ activity / (len(activity) - 1)
        return cls(vectors, activity.square().sum(0) / (len(activity) - 1), sum_covariance)

    @classmethod
    def read_by(cls, weight: Tensor, inputs: Tensor) -> Features:
        """Return the rows of `weight` (n, d) as features; their activity is read off `inputs` (N, d), N >= 2."""
        vectors, x = weight.double().T, _centred(inputs)
        x_with_activity = x.T @ x / (len(x) - 1) @ vectors
        return cls(vectors, vectors.mul(x_with_activity).sum(0), vectors @ vectors.T @ x_with_activity, read=True)

    @property
    def sum_variance(self) -> Tensor:
        """Var((W a)_k), (d,): how much each dimension varies."""
        return self.sum_covariance.mul(self.vectors).sum(1)

    def within(self, dims: Tensor) -> Features:
        """Return the features as seen in some of the dimensions, a mask (d,), their activity as it was."""
        return replace(self, vectors=self.vectors[dims], sum_covariance=self.sum_covariance[dims])


def signal(features: Features) -> Tensor:
    """Return S_i = Var(a_i) |w_i|^2, (n,): what feature i alone puts on its own direction."""
    return features.variance * _squared_lengths(features.vectors)


def interference(features: Features) -> Tensor:
    """Return N_i = w^_i^T W Sigma W^T w^_i - 2 |w_i| (w^_i^T W Sigma)_i + S_i, (n,).

    It is the variance of what all other features together put on feature i's direction.
    """
    vectors, mixed = features.vectors, features.sum_covariance
    directions = _directions(vectors)
    on_direction = directions.mul(mixed @ vectors.T @ directions).sum(0)
    from_itself = directions.mul(mixed).sum(0) * _lengths(vectors)
    return on_direction - from_itself.mul(2) + signal(features)


def independent_interference(features: Features) -> Tensor:
    """Return N_ind,i = sum_{j != i} Var(a_j) (w^_i . w_j)^2, (n,): N_i were the features independent."""
    vectors = features.vectors
    directions = _directions(vectors)
    return directions.mul((vectors * features.variance) @ vectors.T @ directions).sum(0) - signal(features)


def null_interference(features: Features) -> Tensor:
    """Return null_i = (1/d) sum_{j != i} Var(a_j) |w_j|^2, (n,): the mean of N_ind,i over random directions."""
    signals = signal(features)
    return (signals.sum() - signals) / len(features.vectors)


def realised_ratio(features: Features) -> Tensor:
    """Return r_i = N_i / (S_i + N_i), (n,), between 0 and 1; 0 for a feature with no vector.

    For white activity it is 1 - `dimensionality`. Scaling a_i by c and w_i by 1/c leaves it as it is.
    """
    signals, noise = signal(features), interference(features)
    return noise / (signals + noise).clamp_min(torch.finfo(torch.float64).tiny)


def dimensionality(vectors: Tensor) -> Tensor:
    """Return D_i = |w_i|^2 / sum_j (w^_i . w_j)^2, (n,), for non-zero columns: the share of a dimension each has."""
    vectors = vectors.double()
    directions = _directions(vectors)
    return _squared_lengths(vectors) / directions.mul(vectors @ vectors.T @ directions).sum(0)


def cross_talk_ratio(features: Features) -> Tensor:
    """Return q_ind = sum_i N_ind,i / sum_i null_i: overlap of active directions, in units of chance."""
    return independent_interference(features).sum() / null_interference(features).sum()


def interference_ratio(features: Features) -> Tensor:
    """Return q_full = sum_i N_i / sum_i null_i, with the null that holds for N_i (see `forced_by_reading`)."""
    chance = null_interference(features).sum()
    return interference(features).sum() / (chance * forced_by_reading(features.vectors) if features.read else chance)


def forced_by_reading(vectors: Tensor) -> Tensor:
    """Return E[sum_i N_i] / E[sum_i N_ind,i] over random directions, for features read off the space they share.

    With a_j = w_j . x the sign of a_j goes with that of w_j, so pairs do not cancel as they do for written features:
    n vectors (columns) in d dimensions get 1 + (n - 2) (s_1^2 - s_2) / (d (n - 1) s_2), where s_k = sum_j |w_j|^(2k),
    about 1 + n/d, whatever the covariance of x. Without it, `redundancy` would be an expansion meter.
    """
    dims, count = vectors.shape
    lengths = _squared_lengths(vectors.double())
    squares = lengths.square().sum()
    pairs: Tensor = lengths.sum().square() - squares
    return 1 + (count - 2) / (dims * (count - 1)) * pairs / squares


def importance_weighted(features: Features, importance: Tensor) -> Tensor:
    """Return sum_i pi_i r_i, 0 to 1, with pi_i the share of `importance` (n,) >= 0 of each feature, not all zero."""
    weights = importance.double()
    return realised_ratio(features) @ weights / weights.sum()


def gram(vectors: Tensor) -> Tensor:
    """Return the cosines between the columns of `vectors` (d, n), (n, n); 0 along the row of a zero column."""
    directions = _directions(vectors.double())
    return directions.T @ directions


def welch_bound(count: int, dims: int) -> float:
    """Return I_W = (n - d) / (d (n - 1)), the least mean squared cosine of n vectors in d dimensions; 0 for n <= d."""
    return (count - dims) / (dims * (count - 1)) if count > dims else 0.0


def mean_squared_cosine(vectors: Tensor) -> Tensor:
    """Return I, the mean squared cosine between different columns of `vectors` (d, n), n >= 2, none of them zero."""
    directions = _directions(vectors.double())
    dims, count = directions.shape
    gram = directions @ directions.T if dims < count else directions.T @ directions
    return (gram.square().sum() - count) / (count * (count - 1))


def coherence_ratio(vectors: Tensor) -> Tensor:
    """Return rho = (I - I_W) / (1/d - I_W) of the columns of `vectors` (d, n), n >= 2 and d >= 2, none of them zero.

    0 is a tight (or orthogonal) frame, 1 what random directions give, max(n, d) a collapse onto one line.
    For n >= d it equals n (I - I_W) / (1 - I_W); for n < d, where I_W = 0, that would read n/d at random, so that a
    layer with some dead channels would seem better packed. This form keeps the null at 1.
    """
    dims, count = vectors.shape
    bound = welch_bound(count, dims)
    return (mean_squared_cosine(vectors) - bound) / (1 / dims - bound)


def channel_correlation(outputs: Tensor) -> Tensor:
    """Return the mean squared correlation between different columns of `outputs` (N, C), none of them constant.

    Debiased as (r2 - 1/(N-1)) / (1 - 1/(N-1)), N >= 3 and C >= 2: 0 for independent channels (it may fall a
    little below), 1 for identical ones.
    """
    rows, channels = outputs.shape
    standard = _directions(_centred(outputs))
    gram = standard @ standard.T if rows < channels else standard.T @ standard
    squared = (gram.square().sum() - channels) / (channels * (channels - 1))
    chance = 1 / (rows - 1)
    return (squared - chance) / (1 - chance)


def channel_kurtosis(outputs: Tensor) -> Tensor:
    """Return mean(s^4) / mean(s^2)^2 of the RMS s of each column of `outputs` (N, C), not all zero.

    1 if all channels are equally strong, C if one alone gives anything.
    """
    powers = outputs.double().square().mean(0)
    return powers.square().mean() / powers.mean().square()


def log_ratio(ratio: Tensor) -> Tensor:
    """Return the natural logarithm of a ratio to chance, not below log `RATIO_FLOOR` (about -4.6)."""
    return ratio.clamp_min(RATIO_FLOOR).log()


def _centred(rows: Tensor) -> Tensor:
    rows = rows.double()
    return rows - rows.mean(0)


def _squared_lengths(vectors: Tensor) -> Tensor:
    return vectors.square().sum(0)


def _lengths(vectors: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=0)
    return lengths


def _directions(vectors: Tensor) -> Tensor:
    """Return the columns at unit length; a zero column stays zero."""
    return vectors / _lengths(vectors).clamp_min(torch.finfo(torch.float64).tiny)
