"""Regularised evolution (Real et al. 2019, arXiv:1802.01548): the best of a few young trials has a child."""

from __future__ import annotations

import random
from collections.abc import Iterator

from nas.search.samplers.fresh import mutated
from nas.search.samplers.rule import Note, Past, layers
from nas.space import Genotype

FIRST = 10
"""Random members before there are children."""
POPULATION = 30
"""The youngest trials; all older ones are dead, however good. Real et al. had 100, of some 20,000 trials."""
TOURNAMENT = 10
CHILDREN = 8
"""Suggested for one trial: the child of a tournament may be a member that was seen."""


def evolution(past: Past, rng: random.Random, note: Note) -> Iterator[Genotype]:
    """Yield children: of the best in a random part of the population, one gene changed.

    The best is of the first non-dominated layer of the population; in a layer the first objective decides, then youth.
    """
    del note
    population = past.told[-POPULATION:]
    if len(population) < FIRST:
        yield from (past.members.random(rng) for _ in range(CHILDREN))
        return
    layer = layers(population)
    order = sorted(range(len(population)), key=lambda i: (layer[i], population[i].losses[0], -i))
    for _ in range(CHILDREN):
        best = min(rng.sample(range(len(order)), min(TOURNAMENT, len(order))))
        yield mutated(past.members.genes, population[order[best]].genotype, 1, rng)
