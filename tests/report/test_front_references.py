"""References on the front: in the figure, on the page and in the rows, apart from the trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from nas.records import ReferenceRecord, TrialRecord
from nas.report.candidates import OF_REFERENCES, Axes, Group, candidates, focus
from nas.report.front_figure import MARKS, front_figure
from nas.report.front_page import front_html
from nas.report.tables import rows
from nas.view import StudyView

MakeRecord = Callable[..., TrialRecord]


@pytest.fixture(scope="session")
def make_reference(make_record: MakeRecord) -> Callable[..., ReferenceRecord]:
    """Build a reference with the network and the measurements of a trial, its accuracy as given."""

    def make(name: str, accuracy: float, rungs: int = 3) -> ReferenceRecord:
        trial = make_record(100, rungs=rungs)
        last = trial.measurements[-1]
        last = last.model_copy(update={"metrics": {**last.metrics, "val_accuracy": accuracy}})
        return ReferenceRecord(name=name, architecture=trial.architecture, cost=trial.cost, measurements=(last,))

    return make


@pytest.fixture(scope="session")
def compared(view: StudyView, make_reference: Callable[..., ReferenceRecord]) -> StudyView:
    """Give the view with a good reference, a bad one, and one that was measured on a lower rung."""
    found = (make_reference("good", 1.0), make_reference("bad", 0.01), make_reference("short", 0.9, rungs=2))
    return replace(view, references=found)


def test_references_change_nothing_about_the_trials(view: StudyView, compared: StudyView) -> None:
    assert compared.front == view.front
    assert compared.counts == view.counts
    shown = candidates(compared, Axes.of(compared))
    assert [each for each in shown if each.group not in OF_REFERENCES] == candidates(view, Axes.of(view))


def test_a_reference_is_drawn_as_dominated_or_not(compared: StudyView) -> None:
    groups = {each.record.name: each.group for each in candidates(compared, Axes.of(compared))[-2:]}
    assert groups == {"good": Group.REFERENCE, "bad": Group.REFERENCE_DOMINATED}


def test_references_have_symbols_of_their_own() -> None:
    symbols = [mark.symbol for mark in MARKS.values()]
    for group in OF_REFERENCES:
        assert symbols.count(MARKS[group].symbol) == 1
        assert MARKS[group].opacity == 1


def test_references_stand_last_in_the_legend_and_by_name_in_the_plot(compared: StudyView) -> None:
    figure = front_figure(compared)
    entries = sorted((each for each in figure.data if each.showlegend is not False), key=lambda each: each.legendrank)
    assert entries[0].name.startswith("on the front")
    names = [each.name for each in entries if "reference" in each.name]
    assert names == ["reference, not dominated: 1", "reference, dominated: 1"]
    assert sorted(text for each in figure.data for text in each.text or ()) == ["bad", "good"]


def test_names_that_would_meet_are_set_apart(view: StudyView, make_reference: Callable[..., ReferenceRecord]) -> None:
    near = tuple(make_reference(f"n{i}", 0.9 + i / 1_000) for i in range(3))
    far = make_reference("far", 0.2)
    figure = front_figure(replace(view, references=(*near, far)))
    places = {
        text: place
        for each in figure.data
        for text, place in zip(each.text or (), each.textposition or (), strict=True)
    }
    assert places == {"n2": "top left", "n1": "middle left", "n0": "bottom left", "far": "middle left"}


def test_the_first_range_shows_every_compared_reference(compared: StudyView) -> None:
    low, high = focus(candidates(compared, Axes.of(compared)), Axes.of(compared))
    assert low <= 0.01
    assert high >= 1.0


def test_a_hostile_name_stays_text(view: StudyView, make_reference: Callable[..., ReferenceRecord]) -> None:
    hostile = replace(view, references=(make_reference("<script>alert(1)</script>", 0.9),))
    page = front_html(hostile)
    assert "<script>alert(1)" not in page
    assert "<td>&lt;script&gt;alert(1)" in page
    assert all("<script>" not in text for each in front_figure(hostile).data for text in each.text or ())


def test_the_page_lists_references_with_their_standing(compared: StudyView) -> None:
    page = front_html(compared)
    assert "<h2>References: 3</h2>" in page
    assert "<td>good</td><td>not dominated</td>" in page
    winner = compared.dominating(compared.references[1])
    assert f"<td>bad</td><td>dominated by trial {winner.number}</td>" in page
    assert "<td>short</td><td>measured at another fidelity</td>" in page


def test_rows_name_references_and_say_who_is_dominated(compared: StudyView) -> None:
    table = rows([*compared.records, *compared.references], compared)
    ours, theirs = table[: len(compared.records)], table[len(compared.records) :]
    front = {record.number for record in compared.front}
    others = {record.number for record in compared.compared} - front
    assert {row["trial"] for row in ours if row["dominated"] is False} == front
    assert {row["trial"] for row in ours if row["dominated"]} == others
    assert [(row["reference"], row["trial"], row["front"], row["dominated"]) for row in theirs] == [
        ("good", None, False, False),
        ("bad", None, False, True),
        ("short", None, False, None),
    ]
