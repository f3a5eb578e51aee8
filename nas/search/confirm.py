"""Finalists trained again from further seeds: what looked best by one lucky training is not kept for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nas.architecture import Architecture
from nas.records import TrialRecord
from nas.search.compare import Comparison, compare
from nas.search.evaluator import Evaluator
from nas.search.fidelity import repeats
from nas.search.loop import Event
from nas.search.promotion import ranking
from nas.search.study import Study
from nas.view import StudyView

ROUNDS = 3
"""Means move the front, so that it is looked at again; after so many times what is left stays unconfirmed."""


def finalists(view: StudyView, top: int) -> tuple[TrialRecord, ...]:
    """Return up to `top` of the compared records: members of the front first, then layer by layer, the best first."""
    records = {record.number: record for record in view.compared}
    ranked = ranking({number: view.metrics(record) for number, record in records.items()}, view.deciding)
    return tuple(records[number] for number in ranked[:top])


def confirmation(study: Study, top: int, seeds: int) -> Comparison:
    """Return the trainings of the finalists as they are now, at the compared rung, from `seeds` seeds each."""
    view = study.view()
    rungs = study.config.fidelities
    rung = rungs.index(view.compared_fidelity) if view.compared_fidelity else len(rungs) - 1
    return repeats(study, finalists(view, top), seeds, rung=rung)


def rounds(study: Study, top: int, seeds: int) -> Iterator[Comparison]:
    """Yield what is to be trained of the finalists, and again of those they are then, up to `ROUNDS` times.

    Ends when nothing was done of the last: it was complete, others are at it, it failed, or there was no time.
    """
    for _ in range(ROUNDS):
        trainings = confirmation(study, top, seeds)
        before = trainings.left()
        yield trainings
        if trainings.left() == before:
            return


def confirm(
    study: Study,
    evaluate: Evaluator,
    accept: Callable[[Architecture], object],
    on_event: Callable[[Event], None] = lambda _: None,
    *,
    top: int,
    seeds: int,
    time_is_up: Callable[[], bool] = lambda: False,
) -> None:
    """Train the finalists until each has `seeds` trainings, and those that take their places meanwhile.

    Several workers may do it at once; each takes what no other has begun. Ends before a training when `time_is_up`.
    """
    for trainings in rounds(study, top, seeds):
        compare(trainings, evaluate, accept, on_event, time_is_up=time_is_up)
