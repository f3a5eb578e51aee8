"""The figure of the front: axes, groups, hover, the cap, the line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from nas.budget import Budget
from nas.records import TrialRecord
from nas.report.candidates import ROOM, Axes, Group, candidates, focus, hover_text, trade_off
from nas.report.front_figure import MARKS, front_figure, full_range
from nas.report.quantities import quantity, short_count
from nas.report.theme import DARK, LIGHT, UNMEASURED
from nas.view import StudyView

MakeView = Callable[..., StudyView]
MakeRecord = Callable[..., TrialRecord]


def _points(figure: Any, group: Group) -> list[Any]:
    return [trace for trace in figure.data if trace.legendgroup == group.name and trace.hovertext]


def _legend(figure: Any) -> list[str]:
    entries = [trace for trace in figure.data if trace.showlegend is not False]
    return [trace.name for trace in sorted(entries, key=lambda trace: trace.legendrank)]


@pytest.mark.parametrize(
    ("objectives", "axes"),
    [
        (("val_accuracy", "params", "interference"), Axes("params", "val_accuracy", "interference")),
        (("val_accuracy", "macs"), Axes("macs", "val_accuracy", "interference")),
        (("params", "val_accuracy"), Axes("params", "val_accuracy", "interference")),
        (("val_loss", "peak_activation_bytes", "macs"), Axes("peak_activation_bytes", "val_loss", "macs")),
        (("val_accuracy",), Axes("params", "val_accuracy", "interference")),
        (("params",), Axes("macs", "params", "interference")),
        (("interference", "params"), Axes("params", "interference", "val_accuracy")),
    ],
)
def test_axes_follow_the_objectives(make_view: MakeView, objectives: tuple[str, ...], axes: Axes) -> None:
    assert Axes.of(make_view([], objectives=objectives)) == axes


def test_every_measured_trial_is_drawn_once(view: StudyView) -> None:
    hovers = [text for trace in front_figure(view).data for text in trace.hovertext or ()]
    numbers = sorted(int(text.split()[1]) for text in hovers)
    assert numbers == [record.number for record in view.records if record.best_fidelity]


def test_groups_are_those_of_the_view(view: StudyView) -> None:
    groups = {candidate.record.number: candidate.group for candidate in candidates(view, Axes.of(view))}
    assert {number for number, group in groups.items() if group is Group.FRONT} == {r.number for r in view.front}
    assert {groups[number] for number in range(18, 34)} == {Group.STOPPED}
    assert {groups[number] for number in (35, 36)} == {Group.BROKEN}


def test_a_lower_cap_moves_trials_out(make_view: MakeView, records: Sequence[TrialRecord]) -> None:
    view = make_view(records, budget=Budget(params=6_000))
    over = [c for c in candidates(view, Axes.of(view)) if c.group is Group.OVER_CAP]
    assert over
    assert all(candidate.record.cost.params > 6_000 for candidate in over)
    assert any(name.startswith("over the cap: ") for name in _legend(front_figure(view)))


def test_the_front_is_strong_and_the_stopped_are_faint_and_different() -> None:
    front, dominated, stopped = (MARKS[group] for group in (Group.FRONT, Group.DOMINATED, Group.STOPPED))
    assert front.size > dominated.size > stopped.size
    assert front.opacity > dominated.opacity > stopped.opacity
    assert stopped.symbol != dominated.symbol == front.symbol


def test_the_legend_names_groups_with_counts_and_fidelity(view: StudyView) -> None:
    assert _legend(front_figure(view)) == [
        f"on the front: {len(view.front)}",
        "best for its cost",
        f"dominated: {18 - len(view.front)}",
        "stopped early, 4 to 12 epochs: 16",
        "came to no end later: 2",
        "interference not measured: 2",
    ]


def test_unmeasured_interference_is_grey(view: StudyView) -> None:
    traces = [*_points(front_figure(view), Group.FRONT), *_points(front_figure(view), Group.DOMINATED)]
    grey = [text for trace in traces if trace.marker.color == UNMEASURED for text in trace.hovertext]
    assert sorted(int(text.split()[1]) for text in grey) == [3, 7]
    assert all("interference: not measured" in text for text in grey)


def test_the_line_never_falls_and_holds_only_the_front(view: StudyView) -> None:
    line = trade_off(candidates(view, Axes.of(view)), Axes.of(view))
    assert {candidate.group for candidate in line} == {Group.FRONT}
    assert [c.y for c in line] == sorted(c.y for c in line)
    assert [c.x for c in line] == sorted(c.x for c in line)
    (trace,) = (trace for trace in front_figure(view).data if trace.mode == "lines")
    assert trace.line.shape == "hv"
    assert list(trace.y) == [100 * candidate.y for candidate in line]


def test_the_cap_is_a_labelled_line(view: StudyView) -> None:
    layout = front_figure(view).layout
    (line,), (label,) = layout.shapes, layout.annotations
    assert (line.x0, line.x1, label.text) == (15_000, 15_000, "cap 15k")
    assert layout.xaxis.type == "log"
    assert label.x == pytest.approx(math.log10(15_000))


def test_a_narrow_span_of_sizes_is_linear(make_view: MakeView, make_record: MakeRecord) -> None:
    record = make_record(0, rungs=3)
    layout = front_figure(make_view([record])).layout
    assert layout.xaxis.type == "linear"
    assert layout.annotations[0].x == 15_000
    assert layout.xaxis.range[0] < record.cost.params < 15_000 < layout.xaxis.range[1]


def test_without_a_cap_there_is_no_line(make_view: MakeView, records: Sequence[TrialRecord]) -> None:
    layout = front_figure(make_view(records, budget=Budget(params=None))).layout
    assert (layout.shapes, layout.annotations) == ((), ())


def test_hover_tells_everything_of_a_trial(view: StudyView) -> None:
    front = candidates(view, Axes.of(view))[1]
    cost = front.record.cost
    assert hover_text(front, view).split("<br>") == [
        f"<b>trial 1  {front.record.arch_id}</b>",
        "on the front",
        "40 epochs, 8 px",
        "not confirmed: 1 of 3 seeds",
        "",
        f"validation accuracy: {100 * front.y:.1f} %",
        f"parameters: {cost.params:,} ({cost.params / 150:.0f} % of the cap)",
        f"interference: {quantity('interference').number(front.colour)}",
        f"MACs: {short_count(cost.macs)}",
        f"peak activation: {cost.peak_activation_bytes / 1_000:.3g} kB",
        f"cross-talk: {quantity('cross_talk').number(front.record.metrics['cross_talk'])}",
        f"excess coherence: {quantity('excess_coherence').number(front.record.metrics['excess_coherence'])}",
        "redundancy: 0.200",
        "channel correlation: 0.080",
        "",
        *front.record.architecture.words().split(" | "),
    ]


def test_hover_says_over_how_many_seeds_a_mean_is(make_view: MakeView, make_record: MakeRecord) -> None:
    record = make_record(0, rungs=3)
    again = record.measurements[-1].model_copy(update={"seed": 2})
    view = make_view([record.model_copy(update={"measurements": (*record.measurements, again)})])
    assert "40 epochs, 8 px, mean of 2 seeds" in hover_text(candidates(view, Axes.of(view))[0], view)


def test_the_range_shows_the_front_first_and_drops_nothing_better(view: StudyView) -> None:
    shown, axes = candidates(view, Axes.of(view)), Axes.of(view)
    compared = [c.y for c in shown if c.group in {Group.FRONT, Group.DOMINATED}]
    low, high = focus(shown, axes)
    assert high == max(candidate.y for candidate in shown)
    assert low == pytest.approx(min(compared) - ROOM * (max(compared) - min(compared)))
    assert min(candidate.y for candidate in shown) < low
    assert full_range(shown, axes)[0] < 100 * min(candidate.y for candidate in shown)


def test_of_a_loss_the_range_drops_the_highest(make_view: MakeView, records: Sequence[TrialRecord]) -> None:
    view = make_view(records, objectives=("val_loss", "params"))
    shown, axes = candidates(view, Axes.of(view)), Axes.of(view)
    low, high = focus(shown, axes)
    assert low == min(candidate.y for candidate in shown)
    assert high < max(candidate.y for candidate in shown)


def test_an_empty_study_says_so(make_view: MakeView) -> None:
    figure = front_figure(make_view([]))
    assert not figure.data
    assert figure.layout.annotations[-1].text == "no trial has been started yet"


def test_one_value_gets_no_colour_bar(make_view: MakeView, make_record: MakeRecord) -> None:
    assert front_figure(make_view([make_record(0, rungs=3)])).layout.coloraxis.showscale is False


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_and_the_ends_of_the_scale_stand_out(theme: Any) -> None:
    assert _contrast(theme.ink, theme.ground) > 12
    assert _contrast(theme.muted, theme.ground) > 4.5
    assert min(_contrast(colour, theme.ground) for colour in (*theme.scale, UNMEASURED)) > 1.9


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_lightness_of_the_scale_is_monotone(theme: Any) -> None:
    luminances = [_luminance(colour) for colour in theme.scale]
    assert luminances == sorted(luminances)


def _luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(first: str, second: str) -> float:
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)
