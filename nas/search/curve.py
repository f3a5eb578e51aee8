"""What the hours of a study have bought: its hypervolume after each training."""

from __future__ import annotations

from nas.effort import busy_clock, hypervolume_over_hours
from nas.records import Fidelity
from nas.search.study import Study
from nas.view import StudyView


def curve(study: Study, view: StudyView) -> list[tuple[float, float]]:
    """Return (hours, hypervolume) of the compared records of a view, each from the end of its own training there."""
    ends = study.ends()
    points = [
        (ends[record.number, view.compared_fidelity], view.metrics(record))
        for record in view.compared
        if view.compared_fidelity is not None and (record.number, view.compared_fidelity) in ends
    ]
    return hypervolume_over_hours(points, study.intervals(), view.deciding)


def own_hours(study: Study) -> dict[tuple[int, Fidelity], float]:
    """Return at which hour of the study each candidate's own training at a fidelity came to its end."""
    clock = busy_clock(study.intervals())
    return {training: clock(end) for training, end in study.ends().items()}
