"""Genotypes as numbers: the places of their values, and the features that models see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nas.space import Gene, GeneValue, Genotype

Codes = NDArray[np.int16]
Floats = NDArray[np.float64]

SAME = 0.999
"""Known scores that correlate more than this say the same; one of them is kept."""
FARTHEST = 4.0
"""The most standard deviations that a known score may lie off the mean of the training rows."""


@dataclass(frozen=True)
class Encoder:
    """Genes as columns: one for each value, and for ordered genes one more for each step between neighbours."""

    genes: tuple[Gene, ...]

    @cached_property
    def _places(self) -> list[dict[GeneValue, int]]:
        return [{value: i for i, value in enumerate(gene.values)} for gene in self.genes]

    def code(self, genotype: Genotype) -> tuple[int, ...]:
        """Return the place of each gene's value among the values of the gene."""
        return tuple(places[genotype[gene.name]] for gene, places in zip(self.genes, self._places, strict=True))

    def genotype(self, code: Sequence[int]) -> dict[str, GeneValue]:
        """Return the genotype of the places of its values."""
        return {gene.name: gene.values[i] for gene, i in zip(self.genes, code, strict=True)}

    def knows(self, genotype: Genotype) -> bool:
        """Return whether a genotype has one of the values of each gene."""
        return all(genotype.get(gene.name) in places for gene, places in zip(self.genes, self._places, strict=True))

    def codes(self, genotypes: Iterable[Genotype]) -> Codes:
        """Return an array (genotypes, genes) of the places of the values."""
        rows = [self.code(genotype) for genotype in genotypes]
        return np.array(rows, dtype=np.int16).reshape(len(rows), len(self.genes))

    @cached_property
    def _tables(self) -> list[Floats]:
        """For each gene an array (values, columns): the features of each value."""
        tables = []
        for gene in self.genes:
            count = len(gene.values)
            table = np.eye(count)
            if gene.is_ordered and count > 2:
                steps = np.tril(np.ones((count, count)))[:, 1:] * np.sqrt(2 / (count - 1))
                table = np.hstack([table, steps]) * np.sqrt(0.5)
            tables.append(table)
        return tables

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """The gene that each column belongs to."""
        return np.repeat(np.arange(len(self.genes)), [table.shape[1] for table in self._tables])

    def features(self, codes: Codes) -> Floats:
        """Return an array (genotypes, columns); genes that differ add at most 2 to a squared distance."""
        if not self.genes:
            return np.zeros((len(codes), 0))
        return np.hstack([table[codes[:, i]] for i, table in enumerate(self._tables)])


@dataclass(frozen=True)
class Standard:
    """Which columns of known scores are kept, and their mean and spread over the training rows."""

    kept: tuple[int, ...]
    mean: Floats
    spread: Floats

    def apply(self, scores: Floats) -> Floats:
        """Return the kept columns in standard deviations off the mean."""
        chosen = scores[:, list(self.kept)]
        return np.clip((chosen - self.mean) / self.spread, -FARTHEST, FARTHEST)


def standard(scores: Floats) -> Standard:
    """Return how to standardise columns like those of `scores`; constant and repeated columns are dropped."""
    mean, spread = scores.mean(axis=0), scores.std(axis=0)
    kept: list[int] = []
    for i in np.flatnonzero(spread > 1e-9 * (1 + np.abs(mean))):
        column = (scores[:, i] - mean[i]) / spread[i]
        others = ((scores[:, j] - mean[j]) / spread[j] for j in kept)
        if all(abs(float(column @ other)) < SAME * len(scores) for other in others):
            kept.append(int(i))
    return Standard(tuple(kept), mean[kept], spread[kept])


def known_scores(costs: Sequence[Mapping[str, float]]) -> Floats:
    """Return an array (genotypes, costs): the logarithm of each, or the cost itself where it may be negative."""
    names = sorted(costs[0]) if costs else []
    rows = np.array([[float(cost[name]) for name in names] for cost in costs], dtype=float)
    logs: Floats = np.sign(rows) * np.log1p(np.abs(rows))
    return logs
