"""One network's interference as one HTML file that needs nothing else: figures, averages, and all of its 1x1 maps.

Texts of users and files are escaped, and a content security policy stands behind that, as on the front page
(`nas.report.front_page`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.io.json import to_json_plotly

from nas.interference import MEANING, NULLS, InterferenceReport, ProjectionReport
from nas.interference.report import OF_PROJECTIONS
from nas.report.interference_figures import (
    MOST_BARS,
    MOST_FEATURES,
    SPANS,
    gram_figure,
    heat_map,
    realised_figure,
    templates,
)
from nas.report.interference_parts import SCRIPT
from nas.report.interference_parts import STYLE as MORE_STYLE
from nas.report.page_html import document, escaped, table_section, write_page
from nas.report.page_parts import STYLE
from nas.report.quantities import plural, quantity

MOST_PROJECTIONS = 256
"""Projections whose figures the page holds, each 8 kB; the table has all."""

COSINE_STEPS = 100
"""A cosine is kept as a whole number of hundredths, one byte."""


_SOFT = {
    word.replace("|", ""): word.replace("|", "\N{SOFT HYPHEN}")
    for word in ("coher|ence", "redun|dancy", "impor|tance", "activa|tion")
}
"""Where the long words of a table's head may be parted on a phone."""


@dataclass(frozen=True, eq=False)
class Inspection:
    """A network that was looked at: facts in words by name, what was measured, the cosines of each projection (n, n).

    `facts` starts with the ``network``; `grams` may leave projections out.
    """

    facts: Mapping[str, str]
    report: InterferenceReport
    grams: Mapping[str, NDArray[np.floating[Any]]]

    @property
    def drawn(self) -> tuple[ProjectionReport, ...]:
        """The projections whose figures the page holds."""
        known = [each for each in self.report.projections if each.name in self.grams]
        return tuple(known[:MOST_PROJECTIONS])


def write_interference_page(path: Path, inspection: Inspection, projection: str | None = None) -> None:
    """Write the page to `path`, whole or not at all; InputError when it cannot be written.

    `projection` is shown first, where it is drawn.
    """
    write_page(path, interference_html(inspection, projection))


def interference_html(inspection: Inspection, projection: str | None = None) -> str:
    """Return the page as text; `projection` is shown first."""
    name = escaped(next(iter(inspection.facts.values()), "network"))
    content = f"""{_header(name, inspection.facts)}
<noscript><p class="note">The figures need JavaScript; the tables do not.</p></noscript>
{_averages(inspection.report)}
{_heat_section(inspection.report)}
{_projection_section(inspection, projection)}
{_projections(inspection.report)}"""
    style = STYLE + MORE_STYLE
    return document(f"{name}: interference", content, style=style, script=SCRIPT, figures=_figures(inspection))


def _header(name: str, facts: Mapping[str, str]) -> str:
    others = list(facts.items())[1:]
    items = "\n".join(f"<div><dt>{escaped(term)}</dt><dd>{escaped(words)}</dd></div>" for term, words in others)
    return f"<header>\n<h1>{name}</h1>\n<dl>\n{items}\n</dl>\n</header>"


def _averages(report: InterferenceReport) -> str:
    heads = '<th scope="col">mean over the network</th>' + "".join(
        f'<th scope="col" class="number">{title}</th>' for title in ("value", "chance", "full colour")
    )
    rows = []
    for name, value in report.metrics().items():
        chance = report.packing_floor if name == "importance_weighted" else NULLS.get(name)
        span = f"\N{PLUS-MINUS SIGN}{quantity(name).shown(SPANS[name]):g}" if name in SPANS else ""
        numbers = (_number(name, value), _number(name, chance), span)
        cells = "".join(f'<td class="number">{words}</td>' for words in numbers)
        meaning = f'<td class="words">{escaped(MEANING[name])}</td>'
        rows.append(f'<td class="name">{escaped(quantity(name).label)}</td>{cells}{meaning}')
    return table_section("Averages", f'{heads}<th scope="col" class="words">what it says</th>', rows, 4, kind="few")


def _heat_section(report: InterferenceReport) -> str:
    if not report.by_block():
        return ""
    return """<section>
<h2>Block by block</h2>
<div class="scroll"><div id="heat" role="img" aria-label="Heat map of each block's metrics"></div></div>
<p class="caption"><span class="below">Blue</span> is below chance, <span class="above">orange</span> above it; the
distance of the full colour stands in the table. A block has its own metrics and the means over its 1x1 maps.</p>
</section>"""


def _projection_section(inspection: Inspection, chosen: str | None) -> str:
    if not inspection.drawn:
        return ""
    options = "\n".join(
        f"<option{' selected' * (each.name == chosen)}>{escaped(each.name)}</option>" for each in inspection.drawn
    )
    left_out = len(inspection.report.projections) - len(inspection.drawn)
    more = f" {plural(left_out, 'more 1x1 map')} in the table alone." if left_out else ""
    return f"""<section>
<h2><label for="projection">One 1x1 map</label></h2>
<select id="projection">
{options}
</select>
<p class="caption"><span id="about"></span>{more}</p>
<div class="pair">
<figure>
<div id="gram" role="img" aria-label="Cosines between the directions of the features"></div>
<figcaption class="caption">Cosines between the directions of its features, in the order of the channels.</figcaption>
</figure>
<figure>
<div id="realised" role="img" aria-label="Realised interference of each feature"></div>
<figcaption class="caption">Share of interference in what is read off each living feature's own direction. The line is
the mean share that the shape alone forces on independent features of equal strength.</figcaption>
</figure>
</div>
</section>"""


def _projections(report: InterferenceReport) -> str:
    if not report.projections:
        return ""
    titles = ["in", "out", *(quantity(name).title for name in OF_PROJECTIONS), "floor", "dead"]
    titles = [title.removesuffix(" interference") for title in titles]
    for word, parts in _SOFT.items():
        titles = [title.replace(word, parts) for title in titles]
    heads = "".join(f'<th scope="col" class="number">{escaped(title)}</th>' for title in titles)
    rows = [_projection_row(each) for each in report.projections]
    title = f"{plural(len(rows), '1x1 map')}"
    return table_section(title, f'<th scope="col" class="name">name</th>{heads}', rows, len(titles), kind="many")


def _projection_row(each: ProjectionReport) -> str:
    measured = [quantity(name).number(getattr(each, name)) for name in OF_PROJECTIONS]
    shape = [str(each.in_features), str(each.out_features)]
    cells = [*shape, *measured, f"{each.packing_floor:.3f}", str(each.dead_channels)]
    numbers = "".join(f'<td class="number">{words}</td>' for words in cells)
    return f'<td class="name"><code>{escaped(each.name)}</code></td>{numbers}'


def _number(name: str, value: float | None) -> str:
    known = quantity(name)
    return f"{known.number(value)}{f' {known.unit}' * (value is not None and bool(known.unit))}"


def _figures(inspection: Inspection) -> str:
    """Return what the page's script draws; ``<``, ``>`` and ``/`` come out escaped, so that no tag can end it."""
    parts = {
        "heat": _plain(heat_map(inspection.report)) if inspection.report.by_block() else None,
        "projections": [_projection_parts(each, inspection.grams[each.name]) for each in inspection.drawn],
        "templates": {scheme: template.to_plotly_json() for scheme, template in templates().items()},
    }
    return str(to_json_plotly(parts))


def _projection_parts(each: ProjectionReport, gram: NDArray[np.floating[Any]]) -> dict[str, object]:
    """Return the two figures of a projection, the cosines as bytes: 4 kB in place of 25."""
    figure = gram_figure(gram)
    cosines = np.rint(COSINE_STEPS * np.asarray(figure.data[0].z)).astype(np.int8)
    figure.data[0].z = None
    return {
        "name": each.name,
        "about": _about(each, len(gram)),
        "cosines": base64.b64encode(cosines.tobytes()).decode(),
        "side": len(cosines),
        "gram": _plain(figure),
        "realised": _plain(realised_figure(each)),
    }


def _about(each: ProjectionReport, features: int) -> str:
    """Return in words what a projection is, and which part of it is drawn."""
    dims = min(each.out_features, each.in_features)
    words = f"{plural(features, 'feature')} in {plural(dims, 'dimension')}"
    words += f", {'read by its rows' if each.expands else 'written by its columns'}"
    if features > MOST_FEATURES:
        words += f"; {MOST_FEATURES} of them are drawn against each other, at even distances"
    if len(each.realised) > MOST_BARS:
        words += f"; {MOST_BARS} of the {len(each.realised):,} living ones have a bar, at even distances in their order"
    return f"{words}."


def _plain(figure: go.Figure) -> dict[str, Any]:
    """Return a figure for JSON without its template, which the script puts in by the screen."""
    parts: dict[str, Any] = figure.to_plotly_json()
    parts["layout"].pop("template", None)
    return parts
