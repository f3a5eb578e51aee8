"""Samplers side by side as one HTML file that needs nothing else: what each found with the same budget.

Texts of users and files are escaped, and a content security policy stands behind that, as on the front page
(`nas.report.front_page`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

from nas.report.candidates import rung_words
from nas.report.front_page import cap_words, objective_words, problem_caps, untemplated
from nas.report.page_html import document, escaped, write_page
from nas.report.page_parts import STYLE
from nas.report.quantities import plural, quantity
from nas.report.sampler_curves import Hours, SideBySide, Standing, Studies, side_by_side
from nas.report.sampler_figures import axis_title, time_figure, trials_figure
from nas.report.theme import DARK, LIGHT
from nas.report.trust_section import place

SCRIPT = """
"use strict";
const parts = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 640px)");

function draw() {
  for (const [id, figure] of Object.entries(parts.figures)) {
    const layout = { ...figure.layout, template: parts.templates[dark.matches ? "dark" : "light"] };
    const small = narrow.matches ? { dragmode: false, font: { size: 11 } } : {};
    Plotly.react(id, figure.data, { ...layout, ...small }, {
      displaylogo: false,
      responsive: true,
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
      displayModeBar: narrow.matches ? false : "hover",
      toImageButtonOptions: { filename: `baselines-${id}`, scale: 2 },
    });
  }
}

draw();
dark.addEventListener("change", draw);
narrow.addEventListener("change", draw);
"""

COUNTS = "Only the first training of each candidate counts, so that further seeds of finalists favour nobody."
BOX = (
    "Hypervolume is a share of one box around the candidates of all samplers: from the best values to a tenth beyond "
    "the worst, costs as logarithms."
)
CHANCE = "One study for each sampler: from other seeds the order may be another."


def write_sampler_page(
    path: Path, studies: Studies, *, hours: Mapping[str, Hours] | None = None, front: str = ""
) -> None:
    """Write the page to `path`, whole or not at all; InputError when it cannot be written, or nothing compares.

    `hours` say by sampler when its candidates were trained; `front` is the address of the first study's front page.
    """
    write_page(path, sampler_html(studies, hours=hours, front=front))


def sampler_html(studies: Studies, *, hours: Mapping[str, Hours] | None = None, front: str = "") -> str:
    """Return the page as text."""
    found = side_by_side(studies, hours)
    name, figures = escaped(studies[0][1].config.name), _figures(found)
    content = f"""{_header(studies, found)}
{f'<p class="caption"><a href="{escaped(front)}">The front of {name}</a></p>' if front else ""}
<noscript><p class="note">The figures need JavaScript; the table does not.</p></noscript>
{"".join(_sections(found, figures))}
{_table(found)}"""
    title = f"{name}: samplers side by side"
    return document(title, content, style=STYLE, script=SCRIPT, figures=_figures_json(figures))


def _figures(found: SideBySide) -> dict[str, go.Figure]:
    """Return the figures by the ids of their places; none of hours that nobody knows."""
    figures = {"trials": trials_figure(found)}
    return figures | ({"hours": time_figure(found)} if any(each.over_hours for each in found.courses) else {})


def _figures_json(figures: Mapping[str, go.Figure]) -> str:
    """Return what the page's script draws; ``<``, ``>`` and ``/`` come out escaped, so that no tag can end it."""
    content = {
        "figures": {name: untemplated(figure) for name, figure in figures.items()},
        "templates": {"light": LIGHT.template().to_plotly_json(), "dark": DARK.template().to_plotly_json()},
    }
    return str(to_json_plotly(content))


def _header(studies: Studies, found: SideBySide) -> str:
    view = studies[0][1]
    facts = {
        "space": view.config.space_name,
        "data": "" if view.is_of_problem else view.config.data,
        "cap": problem_caps(view) if view.is_of_problem else cap_words(view.budget),
        "objectives": objective_words(found.wanted),
        "seed": str(view.config.seed),
    }
    if found.fidelity:
        facts["compared at"] = rung_words(found.fidelity, view)
    shown = {term: words for term, words in facts.items() if words}
    items = "\n".join(f"<div><dt>{term}</dt><dd>{escaped(words)}</dd></div>" for term, words in shown.items())
    return f"<header>\n<h1>{escaped(view.config.name)}: samplers side by side</h1>\n<dl>\n{items}\n</dl>\n</header>"


def _sections(found: SideBySide, figures: Mapping[str, go.Figure]) -> Iterator[str]:
    what = axis_title(found)
    for name, figure in figures.items():
        against = figure.layout.xaxis.title.text
        yield f"""<section>
<h2>{escaped(f"{what[0].upper()}{what[1:]}")} against {against}</h2>
{place(name, f"{what} against {against}, a line for each sampler; the table below has where they ended.")}
</section>
"""


def _table(found: SideBySide) -> str:
    """Return where each sampler stood after as many candidates as every other one."""
    best, first = quantity(found.objective.name), escaped(found.courses[0].sampler)
    heads = '<th scope="col">sampler</th><th scope="col">study</th>' + "".join(
        f'<th scope="col" class="number">{title}</th>'
        for title in (escaped(f"best {best.title}"), "hypervolume", f"relative to {first}")
    )
    rows = "\n".join(f"<tr>{''.join(_cells(each, found))}</tr>" for each in found.standings)
    return f"""<section>
<h2>After {plural(found.trials, "candidate")} each</h2>
<div class="scroll">
<table class="narrow" style="--columns: 5">
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
<p class="caption">{COUNTS} {BOX} {CHANCE}</p>
</section>"""


def _cells(standing: Standing, found: SideBySide) -> Iterator[str]:
    yield f"<td>{escaped(standing.sampler)}</td><td>{escaped(standing.study)}</td>"
    best = quantity(found.objective.name).number(standing.best)
    shares = ("\N{EN DASH}" if each is None else f"{each:.3f}" for each in (standing.hypervolume, standing.ratio))
    yield from (f'<td class="number">{escaped(each)}</td>' for each in (best, *shares))
