"""The front as a plotly figure: quality against cost, coloured by a third metric."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import plotly.graph_objects as go

from nas.records import Status
from nas.report.candidates import (
    OF_REFERENCES,
    TRIAL,
    Axes,
    Candidate,
    Group,
    candidates,
    extent,
    focus,
    hover_text,
    label,
    trade_off,
)
from nas.report.quantities import plural, quantity, short_count
from nas.report.theme import LIGHT, UNMEASURED
from nas.view import StudyView

LOG_SPAN = 8.0
"""From this ratio of the largest x to the smallest on, the axis is logarithmic."""

LINE_NAME = "best for its cost"


@dataclass(frozen=True, slots=True)
class Mark:
    """How the points of a group are drawn; sizes in pixels."""

    symbol: str
    size: int
    opacity: float
    line: int = 1


MARKS = {
    Group.FRONT: Mark("circle", 13, 1.0),
    Group.DOMINATED: Mark("circle", 8, 0.5),
    Group.STOPPED: Mark("triangle-down", 7, 0.4),
    Group.OVER_CAP: Mark("square", 6, 0.4),
    Group.BROKEN: Mark("x", 7, 0.4),
    Group.REFERENCE: Mark("diamond", 14, 1.0),
    Group.REFERENCE_DOMINATED: Mark("diamond-open", 12, 1.0, line=2),
}

LABEL_PLACES = (("middle left",), ("top left", "bottom left"), ("top left", "middle left", "bottom left"))
"""Of one, two or more names close to each other: references fill the cap, so they stand one above the other."""
CLOSE = 0.07
"""Share of the height below which the names of two neighbours would meet."""


def front_figure(view: StudyView) -> go.Figure:
    """Return the figure of a study: every measured trial, the front strong, the references by name, and the cap.

    Up is the first maximised objective, right the first cost among the objectives (else params), colour the objective
    after those (else interference). The colours are those of a light screen; `theme.DARK.template()` gives the others.
    """
    axes = Axes.of(view)
    shown = candidates(view, axes)
    figure = go.Figure(layout=_layout(view, axes, shown))
    for group in Group:
        members = [candidate for candidate in shown if candidate.group is group]
        if group is Group.FRONT:
            figure.add_traces(_step_line(trade_off(shown, axes), axes))
        figure.add_traces(_points(group, members, axes, view))
    figure.add_traces([*_labels(shown, axes), *_legend(shown, axes)])
    if not shown:
        figure.add_annotation(text=nothing_measured(view), showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    return figure


def full_range(shown: Sequence[Candidate], axes: Axes) -> list[float]:
    """Return the range of the y axis that holds every trial."""
    return _with_air([quantity(axes.y).shown(end) for end in extent(end for each in shown for end in each.ends)])


def nothing_measured(view: StudyView) -> str:
    """Return why there is nothing to draw, in one line."""
    if not view.records:
        return "no trial has been started yet"
    if any(record.best_fidelity for record in view.records):
        return f"no trial has a measured {quantity(Axes.of(view).y).label}"
    if view.counts[Status.DIVERGED] == len(view.records):
        return f"{plural(len(view.records), 'trial')}, all diverged"
    return "no trial has been measured yet"


def _points(group: Group, members: Sequence[Candidate], axes: Axes, view: StudyView) -> list[go.Scatter]:
    """Return the points of a group: those with the coloured metric on the colour axis, the others in grey."""
    traces = []
    for is_measured in (False, True):
        points = [candidate for candidate in members if (candidate.colour is not None) == is_measured]
        if not points:
            continue
        colour: dict[str, Any] = {"color": UNMEASURED}
        if is_measured:
            shown = quantity(axes.colour).shown
            values = [shown(candidate.colour) for candidate in points if candidate.colour is not None]
            colour = {"color": values, "coloraxis": "coloraxis"}
        traces.append(
            go.Scatter(
                x=[quantity(axes.x).shown(candidate.x) for candidate in points],
                y=[quantity(axes.y).shown(candidate.y) for candidate in points],
                error_y=_error_bars(points, axes),
                mode="markers",
                marker={**_marker(MARKS[group]), **colour},
                name=group.value,
                legendgroup=group.name,
                showlegend=False,
                hoverinfo="text",
                hovertext=[hover_text(candidate, view) for candidate in points],
            )
        )
    return traces


def _error_bars(points: Sequence[Candidate], axes: Axes) -> dict[str, Any] | None:
    """Return the 95 % intervals of the means over seeds."""
    if not any(each.margin for each in points):
        return None
    shown = [quantity(axes.y).shown(each.margin) for each in points]
    return {"type": "data", "array": shown, "color": UNMEASURED, "thickness": 1.5, "width": 4}


def _labels(shown: Sequence[Candidate], axes: Axes) -> list[go.Scatter]:
    """Return the names of the references, which come and go with their points; unseen markers keep them off those."""
    crowds: list[list[Candidate]] = []
    low, high = focus(shown, axes)
    for each in sorted((each for each in shown if each.group in OF_REFERENCES), key=lambda each: -each.y):
        if crowds and crowds[-1][-1].y - each.y < CLOSE * (high - low):
            crowds[-1].append(each)
        else:
            crowds.append([each])
    places = [
        pair for crowd in crowds for pair in zip(crowd, cycle(LABEL_PLACES[min(len(crowd), 3) - 1]), strict=False)
    ]
    return [
        go.Scatter(
            x=[quantity(axes.x).shown(each.x) for each, _ in places if each.group is group],
            y=[quantity(axes.y).shown(each.y) for each, _ in places if each.group is group],
            mode="markers+text",
            marker={"size": MARKS[Group.REFERENCE].size, "opacity": 0},
            text=[html.escape(label(each.record)) for each, _ in places if each.group is group],
            textposition=[place for each, place in places if each.group is group],
            legendgroup=group.name,
            showlegend=False,
            hoverinfo="skip",
        )
        for group in sorted({each.group for each, _ in places})
    ]


def _marker(mark: Mark) -> dict[str, Any]:
    """Return the marker; the strong ones stand out from each other by a line in the colour of the ground."""
    line = {"width": mark.line if mark.opacity == 1 else 0}
    return {"symbol": mark.symbol, "size": mark.size, "opacity": mark.opacity, "line": line}


def _step_line(members: Sequence[Candidate], axes: Axes) -> list[go.Scatter]:
    """Return the line through the best trade-offs: what the next larger member gains stands at its own x."""
    if len(members) < 2:
        return []
    return [
        go.Scatter(
            x=[quantity(axes.x).shown(candidate.x) for candidate in members],
            y=[quantity(axes.y).shown(candidate.y) for candidate in members],
            mode="lines",
            line={"shape": "hv", "width": 2},
            name=LINE_NAME,
            legendrank=1,  # behind the front; the ranks of the other entries are even
            hoverinfo="skip",
        )
    ]


def _legend(shown: Sequence[Candidate], axes: Axes) -> list[go.Scatter]:
    """Return traces without points that stand in the legend: a symbol of many colours would show only its first."""
    entries: list[go.Scatter] = []
    of_trials = [group for group in Group if group not in OF_REFERENCES]
    for group in (*reversed(of_trials), *OF_REFERENCES):
        if members := [candidate for candidate in shown if candidate.group is group]:
            words = f"{group.value}{_fidelity_range(members) * (group is Group.STOPPED)}: {len(members):,}"
            entries.append(_legend_entry(words, group.name, _marker(MARKS[group]), rank=len(entries)))
    if grey := sum(candidate.colour is None for candidate in shown):
        marker = {**_marker(MARKS[Group.FRONT]), "color": UNMEASURED, "size": 10}
        words = f"{quantity(axes.colour).label} not measured: {grey:,}"
        entries.append(_legend_entry(words, "UNMEASURED", marker, rank=len(entries)))
    return entries


def _legend_entry(words: str, group: str, marker: dict[str, Any], *, rank: int) -> go.Scatter:
    entry = go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=words)
    return entry.update(legendgroup=group, legendrank=2 * rank, showlegend=True, hoverinfo="skip")


def _fidelity_range(members: Sequence[Candidate]) -> str:
    """Return the fidelities of trials that were stopped early: ``, 2 to 4 epochs``."""
    epochs = {candidate.fidelity.epochs for candidate in members}
    low, high = min(epochs), max(epochs)
    return f", {low} to {plural(high, 'epoch')}" if low < high else f", {plural(high, 'epoch')}"


def _layout(view: StudyView, axes: Axes, shown: Sequence[Candidate]) -> go.Layout:
    cap = view.caps.get(axes.x)
    x_axis = _x_axis(axes, [candidate.x for candidate in shown] + ([cap] if cap else []))
    return go.Layout(
        template=LIGHT.template(),
        xaxis=x_axis,
        yaxis=_y_axis(axes, shown),
        coloraxis=_colour_axis(view, axes, shown),
        shapes=[_cap_line(cap)] if cap else [],
        annotations=[_cap_label(cap, is_log=x_axis["type"] == "log")] if cap else [],
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1,
            "yref": "container",
            "xanchor": "left",
            "yanchor": "top",
            "itemsizing": "trace",
        },
        hoverlabel={"align": "left"},
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        hovermode="closest",
        uirevision="front",
    )


def _x_axis(axes: Axes, values: Sequence[float]) -> dict[str, Any]:
    """Return the axis of a cost, which has the same unit stored and shown."""
    shown_range, is_log = (None, False) if axes.x == TRIAL else _x_range(values)
    axis: dict[str, Any] = {
        "title": {"text": quantity(axes.x).title},
        "type": "log" if is_log else "linear",
        "range": shown_range,
        "tickformat": quantity(axes.x).tick_format,
        "showgrid": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
    }
    if is_log:  # 1, 2 and 5 of each decade, in full
        axis |= {"dtick": "D2", "minorloglabels": "complete"}
    return axis


def _y_axis(axes: Axes, shown: Sequence[Candidate]) -> dict[str, Any]:
    y = quantity(axes.y)
    seen = _with_air([y.shown(end) for end in focus(shown, axes)]) if shown else None
    return {"title": {"text": y.title}, "range": seen, "tickformat": y.tick_format}


def _colour_axis(view: StudyView, axes: Axes, shown: Sequence[Candidate]) -> dict[str, Any]:
    """Return the colour scale; its bar would say nothing of a single value."""
    values = {candidate.colour for candidate in shown} - {None}
    bar = {
        "title": {"text": _colour_title(view, axes), "side": "top"},
        "tickformat": quantity(axes.colour).tick_format,
        "thickness": 14,
        "len": 0.75,
    }
    return {"colorbar": bar, "showscale": len(values) > 1}


def _colour_title(view: StudyView, axes: Axes) -> str:
    directions = {objective.name: objective.direction for objective in view.objectives}
    better = {"minimize": "<br>lower is better", "maximize": "<br>higher is better"}
    return quantity(axes.colour).title + better.get(directions.get(axes.colour, ""), "")


def _cap_line(x: float) -> dict[str, Any]:
    return {
        "type": "line",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"dash": "dash", "width": 1.5},
    }


def _cap_label(cap: float, *, is_log: bool) -> dict[str, Any]:
    """Return the label above the line; plotly wants the logarithm here, and for a shape it does not."""
    place = {"x": math.log10(cap) if is_log else cap, "xanchor": "center", "yref": "paper", "y": 1, "yanchor": "bottom"}
    return {"text": f"cap {short_count(cap)}", "showarrow": False, **place}


def _x_range(values: Sequence[float]) -> tuple[list[float] | None, bool]:
    """Return the range of an axis that holds `values` with some air, and whether it is logarithmic."""
    positive = [value for value in values if value > 0]
    if not positive:
        return None, False
    low, high = min(positive), max(positive)
    if high / low >= LOG_SPAN:
        air = 0.06 * math.log10(high / low)
        return [math.log10(low) - air, math.log10(high) + air], True
    low, high = _with_air([low, high])
    return [max(0.0, low), high], False


def _with_air(ends: Sequence[float]) -> list[float]:
    """Return a range a little wider than `ends`, so that no point is cut by the frame."""
    low, high = ends
    air = 0.06 * ((high - low) or abs(high) or 1.0)
    return [low - air, high + air]
