"""The genes of a space as Optuna's distributions."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from nas.space import Gene


def distribution(gene: Gene) -> BaseDistribution:
    """Return Optuna's distribution over the values of `gene`: an integer range where they are evenly spaced."""
    values = gene.values
    if len(values) > 1 and all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        low, step = int(values[0]), int(values[1]) - int(values[0])
        if step > 0 and list(values) == list(range(low, int(values[-1]) + 1, step)):
            return IntDistribution(low, int(values[-1]), step=step)
    return CategoricalDistribution(values)


def distributions(genes: Sequence[Gene]) -> dict[str, BaseDistribution]:
    """Return the distributions of all genes by name."""
    return {gene.name: distribution(gene) for gene in genes}
