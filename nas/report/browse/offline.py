"""The views of a study as one HTML file that needs nothing else, under 10 MB at 10,000 trials.

What the browser derives, it derives here as well; the leading candidates are drawn, the others are rows of the table.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from nas import pareto
from nas.records import TrialRecord
from nas.report.browse.elements import to_html
from nas.report.browse.layout import study_facts
from nas.report.browse.panels import Where, candidate_panel, comparable, search_panel
from nas.report.browse.style import COLOURS
from nas.report.dataset import baseline, dataset, retrained
from nas.report.page_html import escaped, policy
from nas.report.search_figures import Hours, Studies
from nas.search.glance import Span
from nas.view import StudyView

MOST_DRAWN = 120
"""Candidates that the file draws: the front first, then layer by layer behind it."""
SCRIPTS = ("words", "geometry", "figures", "table", "compare", "front")


def offline_html(
    studies: Studies, hours: Hours, spans: Sequence[Span], where: Where, environment: Mapping[str, Any], folder: Path
) -> str:
    """Return the page of a study; the first of the studies, the others are its baselines."""
    name, view = studies[0]
    content = {
        "data": dataset(view, more=retrained(folder, view))
        | {"baselines": [baseline(each, other) for each, other in studies[1:]]},
        "search": to_html(search_panel(studies, hours, spans)),
        "candidates": {
            str(record.number): {
                "html": to_html(candidate_panel(record, view, where, environment)),
                "facts": comparable(record, view),
            }
            for record in leading(view, MOST_DRAWN)
        },
    }
    packed = gzip.compress(json.dumps(content, separators=(",", ":")).encode(), compresslevel=9)
    assets, page = Path(__file__).parent / "assets", Path(__file__).parent / "page"
    scripts = [get_plotlyjs(), *((assets / f"{each}.js").read_text(encoding="utf-8") for each in SCRIPTS)]
    scripts.append((page / "offline.js").read_text(encoding="utf-8"))
    style = f"{COLOURS}\n{(assets / 'style.css').read_text(encoding='utf-8')}"
    allowed = policy(scripts).replace("script-src ", "script-src 'unsafe-eval' ")  # plotly's WebGL
    tags = "\n".join(f"<script>{script}</script>" for script in scripts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{allowed}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(name)}</title>
<style>{style}</style>
</head>
<body>
<header class="head"><h1>{escaped(name)}</h1><nav><a href="#front">Front</a> <a href="#search">Search</a></nav></header>
{to_html(study_facts(view))}
<main><div id="front"></div><div id="search-view" hidden></div></main>
<aside id="drawer" hidden aria-label="candidates"><button id="close" type="button">Close</button>
<div id="one"></div><div id="comparison" hidden></div></aside>
<script type="text/plain" id="packed">{base64.b64encode(packed).decode()}</script>
{tags}
</body>
</html>
"""


def leading(view: StudyView, most: int) -> list[TrialRecord]:
    """Return the front and, as far as there is room, the layers behind it; then the others by their numbers."""
    layers = pareto.layers([view.metrics(record) for record in view.compared], view.deciding)
    order = sorted(zip(layers, view.compared, strict=True), key=lambda pair: (pair[0], pair[1].number))
    ranked = [record for _, record in order]
    known = {record.number for record in ranked}
    others = (record for record in view.records if record.number not in known)
    return [*ranked, *others][:most]
