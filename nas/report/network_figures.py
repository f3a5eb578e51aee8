"""One network as plotly figures: drawn block by block, what its parts cost, how it was trained, how it interferes."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import plotly.graph_objects as go

from nas.architecture import Architecture, Task, walk
from nas.budget import cost_table
from nas.layers import Act, AtMultiple, Chain, Classifier, Conv, Layer, Parallel, count_params, trace
from nas.records import TrialRecord
from nas.report.quantities import INTERFERENCE_METRICS, measured, quantity, short_count
from nas.report.trust_figures import BIN_COLOURS, figure_layout
from nas.view import StudyView

DIVERGING = ("#5fa8d8", "#b0d3ec", "#eef0f2", "#f8cfa3", "#ee9a4d")
"""From low to high; a pair that every kind of colour blindness tells apart."""
BLOCK, GAP = 1.0, 0.35
"""Width of a block in the drawing, and the gap between blocks."""
MOST_RANKED = 500
"""Trials that the interference of one is ranked among; of more, that many at even distances."""
OUTLINE = {"stem": BIN_COLOURS[4], "head": BIN_COLOURS[4]}


@dataclass(frozen=True)
class Part:
    """A part of a network as it is drawn: the widths that a map passes through, and where depthwise layers stand."""

    name: str
    widths: tuple[int, ...]
    depthwise: tuple[tuple[int, int], ...]
    activations: tuple[str, ...]
    side: int
    words: str
    params: int
    macs: int


def parts(architecture: Architecture, task: Task) -> list[Part]:
    """Return the stem, every block and the head."""
    found, width = [], task.in_channels
    blocks = [block for stage in architecture.stages for block in stage.blocks]
    words = [
        "stem",
        *(f"{b.family}, {b.kernel}x{b.kernel}, expansion {b.expansion:g}, {b.activation}" for b in blocks),
        "head",
    ]
    table = cost_table(architecture, task)
    for (name, layer), (_, step), said in zip(walk(architecture, task), table, words, strict=True):
        convs = list(_convs(layer))
        widths = (width, *(conv.out_width for conv in convs)) if convs else (width, step.channels)
        deep = tuple((i, conv.kernel) for i, conv in enumerate(convs, start=1) if 1 < conv.groups == conv.out_width)
        acts = tuple(dict.fromkeys(_activations(layer)))
        found.append(Part(name, widths, deep, acts, step.side, said, step.params, step.macs))
        width = step.channels
    return found


def _convs(layer: Layer) -> Iterator[Conv]:
    """Yield the convolutions of the main branch, in order."""
    match layer:
        case Conv():
            yield layer
        case Chain(inside):
            for _, inner in inside:
                yield from _convs(inner)
        case Parallel(branches):
            yield from max(([*_convs(inner)] for _, inner in branches), key=len)
        case AtMultiple(inner):
            yield from _convs(inner)
        case _:
            return


def _activations(layer: Layer) -> Iterator[str]:
    match layer:
        case Act():
            yield layer.kind
        case Chain(inside) | Parallel(inside):
            for _, inner in inside:
                yield from _activations(inner)
        case AtMultiple(inner):
            yield from _activations(inner)
        case _:
            return


def network_figure(architecture: Architecture, task: Task) -> go.Figure:
    """Return the network from left to right. The outline of a block follows the widths inside it, as square roots.

    Dark bars are depthwise convolutions, where they stand. Below is the side of the map, above the width that goes on.
    """
    drawn = parts(architecture, task)
    families = list(dict.fromkeys(_family(part) for part in drawn if part.name not in OUTLINE))
    colours = {name: BIN_COLOURS[i % (len(BIN_COLOURS) - 1)] for i, name in enumerate(families)}
    traces, notes, seen, x = [], [], set[str](), 0.0
    before, stage = "", ""
    for part in drawn:
        now = part.name.split(".")[0]
        x += GAP * (1.6 if now != stage and stage else 1)
        family = _family(part)
        xs = [x + BLOCK * i / (len(part.widths) - 1) for i in range(len(part.widths))]
        heights = [sqrt(width) for width in part.widths]
        traces.append(_outline(part, family, colours.get(family, BIN_COLOURS[4]), xs, heights, show=family not in seen))
        seen.add(family)
        for i, kernel in part.depthwise:
            traces.append(_bar(xs[i], heights[i], kernel, first="depthwise" not in seen))
            seen.add("depthwise")
        label = str(part.widths[-1]) if part.name != "head" else ""
        notes.append(_note(x + BLOCK / 2, max(heights), label, above=True))
        if now != before:
            notes.append(
                _note(
                    x + BLOCK / 2,
                    -max(heights),
                    f"{now.replace('stage', 'stage ')}<br>{part.side} px" if now != "head" else "head",
                )
            )
        before, stage, x = now, now, x + BLOCK
    tallest = max(sqrt(max(part.widths)) for part in drawn)
    layout = figure_layout(300, "", "")
    hidden = {"visible": False, "showgrid": False}
    layout["xaxis"] = hidden | {"range": [-0.2, x + 0.4]}
    layout["yaxis"] = hidden | {"range": [-1.55 * tallest, 1.3 * tallest]}
    return go.Figure(
        traces, layout=layout | {"annotations": notes, "showlegend": True, "margin": {"l": 4, "r": 4, "t": 40, "b": 4}}
    )


def _family(part: Part) -> str:
    return "stem and head" if part.name in OUTLINE else part.words.split(",")[0]


def _outline(
    part: Part, family: str, colour: str, xs: Sequence[float], heights: Sequence[float], *, show: bool
) -> go.Scatter:
    words = (
        f"<b>{html.escape(part.name)}</b><br>{html.escape(part.words, quote=False)}<br>"
        f"widths {' → '.join(map(str, part.widths))}, map {part.side}x{part.side}<br>"
        f"activation {html.escape(', '.join(part.activations)) or 'none'}<br>"
        f"{part.params:,} params, {short_count(part.macs)} MACs"
    )
    return go.Scatter(
        x=[*xs, *reversed(xs), xs[0]],
        y=[*heights, *(-h for h in reversed(heights)), heights[0]],
        mode="lines",
        fill="toself",
        fillcolor=colour,
        opacity=0.85,
        line={"color": colour, "width": 1},
        hoveron="fills",
        text=words,
        hoverinfo="text",
        name=html.escape(family, quote=False),
        legendgroup=family,
        showlegend=show,
    )


def _bar(x: float, height: float, kernel: int, *, first: bool) -> go.Scatter:
    half = 0.05 + 0.012 * kernel
    return go.Scatter(
        x=[x - half, x + half, x + half, x - half, x - half],
        y=[-height, -height, height, height, -height],
        mode="lines",
        fill="toself",
        fillcolor="#2b3036",
        line={"color": "#a0a8b2", "width": 1},
        hoverinfo="skip",
        name="depthwise (broader: larger kernel)",
        legendgroup="depthwise",
        showlegend=first,
    )


def _note(x: float, y: float, text: str, *, above: bool = False) -> dict[str, object]:
    place = {"x": x, "y": y, "yanchor": "bottom" if above else "top", "xanchor": "center"}
    return {"text": text, "showarrow": False, "font": {"size": 11}, **place}


def shares(architecture: Architecture, task: Task) -> list[tuple[str, int, int]]:
    """Return (part, params, MACs) of the stem, each stage, the head and the classifier."""
    found: dict[str, list[int]] = {}
    table = cost_table(architecture, task)
    for name, step in table:
        key = name.split(".")[0].replace("stage", "stage ")
        sums = found.setdefault(key, [0, 0])
        sums[0], sums[1] = sums[0] + step.params, sums[1] + step.macs
    head = dict(walk(architecture, task))["head"]
    before = table[-2][1]
    classifier = next(iter(_classifiers(head)), None)
    if classifier is not None:
        params = count_params(classifier)
        macs = trace(classifier, before.channels, before.side).macs
        found["head"] = [found["head"][0] - params, found["head"][1] - macs]
        found["classifier"] = [params, macs]
    return [(name, *sums) for name, sums in found.items() if any(sums)]  # type: ignore[misc]


def _classifiers(layer: Layer) -> Iterator[Classifier]:
    match layer:
        case Classifier():
            yield layer
        case Chain(inside) | Parallel(inside):
            for _, inner in inside:
                yield from _classifiers(inner)
        case _:
            return


def cost_figure(architecture: Architecture, task: Task) -> go.Figure:
    """Return the share of each stage and of the classifier in parameters and in MACs, as bars."""
    rows = shares(architecture, task)
    totals = [sum(row[1] for row in rows), sum(row[2] for row in rows)]
    traces = []
    for i, (label, column) in enumerate((("parameters", 1), ("MACs", 2))):
        values = [int(row[column]) for row in rows]
        traces.append(
            go.Bar(
                x=[100 * value / totals[i] for value in values],
                y=[row[0] for row in rows],
                orientation="h",
                name=f"{label}, {short_count(totals[i])} in all",
                marker={
                    "color": BIN_COLOURS[i],
                    "pattern": {"shape": ["/" if row[0] == "classifier" else "" for row in rows]},
                },
                text=[short_count(value) for value in values],
                textposition="outside",
                cliponaxis=False,
                hovertemplate=f"%{{y}}: %{{x:.1f}} % of the {label}<extra></extra>",
            )
        )
    layout = figure_layout(110 + 34 * len(rows), "share (%)", "")
    layout["yaxis"] |= {"type": "category", "autorange": "reversed", "showgrid": False}
    most = max((max(t.x) for t in traces if len(t.x)), default=1)
    layout["xaxis"] |= {"range": [0, 1.18 * most]}
    return go.Figure(traces, layout=layout | {"showlegend": True, "bargap": 0.25})


def curves_figure(record: TrialRecord) -> go.Figure:
    """Return the training loss and, where it was evaluated, validation accuracy after each epoch of each training."""
    curves = [each for each in record.measurements if each.epochs]
    traces = []
    for i, each in enumerate(curves):
        colour, symbol = BIN_COLOURS[i % 5], ("circle", "square", "diamond", "triangle-up", "x")[i % 5]
        points = [(k, epoch) for k, epoch in enumerate(each.epochs, start=1)]
        accuracies = [(k, 100 * epoch.val_accuracy) for k, epoch in points if epoch.val_accuracy is not None]
        for place, shown in (("", accuracies), ("2", [(k, epoch.train_loss) for k, epoch in points])):
            traces.append(
                go.Scatter(
                    x=[k for k, _ in shown],
                    y=[y for _, y in shown],
                    mode="lines+markers",
                    marker={"size": 7, "symbol": symbol, "color": colour},
                    line={"color": colour, "width": 2},
                    name=f"{each.fidelity.epochs} epochs, seed {each.seed % 10_000}",
                    legendgroup=str(i),
                    showlegend=not place,
                    xaxis=f"x{place}",
                    yaxis=f"y{place}",
                    hovertemplate="epoch %{x}: %{y:.4~g}<extra></extra>",
                )
            )
    most = max((len(each.epochs) for each in curves), default=1)
    layout = figure_layout(300, "epoch", quantity("val_accuracy").title)
    ticks = {"dtick": 1} if most <= 12 else {"tickformat": "d"}
    layout["xaxis"] |= {"domain": [0, 0.42], **ticks}
    layout["xaxis2"] = {"domain": [0.6, 1], "title": {"text": "epoch"}, "showgrid": False, **ticks}
    layout["yaxis2"] = {"anchor": "x2", "title": {"text": "training loss"}, "automargin": True}
    return go.Figure(traces, layout=layout | {"showlegend": True})


def interference_figure(record: TrialRecord, view: StudyView) -> go.Figure | None:
    """Return each interference metric of each training, coloured by its rank among the study's compared trials."""
    rows = [each for each in record.measurements if each.is_complete]
    names = [name for name in INTERFERENCE_METRICS if any(name in each.metrics for each in rows)]
    if not names:
        return None
    step = max(1, -(-len(view.compared) // MOST_RANKED))
    known = [view.metrics(other) for other in view.compared[::step]]
    others = {name: sorted(v for each in known if (v := measured(each, name)) is not None) for name in names}
    labels = [f"{each.fidelity.epochs} epochs, seed {each.seed % 10_000}" for each in rows]
    z = [[_rank(each.metrics.get(name), others[name]) for name in names] for each in rows]
    text = [[quantity(name).number(each.metrics.get(name)) for name in names] for each in rows]
    return _heat(labels, names, z, text, ("lowest", "median", "highest"), (0, 50, 100))


def _rank(value: float | None, others: Sequence[float]) -> float | None:
    if value is None or len(others) < 2:
        return None
    return 100 * sum(other < value for other in others) / (len(others) - 1)


def block_figure(by_block: Mapping[str, Mapping[str, float]], chance: Mapping[str, float]) -> go.Figure:
    """Return each interference metric of each block, coloured by its distance from chance within the network."""
    names = [name for name in INTERFERENCE_METRICS if any(name in each for each in by_block.values())]
    spans = {
        n: max((abs(each[n] - chance.get(n, 0.0)) for each in by_block.values() if n in each), default=1.0) or 1.0
        for n in names
    }
    z = [
        [(each[n] - chance.get(n, 0.0)) / spans[n] if n in each else None for n in names] for each in by_block.values()
    ]
    text = [[quantity(n).number(each.get(n)) for n in names] for each in by_block.values()]
    places = [place.removeprefix("stages.") for place in by_block]
    return _heat(places, names, z, text, ("below", "chance", "above"), (-1, 0, 1))


def _heat(
    places: Sequence[str],
    names: Sequence[str],
    z: Sequence[Sequence[float | None]],
    text: Sequence[Sequence[str]],
    words: tuple[str, ...],
    ticks: tuple[float, ...],
) -> go.Figure:
    """Return metrics against places; `z` and `text` have a row for each place."""
    trace = go.Heatmap(
        x=[html.escape(place, quote=False).replace(", ", "<br>").replace(".", ".<br>") for place in places],
        y=[quantity(name).title.replace("importance-weighted interference", "weighted interference") for name in names],
        z=[list(row) for row in zip(*z, strict=True)],
        text=[list(row) for row in zip(*text, strict=True)],
        texttemplate="%{text}",
        hovertemplate="%{y}<br>%{x}: %{text}<extra></extra>",
        xgap=1,
        ygap=1,
        zmin=ticks[0],
        zmax=ticks[-1],
        colorscale=[[i / (len(DIVERGING) - 1), colour] for i, colour in enumerate(DIVERGING)],
        textfont={"color": "#1b1f24", "size": 11},
        colorbar={"tickvals": list(ticks), "ticktext": list(words), "thickness": 10, "outlinewidth": 0},
    )
    layout = figure_layout(90 + 24 * max(3, len(names)), "", "")
    layout["xaxis"] |= {"type": "category", "side": "top", "tickangle": 0, "tickfont": {"size": 10}}
    layout["yaxis"] |= {"type": "category", "autorange": "reversed", "showgrid": False, "dtick": 1}
    return go.Figure([trace], layout=layout | {"showlegend": False, "margin": {"l": 10, "r": 10, "t": 60, "b": 10}})
