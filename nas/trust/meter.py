"""How well does the proxy of a study rank? Each of its scores, the mix and "bigger is better" against final accuracy.

A correlation is positive where a score ranks rightly: a score of which less is said to be better is turned around.
The final accuracy is itself a mean over few seeds. Networks that are closer than its noise are in no true order, which
weighs most in the top fifth; no score can reach 1 there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from nas.records import StudyConfig, TrialRecord
from nas.trust.correlation import Array, Correlation, Method, association
from nas.trust.earned import mix_of, mixed
from nas.trust.mix import NAME as MIX
from nas.trust.mix import SCORE_DIRECTIONS
from nas.trust.networks import ACCURACY, Network, networks
from nas.trust.noise import SeedNoise, seed_noise
from nas.trust.rungs import RungTrust, advice, rung_trust
from nas.value import FrozenMap, Value, derive_seed

SIZE = "params"
"""The score that says nothing but that bigger is better."""
TOP_SHARE = 0.2


class Agreement(Value):
    """The rank correlations of a score with final accuracy among some networks; None where there is none to give."""

    kendall: Correlation | None = None
    spearman: Correlation | None = None


class ScoreTrust(Value):
    """How a score orders the networks of a study: all of them, those of one size, and those that ended best."""

    name: str
    overall: Agreement
    in_bins: Agreement
    top: Agreement


class Trust(Value):
    """What a study says about its proxy.

    `networks` have a final accuracy, `promoted` of them because these scores had promoted them and for no other reason.
    `bins` counts their size bins, `top` the networks of the top fifth, whose accuracies lie within `top_range`; `noise`
    is what seeds alone do to a final accuracy. `weights` are those of the mix; they were earned on networks of the same
    study, so that its own figures are a little too good.
    """

    networks: int
    promoted: int
    bins: int
    top: int
    top_range: float | None
    noise: SeedNoise | None
    weights: FrozenMap[float]
    scores: tuple[ScoreTrust, ...]
    rungs: tuple[RungTrust, ...]
    advice: str


def trust(
    config: StudyConfig, records: Sequence[TrialRecord], *, methods: Sequence[Method] = ("kendall", "spearman")
) -> Trust:
    """Return what the records of a study say about its scores at the lowest rung, and about its rungs."""
    seeds = final_accuracies(config, records)
    final = {number: fmean(values) for number, values in seeds.items()}
    known = [each for each in scored(config, records) if each.number in final]
    accuracy = np.array([final[each.number] for each in known])
    best, bins = _best(accuracy), [each.size_bin for each in known]

    def row(name: str) -> ScoreTrust:
        sign = 1.0 if SCORE_DIRECTIONS.get(name) != "minimize" else -1.0
        values = np.array([sign * each.scores.get(name, np.nan) for each in known])
        drawn = derive_seed(config.seed, name, "bootstrap")

        def agreement(x: Array, y: Array, groups: Sequence[int] | None = None) -> Agreement:
            return Agreement(**{method: association(x, y, method, groups, seed=drawn) for method in methods})

        return ScoreTrust(
            name=name,
            overall=agreement(values, accuracy),
            in_bins=agreement(values, accuracy, bins),
            top=agreement(values[best], accuracy[best]),
        )

    rungs = rung_trust(
        config, records, final, {rung: mixed(config, records, rung) for rung in range(len(config.fidelities) - 1)}
    )
    return Trust(
        networks=len(known),
        promoted=len({each.number for each in known} & _own_alone(config, records)),
        bins=len(set(bins)),
        top=len(best),
        top_range=float(np.ptp(accuracy[best])) if known else None,
        noise=seed_noise(seeds[each.number] for each in known),
        weights=FrozenMap(mix_of(config, records)[1].weights),
        scores=tuple(row(name) for name in (MIX, *SCORE_DIRECTIONS) if any(name in each.scores for each in known)),
        rungs=rungs,
        advice=advice(rungs, config.fidelities[-1]),
    )


def scored(config: StudyConfig, records: Sequence[TrialRecord]) -> tuple[Network, ...]:
    """Return the networks of a study with the mixed score among the others."""
    mix = mixed(config, records)
    found = networks(config, records)
    return tuple(replace(each, scores=FrozenMap({**each.scores, MIX: mix[each.number]})) for each in found)


def final_accuracies(config: StudyConfig, records: Sequence[TrialRecord]) -> dict[int, list[float]]:
    """Return by trial number the accuracy of each training at the top rung, but of the one that gave the scores.

    With one rung, further seeds are left.
    """
    found = {}
    for record in records:
        complete = [each for each in record.measurements if each.is_complete]
        proxy = next((each for each in complete if each.fidelity == config.fidelities[0]), None)
        top = [each for each in complete if each.fidelity == config.fidelities[-1] and each is not proxy]
        if top:
            found[record.number] = [each.metrics[ACCURACY] for each in top]
    return found


def _own_alone(config: StudyConfig, records: Sequence[TrialRecord]) -> set[int]:
    """Return the trials that were trained at the top rung by themselves alone, from no further seed."""
    top = config.fidelities[-1]
    again = (any(m.fidelity == top and m not in each.own for m in each.measurements) for each in records)
    return {each.number for each, is_there in zip(records, again, strict=True) if not is_there}


def _best(accuracy: Array) -> NDArray[np.intp]:
    """Return the positions of the top fifth, best first."""
    return np.argsort(-accuracy, kind="stable")[: int(np.ceil(TOP_SHARE * len(accuracy)))]
