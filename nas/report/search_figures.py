"""How a search went, as plotly figures: what it found and when, what became of its trials, who worked on them."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nas.effort import Box
from nas.records import Fidelity, Status
from nas.report.candidates import fidelity_words, rung_words
from nas.report.quantities import measured, plural, quantity
from nas.report.sampler_figures import DASHES
from nas.report.trust_figures import BIN_COLOURS, figure_layout
from nas.search.glance import Span
from nas.view import StudyView

MOST_STEPS = 200
"""Points of a curve of the hypervolume: each takes some milliseconds at four objectives."""
MOST_POINTS = 5_000
"""Points of a history; of more trials, that many at even distances."""
KINDS = {"candidate": "first rung", "promotion": "promotion", "again": "another seed"}
SIZES = ("params", "macs", "peak_activation_bytes")

Studies = Sequence[tuple[str, StudyView]]
Hours = Mapping[str, Mapping[tuple[int, Fidelity], float]]
"""By the name of a study: at which hour a candidate, by its number, was trained at a fidelity."""


def volume_figure(studies: Studies, hours: Hours | None = None) -> go.Figure:
    """Return the hypervolume of each study against its trials; with `hours`, against the hours of its training.

    It is a share of one box around the compared records of all of them, by the objectives that decide in the first.
    """
    wanted = studies[0][1].deciding
    points = {name: _points(view, (hours or {}).get(name) if hours is not None else None) for name, view in studies}
    box = Box.around([metrics for found in points.values() for _, metrics in found], wanted)
    longest = max((found[-1][0] for found in points.values() if found), default=0.0)
    unit, factor = ("hours of training", 1) if hours is None or longest > 1 else ("minutes of training", 60)
    traces = []
    for i, (name, found) in enumerate(points.items()):
        if not found:
            continue
        places = box.places([metrics for _, metrics in found])
        ends = sorted({round(len(found) * (k + 1) / MOST_STEPS) for k in range(MOST_STEPS)} - {0})
        volumes = box.grown(places[first:last] for first, last in pairwise((0, *ends)))
        x = [found[end - 1][0] for end in ends]
        style = {"shape": "hv", "color": BIN_COLOURS[i % len(BIN_COLOURS)], "dash": DASHES[i % len(DASHES)]}
        traces.append(
            go.Scatter(
                x=[0.0, *x] if hours is None else [0.0, *(factor * each for each in x)],
                y=[0.0, *volumes],
                mode="lines",
                line={**style, "width": 2 if i else 3},
                name=html.escape(name, quote=False),
                hovertemplate="<b>%{fullData.name}</b><br>%{x:.4g}: %{y:.4f}<extra></extra>",
            )
        )
    title = "trials" if hours is None else unit
    layout = figure_layout(320, title, "hypervolume, share of the box")
    layout["yaxis"] |= {"rangemode": "tozero"}
    layout["margin"] |= {"t": 40 if len(traces) > 1 else 10}
    return go.Figure(traces, layout=layout | {"showlegend": len(traces) > 1})


def _points(
    view: StudyView, hours: Mapping[tuple[int, Fidelity], float] | None
) -> list[tuple[float, dict[str, float]]]:
    """Return when each compared record was there, as a count of trials or an hour, and its metrics, in that order."""
    fidelity = view.compared_fidelity
    found: list[tuple[float, dict[str, float]]] = []
    for record in view.compared:
        if hours is None:
            found.append((float(record.number + 1), view.metrics(record)))
        elif fidelity is not None and (record.number, fidelity) in hours:
            found.append((hours[record.number, fidelity], view.metrics(record)))
    return sorted(found, key=lambda point: point[0])


def history_figure(view: StudyView) -> go.Figure:
    """Return each objective against the trials, a panel for each, with the best one so far as a line."""
    names = [each for each in view.objectives if any(each.name in view.metrics(r) for r in view.compared[:50])]
    records = sorted(view.compared, key=lambda record: record.number)
    step = max(1, -(-len(records) // MOST_POINTS))
    rows = max(1, len(names))
    layout = figure_layout(80 + 170 * rows, "", "")
    layout.pop("xaxis"), layout.pop("yaxis")
    traces: list[Any] = []
    for i, objective in enumerate(names):
        known, place = quantity(objective.name), "" if i == 0 else str(i + 1)
        pairs = [(r.number, measured(view.metrics(r), objective.name)) for r in records]
        shown = [(number, known.shown(value)) for number, value in pairs if value is not None]
        best = list(accumulate((y for _, y in shown), max if objective.direction == "maximize" else min))
        axes = {"xaxis": f"x{place}", "yaxis": f"y{place}"}
        kind = go.Scattergl if len(shown) > 1_000 else go.Scatter
        traces.append(
            kind(
                x=[number for number, _ in shown[::step]],
                y=[y for _, y in shown[::step]],
                mode="markers",
                marker={"size": 4 if len(shown) > 1_000 else 6, "opacity": 0.5, "color": BIN_COLOURS[0]},
                hovertemplate=f"trial %{{x}}: %{{y:.5~g}} {known.unit}<extra></extra>",
                **axes,
            )
        )
        steps = [k for k in range(len(best)) if k in {0, len(best) - 1} or best[k] != best[k - 1]]
        line = {"shape": "hv", "width": 2, "color": BIN_COLOURS[1]}
        x, y = [shown[k][0] for k in steps], [best[k] for k in steps]
        traces.append(go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", **axes))
        top, low = 1 - i / rows, 1 - (i + 1) / rows
        layout[f"yaxis{place}"] = {
            "domain": [low + 0.06 * (i < rows - 1), top],
            "title": {"text": known.title.replace("validation", "val.")},
            "tickformat": known.tick_format,
            "automargin": True,
            "nticks": 5,
        }
        layout[f"xaxis{place}"] = {"anchor": f"y{place}", "showgrid": False, "showticklabels": i == rows - 1}
        if i:
            layout[f"xaxis{place}"] |= {"matches": "x"}
    if names:
        layout[f"xaxis{'' if rows == 1 else rows}"]["title"] = {"text": "trial; the line is the best so far"}
    return go.Figure(traces, layout=layout | {"showlegend": False, "margin": {"l": 10, "r": 16, "t": 10, "b": 44}})


def rung_figure(view: StudyView) -> go.Figure:
    """Return how many candidates came to the end of each rung, and what became of the others."""
    rungs = view.config.fidelities
    reached = [sum(any(m.is_complete and m.fidelity == rung for m in r.own) for r in view.records) for rung in rungs]
    labels = [f"rung {i}: {_rung_label(rung, view)}" for i, rung in enumerate(rungs)]
    first = reached[0] or 1
    trace = go.Bar(
        x=reached,
        y=labels,
        orientation="h",
        marker={"color": BIN_COLOURS[0]},
        text=[f"{count:,}" + f" ({100 * count / first:.3g} %)" * (i > 0) for i, count in enumerate(reached)],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    layout = figure_layout(90 + 44 * len(rungs), "candidates that came to its end", "")
    layout["yaxis"] |= {"autorange": "reversed", "type": "category", "showgrid": False}
    layout["xaxis"] |= {"range": [0, 1.25 * max([*reached, 1])]}
    return go.Figure([trace], layout=layout | {"showlegend": False, "margin": {"l": 10, "r": 16, "t": 10, "b": 44}})


def _rung_label(rung: Fidelity, view: StudyView) -> str:
    return (rung_words(rung, view) or "all") if view.is_of_problem else fidelity_words(rung).split(" on ")[0]


def status_words(view: StudyView) -> str:
    """Return what became of the trials: ``30 evaluated, 2 diverged``."""
    counts: Counter[Status] = view.counts
    return ", ".join(f"{counts[each]:,} {each.value}" for each in Status if counts[each])


def timeline_figure(spans: Sequence[Span]) -> go.Figure:
    """Return what each worker did and when (UTC), a row for each worker, a colour for each kind of training."""
    workers = list(dict.fromkeys(span.worker for span in spans))
    hosts = [worker.split("|") for worker in workers]
    names = {
        w: f"{html.escape(h[0])} {html.escape(h[1])}" if len(h) > 1 else html.escape(w)
        for w, h in zip(workers, hosts, strict=True)
    }
    latest = max((span.ended or span.started for span in spans), default=None)
    traces = []
    for i, (kind, words) in enumerate(KINDS.items()):
        own = [span for span in spans if span.kind == kind]
        if not own:
            continue
        seconds = [((span.ended or latest or span.started) - span.started).total_seconds() for span in own]
        traces.append(
            go.Bar(
                base=[span.started for span in own],
                x=[1000 * max(each, 0.001) for each in seconds],
                y=[names[span.worker] for span in own],
                orientation="h",
                marker={"color": BIN_COLOURS[i], "line": {"width": 0.5}},
                name=words,
                hovertext=[
                    f"trial {s.number}, {words}: {t:,.0f} s, {s.state}" for s, t in zip(own, seconds, strict=True)
                ],
                hoverinfo="text",
            )
        )
    layout = figure_layout(120 + 30 * max(1, len(workers)), "time (UTC)", "")
    layout["xaxis"] |= {"type": "date"}
    layout["yaxis"] |= {"type": "category", "showgrid": False, "autorange": "reversed"}
    return go.Figure(traces, layout=layout | {"barmode": "overlay", "showlegend": len(traces) > 1})


def feasibility_figure(view: StudyView) -> go.Figure:
    """Return what share of the trials fits under each possible cap on parameters, MACs and activations, as panels."""
    names = [n for n in SIZES if not view.is_of_problem] or list(view.config.costs)
    layout = figure_layout(300, "", "trials that fit (%)")
    layout.pop("xaxis")
    traces, shapes, notes = [], [], []
    for i, name in enumerate(names):
        values = sorted(v for r in view.records if (v := r.known.get(name)) is not None)
        if not values:
            continue
        shares = np.linspace(100 / len(values), 100, len(values))
        step = max(1, len(values) // 300)
        place = "" if i == 0 else str(i + 1)
        traces.append(
            go.Scatter(
                x=[*values[::step], values[-1]],
                y=[*shares[::step].tolist(), 100.0],
                mode="lines",
                line={"shape": "hv", "width": 2, "color": BIN_COLOURS[0]},
                xaxis=f"x{place}",
                hovertemplate=f"%{{x:.4~s}} {quantity(name).label}: %{{y:.3~g}} % of the trials fit<extra></extra>",
            )
        )
        left = i / len(names)
        layout[f"xaxis{place}"] = {
            "domain": [left, left + 0.92 / len(names)],
            "title": {"text": quantity(name).title},
            "tickformat": "~s",
            "nticks": 5,
            "showgrid": False,
        }
        if cap := view.caps.get(name):
            line = {"type": "line", "x0": cap, "x1": cap, "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dash"}}
            note = {"text": "cap", "x": cap, "yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False}
            shapes.append(line | {"xref": f"x{place}"})
            notes.append(note | {"xref": f"x{place}"})
    layout["yaxis"] |= {"range": [0, 104]}
    layout |= {"showlegend": False, "shapes": shapes, "annotations": notes}
    return go.Figure(traces, layout=layout | {"margin": {"l": 10, "r": 16, "t": 24, "b": 44}})


def failures(view: StudyView) -> list[str]:
    """Return a line for each kind of failure: how many trials it took, and the first of them."""
    kinds: dict[str, list[int]] = {}
    for record in view.records:
        if record.error:
            kinds.setdefault(record.error, []).append(record.number)
    return [f"{plural(len(found), 'trial')} failed, first {found[0]}: {error}" for error, found in kinds.items()]
