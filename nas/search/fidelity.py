"""Candidates of a study trained at its top rung from further seeds: what is missing to say which scores to trust.

The trainings stand in an Optuna study of their own and join the records as further measurements. The search looks at
them for two things alone: which of its objectives may decide, and how much seeds change by themselves (`nas.trust`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from optuna.trial import TrialState

from nas.records import Fidelity, ReferenceRecord, Status, StudyConfig, TrialRecord
from nas.search.catalogue import FIDELITY_SUFFIX
from nas.search.compare import Comparison
from nas.search.history import own_seed
from nas.search.ledger import RUNG, read_trials
from nas.search.study import Study
from nas.trust.meter import scored
from nas.trust.mix import NAME as MIX
from nas.trust.networks import ACCURACY, Network, fullest_bin, networks
from nas.trust.rungs import cost_shares
from nas.trust.spread import spread
from nas.value import derive_seed


@dataclass(frozen=True)
class Sample:
    """The networks to train, all of one size bin, in the order of their numbers; `available` is how many it holds."""

    size_bin: int | None
    records: tuple[TrialRecord, ...]
    available: int


def further(study: Study, records: Sequence[TrialRecord], seeds: int = 1) -> Comparison:
    """Return trainings of candidates at the top rung from so many seeds that are not their own.

    What a score is held against must not share its seed, whose luck would count as foresight.
    """
    return Comparison(study, tuple(map(_named, records)), seeds, suffix=FIDELITY_SUFFIX)


def repeats(study: Study, records: Sequence[TrialRecord], seeds: int, *, rung: int | None = None) -> Comparison:
    """Return the trainings of candidates at a rung, the highest unless given, from so many seeds each.

    A candidate's own training there is one of them: it takes the last place, so that a further seed that was trained
    before it got there is none too many. Kept, resumed and shared between processes as those of references are.
    """
    config = study.config
    fidelity = config.fidelities[-1 if rung is None else rung]
    networks = tuple(map(_named, records))
    own = (_is_measured(each, fidelity, own_seed(config, each)) for each in records)
    had = {(network.key, seeds - 1) for network, is_there in zip(networks, own, strict=True) if is_there}
    return Comparison(study, networks, seeds, suffix=FIDELITY_SUFFIX, had=had, rung=rung)


def stratified(study: Study, most: int | None = None, seconds: float | None = None) -> tuple[TrialRecord, ...]:
    """Return networks to train once more at the top rung, over all sizes and scores (`nas.trust.spread`).

    At most `most`, and no more than are trained in so many `seconds`, as predicted; what was begun takes part anyway.
    """
    config = study.config
    records = {each.number: each for each in study.records() if _is_sound(each, config)}
    begun = _begun(study) & records.keys()
    left, chosen = math.inf if seconds is None else seconds, list[TrialRecord]()
    for number in spread(scored(config, tuple(records.values())), begun, mixed=MIX, seed=config.seed):
        left -= predicted_seconds(records[number], config) if number not in begun else 0.0
        if number not in begun and (left < 0 or (most is not None and len(chosen) >= most)):
            break
        chosen.append(records[number])
    return tuple(chosen)


def predicted_seconds(record: TrialRecord, config: StudyConfig) -> float:
    """Return how long a full training of a candidate takes, by what its first one at the lowest rung took."""
    lowest = next(each for each in record.measurements if each.fidelity == config.fidelities[0])
    return lowest.train_seconds / cost_shares(config.fidelities)[0]


def _begun(study: Study) -> set[int]:
    """Return which candidates were, or are being, trained at the top rung from a further seed."""
    top = len(study.config.fidelities) - 1
    return {
        trial.reference.number
        for trial in read_trials(study.storage, study.name + FIDELITY_SUFFIX)
        if trial.attributes.get(RUNG, top) == top
        and (trial.measurement is not None or trial.state == TrialState.RUNNING)
    }


def sample(study: Study, count: int) -> Sample:
    """Return up to `count` networks of the size bin with the most candidates, evenly over their first-rung accuracy.

    The bin is ranked by that accuracy and cut into as many parts as networks are wanted; each part gives the network
    with the most further seeds, of equals the one that the study's seed draws. So a sample that was begun goes on.
    """
    config = study.config
    records = {each.number: each for each in study.records() if _is_sound(each, config)}
    found = networks(config, records.values())
    size_bin = fullest_bin(found)
    members = sorted((each for each in found if each.size_bin == size_bin), key=_rank)
    parts = min(count, len(members))
    cuts = [len(members) * i // max(1, parts) for i in range(parts + 1)]
    preferred = {each.number: _preference(records[each.number], config) for each in members}
    chosen = [
        min((each.number for each in members[low:high]), key=lambda number: preferred[number])
        for low, high in pairwise(cuts)
    ]
    return Sample(size_bin, tuple(records[number] for number in sorted(chosen)), len(members))


def _is_sound(record: TrialRecord, config: StudyConfig) -> bool:
    return record.status(config.fidelities) in {Status.EVALUATED, Status.STOPPED_EARLY}


def _rank(network: Network) -> tuple[float, int]:
    return network.scores[ACCURACY], network.number


def _preference(record: TrialRecord, config: StudyConfig) -> tuple[int, int]:
    """Return what the choice within a part goes by, the least first: most further seeds, then the draw."""
    top, own = config.fidelities[-1], own_seed(config, record)
    further = {each.seed for each in record.measurements if each.fidelity == top} - {own}
    return -len(further), derive_seed(config.seed, record.number, "fidelity")


def _is_measured(record: TrialRecord, fidelity: Fidelity, seed: int) -> bool:
    return any(each.fidelity == fidelity and each.seed == seed for each in record.measurements)


def _named(record: TrialRecord) -> ReferenceRecord:
    """Return a candidate under a name, as the books of a comparison keep their networks."""
    return ReferenceRecord(name=f"trial {record.number}", **dict(record.candidate))
