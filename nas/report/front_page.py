"""The front as one HTML file that needs nothing else: the plot, what was searched, and the members as a table.

Every text that comes from a user or a file is escaped where it enters: `html.escape` in the page, the same in what
plotly takes for its little HTML (`candidates.hover_text`), ``\\u003c`` in the JSON. A content security policy stands
behind that: the browser runs the page's own scripts, named by their hashes, and loads nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import plotly.graph_objects as go
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from nas import pareto
from nas.budget import Budget
from nas.records import Status, TrialRecord
from nas.report.candidates import OF_REFERENCES, Axes, Candidate, candidates, fidelity_words, focus, stages
from nas.report.front_figure import front_figure, full_range, nothing_measured
from nas.report.page_html import escaped, policy, write_page
from nas.report.page_parts import SCRIPT, STYLE
from nas.report.quantities import measured, plural, quantity
from nas.report.theme import DARK, LIGHT
from nas.view import StudyView

__all__ = ["front_figure", "front_html", "write_front_page"]

_ARROWS = {"maximize": "\N{UPWARDS ARROW}", "minimize": "\N{DOWNWARDS ARROW}"}


def write_front_page(path: Path, view: StudyView, *, notes: Sequence[str] = ()) -> None:
    """Write the page of a study to `path`, whole or not at all; InputError when it cannot be written.

    `notes` are lines of plain text for the reader, shown above the plot.
    """
    write_page(path, front_html(view, notes=notes))


def front_html(view: StudyView, *, notes: Sequence[str] = ()) -> str:
    """Return the page as text."""
    axes = Axes.of(view)
    shown = candidates(view, axes)
    scripts = [get_plotlyjs(), SCRIPT] if shown else []
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(scripts)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(view.config.name)}: front</title>
<style>{STYLE}</style>
</head>
<body>
{_header(view)}
{_notes([*_remarks(view, is_empty=not shown), *notes])}
{_plot(view, axes, shown) if shown else ""}
{_tables(view)}
{_scripts(front_figure(view), full_range(shown, axes), scripts) if shown else ""}
</body>
</html>
"""


def _figure_json(figure: go.Figure, whole: Sequence[float]) -> str:
    """Return what the page's script draws; ``<``, ``>`` and ``/`` come out escaped, so that no tag can end it."""
    parts = figure.to_plotly_json()
    templates = {"light": LIGHT.template().to_plotly_json(), "dark": DARK.template().to_plotly_json()}
    return str(to_json_plotly({**parts, "templates": templates, "full_range": whole}))


def _header(view: StudyView) -> str:
    config = view.config
    objectives = ", ".join(f"{quantity(each.name).label} {_ARROWS[each.direction]}" for each in view.objectives)
    facts = {
        "space": config.space_name,
        "data": config.data,
        "cap": _cap_words(view.budget),
        "objectives": objectives,
        "trials": f"{len(view.records):,} ({_count_words(view.counts)})" if view.records else "none",
    }
    if view.compared_fidelity:
        facts["compared at"] = fidelity_words(view.compared_fidelity)
    items = "\n".join(f"<div><dt>{term}</dt><dd>{escaped(words)}</dd></div>" for term, words in facts.items())
    return f"<header>\n<h1>{escaped(config.name)}</h1>\n<dl>\n{items}\n</dl>\n</header>"


def _cap_words(budget: Budget) -> str:
    caps = ((name, getattr(budget, name)) for name in type(budget).model_fields)
    words = (f"{cap:,} {quantity(name).label}{' B' * bool(quantity(name).unit)}" for name, cap in caps if cap)
    return ", ".join(words) or "none"


def _count_words(counts: Counter[Status]) -> str:
    """Return ``18 evaluated, 2 failed``: every status that occurs, what is finished first."""
    order = sorted(Status, key=lambda status: status is Status.RUNNING)
    return ", ".join(f"{counts[status]:,} {status.value}" for status in order if counts[status])


def _remarks(view: StudyView, *, is_empty: bool) -> list[str]:
    """Return why there is nothing to see, where that is so."""
    if is_empty:
        return [f"Nothing to show: {nothing_measured(view)}."]
    return [] if view.front else ["The front is empty: no trial under the cap was measured without a fault."]


def _notes(lines: Sequence[str]) -> str:
    return "\n".join(f'<p class="note">{escaped(line)}</p>' for line in lines)


def _plot(view: StudyView, axes: Axes, shown: Sequence[Candidate]) -> str:
    x, y = quantity(axes.x), quantity(axes.y)
    alt = f"Scatter plot of {y.label} against {x.label}; the members of the front are in the table below."
    caption = "".join(_caption(view, axes, shown))
    return f"""<div id="plot" role="img" aria-label="{escaped(alt)}"></div>
<noscript><p class="note">The plot needs JavaScript; the table does not.</p></noscript>
<p class="caption">{caption}</p>"""


def _caption(view: StudyView, axes: Axes, shown: Sequence[Candidate]) -> Iterator[str]:
    """Yield what the plot leaves out, and the button that brings back what only lies outside its first range."""
    drawn = {candidate.record.number for candidate in shown if candidate.group not in OF_REFERENCES}
    missing = Counter(r.status(view.config.fidelities) for r in view.records if r.number not in drawn)
    if missing:
        yield f"Not drawn, without a measurement: {_count_words(missing)}. "
    low, high = focus(shown, axes)
    if outside := sum(not low <= candidate.y <= high for candidate in shown):
        side = "below" if pareto.DIRECTIONS[axes.y] == "maximize" else "above"
        lie = "lies" if outside == 1 else "lie"
        yield f"{plural(outside, 'trial')} {lie} {side} the range shown. "
        yield '<button id="range" type="button">Show all</button>'


def _scripts(figure: go.Figure, whole: Sequence[float], scripts: Sequence[str]) -> str:
    library, start = (f"<script>{script}</script>" for script in scripts)
    data = f'<script type="application/json" id="figure">{_figure_json(figure, whole)}</script>'
    return f"{library}\n{data}\n{start}"


def _columns(view: StudyView) -> list[str]:
    usual = ("val_accuracy", "params", "macs", "interference")
    return list(dict.fromkeys((*usual, *(objective.name for objective in view.objectives))))


def _tables(view: StudyView) -> str:
    """Return the front and, where networks were compared with it, the references; nothing for an empty one."""
    columns = _columns(view)
    front = [
        f'<td class="number">{each.number}</td><td><code>{escaped(each.arch_id)}</code></td>'
        + _cells(each, columns, view)
        for each in view.front
    ]
    others = [
        f"<td>{escaped(each.name)}</td><td>{escaped(view.standing(each))}</td>{_cells(each, columns, view)}"
        for each in view.references
    ]
    trial, name = '<th scope="col" class="number">trial</th>', '<th scope="col">name</th>'
    title = f"Front: {plural(len(front), 'trial')}"
    return _table(title, f'{trial}<th scope="col">arch_id</th>', front, columns) + _table(
        f"References: {len(others)}", f'{name}<th scope="col">standing</th>', others, columns
    )


def _table(title: str, heads: str, rows: Sequence[str], columns: Sequence[str]) -> str:
    if not rows:
        return ""
    names = (quantity(name).title.replace("validation", "val.") for name in columns)
    titles = "".join(f'<th scope="col" class="number">{escaped(name)}</th>' for name in names)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"""<section>
<h2>{title}</h2>
<div class="scroll">
<table style="--columns: {len(columns) + 2}">
<thead><tr>{heads}{titles}<th scope="col" class="words">architecture</th></tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>
</section>
"""


def _cells(record: TrialRecord, columns: Sequence[str], view: StudyView) -> str:
    """Return the cells with the quantities and the architecture."""
    metrics = view.metrics(record)
    numbers = "".join(
        f'<td class="number">{escaped(quantity(name).number(measured(metrics, name)))}</td>' for name in columns
    )
    words = " ".join(f"<span>{escaped(stage)}</span>" for stage in stages(record))
    return f'{numbers}<td class="words">{words}</td>'
