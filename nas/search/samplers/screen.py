"""What a genotype would cost, guessed from the values of its genes: cheap enough to look at many before one is fitted.

To fit a genotype into the caps and to count its costs takes a thousand times as long as to predict from them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.members import Members
from nas.search.samplers.history import Row, Rows
from nas.surrogate.encoding import Codes, Encoder, Floats, known_scores

DRAWN = 96
RIDGE = 0.3


@dataclass(frozen=True)
class Costed:
    """Genotypes with the logarithm of their load, and scores of their costs."""

    codes: Codes
    loads: Floats
    scores: Floats


@dataclass(frozen=True)
class Screen:
    """A linear model of loads and scores."""

    encoder: Encoder
    centre: Floats
    weights: Floats
    means: Floats

    def guess(self, codes: Codes) -> tuple[Floats, Floats]:
        """Return the load of each genotype, and an array (genotypes, scores)."""
        found = self.means + (self.encoder.features(codes) - self.centre) @ self.weights
        return np.exp(found[:, 0]), found[:, 1:]


def drawn(members: Members, encoder: Encoder, seed: int) -> Costed:
    """Return random members, within the caps or not."""
    rng = random.Random(seed)
    genotypes = [members.random(rng) for _ in range(DRAWN)]
    loads = np.log(np.maximum([members.load(genotype) for genotype in genotypes], 1e-9))
    return Costed(encoder.codes(genotypes), loads, known_scores([members.costs(genotype) for genotype in genotypes]))


def fit_screen(known: Costed, rows: Rows, more: Sequence[Row]) -> Screen:
    """Return the model of members drawn at random and of more of them."""
    codes = np.vstack([known.codes, np.array([row.code for row in more], dtype=np.int16)])
    loads = np.concatenate([known.loads, np.log(np.maximum([rows.load(row) for row in more], 1e-9))])
    targets = np.hstack([loads[:, None], np.vstack([known.scores, *(row.scores[None] for row in more)])])
    features = rows.encoder.features(codes)
    centre, means = features.mean(axis=0), targets.mean(axis=0)
    centred = features - centre
    inner = centred.T @ centred + RIDGE * np.eye(features.shape[1])
    return Screen(rows.encoder, centre, np.linalg.solve(inner, centred.T @ (targets - means)), means)
