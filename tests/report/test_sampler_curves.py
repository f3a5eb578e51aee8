"""Samplers side by side, against closed forms: one box for all, one fidelity, one training of each network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from nas.budget import Budget
from nas.errors import InputError
from nas.pareto import Objective
from nas.records import Fidelity, TrialRecord
from nas.report.sampler_curves import Course, SideBySide, Standing, side_by_side
from nas.report.sampler_figures import DASHES, samplers_figure, time_figure, trials_figure
from nas.view import StudyView
from tests.core.examples import HIGH, LOW, config, diverged, measurement, record

MakeView = Callable[..., StudyView]

WHOLE = 1.1**2
"""Of the box: a tenth of each range lies behind the worst."""


def view(*records: TrialRecord, **given: Any) -> StudyView:
    """Return the view of a study of these trials."""
    return StudyView.of(config(budget=Budget(params=20_000), **given), records)


def trial(number: int, accuracy: float, params: int = 1_000) -> TrialRecord:
    """Return a trial that was measured once, at the lowest rung."""
    return record(measurement(accuracy), number=number, params=params)


FIRST = view(trial(0, 0.5, 10_000), trial(1, 0.9, 1_000))
SECOND = view(trial(0, 0.7, 100), trial(1, 0.6, 1_000), trial(2, 0.9, 100), name="study-random")
"""Together accuracies from 0.5 to 0.9, and 100 to 10,000 parameters."""


def volumes(course: Course) -> list[float]:
    """Return the hypervolumes over trials, in the units of the box."""
    return [found.hypervolume * WHOLE for found in course.over_trials]


def test_all_studies_are_measured_in_one_box() -> None:
    first, second = side_by_side([("cap", FIRST), ("random", SECOND)]).courses
    assert volumes(first) == pytest.approx([0.1 * 0.1, 1.1 * 0.6])
    assert volumes(second) == pytest.approx([0.6 * 1.1, 0.6 * 1.1, 1.1 * 1.1])
    assert (second.sampler, second.study) == ("random", "study-random")


def test_they_stand_where_they_were_after_as_many_trials() -> None:
    found = side_by_side([("cap", FIRST), ("random", SECOND)])
    assert (found.trials, found.fidelity) == (2, LOW)
    first, second = found.standings
    assert first == Standing("cap", "study", 2, 0.9, pytest.approx(0.66 / WHOLE), 1.0)
    assert second == Standing("random", "study-random", 2, 0.7, pytest.approx(0.66 / WHOLE), pytest.approx(1.0))


def test_a_study_that_has_not_begun_holds_nobody_back() -> None:
    found = side_by_side([("cap", FIRST), ("random", view(record(number=0)))])
    assert found.trials == 2
    assert found.standings[1] == Standing("random", "study", 0, None, None, None)


def test_trials_that_came_to_nothing_were_tried_all_the_same() -> None:
    broken = [record(diverged(), number=1), record(error="no memory", number=2), trial(3, 0.9, 30_000)]
    (course,) = side_by_side([("cap", view(trial(0, 0.5), *broken, record(number=4), trial(5, 0.6)))]).courses
    assert volumes(course) == pytest.approx([0.11] * 4 + [1.21])
    assert [found.best for found in course.over_trials] == [0.5, 0.5, 0.5, 0.5, 0.6]


def test_further_seeds_count_for_nothing() -> None:
    confirmed = record(measurement(0.7), measurement(0.1, seed=1), measurement(0.1, seed=2), params=100)
    (course,) = side_by_side([("cap", view(confirmed, trial(1, 0.5)))]).courses
    assert [found.best for found in course.over_trials] == [0.7, 0.7]


def test_they_are_compared_at_the_highest_rung_that_all_have_reached() -> None:
    climbed = record(measurement(0.3), measurement(0.9, HIGH), number=2)
    high = view(trial(0, 0.5), trial(1, 0.4), climbed)
    both = side_by_side([("cap", high), ("random", view(trial(0, 0.6), climbed))])
    assert both.fidelity == HIGH
    assert [found.best for found in both.courses[0].over_trials] == [None, None, 0.9]
    low = side_by_side([("cap", high), ("random", view(trial(0, 0.6))), ("tpe", view())])
    assert low.fidelity == LOW
    assert [found.best for found in low.courses[0].over_trials] == [0.5, 0.5, 0.5]


def test_interference_is_fitted_on_all_of_them(make_view: MakeView, records: Sequence[TrialRecord]) -> None:
    """What two halves have found in their common box lies within what the whole has found in it."""
    names = ("interference", "val_accuracy")
    halves = [
        ("even", make_view(records[:18:2], objectives=names)),
        ("odd", make_view(records[1:18:2], objectives=names)),
    ]
    whole = make_view(records[:18], objectives=names)
    (one,) = side_by_side([("whole", whole)]).courses
    best = [course.over_trials[-1].best for course in side_by_side(halves).courses]
    assert min(best) == one.over_trials[-1].best == whole.metrics(whole.best)["interference"]
    assert whole.metrics(whole.best) != whole.best.metrics


def test_hours_are_those_at_which_candidates_were_measured() -> None:
    hours = {"cap": {(0, LOW): 0.5, (1, LOW): 2.0}, "random": {(0, LOW): 1.0, (2, LOW): 1.5, (1, LOW): 3.0}}
    first, second = side_by_side([("cap", FIRST), ("random", SECOND)], hours).courses
    assert [hour for hour, _ in first.over_hours] == [0.5, 2.0]
    assert [found.hypervolume * WHOLE for _, found in first.over_hours] == pytest.approx([0.01, 0.66])
    assert [(hour, found.hypervolume * WHOLE) for hour, found in second.over_hours] == [
        (1.0, pytest.approx(0.66)),
        (1.5, pytest.approx(1.21)),
        (3.0, pytest.approx(1.21)),
    ]


def test_nothing_measured_is_no_fault() -> None:
    found = side_by_side([("cap", view(record(error="no memory", number=0)))])
    assert (found.fidelity, found.trials) == (None, 1)
    assert found.standings == (Standing("cap", "study", 1, None, 0.0, None),)


NINE = Fidelity(epochs=9, resolution=8)


@pytest.mark.parametrize(
    ("studies", "words"),
    [
        ([], "name at least one, each once, got none"),
        ([("cap", FIRST), ("cap", SECOND)], "name at least one, each once, got cap, cap"),
        ([("cap", FIRST), ("tpe", view(record(measurement(0.5, NINE)), fidelities=(NINE,)))], "cap, tpe share no fid"),
    ],
)
def test_what_does_not_compare_is_refused(studies: list[tuple[str, StudyView]], words: str) -> None:
    with pytest.raises(InputError, match=f"samplers side by side: {words}"):
        side_by_side(studies)


def test_the_figure_has_a_line_for_each_the_first_strongest() -> None:
    figure = samplers_figure([("cap", FIRST), ("<b>random", SECOND)])
    first, second = figure.data
    assert [first.name, second.name] == ["cap", "&lt;b&gt;random"]
    assert list(second.x) == [1, 2, 3]
    assert first.line.width > second.line.width
    assert first.line.color != second.line.color
    assert (first.line.dash, second.line.dash, second.line.shape) == (*DASHES[:2], "hv")
    assert figure.layout.yaxis.title.text == "hypervolume"


def test_one_objective_is_drawn_as_the_best_so_far() -> None:
    one = [trial(0, 0.5), trial(1, 0.4), trial(2, 0.7)]
    found = side_by_side([("cap", view(*one, objectives=("val_accuracy",)))], {"cap": {(2, LOW): 0.1}})
    assert found.wanted == (Objective("val_accuracy", "maximize"),)
    figure = trials_figure(found)
    assert list(figure.data[0].y) == pytest.approx([50, 50, 70])
    assert figure.layout.yaxis.title.text == "best validation accuracy (%)"
    assert list(time_figure(found).data[0].y) == [None, pytest.approx(70)]


@pytest.mark.parametrize(("last", "unit", "x"), [(0.5, "minutes", 30), (4.0, "hours", 4)])
def test_short_studies_are_timed_in_minutes(last: float, unit: str, x: float) -> None:
    found: SideBySide = side_by_side([("cap", FIRST), ("random", SECOND)], {"cap": {(0, LOW): last}})
    figure = time_figure(found)
    assert figure.layout.xaxis.title.text == f"{unit} of training"
    assert [list(trace.x) for trace in figure.data] == [[0, pytest.approx(x)]]
