"""Every figure of a study by name, for notebooks: `NAME(records, config, …)` returns a plotly figure.

    from nas.report import figures
    figures.front(study.records(), study.config).show()

Colours are those of a light screen; `figure.update_layout(template=DARK.template())` (`nas.report.theme`) gives others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from nas.errors import InputError
from nas.records import StudyConfig, TrialRecord
from nas.report import front_figure, gene_figures, network_figures, search_figures, trust_figures
from nas.search.glance import Span
from nas.trust.meter import trust as trust_of
from nas.view import StudyView

Records = Sequence[TrialRecord]


def front(
    records: Records, config: StudyConfig, *, cap: int | None = None, objectives: Sequence[str] = ()
) -> go.Figure:
    """Return the front, under the study's cap and objectives or others."""
    budget = config.budget.with_params(cap) if cap else None
    return front_figure.front_figure(StudyView.of(config, records, budget=budget, objectives=objectives))


def hypervolume(
    records: Records,
    config: StudyConfig,
    *,
    baselines: Mapping[str, tuple[Records, StudyConfig]] | None = None,
    hours: search_figures.Hours | None = None,
) -> go.Figure:
    """Return the hypervolume over the trials, or over the `hours` by the names of the studies, against baselines."""
    others = [(name, StudyView.of(its, some)) for name, (some, its) in (baselines or {}).items()]
    return search_figures.volume_figure([(config.name, _view(records, config)), *others], hours)


def history(records: Records, config: StudyConfig) -> go.Figure:
    """Return each objective against the trials, with the best so far."""
    return search_figures.history_figure(_view(records, config))


def rungs(records: Records, config: StudyConfig) -> go.Figure:
    """Return how many candidates came to the end of each rung."""
    return search_figures.rung_figure(_view(records, config))


def timeline(spans: Sequence[Span]) -> go.Figure:
    """Return what each worker did and when; `nas.search.glance.spans` has it."""
    return search_figures.timeline_figure(spans)


def feasibility(records: Records, config: StudyConfig) -> go.Figure:
    """Return what share of the trials fits under each possible cap."""
    return search_figures.feasibility_figure(_view(records, config))


def importance(records: Records, config: StudyConfig, metric: str = "val_accuracy") -> go.Figure:
    """Return which genes a metric depends on; InputError where too few trials have it to say."""
    found = gene_figures.importance(_view(records, config), metric)
    if found is None:
        raise InputError(f"importance: {metric} was measured of too few trials, or is the same in all")
    return gene_figures.importance_figure(found)


def effects(records: Records, config: StudyConfig, genes: Sequence[str], metric: str = "val_accuracy") -> go.Figure:
    """Return the mean of a metric for each value of some genes, with 95 % intervals."""
    return gene_figures.effects_figure(_view(records, config), metric, genes)


def trust(records: Records, config: StudyConfig) -> go.Figure:
    """Return how each score ranks the networks that have a final accuracy."""
    return trust_figures.trust_figure(trust_of(config, records, methods=("kendall",)))


def network(record: TrialRecord, config: StudyConfig) -> go.Figure:
    """Return one network, drawn block by block."""
    return network_figures.network_figure(record.network, config.target.task)


def costs(record: TrialRecord, config: StudyConfig) -> go.Figure:
    """Return what each stage and the classifier cost."""
    return network_figures.cost_figure(record.network, config.target.task)


def curves(record: TrialRecord) -> go.Figure:
    """Return the learning curves of a trial."""
    return network_figures.curves_figure(record)


def interference(record: TrialRecord, records: Records, config: StudyConfig) -> go.Figure:
    """Return the interference metrics of a trial against those of the others; InputError where none was measured."""
    figure = network_figures.interference_figure(record, _view(records, config))
    if figure is None:
        raise InputError(f"trial {record.number}: no interference was measured")
    return figure


def _view(records: Records, config: StudyConfig) -> StudyView:
    return StudyView.of(config, records)
