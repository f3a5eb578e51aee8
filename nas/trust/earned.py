"""What each score has earned in a study: its rank correlation with the accuracy at the rungs above.

Networks are compared with those of their own size bin at the same rung alone, so what only measures size earns no more
than it does among networks of about one size. A study is young for long: the correlation is drawn towards what was
believed before it, by the count of networks. Only what was promoted has a rung above, which makes every correlation
look weaker than it is, that of the score that promotes most of all; nothing corrects that but the prior, and the
promotions that are drawn at random (`nas.search.promotion`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.records import Fidelity, StudyConfig, TrialRecord
from nas.trust.correlation import bootstrap_interval, mean_ranks
from nas.trust.gate import GATED
from nas.trust.measured import Measured, all_measured_at
from nas.trust.mix import SCORE_DIRECTIONS, Mix, column
from nas.trust.networks import ACCURACY, size_bin
from nas.value import derive_seed

PRIORS = {"val_accuracy": 0.6, "train_loss_ema": 0.6}
"""The correlation that a score is believed to have before anything is known; that of all others is 0."""
PRIOR_NETWORKS = 10
"""How many networks the prior weighs as much as."""
LEAST_TRUST = 0.2
"""A score trusted less, or one that adds less to those before it, counts for nothing."""
FEWEST_NETWORKS = 8
"""Networks with a rung above, below which nothing is mixed and accuracy speaks for itself."""
FEWEST_IN_GROUP = 3
MOST_SCORES = 5

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Earned:
    """The trust of every score by itself, the weights of those that are mixed, and from how many networks."""

    trust: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    networks: int = 0


def earned(
    networks: Sequence[Measured],
    above: Sequence[Sequence[Measured]],
    cap: int,
    silent: AbstractSet[str] = frozenset(GATED),
) -> Earned:
    """Return what the scores of the networks of a rung have earned at the rungs above it.

    `silent` scores take no part: interference metrics, unless they have passed the gate.
    """
    groups = _groups(networks, above, cap)
    count = len({number for each in groups for number in each.numbers})
    if count < FEWEST_NETWORKS:
        return Earned(networks=count)
    target = np.concatenate([_standard(each.accuracies) for each in groups])
    names = [name for name in SCORE_DIRECTIONS if name not in silent]
    columns = {name: _pooled(groups, name) for name in names}
    trust = {
        name: _shrunk(float(found @ target) / len(target), count, PRIORS.get(name, 0.0))
        for name, found in columns.items()
        if found.any()
    }
    return Earned(trust, _complementary(columns, trust, target), count)


def mix_of(
    config: StudyConfig, records: Iterable[TrialRecord], rung: int = 0, silent: AbstractSet[str] = frozenset(GATED)
) -> tuple[Earned, Mix, tuple[Measured, ...]]:
    """Return what the scores of a rung have earned, their mix, and the networks that it ranks.

    Before anything was earned the mix is accuracy alone.
    """
    known = tuple(records)
    networks = all_measured_at(known, config.fidelities[rung], own=True)
    above = [all_measured_at(known, fidelity) for fidelity in config.fidelities[rung + 1 :]]
    return *_mix_of(config, networks, above, silent), networks


def _mix_of(
    config: StudyConfig,
    networks: Sequence[Measured],
    above: Sequence[Sequence[Measured]],
    silent: AbstractSet[str] = frozenset(GATED),
) -> tuple[Earned, Mix]:
    found = earned(networks, above, cap(config, networks), silent)
    return found, Mix.fitted([each.scores for each in networks], found.weights or {ACCURACY: 1.0})


def mixed(config: StudyConfig, records: Iterable[TrialRecord], rung: int = 0) -> dict[int, float]:
    """Return the mixed score of the networks of a rung by trial number; higher is better."""
    _, mix, networks = mix_of(config, records, rung)
    values = mix.values([each.scores for each in networks])
    return {each.number: float(value) for each, value in zip(networks, values, strict=True)}


def cap(config: StudyConfig, networks: Iterable[Measured]) -> int:
    """Return where the largest size bin ends: at the cap, or at the largest network without one."""
    return config.budget.params or max((each.params for each in networks), default=1)


def running_estimate(config: StudyConfig, records: Iterable[TrialRecord]) -> list[str]:
    """Return in a line for each rung how it ranks the networks that the next one has measured.

    The mix was weighted on the same networks, so its own figure is a little too good.
    """
    known, ladder, lines = tuple(records), config.fidelities, []
    above = [all_measured_at(known, fidelity) for fidelity in ladder[1:]]
    for rung, (fidelity, higher) in enumerate(pairwise(ladder)):
        networks = all_measured_at(known, fidelity, own=True)
        _, mix = _mix_of(config, networks, above[rung:])
        final = {each.number: each.metrics[ACCURACY] for each in above[rung] if ACCURACY in each.metrics}
        both = [each.scores for each in networks if each.number in final]
        accuracy = [final[each.number] for each in networks if each.number in final]
        told = {"val_accuracy": column(both, ACCURACY), "train_loss_ema": -column(both, "train_loss_ema")}
        words = []
        for name, values in (told | {"mix": mix.values(both)}).items():
            found = bootstrap_interval(values, accuracy, seed=derive_seed(config.seed, name, "bootstrap"))
            if found is not None:
                words.append(f"{name} {found.value:.2f} ({found.low:.2f} to {found.high:.2f})")
        if words:
            ranks = f"rank correlation of {_words(fidelity)} with accuracy after {_words(higher)}"
            lines.append(f"{ranks}: {', '.join(words)}; {len(both)} networks")
    return lines


def _words(fidelity: Fidelity) -> str:
    return f"{fidelity.epochs} epoch{'s' * (fidelity.epochs > 1)}"


class _Group(NamedTuple):
    """The networks of one size bin that reached the same rung above: their scores as rows, and accuracies there."""

    numbers: Sequence[int]
    scores: Array
    accuracies: Array


def _groups(networks: Sequence[Measured], above: Sequence[Sequence[Measured]], cap: int) -> list[_Group]:
    found = list[_Group]()
    for rung in above:
        accuracy = {each.number: each.metrics[ACCURACY] for each in rung if ACCURACY in each.metrics}
        bins: dict[int, list[Measured]] = defaultdict(list)
        for each in networks:
            if each.number in accuracy:
                bins[size_bin(each.params, cap)].append(each)
        for members in bins.values():
            if len(members) >= FEWEST_IN_GROUP:
                numbers = [each.number for each in members]
                values = np.array([accuracy[number] for number in numbers])
                found.append(_Group(numbers, np.array([each.row for each in members]), values))
    return found


def _pooled(groups: Sequence[_Group], name: str) -> Array:
    """Return a score, so that higher is better, as standard ranks inside each group, one group after the other."""
    sign, place = 1.0 if SCORE_DIRECTIONS[name] == "maximize" else -1.0, list(SCORE_DIRECTIONS).index(name)
    return np.concatenate([_standard(sign * each.scores[:, place]) for each in groups])


def _standard(values: Array) -> Array:
    """Return the ranks of `values` (N,) with mean 0 and deviation 1; 0 for what is missing or all alike."""
    known = ~np.isnan(values)
    ranks = np.zeros(len(values))
    ranks[known] = mean_ranks(values[known])
    ranks[known] -= ranks[known].mean() if known.any() else 0.0
    spread = float(np.sqrt((ranks**2).mean()))
    return ranks / spread if spread else ranks


def _shrunk(correlation: float, count: int, prior: float) -> float:
    return (count * correlation + PRIOR_NETWORKS * prior) / (count + PRIOR_NETWORKS)


def _complementary(columns: Mapping[str, Array], trust: Mapping[str, float], target: Array) -> dict[str, float]:
    """Return the weights of the scores that are mixed: the most trusted first, then what adds most to those before it.

    What a score adds is its partial correlation with the accuracy above given the mix so far, so that two that say the
    same do not count twice.
    """
    left = {name: value for name, value in trust.items() if value >= LEAST_TRUST}
    if not left:
        return {}
    first = max(left, key=lambda name: left[name])
    weights, mix, of_mix = {first: left.pop(first)}, trust[first] * columns[first], trust[first]
    while left and len(weights) < MOST_SCORES:
        adds = {name: _partial(trust[name], of_mix, _correlation(columns[name], mix)) for name in left}
        best = max(adds, key=lambda name: adds[name])
        if adds[best] < LEAST_TRUST:
            break
        weights[best] = adds[best]
        mix = mix + adds[best] * columns[best]
        of_mix = max(of_mix, _shrunk(_correlation(mix, target), len(target), of_mix))
        del left[best]
    return weights


def _correlation(x: Array, y: Array) -> float:
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / lengths if lengths else 0.0


def _partial(x_target: float, mix_target: float, x_mix: float) -> float:
    """Return the partial correlation of x with the target given the mix, from the three plain ones."""
    left = (1 - x_mix**2) * (1 - mix_target**2)
    return (x_target - x_mix * mix_target) / math.sqrt(left) if left > 1e-9 else 0.0
