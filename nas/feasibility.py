"""Keeping proposals under the caps: repair of one genotype, and what a search should know before it starts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from nas.budget import Budget, Cost, Violation, cost, cost_table
from nas.errors import CapError
from nas.space import GeneValue, Genotype, SearchSpace
from nas.space_size import size

SAMPLED_MEMBERS = 500
DESCENT_SWEEPS = 20


def genotype_cost(space: SearchSpace, genotype: Genotype) -> Cost:
    """Return the closed-form cost of a member, built for the space's target."""
    return cost(space.decode(genotype), space.target.task)


def repair(space: SearchSpace, genotype: Genotype, budget: Budget) -> dict[str, GeneValue] | None:
    """Return the genotype shrunk into the caps, or None when no step shrinks it any more.

    Each step moves one gene to a neighbouring value. If a step fits, the one that gives up least is taken, else the
    one that frees most. Block families are left alone: changing one is another proposal, not a repair.
    """
    current = space.canonical(genotype)
    excess = budget.excess(genotype_cost(space, current))
    for _ in range(sum(len(gene.values) for gene in space.genes)):
        if excess <= 1:
            return current
        steps = [(budget.excess(genotype_cost(space, step)), i, step) for i, step in enumerate(_steps(space, current))]
        fitting = [step for step in steps if step[0] <= 1]
        if not steps:
            return None
        best_excess, _, best = max(fitting, key=lambda s: (s[0], -s[1])) if fitting else min(steps, key=lambda s: s[:2])
        if best_excess >= excess:
            return None
        current, excess = space.canonical(best), best_excess
    return current if excess <= 1 else None


def _steps(space: SearchSpace, genotype: Genotype) -> Iterator[dict[str, GeneValue]]:
    """Yield the genotype with one active, ordered gene moved to a neighbouring value."""
    active = space.active(genotype)
    for gene in space.genes:
        if gene.is_ordered and gene.name in active:
            at = gene.values.index(genotype[gene.name])
            for neighbour in gene.values[max(0, at - 1) : at] + gene.values[at + 1 : at + 2]:
                yield {**genotype, gene.name: neighbour}


@dataclass(frozen=True)
class Preflight:
    """What is known of a space and its caps before a search starts."""

    size: int
    feasible_share: float
    smallest: Cost
    largest: Cost
    classifier_share: float
    idle_genes: tuple[str, ...]


def preflight(space: SearchSpace, budget: Budget, *, seed: int = 0) -> Preflight:
    """Look at random members and at the extremes of `space`; CapError when nothing fits.

    `classifier_share` is the median share of the first cap (else of the parameters) that the classifier takes.
    """
    rng = random.Random(seed)
    members = [space.random(rng) for _ in range(SAMPLED_MEMBERS)]
    costs = [genotype_cost(space, member) for member in members]

    def least(key: Callable[[Cost], float]) -> Cost:
        return _descend(space, members[min(range(len(costs)), key=lambda i: key(costs[i]))], key)

    smallest, largest = least(lambda cost: cost.params), least(lambda cost: -cost.params)
    if budget.violations(smallest):  # caps on other quantities may still leave room for a larger member
        closest = least(budget.excess)
        if violations := budget.violations(closest):
            raise CapError(_impossible(space, violations[0], closest))
    heads = sorted(cost_table(space.decode(member), space.target.task)[-1][1].params for member in members[:50])
    return Preflight(
        size=size(space),
        feasible_share=sum(not budget.violations(member) for member in costs) / len(costs),
        smallest=smallest,
        largest=largest,
        classifier_share=heads[len(heads) // 2] / (budget.params or costs[0].params),
        idle_genes=_idle(space, members),
    )


def _impossible(space: SearchSpace, violation: Violation, closest: Cost) -> str:
    least = getattr(closest, violation.name)
    return (
        f"cap: no member of space {space.name!r} fits under {violation.cap:,} {violation.name}; "
        f"its smallest member has {least:,} (counted with {space.target.num_classes} classes)"
    )


def _descend(space: SearchSpace, start: Genotype, key: Callable[[Cost], float]) -> Cost:
    """Return the least cost by `key` that coordinate descent from `start` finds."""
    current, best = dict(start), genotype_cost(space, start)
    moves = list(_moves(space))
    for _ in range(DESCENT_SWEEPS):
        before = best
        for move in moves:
            found = genotype_cost(space, {**current, **move})
            if key(found) < key(best):
                current, best = {**current, **move}, found
        if best == before:
            break
    return best


def _moves(space: SearchSpace) -> Iterator[dict[str, GeneValue]]:
    """Yield each value of each gene, and each family with each value of the genes it may come to read.

    One gene at a time would stop at a family that ignores a gene which makes another family smaller still.
    """
    for gene in space.genes:
        yield from ({gene.name: value} for value in gene.values)
    for family, other in product(space.genes, repeat=2):
        places = {gene.name.split(".")[0] for gene in (family, other)} - {"network"}
        if family.name.endswith(".block") and family != other and len(places) <= 1:
            yield from ({family.name: name, other.name: value} for name, value in product(family.values, other.values))


def _idle(space: SearchSpace, members: list[dict[str, GeneValue]]) -> tuple[str, ...]:
    """Return the genes that no sampled member reads."""
    read: set[str] = set()
    for member in members:
        read |= space.active(member)
    return tuple(gene.name for gene in space.genes if gene.name not in read)
