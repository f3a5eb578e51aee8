"""How much of a study's ladder is in use: the top rung grows while it still changes who is best.

After PASHA (Bohdal et al. 2023): training longer is worth it only where it changes the order. Two rungs are in use at
first; one is added when, among the best networks of a size bin, two have changed places between the two top ones, each
time by more than seeds alone would do. Up to that they count as tied. What a promotion has reached stays in use.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations

from nas.records import Fidelity, StudyConfig, TrialRecord
from nas.trust.measured import Measured, all_measured_at
from nas.trust.networks import ACCURACY, size_bin
from nas.trust.noise import seed_noise

FIRST_RUNGS = 2
BEST = 5
"""Networks of a size bin whose order is looked at."""


def active_rungs(records: Iterable[TrialRecord], config: StudyConfig) -> tuple[Fidelity, ...]:
    """Return the part of the ladder that is in use, cheapest first."""
    known, fidelities = tuple(records), config.fidelities
    found = {each.fidelity for record in known for each in record.own if each.is_complete}
    count = _in_use([fidelity in found for fidelity in fidelities])
    if 1 < count < len(fidelities):  # only now is it worth it to look at what was measured
        top = all_measured_at(known, fidelities[count - 1], own=True)
        there = {each.number for each in top}
        below = (record for record in known if record.number in there)
        lower = all_measured_at(below, fidelities[count - 2], own=True)
        count += _order_changes(lower, top, config, noise(known, config.quality.name))
    return fidelities[:count]


def active_count(rungs: Sequence[Sequence[Measured]], config: StudyConfig, noise: float) -> int:
    """Return how many rungs are in use, given what the search's own trainings measured at each of the ladder's."""
    count = _in_use([bool(networks) for networks in rungs])
    if 1 < count < len(rungs) and _order_changes(rungs[count - 2], rungs[count - 1], config, noise):
        count += 1
    return count


def _in_use(reached: Sequence[bool]) -> int:
    """Return how many rungs are in use at least, given which of them were reached."""
    highest = max((rung for rung, is_reached in enumerate(reached, start=1) if is_reached), default=0)
    return min(len(reached), max(FIRST_RUNGS, highest))


def noise(records: Iterable[TrialRecord], name: str = ACCURACY) -> float:
    """Return by how much seeds alone change a metric, one standard deviation; 0 where no network has several."""
    found = seed_noise(values for record in records for values in _repeated(record, name))
    return found.std if found else 0.0


def _repeated(record: TrialRecord, name: str) -> list[list[float]]:
    """Return the values of a metric from several seeds, by fidelity."""
    if len({each.seed for each in record.measurements}) < 2:
        return []
    values: dict[Fidelity, list[float]] = defaultdict(list)
    for each in record.measurements:
        if each.is_complete and name in each.metrics:
            values[each.fidelity].append(each.metrics[name])
    return [found for found in values.values() if len(found) > 1]


def _order_changes(lower: Sequence[Measured], top: Sequence[Measured], config: StudyConfig, noise: float) -> bool:
    """Return whether two of the best have changed places, on both rungs by more than the noise of a difference."""
    quality = config.quality
    sign = 1.0 if quality.direction == "maximize" else -1.0
    before = {each.number: sign * each.metrics[quality.name] for each in lower}
    cap = config.budget.params or max((each.params for each in top), default=1)
    bins: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for each in top:
        if each.number in before:
            bins[size_bin(each.params, cap)].append((sign * each.metrics[quality.name], before[each.number]))
    tied = math.sqrt(2) * noise
    pairs = (pair for members in bins.values() for pair in combinations(sorted(members, reverse=True)[:BEST], 2))
    return any(better[0] - worse[0] > tied and worse[1] - better[1] > tied for better, worse in pairs)
