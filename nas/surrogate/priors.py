"""Records of other studies: what they say of a genotype that this study has not measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.space import Genotype
from nas.surrogate.encoding import Codes, Encoder, Floats
from nas.surrogate.kernels import FAMILIES, KernelModel, fit_kernel
from nas.surrogate.target import soften

MOST_ROWS = 400
LEAST_ROWS = 5
BEST = 8


@dataclass(frozen=True)
class PriorGroup:
    """Genotypes of the same space that were measured in another way: another fidelity, recipe or data set.

    `values` has a row for each genotype with a value for each objective of the study, or None where there is none.
    They are compared with each other alone, never with those of the study.
    """

    genotypes: Sequence[Genotype]
    values: Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class PriorModel:
    """What a group says of one objective; `best` are those of its genotypes with the least losses."""

    encoder: Encoder
    model: KernelModel
    best: Sequence[Genotype]

    def predict(self, codes: Codes) -> Floats:
        """Return the predicted loss of each genotype, in standard deviations of the group."""
        return self.model.predict(self.encoder.features(codes))[0]


def fit_prior(encoder: Encoder, genotypes: Sequence[Genotype], losses: Floats) -> PriorModel | None:
    """Return the model of a group; None where it has fewer than a handful of losses, or all are equal.

    Genotypes that lack a gene, or have a value that it has no more, are left out. The best rows are kept of a large
    group, and others evenly.
    """
    known = np.array(
        [i for i, loss in enumerate(losses) if np.isfinite(loss) and encoder.knows(genotypes[i])], dtype=np.int64
    )
    if len(known) < LEAST_ROWS or len(set(losses[known])) < 2:
        return None
    order = known[np.argsort(losses[known], kind="stable")]
    if len(order) > MOST_ROWS:
        rest = order[MOST_ROWS // 2 :]
        order = np.concatenate([order[: MOST_ROWS // 2], rest[:: -(-2 * len(rest) // MOST_ROWS)]])
    codes = encoder.codes([genotypes[i] for i in order])
    kernels = FAMILIES["pairwise"]
    model = fit_kernel(encoder.features(codes), soften(losses[order]), kernels)
    return PriorModel(encoder, model, [genotypes[i] for i in order[:BEST]])
