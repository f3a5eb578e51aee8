"""Samplers side by side as figures: what each has found, against the candidates it tried and against its hours."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from nas.report.quantities import quantity
from nas.report.sampler_curves import Found, SideBySide, Studies, side_by_side
from nas.report.trust_figures import BIN_COLOURS, figure_layout

DASHES = ("solid", "dash", "dot", "dashdot", "12px,4px", "12px,4px,2px,4px")
"""With the colours: no two of the first thirty lines have both in common, and no two of the first five either."""

HEIGHT = 400


def samplers_figure(studies: Studies) -> go.Figure:
    """Return what each study had found after each candidate, the first one drawn strongest; a line for each.

    `studies` are pairs of a name and a view, of one space, cap and ladder: the names of samplers, or of seeds. The
    hypervolume is a share of one box around all of them; where one objective decides, it is the best value so far.
    InputError for names given twice and studies without a fidelity in common.
    """
    return trials_figure(side_by_side(studies))


def trials_figure(found: SideBySide) -> go.Figure:
    """Return what each study had found after each candidate."""
    lines = [list(enumerate(each.over_trials, start=1)) for each in found.courses]
    return _figure(found, lines, "candidates evaluated", "after %{x} candidates: ")


def time_figure(found: SideBySide) -> go.Figure:
    """Return what each study had found at each hour of its training, or minute where there are so few."""
    longest = max((each.over_hours[-1][0] for each in found.courses if each.over_hours), default=0.0)
    unit, factor = ("hours", 1) if longest > 1 else ("minutes", 60)
    lines = [[(factor * hour, point) for hour, point in each.over_hours] for each in found.courses]
    begun = [[(0.0, Found(0.0, None)), *line] if line else [] for line in lines]
    return _figure(found, begun, f"{unit} of training", f"after %{{x:.3g}} {unit}: ")


def axis_title(found: SideBySide) -> str:
    """Return what stands upright: the hypervolume, or what the only objective is called."""
    return f"best {quantity(found.objective.name).title}" if _is_single(found) else "hypervolume"


def _is_single(found: SideBySide) -> bool:
    return found.wanted == (found.objective,)


def _height(found: SideBySide, point: Found) -> float | None:
    if not _is_single(found):
        return point.hypervolume
    return None if point.best is None else quantity(found.objective.name).shown(point.best)


def _figure(found: SideBySide, lines: Sequence[Sequence[tuple[float, Found]]], x: str, hover: str) -> go.Figure:
    """Return a figure of steps, the first line broad and below the others, so that it hides none of them."""
    names = [html.escape(each.sampler, quote=False) for each in found.courses]
    traces = [
        go.Scatter(
            x=[place for place, _ in line],
            y=[_height(found, point) for _, point in line],
            mode="lines",
            line=_style(i),
            name=name,
            hovertemplate=f"<b>%{{fullData.name}}</b><br>{hover}%{{y:.4g}}<extra></extra>",
        )
        for i, (name, line) in enumerate(zip(names, lines, strict=True))
        if line
    ]
    layout = figure_layout(HEIGHT, x, html.escape(axis_title(found), quote=False))
    return go.Figure(traces, layout=layout | {"showlegend": True})


def _style(i: int) -> dict[str, Any]:
    dash = DASHES[i % len(DASHES)]
    return {"shape": "hv", "color": BIN_COLOURS[i % len(BIN_COLOURS)], "dash": dash, "width": 2 if i else 3.5}
