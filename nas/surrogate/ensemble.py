"""The models of one objective, weighted by how well they rank rows that were left out of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.surrogate.encoding import Codes, Encoder, Floats, Standard, standard
from nas.surrogate.forest import LEAST_ROWS, ForestModel, fit_forest
from nas.surrogate.kernels import FAMILIES, KernelModel, fit_kernel, gene_weights
from nas.surrogate.ranks import rank_quality

TOLERANCE = 0.04
"""A model whose rank quality is this much below the best has 1/e of its weight."""
LEAST_WEIGHT = 0.03
WELL_RANKED = 0.6
"""Where kernels rank this well a forest, which takes longer than all of them, has not been the better one."""

Model = KernelModel | ForestModel


@dataclass(frozen=True)
class Surrogate:
    """Models with weights; predicts targets of mean 0 and spread 1.

    `quality` is the rank quality of left-out predictions, 1 being perfect and 0 that of chance; `qualities` that of
    each model. `noise` is the variance of what no model explains.
    """

    encoder: Encoder
    standard: Standard
    models: Mapping[str, Model]
    weights: Mapping[str, float]
    qualities: Mapping[str, float]
    quality: float
    noise: float

    def predict(self, codes: Codes, scores: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation of the noiseless target of each genotype.

        `scores` has a row of known scores for each, such as logarithms of costs.
        """
        features = np.hstack([self.encoder.features(codes), self.standard.apply(scores)])
        found = {name: self.models[name].predict(features) for name in self.weights}
        mean = np.sum([weight * found[name][0] for name, weight in self.weights.items()], axis=0)
        spread = [weight * (found[name][1] + (found[name][0] - mean) ** 2) for name, weight in self.weights.items()]
        return mean, np.sqrt(np.sum(spread, axis=0))

    def mean(self, codes: Codes, scores: Floats) -> Floats:
        """Return the mean alone, for less than the standard deviation takes."""
        features = np.hstack([self.encoder.features(codes), self.standard.apply(scores)])
        total: Floats = np.sum(
            [weight * self.models[name].mean(features) for name, weight in self.weights.items()], axis=0
        )
        return total


def fit_surrogate(encoder: Encoder, codes: Codes, scores: Floats, targets: Floats, *, seed: int) -> Surrogate:
    """Return the models of `targets`, which have mean 0; `scores` are known of every genotype without measuring."""
    scale = standard(scores)
    features = np.hstack([encoder.features(codes), scale.apply(scores)])
    groups = np.concatenate([encoder.groups, len(encoder.genes) + np.arange(len(scale.kept))])
    models = _models(features, groups, targets, seed)
    qualities = {name: rank_quality(model.left_out, targets) for name, model in models.items()}
    weights = _weights(qualities)
    left_out = np.sum([weight * models[name].left_out for name, weight in weights.items()], axis=0)
    noise = float(sum(weight * models[name].noise for name, weight in weights.items()))
    error = float(np.mean((targets - left_out) ** 2))
    return Surrogate(
        encoder=encoder,
        standard=scale,
        models=models,
        weights=weights,
        qualities=qualities,
        quality=rank_quality(left_out, targets),
        noise=min(noise, error),
    )


def _models(features: Floats, groups: NDArray[np.int64], targets: Floats, seed: int) -> dict[str, Model]:
    additive = fit_kernel(features, targets, FAMILIES["additive"])
    models: dict[str, Model] = {"additive": additive}
    weights = gene_weights(additive, groups) if len(groups) else None
    for name in ("pairwise", "distance"):
        models[name] = fit_kernel(features, targets, FAMILIES[name])
        models[f"weighted {name}"] = fit_kernel(features, targets, FAMILIES[name], weights)
    best = max(rank_quality(model.left_out, targets) for model in models.values())
    if best < WELL_RANKED and len(targets) >= LEAST_ROWS and features.shape[1]:
        models["forest"] = fit_forest(features, targets, seed=seed)
    return models


def _weights(qualities: Mapping[str, float]) -> dict[str, float]:
    best = max(qualities.values())
    raw = {name: float(np.exp((quality - best) / TOLERANCE)) for name, quality in qualities.items()}
    kept = {name: weight for name, weight in raw.items() if weight >= LEAST_WEIGHT}
    total = sum(kept.values())
    return {name: weight / total for name, weight in kept.items()}
