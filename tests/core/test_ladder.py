"""How much of the ladder is in use: it grows while the order of the best changes, and never shrinks."""

from __future__ import annotations

import pytest

from nas.records import Fidelity, TrialRecord
from nas.trust.ladder import active_rungs, noise
from tests.core.examples import config, measurement, record

LADDER = tuple(Fidelity(epochs=n, resolution=8) for n in (1, 3, 9, 27))
STUDY = config(fidelities=LADDER)


def trial(number: int, *accuracies: float, params: int = 900) -> TrialRecord:
    """Return a trial with its accuracy at each rung that it has reached."""
    return record(
        *(measurement(each, rung) for each, rung in zip(accuracies, LADDER, strict=False)), number=number, params=params
    )


def active(*records: TrialRecord) -> int:
    return len(active_rungs(records, STUDY))


KEPT = (trial(0, 0.3, 0.6), trial(1, 0.2, 0.5), trial(2, 0.1, 0.4))
CHANGED = (trial(0, 0.1, 0.6), trial(1, 0.2, 0.5), trial(2, 0.1, 0.4))
REPEATED = record(measurement(0.1, LADDER[0]), measurement(0.3, LADDER[0], seed=5), number=9, params=900)


def test_a_study_begins_with_two_rungs() -> None:
    assert active() == active(trial(0, 0.5)) == 2
    assert len(active_rungs((), config(fidelities=LADDER[:1]))) == 1


def test_the_ladder_stays_while_the_order_does() -> None:
    assert active(*KEPT) == 2


def test_the_ladder_grows_when_two_of_the_best_change_places() -> None:
    assert active(*CHANGED) == 3


def test_changes_within_the_noise_of_seeds_are_ties() -> None:
    assert noise([REPEATED]) == pytest.approx(0.1414, abs=1e-4)
    assert active(*CHANGED, REPEATED) == 2


def test_networks_of_different_size_are_not_each_others_order() -> None:
    assert active(CHANGED[0], trial(1, 0.2, 0.5, params=100)) == 2


def test_what_a_promotion_has_reached_stays_in_use() -> None:
    assert active(*KEPT, trial(3, 0.3, 0.6, 0.7)) == 3
    assert active(*KEPT, trial(3, 0.3, 0.6, 0.7, 0.8)) == 4


def test_further_seeds_at_the_top_do_not_lengthen_the_ladder() -> None:
    sampled = record(measurement(0.2, LADDER[0]), measurement(0.9, LADDER[3], seed=5), number=4)
    assert active(*KEPT, sampled) == 2


def test_only_the_best_are_looked_at() -> None:
    best = [trial(i, 0.5 + i / 100, 0.7 + i / 100) for i in range(5)]
    assert active(*best, trial(7, 0.1, 0.3), trial(8, 0.2, 0.2)) == 2
