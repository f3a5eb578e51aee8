"""The figure of the prediction benchmark, from its `report.json`.

    python benchmarks/prediction_figure.py [FOLDER]

Writes `prediction.png` to the folder, `docs/figures` by default (drawn by Plotly; `pip install kaleido` and a Chromium
turn it into a file).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

REPORT = Path(__file__).parent / "results" / "prediction" / "report.json"
TARGETS = {
    "val_accuracy": "final accuracy",
    "drop_mean": "accuracy lost to corruptions",
    "drop_int4": "accuracy lost in 4 bits",
}
VIEWS = {
    "plain": ("#9aa4ae", "circle-open", "raw"),
    "given size": ("#0072b2", "circle", "given params, MACs and depth"),
}
OTHERS = ("params", "macs", "depth", "proxy_val_accuracy")


def figure(report: dict[str, Any]) -> go.Figure:
    """Return the correlation of each metric after training with each target, with its 95 % interval."""
    cells = report["correlations"]
    names = [name for name in cells["drop_mean"] if name.endswith("_final")]
    rows = [*names, *OTHERS]
    drawn = make_subplots(1, 3, subplot_titles=list(TARGETS.values()), shared_yaxes=True, horizontal_spacing=0.03)
    for column, target in enumerate(TARGETS, start=1):
        for view, (colour, symbol, label) in VIEWS.items():
            found = {name: cells[target].get(name, {}).get(view) for name in rows}
            found = {name: cell for name, cell in found.items() if cell}
            drawn.add_scatter(
                x=[cell["value"] for cell in found.values()],
                y=list(map(_label, found)),
                error_x={
                    "array": [cell["high"] - cell["value"] for cell in found.values()],
                    "arrayminus": [cell["value"] - cell["low"] for cell in found.values()],
                    "thickness": 1,
                    "width": 0,
                },
                mode="markers",
                name=label,
                legendgroup=view,
                showlegend=column == 1,
                marker={"color": colour, "symbol": symbol, "size": 8},
                row=1,
                col=column,
            )
        drawn.add_vline(x=0, line_width=1, line_color="#888888", row=1, col=column)
        drawn.update_xaxes(title="Spearman", range=[-1, 1], row=1, col=column)
    drawn.update_yaxes(categoryorder="array", categoryarray=[_label(name) for name in reversed(rows)])
    return drawn.update_layout(
        template="plotly_white",
        font={"family": "DejaVu Sans, Arial, sans-serif", "size": 13},
        scattermode="group",
        legend={"orientation": "h", "y": -0.12},
        width=1100,
        height=620,
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
    )


def _label(name: str) -> str:
    return name.removesuffix("_final").replace("_", " ")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/figures")
    folder.mkdir(parents=True, exist_ok=True)
    figure(json.loads(REPORT.read_text())).write_image(folder / "prediction.png", scale=2)
