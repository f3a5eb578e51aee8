"""The sections of the front page on trust and on effort: a heading, a figure, and what it says in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from nas.effort import advice
from nas.report.page_html import escaped
from nas.report.trust_figures import hours_figure, mix_figure, trust_figure
from nas.report.trust_words import truth_words, weight_words
from nas.trust.correlation import FEWEST, Correlation
from nas.trust.meter import final_accuracies, scored, trust
from nas.trust.rungs import RungTrust
from nas.view import StudyView


@dataclass(frozen=True)
class Section:
    """A part of the page: `figures` by the id of the place that they are drawn in, and the whole as HTML."""

    figures: dict[str, go.Figure]
    html: str


Curve = Sequence[tuple[float, float]]
"""The hypervolume of a front against the hours, after each training."""


def sections(view: StudyView, curve: Curve) -> list[Section]:
    """Return what there is to say on the trust that the proxy has earned, and on the hours."""
    return [*_trust(view), *_hours(view, curve)]


def _hours(view: StudyView, curve: Curve) -> Iterator[Section]:
    if len(curve) < 2:
        return
    line = advice(curve, view.config.name)
    html = f"""<section>
<h2>What the hours bought</h2>
{place("hours", "Hypervolume of the front against the hours of training.")}
{f'<p class="note">{escaped(line)}</p>' if line else ""}
</section>"""
    yield Section({"hours": hours_figure(curve)}, html)


def _trust(view: StudyView) -> Iterator[Section]:
    config, records = view.config, view.records
    if view.is_of_problem:
        return
    seeds = final_accuracies(config, records)
    if len(seeds) < FEWEST:
        return
    found, networks = trust(config, records, methods=("kendall",)), scored(config, records)
    final = {number: sum(values) / len(values) for number, values in seeds.items()}
    alt = "Rank correlation of each score with final accuracy, with intervals; the rungs are in the table below."
    words = f"{truth_words(found)}. The mix: {weight_words(found)}. Right of zero ranks rightly."
    html = f"""<section>
<h2>Trust meter: how the proxy ranks</h2>
<p class="caption">{escaped(words)}</p>
{place("trust", alt)}
<p class="note">{escaped(found.advice)}</p>
{_rungs(found.rungs)}
{place("mix", "Scatter plot of final accuracy against the mixed score.")}
</section>"""
    sizes = [each.params for each in networks]
    figures = {"trust": trust_figure(found), "mix": mix_figure(networks, final, config.budget.params or max(sizes))}
    yield Section(figures, html)


def place(name: str, alt: str) -> str:
    """Return the element that the script of the page draws a figure into."""
    return f'<div id="{name}" class="more" role="img" aria-label="{escaped(alt)}"></div>'


def _rungs(rungs: Sequence[RungTrust]) -> str:
    """Return the table of the rungs below the top; nothing where there is none."""
    if not rungs:
        return ""
    titles = ("rung", "epochs", "px", "of a full training", "networks", "tau of accuracy", "tau of the mix")
    head = "".join(f'<th scope="col" class="number">{title}</th>' for title in titles)
    body = "\n".join(f"<tr>{''.join(_cells(each))}</tr>" for each in rungs)
    return f"""<div class="scroll">
<table class="narrow" style="--columns: {len(titles)}">
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def _cells(rung: RungTrust) -> Iterator[str]:
    share = f"{100 * rung.cost:.1f} %"
    facts = (rung.rung, rung.fidelity.epochs, rung.fidelity.resolution, share, rung.networks)
    for words in (*facts, _tau(rung.accuracy), _tau(rung.mixed)):
        yield f'<td class="number">{words}</td>'


def _tau(found: Correlation | None) -> str:
    return "\N{EN DASH}" if found is None else f"{found.value:.2f} <small>{found.low:.2f} to {found.high:.2f}</small>"
