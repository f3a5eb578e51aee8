"""How much a network interferes with itself, as plotly figures: block by block, map by map, feature by feature.

The colours of the heat maps diverge from a neutral one at chance, in blue below and in orange above: a pair that every
kind of colour blindness tells apart. Above is not always worse; `nas.interference.MEANING` says what each metric means.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from nas.interference import NULLS, InterferenceReport, ProjectionReport
from nas.interference.report import OF_BLOCKS, OF_PROJECTIONS
from nas.report.quantities import MINUS, quantity
from nas.report.theme import DARK, LIGHT, Theme

SPANS: Mapping[str, float] = {
    "cross_talk": 0.5,
    "excess_coherence": 0.5,
    "redundancy": 1.0,
    "importance_weighted": 0.25,
    "activation_ratio": 1.0,
    "class_overlap": 0.5,
    "channel_correlation": 0.25,
    "superlinearity": 1.0,
    "channel_kurtosis": 2.0,
}
"""The distance from chance at which a metric has its full colour: ours, and fixed, so that pages can be compared."""

MOST_FEATURES = 64
"""Features of a projection that are drawn against each other; of more, that many at even distances."""
MOST_BARS = 256
"""Bars of `realised_figure`; of more channels, that many at even distances in the sorted order."""

ROW_PIXELS = 26
_FRAME_PIXELS = 110
"""Of the heat map's height: what stands above and below its rows."""

_LIGHT = replace(LIGHT, scale=("#2166ac", "#92bfe0", "#f1f2f4", "#f3b27a", "#b35806"))
_DARK = replace(DARK, scale=("#7fc0fa", "#376a93", "#24292f", "#99621f", "#ffb15c"))
"""From far below chance to far above; in the middle nearly the ground of the page."""


def templates() -> dict[str, go.layout.Template]:
    """Return what depends on the screen, for a ``light`` and a ``dark`` one; figures come with the light one."""
    return {"light": _template(_LIGHT), "dark": _template(_DARK)}


def heat_map(report: InterferenceReport) -> go.Figure:
    """Return blocks, and 1x1 maps outside of them, against metrics: the values, coloured by distance from chance.

    A distance is in units of `SPANS`; from 1 on the colour stays the same. A metric that nothing has is left out.
    """
    grid = _Grid.of(report)
    figure = go.Figure(layout=_heat_layout(rows=len(grid.places)))
    if grid.names:
        figure.add_heatmap(
            x=[_two_lines(quantity(name).label.removesuffix(" interference")) for name in grid.names],
            y=[html.escape(place.removeprefix("stages.")) for place in grid.places],
            z=[[grid.distance(place, name) for name in grid.names] for place in grid.places],
            text=[[_digits(name, grid.places[place].get(name)) for name in grid.names] for place in grid.places],
            texttemplate="%{text}",
            hovertext=[[grid.words(place, name) for name in grid.names] for place in grid.places],
            hoverinfo="text",
            coloraxis="coloraxis",
            xgap=1,
            ygap=1,
        )
    return figure


def gram_figure(gram: NDArray[np.floating[Any]]) -> go.Figure:
    """Return the cosines (n, n) between the features of a projection; of more than `MOST_FEATURES`, some of them."""
    shown = evenly(len(gram), MOST_FEATURES)
    labels = [str(i) for i in shown]
    figure = go.Figure(layout=_gram_layout())
    figure.add_heatmap(
        x=labels,
        y=labels,
        z=np.asarray(gram)[np.ix_(shown, shown)],
        hovertemplate="features %{y} and %{x}: cosine %{z:.2f}<extra></extra>",
        coloraxis="coloraxis",
    )
    return figure


def realised_figure(projection: ProjectionReport) -> go.Figure:
    """Return r_i of each living feature of a projection, sorted, and the packing floor that its shape forces."""
    ranks = evenly(len(projection.realised), MOST_BARS)
    values = sorted(projection.realised, reverse=True)
    figure = go.Figure(layout=_realised_layout(projection.packing_floor, len(values)))
    if not values:
        return figure.add_annotation(text="not measured", showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    figure.add_bar(
        x=[rank + 1 for rank in ranks],
        y=[round(values[rank], 4) for rank in ranks],
        hovertemplate="number %{x}: %{y:.3f}<extra></extra>",
    )
    return figure


def evenly(count: int, most: int) -> list[int]:
    """Return 0 to `count` - 1, or `most` of them at even distances, the first and the last among them."""
    return list(range(count)) if count <= most else [i * (count - 1) // (most - 1) for i in range(most)]


@dataclass(frozen=True)
class _Grid:
    """The values of a heat map: place -> metric -> value, with what chance gives at each place."""

    places: Mapping[str, Mapping[str, float]]
    names: Sequence[str]
    floors: Mapping[str, float]

    @classmethod
    def of(cls, report: InterferenceReport) -> Self:
        """Return the grid of a report."""
        places = report.by_block()
        known = (*OF_PROJECTIONS, *OF_BLOCKS)
        names = [name for name in known if any(name in values for values in places.values())]
        return cls(places, names, dict(_floors(report, places)))

    def chance(self, place: str, name: str) -> float:
        """Return the value that means chance."""
        return self.floors.get(place, 0.0) if name == "importance_weighted" else NULLS[name]

    def distance(self, place: str, name: str) -> float | None:
        """Return how far above chance a value is, in units of its span; None where nothing was measured."""
        value = self.places[place].get(name)
        return None if value is None else round((value - self.chance(place, name)) / SPANS[name], 3)

    def words(self, place: str, name: str) -> str:
        """Return what the pointer is told."""
        known = quantity(name)
        value = known.words(self.places[place].get(name))
        return (
            f"<b>{html.escape(place)}</b><br>{known.label}: {value}<br>chance: {known.words(self.chance(place, name))}"
        )


def _floors(report: InterferenceReport, places: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """Yield the mean packing floor of the projections behind a place's `importance_weighted`."""
    for place in places:
        inside = [
            each.packing_floor
            for each in report.projections
            if each.importance_weighted is not None and place == _place(each.name, places)
        ]
        if inside:
            yield place, sum(inside) / len(inside)


def _place(projection: str, places: Mapping[str, object]) -> str:
    """Return the innermost place that a projection stands in."""
    holders = [place for place in places if place in {"", projection} or projection.startswith(f"{place}.")]
    return max(holders, key=len, default="")


def _template(theme: Theme) -> go.layout.Template:
    return theme.template().update(layout_colorway=[theme.line], layout_annotationdefaults_bgcolor=theme.ground)


def _heat_layout(rows: int) -> go.Layout:
    bar = {
        "tickvals": [-1, 0, 1],
        "ticktext": ["below", "chance", "above"],
        "thickness": 12,
        "lenmode": "pixels",
        "len": 150,
        "y": 1,
        "yanchor": "top",
    }
    return go.Layout(
        template=_template(_LIGHT),
        height=_FRAME_PIXELS + ROW_PIXELS * max(rows, 3),
        xaxis={"type": "category", "side": "top", "tickangle": 0, "showgrid": False, "fixedrange": True},
        yaxis=_categories() | {"showgrid": False, "dtick": 1},
        coloraxis={"cmin": -1, "cmax": 1, "colorbar": bar},
        margin={"l": 20, "r": 20, "t": 60, "b": 20},
        hoverlabel={"align": "left"},
    )


def _gram_layout() -> go.Layout:
    bar = {"title": {"text": "cosine"}, "tickvals": [-1, -0.5, 0, 0.5, 1], "thickness": 12, "len": 1}
    return go.Layout(
        template=_template(_LIGHT),
        xaxis={"type": "category", "title": {"text": "feature"}, "showgrid": False, "nticks": 9, "tickangle": 0},
        yaxis=_categories() | {"showgrid": False, "nticks": 9, "scaleanchor": "x", "constrain": "domain"},
        coloraxis={"cmin": -1, "cmax": 1, "colorbar": bar},
        margin={"l": 40, "r": 10, "t": 20, "b": 45},
    )


def _categories() -> dict[str, Any]:
    """Return an axis of names from the top down; without the type, plotly takes names such as "0" for numbers."""
    return {"type": "category", "autorange": "reversed", "automargin": True, "fixedrange": True}


def _realised_layout(floor: float, features: int) -> go.Layout:
    line = {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": floor, "y1": floor, "line": {"dash": "dash"}}
    label = {"text": f"packing floor {floor:.2f}", "x": 1, "xref": "paper", "xanchor": "right", "y": floor}
    return go.Layout(
        template=_template(_LIGHT),
        xaxis={
            "title": {"text": "living features, sorted"},
            "showgrid": False,
            "range": [0.4, max(features, 1) + 0.6],
            "dtick": 1 if features <= 10 else None,
        },
        yaxis={"title": {"text": "realised interference"}, "range": [0, 1.04], "tickformat": ".1f"},
        bargap=0.1,
        shapes=[line],
        annotations=[{**label, "yanchor": "bottom", "showarrow": False}],
        margin={"l": 50, "r": 10, "t": 20, "b": 45},
    )


def _two_lines(label: str) -> str:
    """Return a label broken at its last space or hyphen, for a column."""
    head, space, tail = label.rpartition(" ")
    if not space:
        head, space, tail = label.rpartition("-")
    return f"{head}{space.strip()}<br>{tail}" if head else label


def _digits(name: str, value: float | None) -> str:
    """Return a value with the two digits for which a cell has room."""
    if value is None:
        return ""
    known = quantity(name)
    digits = "0" if known.kind == "percent" else "2"
    return f"{known.shown(value):z.{digits}f}".replace("-", MINUS) + "%" * (known.kind == "percent")
