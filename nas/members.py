"""What must be known of a search space to propose from it: its genes, and what is a member within the caps."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

from nas.architecture import Architecture
from nas.budget import Budget, Cost
from nas.feasibility import repair
from nas.pricing import Bill, bill
from nas.records import Candidate
from nas.space import Gene, GeneValue, Genotype, SearchSpace
from nas.value import FrozenMap

REMEMBERED = 1_000
"""Networks whose architecture and cost are kept: what proposes asks for both, and for the key, one after another."""

Items = tuple[tuple[str, GeneValue], ...]
"""A genotype as something that can be looked up."""


class Members(Protocol):
    """The members of a finite space that keep to its caps. All that follows from a genotype follows from it alone."""

    @property
    def name(self) -> str:
        """The name of the space."""

    @property
    def genes(self) -> tuple[Gene, ...]:
        """Its decisions, each with its ordered values."""

    def random(self, rng: random.Random) -> dict[str, GeneValue]:
        """Return a genotype drawn uniformly over the values of each gene, within the caps or not."""

    def fit(self, genotype: Genotype) -> dict[str, GeneValue] | None:
        """Return `genotype` in normal form, shrunk into the caps if it is over them; None where that cannot be done."""

    def key(self, genotype: Genotype) -> str:
        """Return what is equal for two genotypes of one and the same network, and for no others."""

    def costs(self, genotype: Genotype) -> Mapping[str, float]:
        """Return what is known of a member without evaluating it, such as `params`; the same names for all members."""

    def load(self, genotype: Genotype) -> float:
        """Return the largest ratio of a cost to its cap; at most 1 within the caps, 0 without any."""

    @property
    def cost_names(self) -> tuple[str, ...]:
        """The names of the costs of every member."""

    def candidate(self, number: int, genotype: Genotype) -> Candidate:
        """Return a member as the candidate of this number."""


@dataclass(frozen=True)
class NetworkMembers:
    """The networks of a search space under a budget."""

    space: SearchSpace
    budget: Budget

    @property
    def name(self) -> str:
        """The name of the space."""
        return self.space.name

    @property
    def genes(self) -> tuple[Gene, ...]:
        """The genes of the space."""
        return self.space.genes

    def random(self, rng: random.Random) -> dict[str, GeneValue]:
        """Return a random member, within the caps or not."""
        return self.space.random(rng)

    def fit(self, genotype: Genotype) -> dict[str, GeneValue] | None:
        """Return the canonical genotype, repaired into the budget; None where no step shrinks it any more."""
        self.space.check(genotype)
        found = bill(self.space, genotype)
        if found.excess(self.budget) > 1:
            return repair(self.space, genotype, self.budget)
        member = self.space.canonical(genotype, found.active)
        self._remember(tuple(member.items()), found)  # its costs are asked for next
        return member

    def key(self, genotype: Genotype) -> str:
        """Return the `arch_id`."""
        return self._architecture(tuple(genotype.items())).arch_id

    def costs(self, genotype: Genotype) -> dict[str, float]:
        """Return the closed-form cost on the target of the space, and the depth in blocks."""
        cost, depth = self._cost(genotype)
        return {**cost.model_dump(), "depth": float(depth)}

    def load(self, genotype: Genotype) -> float:
        """Return the largest ratio of cost to cap."""
        return self.budget.excess(self._cost(genotype)[0])

    @property
    def cost_names(self) -> tuple[str, ...]:
        """The fields of a cost, and the depth."""
        return (*Cost.model_fields, "depth")

    def candidate(self, number: int, genotype: Genotype) -> Candidate:
        """Return a member as the candidate of this number."""
        architecture, (cost, _) = self._architecture(tuple(genotype.items())), self._cost(genotype)
        return Candidate(number=number, genotype=FrozenMap(genotype), architecture=architecture, cost=cost)

    @cached_property
    def _architecture(self) -> Callable[[Items], Architecture]:
        """Returns the architecture of a genotype; those asked for last are remembered."""
        return lru_cache(maxsize=REMEMBERED)(lambda items: self.space.decode(dict(items)))

    @cached_property
    def _known(self) -> dict[Items, tuple[Cost, int]]:
        return {}

    def _cost(self, genotype: Genotype) -> tuple[Cost, int]:
        """Return the cost of a genotype and its depth; those asked for last are remembered."""
        items = tuple(genotype.items())
        if items not in self._known:
            self.space.check(genotype)
            self._remember(items, bill(self.space, genotype))
        return self._known[items]

    def _remember(self, items: Items, found: Bill) -> None:
        self._known.pop(items, None)
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[items] = found.cost, found.depth


Choices = Mapping[str, Sequence[GeneValue]]
"""The values of each gene, by its name."""


def difference(one: Choices, other: Choices, here: str, there: str) -> str:
    """Return in words which genes of two spaces differ, empty if none does; `here` and `there` name the two."""

    def values(choices: Choices, name: str) -> str:
        return ", ".join(map(str, choices[name])) if name in choices else "not at all"

    differ = [name for name in {**one, **other} if list(one.get(name, ())) != list(other.get(name, ()))]
    return "; ".join(f"{name}: {values(one, name)} {here}, {values(other, name)} {there}" for name in differ)
