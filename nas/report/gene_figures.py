"""Which genes matter, as plotly figures: a forest's importances, and what each value of a gene came to."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

import numpy as np
import plotly.graph_objects as go

from nas.records import Fidelity, TrialRecord
from nas.report.quantities import measured, quantity
from nas.report.trust_figures import BIN_COLOURS, figure_layout
from nas.space import Gene, GeneValue
from nas.surrogate.encoding import Encoder
from nas.surrogate.forest import LEAST_ROWS, fit_forest
from nas.trust.measured import measured_at
from nas.view import StudyView

MOST_ROWS = 1_500
"""Records that the forest is fitted on; of more, that many at even distances."""
MOST_GENES = 20
FEWEST = 30
"""Networks that a rung must have for its values to be looked at, where a lower one has more."""
EFFECTS = 6
"""Genes whose values are shown one by one."""


@dataclass(frozen=True)
class Importance:
    """What a forest says of the genes: shares of what it explains, most first; `explained` is its R2 out of bag."""

    metric: str
    shares: tuple[tuple[str, float], ...]
    explained: float
    rows: int

    @property
    def words(self) -> str:
        """How far it may be believed, in one line."""
        if self.explained <= 0:
            return f"of {self.rows:,} trials the forest explains nothing it has not seen: the shares mean nothing yet"
        return f"of {self.rows:,} trials the forest explains {100 * self.explained:.0f} % of the variance (out of bag)"


def importance(view: StudyView, metric: str) -> Importance | None:
    """Return which genes a metric depends on; None where too few trials have it, or it is the same in all."""
    rows = _rows(view, metric)
    values = np.array([value for _, value in rows])
    if len(rows) < LEAST_ROWS or not float(np.ptp(values)):
        return None
    encoder = Encoder(tuple(_genes([record for record, _ in rows])))
    features = encoder.features(encoder.codes(record.genotype for record, _ in rows))
    targets = (values - values.mean()) / values.std()
    forest = fit_forest(features, targets, seed=0)
    columns = np.mean([tree.compute_feature_importances() for tree in forest.trees], axis=0)
    shares = np.bincount(encoder.groups, weights=columns, minlength=len(encoder.genes))
    named = zip((gene.name for gene in encoder.genes), shares.tolist(), strict=True)
    explained = 1 - float(np.mean((targets - forest.left_out) ** 2))
    return Importance(metric, tuple(sorted(named, key=lambda each: -each[1])), explained, len(rows))


def importance_figure(found: Importance) -> go.Figure:
    """Return the importances as bars, the most important gene on top."""
    shown = [each for each in found.shares[:MOST_GENES] if each[1] > 0]
    trace = go.Bar(
        x=[100 * share for _, share in shown],
        y=[html.escape(name, quote=False) for name, _ in shown],
        orientation="h",
        marker={"color": BIN_COLOURS[0]},
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )
    layout = figure_layout(80 + 20 * len(shown), f"share of what it explains of {quantity(found.metric).label} (%)", "")
    layout["yaxis"] |= {"type": "category", "autorange": "reversed", "showgrid": False, "dtick": 1}
    return go.Figure([trace], layout=layout | {"showlegend": False, "margin": {"l": 10, "r": 16, "t": 8, "b": 44}})


def effects_figure(view: StudyView, metric: str, genes: Sequence[str]) -> go.Figure:
    """Return the mean of a metric for each value of some genes, with 95 % intervals; other genes are as they were."""
    known, rows = quantity(metric), _rows(view, metric)
    layout = figure_layout(300, "", known.title)
    layout.pop("xaxis")
    traces = []
    shown = list(genes[:EFFECTS])
    for i, name in enumerate(shown):
        groups: dict[GeneValue, list[float]] = defaultdict(list)
        for record, value in rows:
            if name in record.genotype:
                groups[record.genotype[name]].append(known.shown(value))
        order = sorted(groups, key=lambda value: (isinstance(value, str), value))
        place = "" if i == 0 else str(i + 1)
        margins = [1.96 * stdev(groups[v]) / sqrt(len(groups[v])) if len(groups[v]) > 1 else 0.0 for v in order]
        traces.append(
            go.Scatter(
                x=[html.escape(str(value), quote=False) for value in order],
                y=[fmean(groups[value]) for value in order],
                error_y={"type": "data", "array": margins, "thickness": 1.5, "width": 0, "color": BIN_COLOURS[0]},
                mode="markers",
                marker={"color": BIN_COLOURS[0], "size": 8},
                xaxis=f"x{place}",
                hovertext=[f"{html.escape(str(v))}: mean {fmean(groups[v]):.4g} of {len(groups[v])}" for v in order],
                hoverinfo="text",
            )
        )
        left = i / len(shown)
        title = html.escape(name, quote=False).replace(".", ".<br>", 1)
        layout[f"xaxis{place}"] = {
            "domain": [left, left + 0.88 / len(shown)],
            "type": "category",
            "showgrid": False,
            "title": {"text": title, "font": {"size": 12}},
            "tickfont": {"size": 11},
        }
    return go.Figure(traces, layout=layout | {"showlegend": False, "margin": {"l": 10, "r": 8, "t": 8, "b": 90}})


def _rows(view: StudyView, metric: str) -> list[tuple[TrialRecord, float]]:
    """Return records with a metric, all measured at one fidelity: the highest that enough of them have come to."""
    counts = {rung: sum(_is_at(record, rung) for record in view.records) for rung in view.config.fidelities}
    enough = [rung for rung, count in counts.items() if count >= FEWEST]
    rung = enough[-1] if enough else view.config.fidelities[0]
    records = [record for record in view.records if _is_at(record, rung)]
    step = max(1, -(-len(records) // MOST_ROWS))
    found = ((record, measured_at(record, rung)) for record in records[::step])
    pairs = ((record, measured(each.metrics, metric)) for record, each in found if each is not None)
    return [(record, value) for record, value in pairs if value is not None]


def _is_at(record: TrialRecord, rung: Fidelity) -> bool:
    return any(each.is_complete and each.fidelity == rung for each in record.measurements)


def _genes(records: Sequence[TrialRecord]) -> list[Gene]:
    """Return the genes that vary in some records, with the values that occur, numbers in their order."""
    found: dict[str, dict[GeneValue, None]] = defaultdict(dict)
    for record in records:
        for name, value in record.genotype.items():
            found[name][value] = None
    complete = {name for name in found if all(name in record.genotype for record in records)}
    return [
        Gene(name, tuple(sorted(values, key=lambda value: (isinstance(value, str), value))))
        for name, values in found.items()
        if len(values) > 1 and name in complete
    ]
