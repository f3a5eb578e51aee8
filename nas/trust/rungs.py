"""Which rung of the ladder is worth its cost? How well each orders the final accuracy, beside what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from statistics import fmean

from nas.effort import stage_efforts
from nas.records import Fidelity, StudyConfig, TrialRecord
from nas.trust.correlation import FEWEST, Correlation, association
from nas.value import Value, derive_seed

ACCURACY = "val_accuracy"
LEAST_ORDER = 0.5
"""Kendall's tau below which a rung decides too often wrongly: of two networks it puts one in four the wrong way."""
WELL_ORDERED = 0.8
"""From here on there is order to spare: cheaper images may do."""
LEAST_GAIN = 0.05
"""What a rung must add to the order of the one below to be worth a training of its own."""


class RungTrust(Value):
    """How a rung orders the final accuracy, by Kendall's tau of its accuracy and of the mixed score there.

    `cost` is the share of a full training that it takes to get there. `beside` is the tau of the accuracy over the
    networks that the next rung has, too: only the better ones get there, and those are harder to tell apart.
    """

    rung: int
    fidelity: Fidelity
    cost: float
    networks: int
    accuracy: Correlation | None
    mixed: Correlation | None
    beside: Correlation | None


def cost_shares(ladder: Sequence[Fidelity]) -> tuple[float, ...]:
    """Return what share of the whole ladder a training has cost at each rung, in pixels seen."""
    efforts = stage_efforts(ladder)
    return tuple(done / sum(efforts) for done in accumulate(efforts))


def rung_accuracy(record: TrialRecord, fidelity: Fidelity) -> float | None:
    """Return the mean accuracy at a rung of the trainings that went on from it, else that of those that ended there.

    A staged training is validated at the end of each stage. So the rungs of a network are compared within the same
    trainings, and what they share with the final accuracy, their seed, they all share.
    """
    complete = [each for each in record.measurements if each.is_complete]
    passed = [each.epochs[fidelity.epochs - 1] for each in complete if len(each.epochs) > fidelity.epochs]
    found = [each.val_accuracy for each in passed if each.val_accuracy is not None]
    found = found or [each.metrics[ACCURACY] for each in complete if each.fidelity == fidelity]
    return fmean(found) if found else None


def rung_trust(
    config: StudyConfig,
    records: Sequence[TrialRecord],
    final: Mapping[int, float],
    mixed: Mapping[int, Mapping[int, float]],
) -> tuple[RungTrust, ...]:
    """Return the rungs below the top, cheapest first.

    `final` is the final accuracy of the networks by number, `mixed` by rung and by number the mixed score there.
    """
    ladder = config.fidelities
    known = [each for each in records if each.number in final]
    reached = [{each.number: rung_accuracy(each, rung) for each in known} for rung in ladder[:-1]]
    at = [{number: accuracy for number, accuracy in each.items() if accuracy is not None} for each in reached]

    def order(scores: Mapping[int, float], among: Mapping[int, float]) -> Correlation | None:
        numbers = sorted(scores.keys() & among.keys() & final.keys())
        drawn = derive_seed(config.seed, "rungs", "bootstrap")
        return association([scores[n] for n in numbers], [final[n] for n in numbers], seed=drawn)

    return tuple(
        RungTrust(
            rung=rung,
            fidelity=ladder[rung],
            cost=cost,
            networks=len(at[rung]),
            accuracy=order(at[rung], at[rung]),
            mixed=order(mixed.get(rung, {}), at[rung]),
            beside=order(at[rung], at[rung + 1]) if rung + 1 < len(at) else None,
        )
        for rung, cost in enumerate(cost_shares(ladder)[:-1])
    )


def advice(rungs: Sequence[RungTrust], top: Fidelity) -> str:
    """Return in one or two sentences which rung is worth its cost, and which epochs and resolution to try.

    The first of these rules that holds, by Kendall's tau of the accuracy at a rung and the final one: a lowest rung
    below `LEAST_ORDER` is to be replaced by the cheapest rung that reaches it, else given the full resolution if it has
    less, else three times the epochs; a rung that adds less than `LEAST_GAIN` to the one below, over the networks of
    both, is to be left out; a lowest rung from `WELL_ORDERED` on may try half its resolution. Else the ladder is good.
    """
    if not rungs:
        return "one rung: every network is trained in full, there is no proxy to trust"
    lowest, ladder = rungs[0], [*(each.fidelity for each in rungs), top]
    if lowest.accuracy is None:
        return f"the rungs cannot be judged yet: that takes {FEWEST} networks with a final accuracy"
    tau, of_cost = lowest.accuracy.value, f"at {100 * lowest.cost:.0f} % of the cost"
    if tau < LEAST_ORDER:
        return f"the lowest rung ({_words(lowest.fidelity)}) orders by {tau:.2f} only: {_instead(rungs, top)}"
    for low, high in pairwise(rungs):
        if high.accuracy and low.beside and high.accuracy.value - low.beside.value < LEAST_GAIN:
            without = [each for each in ladder if each != high.fidelity]
            return (
                f"rung {low.rung} ({_words(low.fidelity)}) orders as well as rung {high.rung} "
                f"({_words(high.fidelity)}), {low.beside.value:.2f} and {high.accuracy.value:.2f}, at "
                f"{100 * low.cost / high.cost:.0f} % of its cost: {_option(without)}"
            )
    found = f"the lowest rung ({_words(lowest.fidelity)}) orders by {tau:.2f} {of_cost}"
    if tau >= WELL_ORDERED:
        half = lowest.fidelity.model_copy(update={"resolution": lowest.fidelity.resolution // 2})
        return f"{found}; half its resolution costs a fourth and is worth a try: {_option([half, *ladder[1:]])}"
    return f"{found}, and every rung is worth its own"


def _instead(rungs: Sequence[RungTrust], top: Fidelity) -> str:
    """Return what to do about a lowest rung that orders too little."""
    ladder = [*(each.fidelity for each in rungs), top]
    for i, each in enumerate(rungs):
        if each.accuracy and each.accuracy.value >= LEAST_ORDER:
            return (
                f"start at rung {each.rung} ({_words(each.fidelity)}), which orders by {each.accuracy.value:.2f} at "
                f"{100 * each.cost:.0f} % of the cost: {_option(ladder[i:])}"
            )
    lowest = rungs[0].fidelity
    if lowest.resolution < top.resolution:
        full = lowest.model_copy(update={"resolution": top.resolution})
        return f"give it the full resolution: {_option([full, *ladder[1:]])}"
    longer = lowest.model_copy(update={"epochs": 3 * lowest.epochs})
    if longer.epochs >= top.epochs:
        return "only full trainings order these networks"
    return f"give it 3 times the epochs: {_option([longer, *(each for each in ladder if each.epochs > longer.epochs)])}"


def _option(ladder: Sequence[Fidelity]) -> str:
    """Return the option of `nas search` that asks for a ladder."""
    full = ladder[-1].resolution
    rungs = (f"{each.epochs}{f'@{each.resolution}' * (each.resolution != full)}" for each in ladder)
    return f"--rungs {','.join(rungs)}"


def _words(fidelity: Fidelity) -> str:
    return f"{fidelity.epochs} epoch{'s' * (fidelity.epochs > 1)}, {fidelity.resolution} px"
