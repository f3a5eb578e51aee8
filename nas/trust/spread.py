"""Which networks say most about the scores of a study? A sample over all its sizes and over the range of every score.

A sequence, so that one more network can always follow, as long as the time lasts: the next one comes from the size bin
of which the least share was taken, and there it is the one farthest, in ranks, from those taken before. The ranks are
those of the mixed score in every second step and of the single scores in turn in the others. The sequence depends on
the networks and on what was begun alone; a begun sample goes on, in whichever process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

import numpy as np

from nas.trust.networks import Network
from nas.value import derive_seed


def spread(networks: Sequence[Network], begun: Set[int], *, mixed: str, seed: int) -> Iterator[int]:
    """Yield the numbers of all `networks`, those that were `begun` first, each next one as the module says.

    `mixed` is the name of the mixed score; of equally good networks the one that `seed` draws is taken.
    """
    bins = [_Bin.of(networks, size_bin, begun, mixed) for size_bin in sorted({each.size_bin for each in networks})]
    yield from sorted(number for each in bins for number in each.taken)
    for _ in range(sum(len(each.members) - len(each.taken) for each in bins)):
        emptiest = min(bins, key=lambda each: (len(each.taken) / len(each.members), -len(each.members)))
        yield emptiest.take(seed)


class _Bin:
    """The networks of a size bin, with their ranks under each score, and which of them were taken."""

    def __init__(self, members: tuple[Network, ...], scores: Sequence[str], taken: Set[int]) -> None:
        self.members, self.taken = members, set(taken)
        self._ranks = [np.argsort(np.argsort([each.scores[score] for each in members])) for score in scores]

    @classmethod
    def of(cls, networks: Sequence[Network], size_bin: int, begun: Set[int], mixed: str) -> _Bin:
        """Return a bin with the scores that all its members have and that tell any of them apart."""
        members = tuple(sorted((n for n in networks if n.size_bin == size_bin), key=lambda n: n.number))
        shared = set.intersection(*(set(each.scores) for each in members))
        single = sorted(name for name in shared - {mixed} if len({each.scores[name] for each in members}) > 1)
        turns = [name for each in single for name in (mixed, each)] if mixed in shared else single
        return cls(members, turns, begun & {each.number for each in members})

    def take(self, seed: int) -> int:
        """Take the next network and return its number."""
        far = self._distances()
        left = [i for i, each in enumerate(self.members) if each.number not in self.taken]
        best = max(left, key=lambda i: (far[i], derive_seed(seed, self.members[i].number, "fidelity")))
        self.taken.add(self.members[best].number)
        return self.members[best].number

    def _distances(self) -> list[float]:
        """Return how far each member is from those taken, in ranks; from both ends, where none was."""
        if not self._ranks:
            return [0.0] * len(self.members)
        ranks = self._ranks[len(self.taken) % len(self._ranks)]
        taken = ranks[[each.number in self.taken for each in self.members]] if self.taken else [-1, len(ranks)]
        return [float(each) for each in np.abs(np.subtract.outer(ranks, taken)).min(axis=1)]
