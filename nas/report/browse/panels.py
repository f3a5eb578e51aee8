"""One candidate, and how the search went: what is shown of them, as components."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dash import html
from dash.development.base_component import Component

from nas.architecture import Architecture
from nas.records import TrialRecord
from nas.report.browse.elements import Child, command, facts, figure, section, table
from nas.report.candidates import rung_words
from nas.report.gene_figures import effects_figure, importance, importance_figure
from nas.report.network_figures import cost_figure, curves_figure, interference_figure, network_figure, parts, shares
from nas.report.quantities import measured, quantity
from nas.report.search_figures import (
    Hours,
    Studies,
    failures,
    feasibility_figure,
    history_figure,
    rung_figure,
    status_words,
    timeline_figure,
    volume_figure,
)
from nas.report.trust_figures import trust_figure
from nas.report.trust_words import truth_words, weight_words
from nas.search.glance import Span
from nas.trust.correlation import FEWEST
from nas.trust.meter import final_accuracies, trust
from nas.view import StudyView

__all__ = ["Where", "candidate_panel", "comparable", "search_panel"]


MOST_TRUSTED = 300
"""Networks that the trust meter is shown of; of more, that many at even distances: its intervals take their time."""


@dataclass(frozen=True, slots=True)
class Where:
    """How commands name a study: its name, what they need to find it, and which commands there are."""

    study: str
    options: str = ""
    verbs: frozenset[str] = frozenset()

    def line(self, verb: str, *rest: str) -> str:
        """Return ``nas VERB STUDY … OPTIONS`` as a shell takes it."""
        return " ".join(["nas", verb, *rest, *([self.options] if self.options else [])])


def candidate_panel(record: TrialRecord, view: StudyView, where: Where, environment: Mapping[str, Any]) -> Component:
    """Return all that is known of one candidate."""
    network = record.architecture if isinstance(record.architecture, Architecture) else None
    task = view.config.target.task
    status = view.status(record)
    content: list[Child] = [
        html.H2(f"Trial {record.number}", id="candidate-title", tabIndex="-1"),
        html.P(
            [html.Code(record.arch_id), f" {status.value}" + f": {record.error}" * bool(record.error)],
            className="muted",
        ),
        facts(_numbers(record, view)),
    ]
    if network is not None:
        alt = f"The network of trial {record.number}: " + "; ".join(
            f"{each.name} {each.words}" for each in parts(network, task)
        )
        note = "The outline follows the widths inside a block; dark bars are depthwise convolutions, where they stand."
        content += [
            section("Network", figure(network_figure(network, task), alt, wide=True), note=note),
            section(
                "Cost by stage",
                figure(cost_figure(network, task), "bars of params and MACs"),
                note=_classifier(network, view),
            ),
        ]
    if any(each.epochs for each in record.measurements):
        content.append(section("Learning curves", figure(curves_figure(record), "learning curves per rung")))
    content += [_interference(record, view), _commands(record, view, where), _genes(record), _record(record, view)]
    if environment:
        content.append(section("Environment", html.Pre(json.dumps(dict(environment), indent=1))))
    return html.Article(content, className="candidate")


def _numbers(record: TrialRecord, view: StudyView) -> list[tuple[str, Child]]:
    metrics = view.metrics(record)
    objectives = [each.name for each in view.objectives]
    usual = () if view.is_of_problem else ("val_accuracy", "params", "macs", "peak_activation_bytes", "interference")
    names = dict.fromkeys((*usual, *objectives, *view.config.costs))
    found: list[tuple[str, Child]] = [
        (quantity(name).label, quantity(name).words(measured(metrics, name))) for name in names
    ]
    fidelity = view.fidelity_of(record)
    if fidelity is not None:
        seeds = len(view.seeds(record))
        found.append(("measured", rung_words(fidelity, view) + f", mean of {seeds} seeds" * (seeds > 1)))
    return found


def _classifier(network: Architecture, view: StudyView) -> str:
    rows = {name: params for name, params, _ in shares(network, view.config.target.task)}
    share = 100 * rows.get("classifier", 0) / sum(rows.values())
    target = view.config.target
    takes = f"The classifier of {target.num_classes} classes takes {share:.0f} % of the parameters"
    return f"{takes} ({target.dataset}, {target.resolution} px)."


def _interference(record: TrialRecord, view: StudyView) -> Component | None:
    drawn = interference_figure(record, view)
    if drawn is None:
        return None
    note = "Coloured by its rank among the study's compared trials."
    return section("Interference", figure(drawn, "interference metrics of each training"), note=note)


def _commands(record: TrialRecord, view: StudyView, where: Where) -> Component:
    name, number = shlex.quote(where.study), str(record.number)
    if view.is_of_problem:
        return section("Commands", command("Show it", where.line("show", name, number)))
    gene = next(iter(record.genotype), "")
    edit = shlex.quote(f"{gene}={record.genotype[gene]}") if gene else ""
    subject = shlex.quote(f"{where.study}:{number}")
    known = (
        ("Retrain it on the target", "retrain", (name, "--trial", number)),
        ("Export it", "export", (subject,)),
        ("Enqueue it with an edit", "enqueue", (name, number, "--set", edit)),
        ("Measure its interference", "inspect", (subject, "--html", "page.html")),
        ("Print it", "show", (name, number)),
    )
    lines = [command(words, where.line(verb, *rest)) for words, verb, rest in known if verb in where.verbs]
    return section("Commands", *lines)


def _genes(record: TrialRecord) -> Component:
    rows = [(name, str(value)) for name, value in record.genotype.items()]
    return html.Details([html.Summary(f"Genotype: {len(rows)} genes"), table(("gene", "value"), rows)])


def _record(record: TrialRecord, view: StudyView) -> Component:
    names = list(dict.fromkeys(name for each in record.measurements for name in each.metrics))
    heads = ("quantity", *(f"{rung_words(m.fidelity, view)}, seed {m.seed % 10_000}" for m in record.measurements))
    rows = [
        (quantity(name).title, *(quantity(name).number(m.metrics.get(name)) for m in record.measurements))
        for name in names
    ]
    rows.append(("training time (s)", *(f"{m.train_seconds:,.1f}" for m in record.measurements)))
    return html.Details([html.Summary("Record"), table(heads, rows, numbers=range(1, len(heads)))])


def comparable(record: TrialRecord, view: StudyView) -> dict[str, Any]:
    """Return what candidates are compared by: quantities in words, parts of the network, genes."""
    found: dict[str, dict[str, str]] = {"quantities": {name: str(words) for name, words in _numbers(record, view)}}
    if isinstance(record.architecture, Architecture):
        task = view.config.target.task
        found["network"] = {
            each.name: f"{each.words}, w{each.widths[-1]}, {each.params:,} params"
            for each in parts(record.architecture, task)
        }
    found["genes"] = {name: str(value) for name, value in record.genotype.items()}
    return {"trial": record.number, "arch_id": record.arch_id, "sections": found}


def search_panel(studies: Studies, hours: Hours, spans: Sequence[Span]) -> Component:
    """Return how a search went; the first of the studies, the others are its baselines."""
    view = studies[0][1]
    if not view.records:
        return html.Div(html.P("no trial has been started yet", className="notice"))
    content: list[Child] = [
        html.P(status_words(view), className="facts"),
        *(html.P(line, className="notice") for line in failures(view)),
    ]
    if view.compared:
        note = "One box around everything compared; baselines had the same budget."
        content += [
            section("Hypervolume over trials", figure(volume_figure(studies), "hypervolume over trials"), note=note),
            section("Hypervolume over hours", figure(volume_figure(studies, hours), "hypervolume over hours")),
            section("Objectives", figure(history_figure(view), "each objective over the trials")),
        ]
    content.append(section("Rungs", figure(rung_figure(view), "candidates that came to the end of each rung")))
    content += _matter(view) + _trust(view)
    if spans:
        content.append(
            section(
                "Workers",
                figure(timeline_figure(spans), "what each worker did"),
                note="The latest trainings, each by its worker.",
            )
        )
    content.append(section("What would fit", figure(feasibility_figure(view), "share of the trials under each cap")))
    return html.Div(content, className="search")


def _matter(view: StudyView) -> list[Component]:
    """Return which genes matter to what the study is about."""
    name = view.config.quality.name
    found = importance(view, name)
    if found is None:
        return [section("Genes", html.P("too few trials to say which gene matters", className="muted"))]
    best = [gene for gene, share in found.shares if share > 0]
    title = f"Genes: what {quantity(name).label} depends on"
    drawn = [section(title, figure(importance_figure(found), "importance of each gene"), note=found.words + ".")]
    alt, note = "mean for each value of the leading genes", "Means with 95 % intervals, other genes as they came."
    return [*drawn, section("Values of the leading genes", figure(effects_figure(view, name, best), alt), note=note)]


def _trust(view: StudyView) -> list[Component]:
    final = final_accuracies(view.config, view.records)
    if view.is_of_problem or len(final) < FEWEST:
        return []
    numbers = sorted(final)
    kept = set(numbers[:: max(1, -(-len(numbers) // MOST_TRUSTED))])
    records = [record for record in view.records if record.number in kept] if len(kept) < len(final) else view.records
    found = trust(view.config, records, methods=("kendall",))
    sample = f" A sample of {len(kept)} of {len(final):,} networks." if len(kept) < len(final) else ""
    note = f"{truth_words(found)}. The mix: {weight_words(found)}. Right of zero ranks rightly.{sample}"
    return [section("Trust meter", figure(trust_figure(found), "rank correlation of each score"), note=note)]
