"""A search of your own: named choices, what they cost, and a function that evaluates them.

The same search runs over it as over the networks of a search space, without any training code: benchmark tables, a
trainer of your own, a farm of devices. See `nas.search.problem.solve`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nas.errors import InputError
from nas.members import Members
from nas.pareto import Direction
from nas.records import Candidate, Fidelity, Measurement
from nas.space import Gene, GeneValue, Genotype
from nas.value import digest

Evaluate = Callable[[Candidate, Fidelity, int], Measurement]
"""Measures a candidate at a fidelity from a seed: the same arguments should give the same measurement."""

ONE_RUNG = (Fidelity(epochs=1, resolution=1),)


def _no_cost(_: Genotype) -> Mapping[str, float]:
    return {}


def _as_it_is(genotype: Genotype) -> Genotype:
    return genotype


@dataclass(frozen=True)
class Problem:
    """Choices with their ordered values, what is wanted, and how it is measured.

    `objectives` gives each its direction; those that `cost` gives are known without evaluating, all others `evaluate`
    must measure. `caps` are the most that a cost may be. `normal` returns one genotype for all that mean the same
    member, and None for what is no member. `fidelities` are the rungs, cheapest first, where there are several.
    """

    name: str
    choices: Mapping[str, Sequence[GeneValue]]
    objectives: Mapping[str, Direction]
    evaluate: Evaluate
    cost: Callable[[Genotype], Mapping[str, float]] = _no_cost
    caps: Mapping[str, float] = field(default_factory=dict)
    normal: Callable[[Genotype], Genotype | None] = _as_it_is
    fidelities: tuple[Fidelity, ...] = ONE_RUNG

    def __post_init__(self) -> None:
        """Raise InputError for what cannot be searched."""
        for name, values in self.choices.items():
            if not values or len(set(values)) < len(values):
                raise InputError(f"problem {self.name}: choice {name!r} needs values, each once, got {list(values)!r}")
        if not self.objectives:
            raise InputError(f"problem {self.name}: no objective, name at least one")
        for name, direction in self.objectives.items():
            if direction not in {"maximize", "minimize"}:
                raise InputError(
                    f"problem {self.name}: objective {name!r} must be 'maximize' or 'minimize', got {direction!r}"
                )
        for name, cap in self.caps.items():
            if not cap > 0:
                raise InputError(f"problem {self.name}: the cap on {name!r} must be above 0, got {cap}")

    @cached_property
    def members(self) -> Members:
        """The choices as samplers see them."""
        return ChoiceMembers(self)


@dataclass(frozen=True)
class ChoiceMembers:
    """The members of a problem within its caps."""

    problem: Problem
    _known: dict[tuple[GeneValue, ...], Mapping[str, float]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The name of the problem."""
        return self.problem.name

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """The choices."""
        return tuple(Gene(name, tuple(values)) for name, values in self.problem.choices.items())

    def random(self, rng: random.Random) -> dict[str, GeneValue]:
        """Return a value for each choice, drawn uniformly."""
        return {gene.name: rng.choice(gene.values) for gene in self.genes}

    def fit(self, genotype: Genotype) -> dict[str, GeneValue] | None:
        """Return the normal form, one choice after another changed until it is within the caps.

        Of the changes that fit, the one that gives up least is taken, else the one that frees most.
        """
        current = self._normal(genotype)
        for _ in range(sum(len(gene.values) for gene in self.genes)):
            if current is None or (excess := self.load(current)) <= 1:
                return current
            freed = [(excess - self.load(changed), changed) for changed in self._changes(current)]
            most = max((free for free, _ in freed), default=0.0)
            if most <= 0:
                return None
            fitting = [free for free, _ in freed if free >= excess - 1]
            step = min(fitting, default=most)
            current = next(changed for free, changed in freed if free == step)
        return current if current is not None and self.load(current) <= 1 else None

    def key(self, genotype: Genotype) -> str:
        """Return a digest of the normal form."""
        normal = self._normal(genotype)
        return digest(repr([normal[gene.name] for gene in self.genes] if normal else None))

    def costs(self, genotype: Genotype) -> Mapping[str, float]:
        """Return what the problem's `cost` says; InputError for what is no finite number, or is missing."""
        row = tuple(genotype[gene.name] for gene in self.genes)
        if row not in self._known:
            self._known[row] = self._costs(genotype)
        return self._known[row]

    def load(self, genotype: Genotype) -> float:
        """Return the largest ratio of a cost to its cap."""
        costs = self.costs(genotype)
        return max((costs[name] / cap for name, cap in self.problem.caps.items()), default=0.0)

    def _costs(self, genotype: Genotype) -> Mapping[str, float]:
        costs = {name: float(value) for name, value in self.problem.cost(genotype).items()}
        for name, value in costs.items():
            if not math.isfinite(value):
                raise InputError(f"problem {self.name}: cost {name!r} is {value} for {dict(genotype)}")
        for name in self.problem.caps:
            if name not in costs:
                raise InputError(f"problem {self.name}: a cap on {name!r}, but `cost` gives {', '.join(costs) or 'none'}")
        return costs

    def _normal(self, genotype: Genotype) -> dict[str, GeneValue] | None:
        for gene in self.genes:
            if genotype.get(gene.name) not in gene.values:
                raise InputError(
                    f"problem {self.name}: {gene.name} must be one of {', '.join(map(str, gene.values))}, "
                    f"got {genotype.get(gene.name)!r}"
                )
        normal = self.problem.normal(genotype)
        return None if normal is None else dict(normal)

    def _changes(self, genotype: Genotype) -> Iterator[dict[str, GeneValue]]:
        """Yield the members that one choice away leads to: the next values of an ordered one, any of another."""
        for gene in self.genes:
            at = gene.values.index(genotype[gene.name])
            near = gene.values[max(0, at - 1) : at] + gene.values[at + 1 : at + 2]
            for value in near if gene.is_ordered else gene.values[:at] + gene.values[at + 1 :]:
                changed = self._normal({**genotype, gene.name: value})
                if changed is not None:
                    yield changed
