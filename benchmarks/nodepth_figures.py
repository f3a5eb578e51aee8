"""The figures of the NoDepth study, from the tables of `nodepth_report.py`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

TITLES = {"cifar": "CIFAR-10 (JPEG copy)", "fashion": "Fashion-MNIST"}
COLOURS = {
    "nodepth": "#0072b2",
    "nodepth_half": "#56b4e9",
    "nodepth_dense": "#009e73",
    "sandglass": "#d55e00",
    "separable": "#e69f00",
    "inverted": "#cc79a7",
    "convnext": "#8c6d31",
    "residual": "#444444",
}
"""Okabe and Ito's palette, which survives colour blindness."""

SYMBOLS = dict(
    zip(COLOURS, ("circle", "circle-open", "square", "diamond", "cross", "x", "star", "triangle-up"), strict=True)
)
TEMPLATE = "plotly_white"
FONT = {"family": "DejaVu Sans, Arial, sans-serif", "size": 13}
METRICS = (
    "cross_talk",
    "excess_coherence",
    "class_overlap",
    "redundancy",
    "importance_weighted",
    "channel_correlation",
)


def scaling(tables: dict[str, Any]) -> go.Figure:
    """Return accuracy against parameters, a line for each family, with the spread over seeds."""
    figure = make_subplots(1, 2, subplot_titles=list(TITLES.values()), horizontal_spacing=0.09)
    for column, data in enumerate(TITLES, start=1):
        for family, row in tables["accuracy"][data].items():
            cells = {int(size): cell for size, cell in row.items() if cell}
            figure.add_scatter(
                x=list(cells),
                y=[cell["mean"] for cell in cells.values()],
                error_y={"array": [cell["std"] or 0 for cell in cells.values()], "thickness": 1, "width": 3},
                name=family,
                legendgroup=family,
                showlegend=column == 1,
                mode="lines+markers",
                line={"color": COLOURS[family], "width": 2},
                marker={"symbol": SYMBOLS[family], "size": 8},
                row=1,
                col=column,
            )
        ticks = {"tickvals": [20_000, 60_000, 200_000, 600_000], "ticktext": ["20k", "60k", "200k", "600k"]}
        figure.update_xaxes(type="log", title="parameters, 10 classes", **ticks, row=1, col=column)
    figure.update_yaxes(title="validation accuracy (%)", row=1, col=1)
    return _finished(figure, 1060, 460)


def activations(tables: dict[str, Any]) -> go.Figure:
    """Return the accuracy that SoLU and GELU cost against ReLU at 60k."""
    figure = make_subplots(1, 2, subplot_titles=list(TITLES.values()), shared_yaxes=True, horizontal_spacing=0.04)
    for column, data in enumerate(TITLES, start=1):
        for activation, colour, symbol in (("solu", "#d55e00", "circle"), ("gelu", "#0072b2", "diamond")):
            rows = {name: sizes["60000"] for name, sizes in tables["lost_to"][activation][data].items()}
            _intervals(figure, rows, activation, colour, symbol, column)
        figure.update_xaxes(title="points of accuracy lost against ReLU", row=1, col=column)
        figure.add_vline(x=0, line_width=1, line_color="#888888", row=1, col=column)
    figure.update_yaxes(autorange="reversed")
    return _finished(figure, 1060, 460)


def designs(tables: dict[str, Any]) -> go.Figure:
    """Return the accuracy of NoDepth's variants at 60k beside the families, best first."""
    found = {name: row["60000"] for name, row in tables["designs"]["cifar"].items() if row.get("60000")}
    names = sorted(found, key=lambda name: -found[name]["mean"])
    ours = [name.startswith("nodepth") for name in names]
    figure = go.Figure()
    for is_ours, label, colour in ((True, "NoDepth and its variants", "#0072b2"), (False, "other families", "#d55e00")):
        chosen = [name for name, own in zip(names, ours, strict=True) if own == is_ours]
        figure.add_scatter(
            x=[found[name]["mean"] for name in chosen],
            y=chosen,
            error_x={"array": [found[name]["std"] or 0 for name in chosen], "thickness": 1, "width": 3},
            mode="markers",
            name=label,
            marker={"color": colour, "size": 9, "symbol": "circle" if is_ours else "diamond"},
        )
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    figure.update_xaxes(title="validation accuracy (%), CIFAR-10 copy, 60k parameters, three seeds")
    return _finished(figure, 860, 560)


def metrics(tables: dict[str, Any]) -> go.Figure:
    """Return the metrics of each family at 60k, as a heat map in standard deviations across the families."""
    figure = make_subplots(1, 2, subplot_titles=list(TITLES.values()), shared_yaxes=True, horizontal_spacing=0.04)
    for column, data in enumerate(TITLES, start=1):
        rows = tables["metrics"][data]
        values = [[rows[family][name]["mean"] if rows[family][name] else None for name in METRICS] for family in rows]
        figure.add_heatmap(
            z=_standardised(values),
            x=[name.replace("_", " ") for name in METRICS],
            y=list(rows),
            text=[["" if value is None else f"{value:.2f}" for value in row] for row in values],
            texttemplate="%{text}",
            colorscale="RdBu_r",
            zmid=0,
            zmin=-2,
            zmax=2,
            showscale=False,
            row=1,
            col=column,
        )
    figure.update_yaxes(autorange="reversed")
    return _finished(figure, 1060, 460)


def suppression(tables: dict[str, Any]) -> go.Figure:
    """Return what each way of suppression does to accuracy and to interference at 60k, ReLU."""
    quantities = {"importance_weighted": "change of importance-weighted interference", "accuracy": "points of accuracy"}
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04)
    families = tables["arms"]["cifar"]["relu"]
    colours = dict(zip(families, ("#cc79a7", "#d55e00", "#56b4e9"), strict=True))
    for column, (name, title) in enumerate(quantities.items(), start=1):
        for family, arms in families.items():
            rows = {arm.replace("_", " "): cells[name] for arm, cells in arms.items()}
            _intervals(figure, rows, family, colours[family], SYMBOLS[family], column)
        figure.update_xaxes(title=title, row=1, col=column)
        figure.add_vline(x=0, line_width=1, line_color="#888888", row=1, col=column)
    figure.update_layout(scattermode="group")
    return _finished(figure, 1060, 520)


def _intervals(figure: go.Figure, rows: dict[str, Any], label: str, colour: str, symbol: str, column: int) -> None:
    """Add a dot with its interval for each row that was measured."""
    found = {name: cell for name, cell in rows.items() if cell["mean"] is not None}
    figure.add_scatter(
        x=[cell["mean"] for cell in found.values()],
        y=list(found),
        error_x={
            "array": [
                (cell["high"] if cell["high"] is not None else cell["mean"]) - cell["mean"] for cell in found.values()
            ],
            "thickness": 1,
            "width": 3,
        },
        mode="markers",
        name=label,
        legendgroup=label,
        showlegend=column == 1,
        marker={"color": colour, "symbol": symbol, "size": 9},
        row=1,
        col=column,
    )


def _standardised(rows: list[list[float | None]]) -> list[list[float | None]]:
    columns = []
    for column in zip(*rows, strict=True):
        known = [value for value in column if value is not None]
        mean = sum(known) / max(1, len(known))
        spread = (sum((value - mean) ** 2 for value in known) / max(1, len(known))) ** 0.5 or 1.0
        columns.append([None if value is None else (value - mean) / spread for value in column])
    return [list(row) for row in zip(*columns, strict=True)]


def _finished(figure: go.Figure, width: int, height: int) -> go.Figure:
    return figure.update_layout(
        template=TEMPLATE, font=FONT, width=width, height=height, margin={"l": 60, "r": 20, "t": 40, "b": 50}
    )


FIGURES = {
    "scaling": scaling,
    "activations": activations,
    "designs": designs,
    "metrics": metrics,
    "suppression": suppression,
}


def write(tables: dict[str, Any], folder: Path, names: Iterable[str] = FIGURES) -> None:
    """Write the figures as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        FIGURES[name](tables).write_image(folder / f"nodepth_{name}.png", scale=2)
