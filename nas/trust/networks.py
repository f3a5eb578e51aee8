"""What a study can be asked about its scores: each network with its proxy training and its final accuracy."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from nas.records import Fidelity, StudyConfig, TrialRecord
from nas.trust.composite import Composite
from nas.trust.measured import Measured, all_measured_at, measured_at
from nas.value import FrozenMap

ACCURACY = "val_accuracy"
BIN_FACTOR = 4
"""Networks of one size bin differ in params by less than this; the largest bin ends at the study's cap."""


@dataclass(frozen=True, slots=True)
class Network:
    """One network of a study.

    `scores` is what a proxy training gave, the composite among it, with costs and depth; `final_accuracy` the mean over
    `seeds` trainings at the top rung, None before there is one.
    """

    number: int
    params: int
    depth: int
    size_bin: int
    scores: FrozenMap[float]
    final_accuracy: float | None
    seeds: int

    @property
    def controls(self) -> tuple[float, float, float]:
        """What is known of a network without the score in question: log params, depth, proxy accuracy."""
        return math.log(max(1, self.params)), float(self.depth), self.scores[ACCURACY]


def networks(config: StudyConfig, records: Iterable[TrialRecord]) -> tuple[Network, ...]:
    """Return the networks of a study that were trained at its first rung, in the order of their numbers."""
    known = {record.number: record for record in records}
    proxies = proxy_trainings(config, known.values())
    composite = Composite.fitted(proxies)
    cap = config.budget.params or max((each.params for each in proxies), default=1)
    return tuple(_network(known[each.number], each, composite, config.fidelities[-1], cap) for each in proxies)


def proxy_trainings(config: StudyConfig, records: Iterable[TrialRecord]) -> tuple[Measured, ...]:
    """Return the trials at the first rung, each by its own training: further seeds come after a decision."""
    return all_measured_at(records, config.fidelities[0], own=True)


def final_seeds(record: TrialRecord, top: Fidelity) -> int:
    """Return from how many seeds a record was trained at the top rung."""
    return len({each.seed for each in record.measurements if each.fidelity == top and each.is_complete})


@cache
def size_bin(params: int, cap: int) -> int:
    """Return the size bin of a network: 0 from above a fourth of the cap up to it, 1 for the next fourth, and so on.

    By size alone, so that no network changes its bin when a study grows.
    """
    return next(step for step in itertools.count() if max(1, params) * BIN_FACTOR ** (step + 1) > cap)


def fullest_bin(found: Iterable[Network]) -> int | None:
    """Return the size bin with the most networks, of equals that of the larger ones; None without any."""
    counts = Counter(each.size_bin for each in found)
    return min(counts, key=lambda each: (-counts[each], each), default=None)


def _network(record: TrialRecord, proxy: Measured, composite: Composite, top: Fidelity, cap: int) -> Network:
    final = measured_at(record, top)
    return Network(
        number=record.number,
        params=proxy.params,
        depth=proxy.depth,
        size_bin=size_bin(proxy.params, cap),
        scores=FrozenMap(composite.metrics(proxy) | {"depth": float(proxy.depth)}),
        final_accuracy=final.metrics[ACCURACY] if final else None,
        seeds=final.seeds if final else 0,
    )


def with_seeds(found: Sequence[Network], seeds: int) -> tuple[Network, ...]:
    """Return those that were trained at the top rung from at least so many seeds."""
    return tuple(each for each in found if each.seeds >= seeds)
