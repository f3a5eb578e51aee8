"""The meter drawn: which scores and slices, what is highlighted, how the front shows what it is sure of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from nas.records import TrialRecord
from nas.report.candidates import Axes, candidates
from nas.report.front_figure import front_figure
from nas.report.standings import confirmation_line, standings
from nas.report.tables import rows
from nas.report.trust_figures import hours_figure, mix_figure, trust_figure
from nas.report.trust_section import sections
from nas.report.trust_words import truth_words, weight_words
from nas.trust.meter import Trust, final_accuracies, scored, trust
from nas.view import StudyView

MakeView = Callable[..., StudyView]


@pytest.fixture(scope="module")
def sure(make_view: MakeView, repeated: Sequence[TrialRecord]) -> StudyView:
    """Give the view of a study with further seeds."""
    return make_view(repeated)


@pytest.fixture(scope="module")
def meter(sure: StudyView) -> Trust:
    """Give what that study says about its scores."""
    return trust(sure.config, sure.records)


def test_each_slice_is_a_trace_and_each_score_a_row_with_its_interval(meter: Trust) -> None:
    overall, in_bins, top = trust_figure(meter).data
    assert [trace.name for trace in (overall, in_bins, top)] == ["overall", "inside size bins", "top fifth"]
    by_name = {each.name: each.overall.kendall for each in meter.scores}
    shown = [each for each in by_name.values() if each is not None]
    assert sorted(overall.x) == sorted(each.value for each in shown)
    low = {round(x - below, 9) for x, below in zip(overall.x, overall.error_x.arrayminus, strict=True)}
    assert low == {round(each.low, 9) for each in shown}


def test_the_mix_and_bigger_is_better_stand_out(meter: Trust) -> None:
    figure = trust_figure(meter)
    labels = list(figure.layout.yaxis.ticktext)
    assert {"<b>the mix</b>", "<b>bigger is better</b>"} <= set(labels)
    bands = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert sorted(band.y0 + 0.5 for band in bands) == sorted(
        labels.index(f"<b>{name}</b>") for name in ("the mix", "bigger is better")
    )
    assert set(figure.data[0].marker.size) == {8, 11}


def test_rows_stand_in_the_order_of_their_faithfulness(meter: Trust) -> None:
    in_bins = trust_figure(meter).data[1]
    assert list(in_bins.x) == sorted(in_bins.x)


def test_the_mix_is_drawn_against_what_came_of_it_by_size(sure: StudyView) -> None:
    final = {number: values[0] for number, values in final_accuracies(sure.config, sure.records).items()}
    figure = mix_figure(scored(sure.config, sure.records), final, 15_000)
    assert sum(len(trace.x) for trace in figure.data) == len(final)
    assert figure.data[0].name == "up to 15k params"
    assert len({trace.marker.symbol for trace in figure.data}) == len(figure.data)


def test_the_hours_are_drawn_in_steps() -> None:
    (trace,) = hours_figure([(0.1, 0.0), (0.5, 0.4)]).data
    assert (list(trace.x), list(trace.y), trace.line.shape) == ([0.1, 0.5], [0.0, 0.4], "hv")


def test_the_words_say_what_the_truth_is_worth(meter: Trust) -> None:
    words = truth_words(meter)
    assert words.startswith(f"{meter.networks} networks with a final accuracy in {meter.bins} size bins")
    assert f"the top fifth is {meter.top} networks within" in words
    assert "seeds alone make" in words
    assert truth_words(meter.model_copy(update={"noise": None})).endswith("a second seed of any network would tell")
    assert truth_words(meter.model_copy(update={"networks": 0})) == "no network has a final accuracy yet"
    assert "% " not in weight_words(meter).split(";")[1]


def test_sections_appear_when_there_is_something_to_show(sure: StudyView, make_view: MakeView) -> None:
    assert [list(each.figures) for each in sections(sure, [(0.1, 0.2), (0.3, 0.4)])] == [["trust", "mix"], ["hours"]]
    assert sections(make_view(sure.records[1:3]), []) == []


def test_the_front_is_drawn_with_the_intervals_of_its_means(sure: StudyView) -> None:
    found, axes = standings(sure), Axes.of(sure)
    members = [each for each in candidates(sure, axes) if each.standing]
    assert {each.record.number for each in members} == set(found)
    bars = [trace.error_y.array for trace in front_figure(sure).data if trace.error_y.array is not None]
    assert sorted(value for each in bars for value in each) == pytest.approx(
        sorted(100 * each.margin for each in found.values())
    )


def test_a_member_with_fewer_seeds_has_a_wider_interval_and_is_not_confirmed(sure: StudyView) -> None:
    found = sorted(standings(sure).values(), key=lambda each: each.seeds)
    assert len({each.seeds for each in found}) > 1
    assert [each.margin for each in found] == sorted((each.margin for each in found), reverse=True)
    assert {each.is_confirmed for each in found if each.seeds < 3} <= {False}
    assert "not confirmed by 3 seeds" in confirmation_line(sure)


def test_rows_carry_how_sure_a_member_is(sure: StudyView) -> None:
    table = rows(sure.records, sure)
    found = standings(sure)
    for row in table:
        standing = found.get(row["trial"])
        assert row["val_accuracy_margin"] == (standing.margin if standing else None)
        assert row["confirmed"] == (standing.is_confirmed if standing else None)
        assert row["tied_with"] == (" ".join(map(str, standing.tied)) if standing else None)
