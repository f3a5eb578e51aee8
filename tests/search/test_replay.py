"""What was trained in halves is replayed in halves, from the epoch on from which it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nas.records import Fidelity, Measurement, Plan, Recipe, TrialRecord
from nas.search.evaluator import TrainingEvaluator
from nas.search.replay import replay
from nas.training.checkpoint import Checkpoints
from tests.core.examples import architecture
from tests.search.fakes import digits_config, small_digits
from tests.search.test_evaluator import candidate, quiet

LADDER = (Fidelity(epochs=2, resolution=8), Fidelity(epochs=4, resolution=8))


def made(evaluate: TrainingEvaluator, rung: int) -> Measurement:
    return evaluate(candidate(architecture()), LADDER[rung], 1, quiet)


@pytest.mark.parametrize(
    ("halved_from", "goes_on"),
    [((None, None), True), ((None, 2), True), ((None, 3), True), ((0, 0), True), ((1, 1), True), ((0, None), False)],
)
def test_a_replay_halves_batches_where_the_trial_did(
    tmp_path: Path, halved_from: tuple[int | None, int | None], goes_on: bool
) -> None:
    evaluate = TrainingEvaluator(small_digits(), Recipe(batch_size=32), Plan(), ladder=LADDER)
    kept = Checkpoints(tmp_path if goes_on else None)
    measured = tuple(
        made(replace(evaluate, checkpoints=kept, halved_from=each), rung) for rung, each in enumerate(halved_from)
    )
    assert tuple(each.halved_from for each in measured) == halved_from
    assert measured[1].continued_from == (2 if goes_on else 0)
    record = TrialRecord(**dict(candidate(architecture())), measurements=measured)
    found = list(replay(digits_config(fidelities=LADDER), evaluate, record, measured))
    assert {each.rung for each in found} == {1, 2}
    assert [each for each in found if not each.is_equal] == []
