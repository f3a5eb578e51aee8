"""What is odd about a search space: choices no member under the caps makes, the sizes of members, the corners."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nas.budget import Budget
from nas.feasibility import descend, repair, sample
from nas.pricing import bill
from nas.space import Gene, GeneValue, SearchSpace
from nas.space_faults import unread

ATTEMPTS = 40
"""Members that are repaired around one value before coordinate descent decides whether any fits."""


@dataclass(frozen=True)
class Bin:
    """How many sampled members have more than `above` parameters, and at most `most`."""

    above: int
    most: int
    members: int


@dataclass(frozen=True)
class Lint:
    """What is odd about a space: values that no member under the caps uses, by gene, and how large its members are."""

    dead_values: dict[str, tuple[GeneValue, ...]]
    sizes: tuple[Bin, ...]


def lint(space: SearchSpace, budget: Budget, *, seed: int = 0) -> Lint:
    """Return what random members of `space` show, and what was found by looking for the values that they lack."""
    sizes = [member.cost.params for member in sample(space, seed)]
    return Lint(dead_values(space, budget, seed=seed), tuple(histogram(sizes, budget.params or max(sizes))))


def histogram(sizes: Sequence[int], cap: int) -> list[Bin]:
    """Return bins of a factor of the square root of two, with the cap for an edge, that hold all `sizes`."""

    def edge(k: int) -> int:
        return round(cap * 2 ** (k / 2))

    counts = Counter(math.ceil(2 * math.log2(size / cap)) for size in sizes)
    return [Bin(edge(k - 1), edge(k), counts[k]) for k in range(min(counts), max(counts) + 1)]


def dead_values(space: SearchSpace, budget: Budget, *, seed: int = 0) -> dict[str, tuple[GeneValue, ...]]:
    """Return the values that no member under the caps uses, by gene; genes that nothing reads are left out."""
    rng, idle = random.Random(seed), unread(space)
    unused = {(gene.name, value): gene for gene in space.genes if gene.name not in idle for value in gene.values}

    def use(member: dict[str, GeneValue]) -> None:
        for name in space.active(member):
            unused.pop((name, member[name]), None)

    for start in sample(space, seed):
        if member := repair(space, start.genotype, budget):
            use(member)
    for (name, value), gene in list(unused.items()):
        if (name, value) in unused and (member := _fitting(space, budget, gene, value, rng)):
            use(member)
    return {gene.name: tuple(v for name, v in unused if name == gene.name) for gene in unused.values()}


def _fitting(
    space: SearchSpace, budget: Budget, gene: Gene, value: GeneValue, rng: random.Random
) -> dict[str, GeneValue] | None:
    """Return a member under the caps that uses the value of a gene, None when none was found."""
    closest = None
    for _ in range(ATTEMPTS):
        start = bill(space, {**{gene.name: rng.choice(gene.values) for gene in space.genes}, gene.name: value})
        if gene.name in start.active:
            closest = start
            member = repair(space, start.genotype, budget, keep=gene.name)
            if member and gene.name in space.active(member):
                return member
    if closest is None:
        return None
    found = descend(closest, lambda member: max(1.0, member.excess(budget)), keep=gene.name)
    return space.canonical(found.genotype) if found.excess(budget) <= 1 else None


def corners(space: SearchSpace) -> Iterator[dict[str, GeneValue]]:
    """Yield genotypes with every gene of a part at its ends, for each family or stem, the other genes at one end."""
    for end in (0, -1):
        base = {gene.name: gene.values[end if gene.is_ordered else 0] for gene in space.genes}
        for part in space.parts:
            genes = dict.fromkeys(slot for slot in part if isinstance(slot, Gene))
            kinds = [{gene.name: value} for gene in genes if gene.is_kind for value in gene.values]
            for kind in kinds or [{}]:
                yield {**base, **kind}
                for gene in genes:
                    ends = (gene.values[-1 - end],) if gene.is_ordered else gene.values[1:]
                    yield from ({**base, **kind, gene.name: value} for value in ends if gene.name not in kind)
