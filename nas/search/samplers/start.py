"""The first proposals: members of all sizes, far from each other, and those that other studies speak for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain

import numpy as np

from nas.members import Members
from nas.search.samplers.forecast import codes_of, layers_of
from nas.search.samplers.history import Row, Rows, Wanted
from nas.search.samplers.pool import changed
from nas.space import Genotype
from nas.surrogate.priors import PriorModel

DRAWN = 24
NEAREST = 6
"""So many of the drawn members whose size is nearest to the wanted one compete by distance."""


def start_size(genes: int) -> int:
    """Return how many trials come before a model is asked."""
    return 6 + genes // 6


def best_of_priors(
    members: Members,
    rows: Rows,
    priors: Sequence[Sequence[PriorModel]],
    objectives: Sequence[Wanted],
    rng: random.Random,
) -> list[Genotype]:
    """Return members, best first, by what priors predict: of their own best, changed a little, and some at random.

    Costs that are objectives count as they are. With several objectives members of the front come in random order.
    """
    best = [rows.encoder.code(genotype) for group in chain(*priors) for genotype in group.best]
    sizes = [len(gene.values) for gene in members.genes]
    drawn = [changed(rng.choice(best), sizes, rng.choice((1, 1, 2)), rng) for _ in range(DRAWN)]
    drawn += [rows.encoder.code(members.random(rng)) for _ in range(DRAWN)]
    found = list({row.code: row for code in best + drawn if (row := rows.fitted(code)) is not None}.values())
    if not found:
        return []
    codes = codes_of(found)
    predicted = np.zeros((len(found), len(objectives)))
    for k, objective in enumerate(objectives):
        if objective.cost is not None:
            predicted[:, k] = [objective.sign * row.costs[objective.cost] for row in found]
        elif priors[k]:
            predicted[:, k] = np.mean([prior.predict(codes) for prior in priors[k]], axis=0)
    order = np.lexsort((np.array([rng.random() for _ in found]), layers_of(predicted)))
    return [found[i].genotype for i in order]


def spread_out(members: Members, rows: Rows, tried: Sequence[Row], rng: random.Random) -> list[Genotype]:
    """Return members, best first: of the size next in turn, far from those that were tried.

    Sizes are loads, the largest share of a cap; they take turns between the least and the largest that are drawn.
    """
    codes = [rows.encoder.code(members.random(rng)) for _ in range(DRAWN)]
    drawn = list({row.code: row for code in codes if (row := rows.fitted(code)) is not None}.values())
    if not drawn:
        return []
    loads = np.array([members.load(row.genotype) for row in drawn])
    wanted = loads.min() + turn(len(tried)) * (loads.max() - loads.min())
    near = np.argsort(np.abs(loads - wanted), kind="stable")
    apart = np.array([_distance(row, tried) for row in drawn])
    best = near[:NEAREST][np.argsort(-apart[near[:NEAREST]], kind="stable")]
    return [drawn[i].genotype for i in [*best, *near[NEAREST:]]]


def _distance(row: Row, others: Sequence[Row]) -> int:
    """Return in how many genes the nearest of the others differs."""
    return min((sum(a != b for a, b in zip(row.code, other.code, strict=True)) for other in others), default=0)


def turn(index: int) -> float:
    """Return the van der Corput sequence, which fills [0, 1) evenly at any length: 1/2, 1/4, 3/4, 1/8, ..."""
    share, place, index = 0.0, 0.5, index + 1
    while index:
        share += place * (index % 2)
        index //= 2
        place /= 2
    return share
