"""The section of the front page on retrained networks: their accuracy beside the proxy's."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from nas.report.page_html import escaped, table_section
from nas.report.quantities import plural
from nas.report.standings import ACCURACY
from nas.retrained import Accuracy
from nas.trust.retrained import retrained_trust
from nas.view import StudyView


def trust_words(view: StudyView, found: Mapping[str, Accuracy]) -> list[str]:
    """Return how well each rung orders the retrained networks, a line each."""
    means = {arch_id: each.mean for arch_id, each in found.items()}
    return [each.words for each in retrained_trust(view.config, view.records, means)]


def retrained_section(view: StudyView, found: Mapping[str, Accuracy]) -> str:
    """Return the section as HTML; nothing where no network of the study was retrained."""
    trials = {record.arch_id: record for record in view.records if record.is_network and record.arch_id in found}
    ranked = sorted(trials.values(), key=lambda record: -found[record.arch_id].mean)
    rows = []
    for record in ranked:
        accuracy, values = found[record.arch_id], view.values(record, ACCURACY)
        proxy = f"{100 * fmean(values):.2f}" if values else "\N{EN DASH}"
        margin = "" if accuracy.margin is None else f"{100 * accuracy.margin:.2f}"
        numbers = (record.number, f"{100 * accuracy.mean:.2f}", margin, accuracy.seeds, proxy)
        cells = "".join(f'<td class="number">{each}</td>' for each in numbers)
        words = escaped(record.architecture.words())
        rows.append(f'{cells}<td>{escaped(accuracy.recipe)}</td><td class="words">{words}</td>')
    titles = ("trial", "test top-1 (%)", "\N{PLUS-MINUS SIGN} (%)", "seeds", "val. accuracy of the proxy (%)")
    heads = "".join(f'<th scope="col" class="number">{each}</th>' for each in titles)
    heads += '<th scope="col">recipe</th><th scope="col" class="words">architecture</th>'
    title = f"Retrained: {plural(len(rows), 'network')}"
    return table_section(title, heads, rows, len(titles) + 2, trust_words(view, found) if rows else ())
