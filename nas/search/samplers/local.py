"""Local search (White et al. 2021, arXiv:2005.02960): look around the best, move when better, else start anew."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from nas.members import Members
from nas.search.samplers.rule import Note, Past, Told, layers
from nas.space import Gene, GeneValue, Genotype

START = "nas:start"
"""The trial system attribute that marks where a new search begins."""

STARTS = 8
"""Random members suggested for one start."""


class LocalSearch:
    """Suggests what is one gene away from the best trial since the last start, in random order.

    With several objectives, from those of their front one after the other, as in Pareto local search (Paquete et al.
    2004). When all around them were seen, a random member starts anew. It remembers nothing but facts about members.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        self._known: dict[tuple[GeneValue, ...], tuple[str, Genotype] | None] = {}
        self._around: dict[tuple[GeneValue, ...], frozenset[str]] = {}

    def __call__(self, past: Past, rng: random.Random, note: Note) -> Iterator[Genotype]:
        """Yield members around the incumbents, and random ones when there are none."""
        run = _run(past)
        front = [told for told, layer in zip(run, layers(run), strict=True) if layer == 0]
        for incumbent in rng.sample(front, len(front)):
            yield from self._unseen(incumbent, past.seen, rng)
        if run:
            note(START)
        yield from (self._members.random(rng) for _ in range(STARTS))

    def _unseen(self, incumbent: Told, seen: AbstractSet[str], rng: random.Random) -> Iterator[Genotype]:
        """Yield the members around a trial that were not seen; the keys of all are known once it comes to its end."""
        row = tuple(incumbent.genotype.values())
        if row in self._around and self._around[row] <= seen:
            return
        around, keys = list(neighbours(self._members.genes, incumbent.genotype)), []
        rng.shuffle(around)
        for genotype in around:
            known = self._member(genotype)
            if known is not None:
                keys.append(known[0])
                if known[0] not in seen:
                    yield known[1]
        self._around[row] = frozenset(keys)

    def _member(self, genotype: Genotype) -> tuple[str, Genotype] | None:
        """Return the key and the normal form of a genotype, shrunk into the caps; None where that cannot be done."""
        row = tuple(genotype[gene.name] for gene in self._members.genes)
        if row not in self._known:
            member = self._members.fit(genotype)
            self._known[row] = None if member is None else (self._members.key(member), member)
        return self._known[row]


def neighbours(genes: Sequence[Gene], genotype: Genotype) -> Iterator[Genotype]:
    """Yield all genotypes that differ in one gene."""
    for gene in genes:
        for value in gene.values:
            if value != genotype[gene.name]:
                yield {**genotype, gene.name: value}


def _run(past: Past) -> list[Told]:
    """Return the complete trials since the last start. A start that still runs, or failed, counts as one."""
    start = next((trial.number for trial in reversed(past.trials) if START in trial.system_attrs), 0)
    return [told for told in past.told if told.number >= start and told.is_complete]
