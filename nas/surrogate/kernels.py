"""Kernel models with leave-one-out predictions in closed form: additive, pairwise, and of any order.

All work on one matrix of products of centred features. With one-hot genes those products are sums over the genes:
the matrix itself is the kernel of additive models; with its square, of models of pairs of genes (as in the ANOVA
kernel of degree 2); and the exponential of the distances, which falls with the Hamming distance, of any order.
The leave-one-out prediction of a kernel model with `A = (K + noise I)^-1` is `y_i - (A y)_i / A_ii` (Rasmussen and
Williams, Gaussian Processes for Machine Learning, 5.4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.surrogate.encoding import Floats

NOISES = np.geomspace(2e-3, 20, 13)
"""Noise variances tried, as shares of the mean diagonal of the kernel."""


@dataclass(frozen=True)
class Kernel:
    """A kernel of centred features whose mean square is 1: of pairs of genes by the share `pairs`, or exponential.

    `reach` is the squared distance over which an exponential kernel falls to 1/e, 2 being that of random rows.
    """

    pairs: float = 0.0
    reach: float | None = None

    def of(self, products: Floats, left: Floats, right: Floats) -> Floats:
        """Return the kernel from the products of rows with rows, given the squares of both."""
        if self.reach is not None:
            return np.exp(-np.maximum(left[:, None] + right - 2 * products, 0) / self.reach)
        return (1 - self.pairs) * products + self.pairs * products**2 if self.pairs else products

    def at(self, squares: Floats) -> Floats:
        """Return the kernel of rows with themselves, given their squares."""
        return np.ones_like(squares) if self.reach is not None else (1 - self.pairs) * squares + self.pairs * squares**2


FAMILIES: dict[str, tuple[Kernel, ...]] = {
    "additive": (Kernel(),),
    "pairwise": (Kernel(pairs=0.1), Kernel(pairs=0.3), Kernel(pairs=0.6)),
    "distance": (Kernel(reach=1.0), Kernel(reach=3.0), Kernel(reach=9.0)),
}


@dataclass(frozen=True)
class Centred:
    """How rows are centred and scaled: the mean of the training rows, and what makes their mean square 1."""

    mean: Floats
    scale: Floats

    def apply(self, features: Floats) -> Floats:
        """Return the features centred and scaled."""
        return (features - self.mean) * self.scale


def centred(features: Floats, weights: Floats) -> Centred:
    """Return how to centre rows like `features`, columns weighted by `weights`."""
    mean = features.mean(axis=0)
    square = float(np.mean(np.sum(((features - mean) * weights) ** 2, axis=1)))
    return Centred(mean, weights / np.sqrt(square if square > 0 else 1.0))


@dataclass(frozen=True)
class KernelModel:
    """A fitted kernel model: predicts mean and variance (without noise), in units of the targets."""

    kernel: Kernel
    centre: Centred
    rows: Floats
    duals: Floats
    inverse: Floats
    amplitude: float
    noise: float
    left_out: Floats

    def mean(self, features: Floats) -> Floats:
        """Return the mean at each row of `features`, for less than the variance takes."""
        rows = self.centre.apply(features)
        squares = np.sum(rows**2, axis=1)
        return self.kernel.of(rows @ self.rows.T, squares, np.sum(self.rows**2, axis=1)) @ self.duals

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the variance at each row of `features`."""
        rows = self.centre.apply(features)
        squares = np.sum(rows**2, axis=1)
        cross = self.kernel.of(rows @ self.rows.T, squares, np.sum(self.rows**2, axis=1))
        variance = self.kernel.at(squares) - np.sum((cross @ self.inverse) * cross, axis=1)
        return cross @ self.duals, self.amplitude * np.maximum(variance, 1e-6)


def fit_kernel(
    features: Floats, targets: Floats, kernels: Sequence[Kernel], weights: Floats | None = None
) -> KernelModel:
    """Return the model of that kernel and noise which predicts left-out targets best; targets have mean 0."""
    centre = centred(features, np.ones(features.shape[1]) if weights is None else weights)
    rows = centre.apply(features)
    squares = np.sum(rows**2, axis=1)
    products = rows @ rows.T
    fits = [_fit(kernel.of(products, squares, squares), targets) for kernel in kernels]
    best = min(range(len(fits)), key=lambda i: fits[i].error)
    fit = fits[best]
    weighed = fit.vectors / (fit.values + fit.noise)
    inverse = weighed @ fit.vectors.T
    duals = inverse @ targets
    amplitude = max(float(targets @ duals) / len(targets), 1e-9)
    return KernelModel(
        kernel=kernels[best],
        centre=centre,
        rows=rows,
        duals=duals,
        inverse=inverse,
        amplitude=amplitude,
        noise=amplitude * fit.noise,
        left_out=targets - duals / np.diag(inverse),
    )


@dataclass(frozen=True)
class _Fit:
    error: float
    noise: float
    values: Floats
    vectors: Floats


def _fit(matrix: Floats, targets: Floats) -> _Fit:
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, 0)
    noises = NOISES * max(float(values.sum()) / len(targets), 1e-9)
    shrunk = 1 / (values[:, None] + noises)  # (rows, noises)
    duals = vectors @ (shrunk * (vectors.T @ targets)[:, None])
    diagonal = vectors**2 @ shrunk
    errors: NDArray[np.float64] = np.mean((duals / diagonal) ** 2, axis=0)
    best = int(np.argmin(errors))
    return _Fit(float(errors[best]), float(noises[best]), values, vectors)


def gene_weights(model: KernelModel, groups: NDArray[np.int64]) -> Floats:
    """Return a weight for each column: by how much its gene moves the predictions of an additive model.

    The mean over genes is 1, and none has less than a tenth of that.
    """
    effects = model.rows * (model.duals @ model.rows)
    moved = np.array([float(np.var(effects[:, groups == group].sum(axis=1))) for group in range(groups.max() + 1)])
    if moved.sum() <= 0:
        return np.ones(len(groups))
    shares = 0.1 + 0.9 * moved / moved.mean()
    weights: Floats = np.sqrt(shares)[groups]
    return weights
