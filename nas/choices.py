"""A plain space of named choices as samplers see it, with whatever its owner says of cost and of normal form.

The functions are somebody else's: what they give is checked here, and whatever they raise is told in one line.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, TypeVar

from nas.budget import Cost
from nas.errors import CapError, InputError, NasError
from nas.records import Assignment, Candidate
from nas.space import Gene, GeneValue, Genotype
from nas.value import FrozenMap, digest

T = TypeVar("T")
Row = tuple[GeneValue, ...]

MOST_KNOWN = 100_000
"""Genotypes of which cost and normal form are kept; with one more all are forgotten, and asked for again."""
MOST_LOOKED_THROUGH = 20_000
"""A space with at most this many genotypes is looked through before it is said that none fits; of others so many."""
MOST_SHRUNK = 20
"""Of those, how many are shrunk into the caps."""
MOST_DRAWN = 200
"""Random genotypes looked at for one that is a member."""
LEAST_LOOKED_AT = 100
"""Genotypes looked at before a search, so that a fault in what its owner says of them comes before any evaluation."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a member: its normal form, its costs and, once it was asked for, its key.

    `load` is the largest ratio of a cost to its cap, `excess` the sum of what the ratios are above 1.
    """

    row: Row
    costs: Mapping[str, float]
    load: float
    excess: float
    key: list[str]


@dataclass(frozen=True)
class ChoiceMembers:
    """The members of a space of choices, within its caps.

    `cost` names what a member costs; `normal` gives one genotype for all that mean the same member, None for none, and
    is None itself where every genotype is a member of its own.
    """

    name: str
    genes: tuple[Gene, ...]
    caps: Mapping[str, float]
    cost: Callable[[Genotype], Mapping[str, float]]
    normal: Callable[[Genotype], Genotype | None] | None = None
    _known: dict[Row, Known | None] = field(default_factory=dict, repr=False, compare=False)
    _names: list[tuple[str, ...]] = field(default_factory=list, repr=False, compare=False)

    def random(self, rng: random.Random) -> dict[str, GeneValue]:
        """Return a member drawn uniformly, within the caps or not; where members are rare, always the same one."""
        for _ in range(MOST_DRAWN):
            row = tuple(rng.choice(gene.values) for gene in self.genes)
            if self.normal is None or self._look(row) is not None:
                return self._genotype(row)
        return self._genotype(self._example or row)

    def fit(self, genotype: Genotype) -> dict[str, GeneValue] | None:
        """Return the normal form, one choice after another changed until it is within the caps.

        Of the changes that fit, the one that gives up least is taken; before any does, those that free most.
        """
        current = self._look(self._row(genotype, "a genotype"))
        for _ in range(sum(len(gene.values) for gene in self.genes)):
            if current is None or not current.excess:
                break
            changes = list(self._changes(current.row))
            fitting = [changed for _, changed in changes if not changed.excess]
            shrunk = max(fitting, key=lambda each: each.load, default=None) or self._shrunk(current, changes)
            current = shrunk if shrunk.excess < current.excess else None
        return None if current is None or current.excess else self._genotype(current.row)

    def _shrunk(self, current: Known, changes: Iterable[tuple[int, Known]]) -> Known:
        """Return a member after the changes that free most, one of each choice, short of the one that makes it fit."""
        changed_places = set()
        for place, change in sorted(changes, key=lambda each: each[1].excess):
            row = (*current.row[:place], change.row[place], *current.row[place + 1 :])
            if place in changed_places or (tried := self._look(row)) is None or tried.excess >= current.excess:
                continue
            if not tried.excess:
                break
            current = tried
            changed_places.add(place)
        return current

    def key(self, genotype: Genotype) -> str:
        """Return the `arch_id` of the normal form; one text for all that is no member."""
        known = self._look(self._row(genotype, "a genotype"))
        if known is None:
            return "none"
        if not known.key:  # most that is looked at is never asked for it
            content = {"choices": self._genotype(known.row)}
            known.key.append(digest(json.dumps(content, sort_keys=True, separators=(",", ":"))))
        return known.key[0]

    def costs(self, genotype: Genotype) -> Mapping[str, float]:
        """Return what `cost` says of a member; InputError for what is no finite number, or for what is no member."""
        known = self._look(self._row(genotype, "a genotype"))
        if known is None:
            raise InputError(f"problem {self.name}: `normal` says that {dict(genotype)} is no member")
        return known.costs

    def load(self, genotype: Genotype) -> float:
        """Return the largest ratio of a cost to its cap; infinite for what is no member."""
        known = self._look(self._row(genotype, "a genotype"))
        return known.load if known else math.inf

    @cached_property
    def cost_names(self) -> tuple[str, ...]:
        """The names that `cost` gives; none without a member."""
        any(self._look(row) for row in self._rows())
        return self._names[0] if self._names else ()

    @cached_property
    def _example(self) -> Row | None:
        return next((row for row in self._rows() if self._look(row) is not None), None)

    def candidate(self, number: int, genotype: Genotype) -> Candidate:
        """Return a member as the candidate of this number; of the costs that a network has, the whole part."""
        costs = self.costs(genotype)
        return Candidate(
            number=number,
            genotype=FrozenMap(genotype),
            architecture=Assignment(choices=FrozenMap(genotype)),
            cost=Cost(**{name: int(costs.get(name, 0)) for name in Cost.model_fields}),
            costs=FrozenMap(costs),
        )

    def check(self) -> None:
        """Raise InputError where nothing is a member, CapError where no member can be brought within the caps."""
        closest, members, fits = None, 0, False
        for count, row in enumerate(self._rows(), start=1):
            if (known := self._look(row)) is not None:
                members += 1
                shrinks = not fits and members <= MOST_SHRUNK and self.fit(self._genotype(row)) is not None
                fits = fits or not known.excess or shrinks
                closest = known if closest is None or known.excess < closest.excess else closest
            if fits and count >= LEAST_LOOKED_AT:
                return
        if not fits:
            raise self._nothing(closest)

    def _nothing(self, closest: Known | None) -> InputError:
        these = f"all {self._size:,} genotypes" if self._is_small else f"{MOST_LOOKED_THROUGH:,} random genotypes"
        if closest is None:
            return InputError(f"problem {self.name}: no member: `normal` gave None for {these}")
        caps = ", ".join(f"{name} {closest.costs[name]:,g}, cap {cap:,g}" for name, cap in self.caps.items())
        return CapError(f"problem {self.name}: no member is within the caps; the closest of {these} has {caps}")

    @cached_property
    def _size(self) -> int:
        return math.prod(len(gene.values) for gene in self.genes)

    @property
    def _is_small(self) -> bool:
        return self._size <= MOST_LOOKED_THROUGH

    def _rows(self) -> Iterator[Row]:
        """Yield all genotypes of a small space, random ones of any other."""
        if self._is_small:
            yield from product(*(gene.values for gene in self.genes))
            return
        rng = random.Random(0)
        for _ in range(MOST_LOOKED_THROUGH):
            yield tuple(rng.choice(gene.values) for gene in self.genes)

    @cached_property
    def _values(self) -> tuple[tuple[str, dict[GeneValue, GeneValue]], ...]:
        """The values of each choice, by themselves: 1.0 and True are given back as the 1 that a choice has."""
        return tuple((gene.name, {value: value for value in gene.values}) for gene in self.genes)

    def _row(self, genotype: Genotype, what: str) -> Row:
        """Return the values in the order of the choices; InputError for one that its choice does not have."""
        try:
            return tuple(values[genotype[name]] for name, values in self._values)
        except (KeyError, TypeError, IndexError):
            raise InputError(f"problem {self.name}: {what} {self._fault(genotype)}") from None

    def _fault(self, genotype: Any) -> str:
        if not isinstance(genotype, Mapping):
            return f"must map each choice to its value, got {genotype!r}"
        for gene in self.genes:
            if gene.name not in genotype:
                return f"lacks {gene.name!r}"
            if not any(genotype[gene.name] is value or genotype[gene.name] == value for value in gene.values):
                allowed = ", ".join(map(str, gene.values))
                return f"has {gene.name} {genotype[gene.name]!r}, which must be one of {allowed}"
        return f"has values that cannot be compared: {dict(genotype)!r}"

    def _genotype(self, row: Row) -> dict[str, GeneValue]:
        return dict(zip((name for name, _ in self._values), row, strict=True))

    def _look(self, row: Row) -> Known | None:
        """Return what is known of a genotype; None where it is no member."""
        try:
            return self._known[row]
        except KeyError:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = self._known[row] = self._ask(row)
            return found

    def _ask(self, row: Row) -> Known | None:
        normal = self._normal(row)
        if normal is None:
            return None
        if normal != row:
            if (again := self._normal(normal)) != normal:
                gave = f"it gave {self._genotype(normal)} and for that {self._genotype(again) if again else None}"
                raise InputError(f"problem {self.name}: `normal` must leave what it gives as it is; {gave}")
            return self._look(normal)
        costs = self._costs(normal)
        ratios = [costs[name] / cap for name, cap in self.caps.items()]
        return Known(normal, costs, max(ratios, default=0.0), sum(ratio - 1 for ratio in ratios if ratio > 1), [])

    def _normal(self, row: Row) -> Row | None:
        if self.normal is None:
            return row
        given = self._called("normal", self.normal, row)
        if given is None:
            return None
        normal = self._row(given, "what `normal` gave")
        if len(given) > len(self.genes):
            stray = next(name for name in given if name not in self._genotype(row))
            raise InputError(f"problem {self.name}: what `normal` gave has {stray!r}, which is no choice")
        return normal

    def _costs(self, row: Row) -> Mapping[str, float]:
        given = self._called("cost", self.cost, row)
        try:
            costs = {str(name): float(value) for name, value in given.items()}
        except (AttributeError, TypeError, ValueError):
            raise self._fault_of_cost(row, f"must map names to numbers, got {given!r}") from None
        if not all(map(math.isfinite, costs.values())):
            name = next(name for name, value in costs.items() if not math.isfinite(value))
            raise self._fault_of_cost(row, f"gives {name!r} as {costs[name]}, which is no finite number")
        if negative := [name for name in Cost.model_fields if costs.get(name, 0) < 0]:
            raise self._fault_of_cost(row, f"gives {negative[0]!r} as {costs[negative[0]]:g}, which is below 0")
        if not self._names:
            self._names.append(tuple(costs))
        if missing := [name for name in (*self.caps, *self._names[0]) if name not in costs]:
            why = "has a cap" if missing[0] in self.caps else "others have"
            gives = ", ".join(costs) or "nothing"
            raise self._fault_of_cost(row, f"lacks {missing[0]!r}, which {why}; it gives {gives}")
        return {name: costs[name] for name in self._names[0]}

    def _fault_of_cost(self, row: Row, fault: str) -> InputError:
        return InputError(f"problem {self.name}: `cost` of {self._genotype(row)} {fault}")

    def _called(self, what: str, function: Callable[[Genotype], T], row: Row) -> T:
        """Return what a function of the owner gives for a genotype, which is its own to change."""
        try:
            return function(self._genotype(row))
        except NasError:
            raise
        except Exception as fault:  # whatever somebody else's code may raise
            raise InputError(
                f"problem {self.name}: `{what}` of {self._genotype(row)} raised {in_one_line(fault)}"
            ) from fault

    def _changes(self, row: Row) -> Iterable[tuple[int, Known]]:
        """Yield the members that one choice away leads to: the next values of an ordered one, any of another."""
        for place, gene in enumerate(self.genes):
            at = gene.values.index(row[place])
            near = gene.values[max(0, at - 1) : at] + gene.values[at + 1 : at + 2]
            for value in near if gene.is_ordered else gene.values[:at] + gene.values[at + 1 :]:
                if (changed := self._look((*row[:place], value, *row[place + 1 :]))) is not None:
                    yield place, changed


def in_one_line(fault: BaseException) -> str:
    """Return an exception as its kind and the first line of what it says."""
    lines = str(fault).strip().splitlines()
    return f"{type(fault).__name__}: {lines[0]}" if lines else type(fault).__name__
