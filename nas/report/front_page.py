"""The front as one HTML file that needs nothing else: the plot, what was searched, and the members as a table.

Every text that comes from a user or a file is escaped where it enters: `html.escape` in the page, the same in what
plotly takes for its little HTML (`candidates.hover_text`), ``\\u003c`` in the JSON. A content security policy stands
behind that: the browser runs the page's own scripts, named by their hashes, and loads nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

from nas import pareto
from nas.budget import Budget
from nas.records import Status, TrialRecord
from nas.report.candidates import OF_REFERENCES, Axes, Candidate, candidates, focus, rung_words, stages
from nas.report.front_figure import front_figure, full_range, nothing_measured
from nas.report.page_html import document, escaped, table_section, write_page
from nas.report.page_parts import SCRIPT, STYLE
from nas.report.quantities import measured, plural, quantity
from nas.report.retrained_section import retrained_section
from nas.report.standings import ACCURACY, Standing, confirmation_line, standings
from nas.report.theme import DARK, LIGHT
from nas.report.trust_section import Curve, Section, sections
from nas.retrained import Accuracy
from nas.view import StudyView

__all__ = ["front_figure", "front_html", "write_front_page"]

_ARROWS = {"maximize": "\N{UPWARDS ARROW}", "minimize": "\N{DOWNWARDS ARROW}"}


def write_front_page(
    path: Path,
    view: StudyView,
    *,
    notes: Sequence[str] = (),
    curve: Curve = (),
    baselines: str = "",
    retrained: Mapping[str, Accuracy] | None = None,
) -> None:
    """Write the page of a study to `path`, whole or not at all; InputError when it cannot be written.

    `notes` are lines of plain text for the reader, shown above the plot; `curve` is what the hours have bought, and
    `baselines` the address of the page that holds other samplers against the study. `retrained` are the accuracies of
    retrained networks, by `arch_id`.
    """
    write_page(path, front_html(view, notes=notes, curve=curve, baselines=baselines, retrained=retrained))


def front_html(
    view: StudyView,
    *,
    notes: Sequence[str] = (),
    curve: Curve = (),
    baselines: str = "",
    retrained: Mapping[str, Accuracy] | None = None,
) -> str:
    """Return the page as text."""
    axes = Axes.of(view)
    shown = candidates(view, axes)
    more = sections(view, curve) if shown else []
    content = f"""{_header(view)}
{_notes([*_remarks(view, is_empty=not shown), *notes])}
{_plot(view, axes, shown) if shown else ""}
{_tables(view)}
{retrained_section(view, retrained or {})}
{"".join(each.html for each in more)}
{_link(baselines)}"""
    drawn = {"script": SCRIPT, "figures": _figures_json(view, axes, shown, more)} if shown else {}
    return document(f"{escaped(view.config.name)}: front", content, style=STYLE, **drawn)


def untemplated(figure: go.Figure) -> dict[str, Any]:
    """Return a figure without its template, which the page sets by the screen."""
    parts = figure.to_plotly_json()
    layout = {name: value for name, value in parts["layout"].items() if name != "template"}
    return {"data": parts["data"], "layout": layout}


def cap_words(budget: Budget) -> str:
    """Return the caps in words; ``none`` where there is none."""
    caps = ((name, getattr(budget, name)) for name in type(budget).model_fields)
    words = (f"{cap:,} {quantity(name).label}{' B' * bool(quantity(name).unit)}" for name, cap in caps if cap)
    return ", ".join(words) or "none"


def problem_caps(view: StudyView) -> str:
    """Return the caps of a problem in words, which may be on costs of its own."""
    return ", ".join(f"{quantity(name).label} {cap:,.15g}" for name, cap in view.caps.items()) or "none"


def objective_words(wanted: Sequence[pareto.Objective]) -> str:
    """Return objectives with arrows that point to where they are better."""
    return ", ".join(f"{quantity(each.name).label} {_ARROWS[each.direction]}" for each in wanted)


def _figures_json(view: StudyView, axes: Axes, shown: Sequence[Candidate], more: Sequence[Section]) -> str:
    """Return what the page's script draws; ``<``, ``>`` and ``/`` come out escaped, so that no tag can end it."""
    figures = {name: figure for each in more for name, figure in each.figures.items()}
    content = {
        **untemplated(front_figure(view)),
        "full_range": full_range(shown, axes),
        "more": {name: untemplated(figure) for name, figure in figures.items()},
        "templates": {"light": LIGHT.template().to_plotly_json(), "dark": DARK.template().to_plotly_json()},
    }
    return str(to_json_plotly(content))


def _header(view: StudyView) -> str:
    config = view.config
    facts = {
        "space": config.space_name,
        "data": "" if view.is_of_problem else config.data,
        "cap": problem_caps(view) if view.is_of_problem else cap_words(view.budget),
        "objectives": objective_words(view.objectives),
        "trials": f"{len(view.records):,} ({_count_words(view.counts)})" if view.records else "none",
    }
    if view.compared_fidelity:
        facts["compared at"] = rung_words(view.compared_fidelity, view)
    shown = {term: words for term, words in facts.items() if words}
    items = "\n".join(f"<div><dt>{term}</dt><dd>{escaped(words)}</dd></div>" for term, words in shown.items())
    return f"<header>\n<h1>{escaped(config.name)}</h1>\n<dl>\n{items}\n</dl>\n</header>"


def _count_words(counts: Counter[Status]) -> str:
    """Return ``18 evaluated, 2 failed``: every status that occurs, what is finished first."""
    order = sorted(Status, key=lambda status: status in {Status.WAITING, Status.RUNNING})
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
    missing = Counter(view.status(r) for r in view.records if r.number not in drawn)
    if missing:
        yield f"Not drawn, without a measurement: {_count_words(missing)}. "
    low, high = focus(shown, axes)
    if outside := sum(not low <= candidate.y <= high for candidate in shown):
        side = "below" if axes.directions[axes.y] == "maximize" else "above"
        lie = "lies" if outside == 1 else "lie"
        yield f"{plural(outside, 'trial')} {lie} {side} the range shown. "
        yield '<button id="range" type="button">Show all</button>'


def _link(baselines: str) -> str:
    words = "Other samplers with the same budget, side by side"
    return f'<p class="caption"><a href="{escaped(baselines)}">{words}</a></p>' if baselines else ""


def _columns(view: StudyView) -> list[str]:
    if view.is_of_problem:
        return list(view.columns)
    usual = ("val_accuracy", "params", "macs", "interference")
    return list(dict.fromkeys((*usual, *(objective.name for objective in view.objectives))))


def _tables(view: StudyView) -> str:
    """Return the front and, where networks were compared with it, the references; nothing for an empty one."""
    columns, sure = _columns(view), standings(view)
    front = [
        f'<td class="number">{each.number}</td><td><code>{escaped(each.arch_id)}</code></td>'
        + _cells(each, columns, view, sure[each.number])
        for each in view.front
    ]
    others = [
        f"<td>{escaped(each.name)}</td><td>{escaped(view.standing(each))}</td>{_cells(each, columns, view)}"
        for each in view.references
    ]
    trial, name = '<th scope="col" class="number">trial</th>', '<th scope="col">name</th>'
    title = f"Front: {plural(len(front), 'trial')}"
    last = "choices" if view.is_of_problem else "architecture"
    heads = f'{trial}<th scope="col">arch_id</th>'
    return _table(title, heads, front, columns, note=confirmation_line(view), last=last) + (
        _table(f"References: {len(others)}", f'{name}<th scope="col">standing</th>', others, columns)
    )


def _titles(columns: Sequence[str]) -> str:
    """Return the heads of the columns of numbers; accuracy is followed by its seeds, its interval and its ties."""
    heads = ""
    for name in columns:
        title = quantity(name).title.replace("validation", "val.")
        heads += f'<th scope="col" class="number">{escaped(title)}</th>'
        if name == ACCURACY:
            sure = ("seeds", "\N{PLUS-MINUS SIGN} (%)", "tied with")
            heads += "".join(f'<th scope="col" class="number sure">{word}</th>' for word in sure)
    return heads


def _table(
    title: str,
    heads: str,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    note: str = "",
    last: str = "architecture",
) -> str:
    heads = f'{heads}{_titles(columns)}<th scope="col" class="words">{last}</th>'
    return table_section(title, heads, rows, len(columns) + 2, [note])


def _cells(record: TrialRecord, columns: Sequence[str], view: StudyView, standing: Standing | None = None) -> str:
    """Return the cells with the quantities and the architecture."""
    metrics, cells = view.metrics(record), ""
    for name in columns:
        cells += f'<td class="number">{escaped(quantity(name).number(measured(metrics, name)))}</td>'
        if name == ACCURACY:
            margin = quantity(name).number(standing.margin if standing else None)
            seeds = standing.seed_words if standing else str(len(view.seeds(record)))
            sure = (seeds, margin, standing.tied_words if standing else "")
            cells += "".join(f'<td class="number sure">{escaped(cell)}</td>' for cell in sure)
    words = " ".join(f"<span>{escaped(stage)}</span>" for stage in stages(record))
    small = f'<div class="small-screen">{escaped("; ".join(standing.lines))}</div>' if standing else ""
    return f'{cells}<td class="words">{words}{small}</td>'
