"""What the hours of a study have bought: its hypervolume after each training."""

from __future__ import annotations

from nas.effort import hypervolume_over_hours
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
