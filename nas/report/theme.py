"""The colours of the page and its plot, once for a light and once for a dark screen.

The colour scale is a part of plasma: its lightness is monotone, so it survives every kind of colour blindness and a
grey printer; each theme leaves out the end that its background would swallow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
UNMEASURED = "#8b949e"
"""Of a candidate without the coloured metric: a grey, which the scale never comes near; readable on both grounds."""

_PLASMA = (
    "#0d0887", "#41049d", "#6a00a8", "#8f0da4", "#b12a90", "#cc4778", "#e16462", "#f2844b", "#fca636", "#fcce25",
    "#f0f921",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of one scheme: ground, text, lesser text, lines, grid, links, and the scale from low to high."""

    ground: str
    ink: str
    muted: str
    line: str
    grid: str
    scale: Sequence[str]

    def template(self) -> go.layout.Template:
        """Return the plotly template: everything that depends on the scheme, so that a page can exchange it."""
        axis = {
            "gridcolor": self.grid,
            "linecolor": self.line,
            "tickcolor": self.line,
            "tickfont": {"color": self.muted},
            "title": {"font": {"size": 14}},
            "zeroline": False,
        }
        bar = {"outlinewidth": 0, "tickfont": {"color": self.muted}, "title": {"font": {"size": 13}}}
        layout: dict[str, Any] = {
            "paper_bgcolor": self.ground,
            "plot_bgcolor": self.ground,
            "font": {"family": FONT, "size": 13, "color": self.ink},
            "coloraxis": {"colorscale": self._stops(), "colorbar": bar},
            "hoverlabel": {
                "bgcolor": self.ground,
                "bordercolor": self.muted,
                "font": {"family": FONT, "color": self.ink},
            },
            "xaxis": axis,
            "yaxis": axis,
            "shapedefaults": {"line": {"color": self.muted}, "label": {"font": {"color": self.muted}}},
            "annotationdefaults": {"font": {"color": self.muted}},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": self.muted, "activecolor": self.ink},
        }
        marker = {"color": self.ink, "line": {"color": self.ground}}
        return go.layout.Template(layout=layout, data={"scatter": [{"marker": marker, "line": {"color": self.muted}}]})

    def css(self) -> str:
        """Return the colours as CSS custom properties."""
        names = ("ground", "ink", "muted", "line", "grid")
        return " ".join(f"--{name}: {getattr(self, name)};" for name in names)

    def _stops(self) -> list[list[Any]]:
        last = len(self.scale) - 1
        return [[i / last, colour] for i, colour in enumerate(self.scale)]


LIGHT = Theme(ground="#ffffff", ink="#1b1f24", muted="#57606a", line="#c4cad1", grid="#eceef1", scale=_PLASMA[:9])
DARK = Theme(ground="#14171a", ink="#e8eaed", muted="#a0a8b2", line="#454c55", grid="#24292f", scale=_PLASMA[3:])
