"""Keeping proposals under the caps: repair of one genotype, and what a search should know before it starts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from nas.budget import Budget, Cost, Violation
from nas.errors import CapError
from nas.pricing import Bill, bill
from nas.space import Gene, GeneValue, Genotype, SearchSpace
from nas.space_faults import unread
from nas.space_size import size

SAMPLED_MEMBERS = 500
DESCENT_SWEEPS = 20


def genotype_cost(space: SearchSpace, genotype: Genotype) -> Cost:
    """Return the closed-form cost of a member, built for the space's target."""
    space.check(genotype)
    return bill(space, genotype).cost


def repair(space: SearchSpace, genotype: Genotype, budget: Budget, *, keep: str = "") -> dict[str, GeneValue] | None:
    """Return the genotype shrunk into the caps, or None when no step shrinks it any more.

    Each step moves one gene to a neighbouring value. If a step fits, the one that gives up least is taken, else the
    one that frees most. Block families are left alone: changing one is another proposal, not a repair; so is the gene
    `keep`.
    """
    space.check(genotype)
    current = bill(space, genotype, budget)
    excess = current.excess(budget)
    if excess <= 1:
        return space.canonical(current.genotype, current.active)
    genes = [gene for gene in space.genes if gene.is_ordered and gene.name != keep]
    freed: dict[str, float] = {}
    for _ in range(sum(len(gene.values) for gene in genes)):
        if excess <= 1:
            break
        step = _step(current, excess, budget, genes, freed) or _step(current, excess, budget, genes, {})
        if step is None:
            return None
        current, excess = step
    return space.canonical(current.genotype, current.active) if excess <= 1 else None


Step = tuple[Bill, float]
"""What a step leads to, and its excess."""


def _step(current: Bill, excess: float, budget: Budget, genes: list[Gene], freed: dict[str, float]) -> Step | None:
    """Return the best step from `current`; None when every step that was tried frees nothing.

    `freed` remembers what a step in a gene freed when it was last tried. It frees less of a smaller network, so genes
    are tried in that order, and only those that may beat the best step so far.
    """
    active, spans, best = current.active, current.space.spans, None
    need, most = excess - 1, 0.0
    shares = {span: current.share(span, budget) for span in set(spans.values())}
    bounds = [(freed.get(gene.name, shares[spans[gene.name]]), gene) for gene in genes if gene.name in active]
    for bound, gene in sorted(bounds, key=lambda pair: -pair[0]):
        if bound < need if most >= need else bound <= most:
            break
        step = _smaller(current, excess, budget, gene)
        freed[gene.name] = frees = excess - step[1]
        if need <= frees < most if most >= need else most < frees:
            best, most = step, frees
    return best


def _smaller(current: Bill, excess: float, budget: Budget, gene: Gene) -> Step:
    """Return the step to the neighbouring value that is cheaper, the lower one if it frees anything; else none."""
    at = gene.values.index(current.genotype[gene.name])
    for neighbour in gene.values[max(0, at - 1) : at] + gene.values[at + 1 : at + 2]:
        step = current.changed({gene.name: neighbour})
        if (found := step.excess(budget)) < excess:
            return step, found
    return current, excess


@dataclass(frozen=True)
class Preflight:
    """What is known of a space and its caps before a search starts."""

    size: int
    feasible_share: float
    smallest: Cost
    largest: Cost
    classifier_share: float
    idle_genes: tuple[str, ...]


def sample(space: SearchSpace, seed: int) -> list[Bill]:
    """Return random members of `space` with their costs."""
    rng = random.Random(seed)
    return [bill(space, space.random(rng)) for _ in range(SAMPLED_MEMBERS)]


def preflight(space: SearchSpace, budget: Budget, *, seed: int = 0) -> Preflight:
    """Look at random members and at the extremes of `space`; CapError when nothing fits.

    `classifier_share` is the median share of the first cap (else of the parameters) that the classifier takes.
    """
    members = sample(space, seed)

    def least(key: Callable[[Bill], float]) -> Cost:
        return descend(min(members, key=key), key).cost

    smallest, largest = least(lambda member: member.cost.params), least(lambda member: -member.cost.params)
    if budget.violations(smallest):  # caps on other quantities may still leave room for a larger member
        closest = least(lambda member: member.excess(budget))
        if violations := budget.violations(closest):
            raise CapError(_impossible(space, violations[0], closest))
    heads = sorted(member.parts[-1].trace.params for member in members)
    return Preflight(
        size=size(space),
        feasible_share=sum(member.excess(budget) <= 1 for member in members) / len(members),
        smallest=smallest,
        largest=largest,
        classifier_share=heads[len(heads) // 2] / (budget.params or members[0].cost.params),
        idle_genes=unread(space),
    )


def _impossible(space: SearchSpace, violation: Violation, closest: Cost) -> str:
    least = getattr(closest, violation.name)
    return (
        f"cap: no member of space {space.name!r} fits under {violation.cap:,} {violation.name}; "
        f"its smallest member has {least:,} (counted with {space.target.num_classes} classes)"
    )


def descend(start: Bill, key: Callable[[Bill], float], *, keep: str = "") -> Bill:
    """Return the member of the least `key` that coordinate descent from `start` finds; one that reads gene `keep`."""
    best = start
    moves = [move for move in _moves(start.space) if keep not in move]
    for _ in range(DESCENT_SWEEPS):
        before = best
        for move in moves:
            found = best.changed(move)
            if key(found) < key(best) and (not keep or keep in found.active):
                best = found
        if best is before:
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
        if family.is_kind and family != other and len(places) <= 1:
            yield from ({family.name: name, other.name: value} for name, value in product(family.values, other.values))
