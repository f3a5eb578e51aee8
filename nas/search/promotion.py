"""Which candidates go on to the next rung, and which are trained once more: rules over records, nothing stored.

Asynchronous successive halving (Li et al. 2020, ASHA) on non-dominated layers (Schmucker et al. 2021, MO-ASHA), inside
size bins: of n networks measured on a rung one in `reduction` may be on the next one, the highest rung first. A network
dominates another if it is nowhere worse and somewhere better by more than seeds alone would make it. Where the scores
of the rung have earned weights, their mix stands for accuracy: it ranks the rung above better.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nas import pareto
from nas.budget import Cost
from nas.records import StudyConfig
from nas.search.layers import layers
from nas.trust.composite import NAME as COMPOSITE
from nas.trust.composite import Composite
from nas.trust.earned import cap, earned
from nas.trust.gate import GATED
from nas.trust.ladder import active_count
from nas.trust.measured import Measured
from nas.trust.mix import Mix
from nas.trust.networks import ACCURACY, size_bin
from nas.value import derive_seed

ACCURACY_LIKE = frozenset({"val_accuracy", "val_loss", "train_loss"})
"""Objectives that the mix can stand for."""
DRAWN = 8
"""One promotion in so many is drawn from the rest of its bin, so that trust does not rest on the best alone."""

Array = NDArray[np.float64]
Rungs = Sequence[Sequence[Measured]]


@dataclass(frozen=True)
class Standing:
    """What a study knows when a worker asks for something to do.

    `rungs` is what the search's own trainings measured at each rung of the ladder, `above` the same with further seeds;
    `claimed` are the (trial number, rung) that were promoted, `deciding` the objectives that may decide, and `noise` is
    how far seeds alone move a metric.
    """

    config: StudyConfig
    rungs: Rungs
    above: Rungs
    claimed: AbstractSet[tuple[int, int]] = frozenset()
    deciding: tuple[pareto.Objective, ...] = ()
    noise: Mapping[str, float] = field(default_factory=dict)

    def promoted(self, rung: int) -> AbstractSet[int]:
        """Return the numbers of those that were promoted to a rung."""
        return self._promoted.get(rung, frozenset())

    @cached_property
    def _promoted(self) -> Mapping[int, AbstractSet[int]]:
        found: dict[int, set[int]] = defaultdict(set)
        for number, rung in self.claimed:
            found[rung].add(number)
        return found


def next_promotion(standing: Standing) -> tuple[int, int] | None:
    """Return (trial number, rung) of the promotion that should run next; None if none should."""
    reached = 1 + max((rung for _, rung in standing.claimed), default=0)
    noise = standing.noise.get(standing.config.quality.name, 0.0)
    active = max(reached, active_count(standing.rungs, standing.config, noise))
    for rung in reversed(range(1, active)):
        members, promoted = _members_with_room(standing, rung), standing.promoted(rung)
        if members:
            left = [number for number in ranked(standing, rung - 1, members) if number not in promoted]
            return _drawn(left, standing.config.seed, rung, len(promoted)), rung
    return None


def is_replicated(number: int) -> bool:
    """Return whether a candidate is trained at the lowest rung from a second seed: that is how noise is measured.

    The first four after eight trials each, then one in sixteen; a study of eight trials spends nothing on it.
    """
    return number > 0 and number % (8 if number <= 32 else 16) == 0


def next_replicate(standing: Standing, replicated: AbstractSet[int]) -> int | None:
    """Return the trial number of the candidate to train again at the lowest rung; None if there is none."""
    if len(standing.rungs) < 2:
        return None
    wanted = (each.number for each in standing.rungs[0] if is_replicated(each.number))
    return next((number for number in wanted if number not in replicated), None)


def _members_with_room(standing: Standing, rung: int) -> list[Measured]:
    """Return the networks below a rung of the size bin that may promote the next one; none where no bin may.

    First the bins that are owed a whole seat; then, until the study as a whole has its share, rounded up, those that
    are owed the largest part of one. Of equals the bin of the larger networks.
    """
    below, reduction = standing.rungs[rung - 1], standing.config.reduction
    largest, promoted = cap(standing.config, below), standing.promoted(rung)
    places = [size_bin(each.params, largest) for each in below]
    bins = Counter(places)
    taken = Counter(place for each, place in zip(below, places, strict=True) if each.number in promoted)
    seats = -(-len(below) // reduction) if len(below) >= reduction else 0
    owed = {place: count / reduction - taken[place] for place, count in sorted(bins.items())}
    is_full = sum(taken.values()) >= seats
    best = max(owed, key=lambda each: owed[each], default=None)
    has_room = best is not None and (owed[best] >= 1 or (owed[best] > 0 and not is_full))
    return [each for each, place in zip(below, places, strict=True) if place == best] if has_room else []


def _drawn(left: Sequence[int], seed: int, rung: int, promoted: int) -> int:
    """Return the first of the ranked numbers or, once in a while, one of the others."""
    if promoted % DRAWN != DRAWN - 1 or len(left) == 1:
        return left[0]
    others = sorted(left[1:])
    return others[derive_seed(seed, rung, promoted, "draw") % len(others)]


def ranked(standing: Standing, rung: int, members: Sequence[Measured]) -> list[int]:
    """Return the numbers of some networks of a rung, best first: by layer, then by the mix, then by number."""
    mixed = mix_at(standing, rung)
    networks = standing.rungs[rung]
    values = mixed.values([each.scores for each in networks])
    losses = _losses(networks, standing.deciding, values, is_mixed=set(mixed.weights) != {ACCURACY})
    rows = {each.number: i for i, each in enumerate(networks)}
    chosen = [rows[each.number] for each in members]
    epsilons = [_epsilon(objective, standing.noise) for objective in standing.deciding]
    numbers = np.array([each.number for each in members])
    layer = np.array(layers(losses[chosen], np.array(epsilons)))
    order = np.lexsort((numbers, -values[chosen], layer))
    return [int(number) for number in numbers[order]]


def ranking(points: Mapping[int, Mapping[str, float]], objectives: Sequence[pareto.Objective]) -> list[int]:
    """Return the trial numbers, best first: by non-dominated layer, then by the first objective, then by number."""
    numbers = sorted(points)
    losses = pareto.losses([points[number] for number in numbers], objectives)
    layer = layers(losses, np.zeros(len(objectives)))
    return [number for *_, number in sorted(zip(layer, losses[:, 0], numbers, strict=True))]


def mix_at(standing: Standing, rung: int) -> Mix:
    """Return the mixed score of a rung; accuracy alone while nothing was earned."""
    config, networks = standing.config, standing.rungs[rung]
    silent = frozenset(GATED) - {objective.name for objective in standing.deciding}
    found = earned(networks, standing.above[rung + 1 :], cap(config, networks), silent)
    return Mix.fitted([each.scores for each in networks], found.weights or {ACCURACY: 1.0})


def _losses(
    networks: Sequence[Measured], objectives: Sequence[pareto.Objective], mixed: Array, *, is_mixed: bool
) -> Array:
    """Return what the networks of a rung are compared by, (N, objectives), less is better.

    `interference` is the composite refitted on the rung. Where scores are mixed, a network has the accuracy that stands
    at its place in the order of the mix: in units of accuracy, so that the noise of seeds can be compared with it.
    """
    points = [each.scores for each in networks]
    if any(objective.name == COMPOSITE for objective in objectives):
        composite = Composite.fitted(networks)
        points = [composite.metrics(each) for each in networks]
    losses = pareto.losses(points, objectives)
    order = np.argsort(-mixed, kind="stable")
    for k, objective in enumerate(objectives):
        if is_mixed and objective.name in ACCURACY_LIKE:
            losses[order, k] = np.sort(losses[:, k])
    return losses


def _epsilon(objective: pareto.Objective, noise: Mapping[str, float]) -> float:
    """Return up to which difference networks are tied: none in costs, nor in the composite, whose unit is its own."""
    return 0.0 if objective.name in {*Cost.model_fields, COMPOSITE} else noise.get(objective.name, 0.0)
