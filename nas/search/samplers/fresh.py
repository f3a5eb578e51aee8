"""New members: within the caps, and none that a study has seen."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from itertools import product

from optuna.trial import FrozenTrial, TrialState

from nas.errors import NasError
from nas.members import Members
from nas.space import Gene, GeneValue, Genotype

MUTATED_ATTEMPTS = 60
RANDOM_ATTEMPTS = 60
MOST_ENUMERATED = 20_000
"""A space with at most this many genotypes is looked through before it is said to hold no new member."""


class ExhaustedError(NasError):
    """No new member within the caps was found; the search ends early."""


def new_member(
    members: Members, suggestions: Iterable[Genotype], seen: Set[str], rng: random.Random
) -> dict[str, GeneValue]:
    """Return a member within the caps, in normal form, whose key is not in `seen`.

    The suggestions are tried first; then mutations of the last one, one gene more every ten times; then random members;
    then all there are, if they are few. ExhaustedError, with the reason, where none is new.
    """
    proposals = 0
    for proposal in _proposals(members, suggestions, rng):
        proposals += 1
        member = members.fit(proposal)
        if member is not None and members.key(member) not in seen:
            return member
    if math.prod(len(gene.values) for gene in members.genes) > MOST_ENUMERATED:
        raise ExhaustedError(
            f"space {members.name!r}: no new member within the caps in {proposals} proposals; {len(seen):,} were seen"
        )
    return _enumerated(members, seen, rng)


def mutated(genes: Sequence[Gene], genotype: Genotype, count: int, rng: random.Random) -> dict[str, GeneValue]:
    """Return the genotype with `count` genes changed to another of their values."""
    able = [gene for gene in genes if len(gene.values) > 1]
    changed = {
        gene.name: rng.choice([value for value in gene.values if value != genotype[gene.name]])
        for gene in rng.sample(able, min(count, len(able)))
    }
    return {**genotype, **changed}


def _proposals(members: Members, suggestions: Iterable[Genotype], rng: random.Random) -> Iterator[Genotype]:
    last: Genotype | None = None
    for last in suggestions:
        yield last
    last = members.random(rng) if last is None else last
    for attempt in range(MUTATED_ATTEMPTS):
        yield mutated(members.genes, last, 1 + attempt // 10, rng)
    for _ in range(RANDOM_ATTEMPTS):
        yield members.random(rng)


def _enumerated(members: Members, seen: Set[str], rng: random.Random) -> dict[str, GeneValue]:
    """Return a new member, looking through all genotypes in an order that `rng` gives."""
    found: set[str] = set()
    values = [rng.sample(gene.values, len(gene.values)) for gene in members.genes]
    for row in product(*values):
        genotype = {gene.name: value for gene, value in zip(members.genes, row, strict=True)}
        member = members.fit(genotype) if members.load(genotype) <= 1 else None  # what is over them is shrunk to others
        if member is None:
            continue
        key = members.key(member)
        if key not in seen:
            return member
        found.add(key)
    raise ExhaustedError(
        f"space {members.name!r}: all {len(found):,} members within the caps were seen"
        if found
        else f"space {members.name!r}: no member is within the caps"
    )


class SeenKeys:
    """The keys of the trials of a study, each computed once.

    Trials that failed are not seen, nor those without a value for each gene, such as one that is being asked.
    `read` must be given trials of the same study in the order of their numbers.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        self._names = [gene.name for gene in members.genes]
        self._trials: list[FrozenTrial | None] = []
        self._keys: list[str | None] = []
        self._counts: dict[str, int] = {}
        self._known: dict[tuple[GeneValue, ...], str | None] = {}

    def read(self, trials: Sequence[FrozenTrial], *, changed: Callable[[int], None] | None = None) -> None:
        """Bring the keys up to date; `changed` hears the places of trials that were not so when last read."""
        missing = len(trials) - len(self._trials)
        self._trials += [None] * missing
        self._keys += [None] * missing
        for i, (trial, known) in enumerate(zip(trials, self._trials, strict=True)):
            if trial is known:
                continue
            self._trials[i] = trial if trial.state.is_finished() else None  # others may change in place
            self._count(i, None if trial.state == TrialState.FAIL else self.key(trial))
            if changed is not None:
                changed(i)

    def seen(self, avoid: Set[str] = frozenset()) -> set[str]:
        """Return the keys of all trials that were seen, and those to avoid."""
        return {*self._counts, *avoid}

    def key(self, trial: FrozenTrial) -> str | None:
        """Return the key of a trial; None where its values are no genotype of the space."""
        if any(name not in trial.params for name in self._names):
            return None
        row = tuple(trial.params[name] for name in self._names)
        if row not in self._known:
            try:
                self._known[row] = self._members.key(dict(zip(self._names, row, strict=True)))
            except NasError:  # a value that the space does not have
                self._known[row] = None
        return self._known[row]

    def _count(self, place: int, key: str | None) -> None:
        old, self._keys[place] = self._keys[place], key
        if old == key:
            return
        if old is not None:
            self._counts[old] -= 1
            if not self._counts[old]:
                del self._counts[old]
        if key is not None:
            self._counts[key] = self._counts.get(key, 0) + 1
