"""The figure of `tables.py`: what each sampler has found over the queries, a panel for each problem."""

from __future__ import annotations

import base64
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

COLOURS = {
    "cap": "#d55e00",
    "tpe": "#0072b2",
    "gp": "#56b4e9",
    "nsga2": "#009e73",
    "nsga3": "#6abf9b",
    "evolution": "#cc79a7",
    "local": "#b59b00",
    "random": "#8b949e",
}
COLUMNS, PANEL_WIDTH, PANEL_HEIGHT = 3, 380, 300
LEAST_REGRET = 1e-3
"""Regrets are drawn on a logarithmic axis down to here."""


def figure(problems: Mapping[str, Any]) -> go.Figure:
    """Return the mean over repeats: regret, less is better; with several objectives the hypervolume, more is.

    The bands are its 95 % intervals.
    """
    rows = -(-len(problems) // COLUMNS)
    titles = [f"{name.replace('_', ' ')}{' (hypervolume)' * _is_volume(each)}" for name, each in problems.items()]
    drawn = make_subplots(rows, COLUMNS, subplot_titles=titles, horizontal_spacing=0.07, vertical_spacing=0.25 / rows)
    named: set[str] = set()
    for place, content in enumerate(problems.values()):
        row, column = place // COLUMNS + 1, place % COLUMNS + 1
        for sampler in sorted(content["samplers"], key=lambda each: list(COLOURS).index(each)):
            for trace in _traces(sampler, content, is_named=sampler not in named):
                drawn.add_trace(trace, row=row, col=column)
            named.add(sampler)
        drawn.update_yaxes(type="linear" if _is_volume(content) else "log", tickformat="~g", row=row, col=column)
        if not _is_volume(content):
            drawn.update_yaxes(dtick="D2", row=row, col=column)
    drawn.update_xaxes(rangemode="tozero")
    drawn.update_xaxes(title="queries", row=rows)
    return drawn.update_layout(
        template="plotly_white",
        font={"family": "DejaVu Sans, Arial, sans-serif", "size": 12},
        legend={"orientation": "h", "y": 1 + 70 / (rows * PANEL_HEIGHT), "x": 0},
        width=COLUMNS * PANEL_WIDTH,
        height=rows * PANEL_HEIGHT + 60,
        margin={"l": 50, "r": 20, "t": 90, "b": 50},
    )


def _is_volume(content: Mapping[str, Any]) -> bool:
    return len(content["objectives"]) > 1


def _traces(sampler: str, content: Mapping[str, Any], *, is_named: bool) -> list[go.Scatter]:
    """Return the band of the 95 % interval, and the mean as a line on it."""
    found = content["samplers"][sampler]
    least = -math.inf if _is_volume(content) else LEAST_REGRET
    low, mean, high = ([max(each[name], least) for each in found["curve"]] for name in ("low", "mean", "high"))
    queries, shared = found["queries"], {"legendgroup": sampler, "mode": "lines"}
    band = go.Scatter(
        x=queries + queries[::-1],
        y=high + low[::-1],
        fill="toself",
        fillcolor=COLOURS[sampler],
        opacity=0.15,
        line={"width": 0},
        showlegend=False,
        hoverinfo="skip",
        **shared,
    )
    line = go.Scatter(
        x=queries,
        y=mean,
        name=sampler,
        showlegend=is_named,
        line={"color": COLOURS[sampler], "width": 3 if sampler == "cap" else 1.5},
        hovertemplate=f"{sampler}: %{{y:.4g}} after %{{x}}<extra></extra>",
        **shared,
    )
    return [band, line]


def write(problems: Mapping[str, Any], path: Path) -> None:
    """Write the figure: a page that loads plotly from its own file, or a picture that Chromium draws (playwright)."""
    drawn = figure(problems)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".html":
        drawn.write_html(path)
        return
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_path = Path(folder) / "figure.html"
        drawn.write_html(page_path)
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(page_path.as_uri())
        page.wait_for_selector(".main-svg")
        size = f"width: {drawn.layout.width}, height: {drawn.layout.height}, scale: 2"
        script = f"Plotly.toImage(document.querySelector('.js-plotly-plot'), {{format: 'png', {size}}})"
        data = page.evaluate(script)
        browser.close()
    path.write_bytes(base64.b64decode(data.partition(",")[2]))
