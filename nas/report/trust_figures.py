"""The trust meter as figures: how each score ranks, the mix against what came of it, and what the hours bought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from nas.report.quantities import quantity, short_count
from nas.report.theme import LIGHT
from nas.trust.correlation import Correlation
from nas.trust.meter import SIZE, Agreement, ScoreTrust, Trust
from nas.trust.mix import NAME as MIX
from nas.trust.networks import BIN_FACTOR, Network

ROW = 34
"""Height of a score in pixels."""
HIGHLIGHTED = {MIX: "the mix", SIZE: "bigger is better"}


@dataclass(frozen=True, slots=True)
class Slice:
    """Networks among which the scores are held against accuracy, and how they are drawn; `shift` is in rows."""

    name: str
    field: str
    colour: str
    symbol: str
    shift: float

    def of(self, score: ScoreTrust) -> Correlation | None:
        """Return Kendall's tau of a score in this slice."""
        found: Agreement = getattr(score, self.field)
        return found.kendall


SLICES = (
    Slice("overall", "overall", "#4c8bd6", "circle", 0.24),
    Slice("inside size bins", "in_bins", "#d9772b", "square", 0.0),
    Slice("top fifth", "top", "#8b949e", "diamond", -0.24),
)
"""Told apart by colour, by symbol and by place; readable on both grounds."""

BIN_COLOURS = ("#4c8bd6", "#d9772b", "#3f9c6b", "#b06fc4", "#8b949e")
BIN_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x")


def trust_figure(trust: Trust) -> go.Figure:
    """Return a dot with its 95 % interval for each score and slice, the most faithful score inside size bins on top.

    The mix and "bigger is better" stand on a band of their own.
    """
    rows = sorted((each for each in trust.scores if any(part.of(each) for part in SLICES)), key=_faithfulness)
    places = {each.name: place for place, each in enumerate(rows)}
    traces = []
    for part in SLICES:
        found = [(each, tau) for each in rows if (tau := part.of(each)) is not None]
        values = [tau.value for _, tau in found]
        traces.append(
            go.Scatter(
                x=values,
                y=[places[each.name] + part.shift for each, _ in found],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [tau.high - tau.value for _, tau in found],
                    "arrayminus": [tau.value - tau.low for _, tau in found],
                    "color": part.colour,
                    "thickness": 1.5,
                    "width": 0,
                },
                mode="markers",
                marker={
                    "color": part.colour,
                    "symbol": part.symbol,
                    "size": [11 if each.name in HIGHLIGHTED else 8 for each, _ in found],
                },
                name=part.name,
                hoverinfo="text",
                hovertext=[_hover(each, part, tau) for each, tau in found],
            )
        )
    return go.Figure(traces, layout=_trust_layout([each.name for each in rows], places))


def mix_figure(networks: Sequence[Network], final: Mapping[int, float], cap: int) -> go.Figure:
    """Return the mixed score of the lowest rung against final accuracy, a colour and a symbol for each size bin."""
    y = quantity("val_accuracy")
    traces = []
    for size_bin in sorted({each.size_bin for each in networks}):
        members = [each for each in networks if each.size_bin == size_bin and each.number in final]
        style = min(size_bin, len(BIN_COLOURS) - 1)
        traces.append(
            go.Scatter(
                x=[each.scores[MIX] for each in members],
                y=[y.shown(final[each.number]) for each in members],
                mode="markers",
                marker={"color": BIN_COLOURS[style], "symbol": BIN_SYMBOLS[style], "size": 9},
                name=f"up to {short_count(cap / BIN_FACTOR**size_bin)} params",
                hoverinfo="text",
                hovertext=[
                    f"<b>trial {each.number}</b><br>{each.params:,} params<br>"
                    f"mixed score {each.scores[MIX]:.2f}<br>final accuracy {y.words(final[each.number])}"
                    for each in members
                ],
            )
        )
    layout = figure_layout(360, "mixed score at the lowest rung", f"final {y.title}")
    return go.Figure(traces, layout=layout | {"showlegend": True})


def hours_figure(points: Sequence[tuple[float, float]]) -> go.Figure:
    """Return the hypervolume against the hours of training, both from zero; it rises in steps."""
    trace = go.Scatter(
        x=[hours for hours, _ in points],
        y=[volume for _, volume in points],
        mode="lines",
        line={"shape": "hv", "width": 2, "color": SLICES[0].colour},
        fill="tozeroy",
        hovertemplate="%{x:.2f} h: %{y:.4g}<extra></extra>",
    )
    layout = figure_layout(280, "hours of training", "hypervolume")
    layout["yaxis"] |= {"rangemode": "tozero"}
    layout["margin"] |= {"t": 10}  # no legend above
    return go.Figure([trace], layout=layout | {"showlegend": False})


def figure_layout(height: int, x: str, y: str) -> dict[str, Any]:
    """Return the layout of a figure of so many pixels, with a legend above it, by the titles of its axes."""
    return {
        "template": LIGHT.template(),
        "height": height,
        "xaxis": {"title": {"text": x}, "showgrid": False, "automargin": True},
        "yaxis": {"title": {"text": y}, "automargin": True},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xref": "container",
            "y": 1,
            "yref": "container",
            "xanchor": "left",
            "yanchor": "top",
        },
        "hoverlabel": {"align": "left"},
        "hovermode": "closest",
        "margin": {"l": 10, "r": 16, "t": 40, "b": 44},
    }


def _faithfulness(score: ScoreTrust) -> tuple[bool, float]:
    """Return what the rows are ordered by, the top row last; what has no value in the size bins stands below."""
    found = score.in_bins.kendall or score.overall.kendall
    return found is not None, found.value if found else 0.0


def _hover(score: ScoreTrust, part: Slice, tau: Correlation) -> str:
    note = f" ({HIGHLIGHTED[score.name]})" if score.name in HIGHLIGHTED else ""
    interval = f"tau {tau.value:.2f}, 95 % interval {tau.low:.2f} to {tau.high:.2f}"
    return f"<b>{quantity(score.name).label}{note}</b><br>{part.name}: {interval}<br>{tau.count} networks"


def _trust_layout(names: Sequence[str], places: Mapping[str, int]) -> dict[str, Any]:
    bands = [
        {
            "type": "rect",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": places[name] - 0.5,
            "y1": places[name] + 0.5,
            "fillcolor": SLICES[0].colour,
            "opacity": 0.12,
            "line": {"width": 0},
            "layer": "below",
        }
        for name in HIGHLIGHTED
        if name in places
    ]
    zero = {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dash", "width": 1}}
    layout = figure_layout(ROW * len(names) + 110, "Kendall's tau with final accuracy", "")
    layout["xaxis"] |= {"showgrid": True}
    layout["yaxis"] |= {
        "tickvals": list(places.values()),
        "ticktext": [_label(name) for name in places],
        "range": [-0.6, len(names) - 0.4],
        "showgrid": False,
        "fixedrange": True,
    }
    return layout | {"shapes": [*bands, zero]}


def _label(name: str) -> str:
    if name in HIGHLIGHTED:
        return f"<b>{HIGHLIGHTED[name]}</b>"
    return SHORT.get(name, quantity(name).label)


SHORT = {
    "val_accuracy": "val. accuracy",
    "val_loss": "val. loss",
    "train_loss": "train. loss",
    "train_loss_ema": "train. loss, EMA",
    "importance_weighted": "weighted interf.",
    "channel_correlation": "channel corr.",
    "excess_coherence": "excess coher.",
}
"""Labels that leave a phone's width to the plot."""
