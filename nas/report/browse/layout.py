"""The pages of the browser: all studies, and one study with its front or its search."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlencode

from dash import dcc, html
from dash.development.base_component import Component

from nas.report.browse.elements import facts, table
from nas.report.front_page import cap_words, objective_words, problem_caps
from nas.report.search_figures import status_words
from nas.report.theme import DARK, LIGHT
from nas.search.glance import Glance
from nas.view import StudyView

POLL_SECONDS = 5
VIEWS = {"front": "Front", "search": "Search"}


def shell() -> Component:
    """Return what every page stands in."""
    templates = {"light": LIGHT.template().to_plotly_json(), "dark": DARK.template().to_plotly_json()}
    label: dict[str, Any] = {"aria-label": "candidates"}
    measure = [
        html.Button("Measure interference block by block", id="measure", type="button"),
        html.Span(" of the untrained network; takes some seconds", className="muted"),
    ]
    return html.Div(
        [
            dcc.Location(id="url"),
            dcc.Interval(id="tick", interval=1000 * POLL_SECONDS),
            *(dcc.Store(id=name) for name in ("stamp", "drawn", "chosen", "ready")),
            dcc.Store(id="templates", data=templates),
            html.Div(id="notice", className="notice", role="status"),
            html.Header(id="page"),
            html.Div(id="facts"),
            html.Main([html.Div(id="front"), html.Div(id="search-view")]),
            html.Aside(
                [
                    html.Button("Close", id="close", type="button"),
                    html.Div([html.Div(id="candidate"), html.Div(id="by-block"), *measure], id="one"),
                    html.Div(id="comparison", hidden=True),
                ],
                id="drawer",
                hidden=True,
                **label,
            ),
        ]
    )


def asked(search: str | None) -> tuple[str, str]:
    """Return the study and the view that an address asks for; no study is the start page."""
    given = parse_qs((search or "").lstrip("?"))
    view = given.get("view", ["front"])[0]
    return given.get("study", [""])[0], view if view in VIEWS else "front"


def address(study: str, view: str = "front") -> str:
    """Return the address of a view of a study."""
    return "/?" + urlencode({"study": study, "view": view})


def start_page(found: Iterable[tuple[str, Glance | str]], where: str) -> Component:
    """Return the page with all studies."""
    rows, faults = [], []
    for _, each in found:
        if isinstance(each, str):
            faults.append(html.P(each, className="notice"))
            continue
        config, done = each.config, sum(n for state, n in each.trials.items() if state not in {"running", "waiting"})
        state = (
            "running"
            if each.is_running
            else "empty"
            if not each.trials
            else "done"
            if done >= each.n_trials
            else "stopped"
        )
        caps = (
            ", ".join(f"{name} {cap:g}" for name, cap in config.caps.items())
            if config.kind == "problem"
            else cap_words(config.budget)
        )
        last = each.last.strftime("%Y-%m-%d %H:%M") if each.last else "\N{EN DASH}"
        rows.append(
            (
                html.A(config.name, href=address(config.name)),
                *(state, config.space_name, "" if config.kind == "problem" else config.data, caps),
                *(f"{done:,} of {each.n_trials:,}", f"{each.trials.get('fail', 0):,}", config.sampler, last),
            )
        )
    heads = ("study", "state", "space", "data", "cap", "trials", "failed", "sampler", "last result (UTC)")
    content: list[Component] = [table(heads, rows, numbers=(4, 5, 6))] if rows else []
    if not rows and not faults:
        content = [html.P(["no study in ", where, " yet; ", html.Code("nas search"), " makes one"], className="notice")]
    return html.Div([html.H1("Studies"), html.P(where, className="muted"), *faults, *content])


def study_head(name: str, view: str) -> Component:
    """Return the head of the page of a study."""
    current: dict[str, Any] = {"aria-current": "page"}
    links = [
        html.A(title, href=address(name, each), **(current if each == view else {})) for each, title in VIEWS.items()
    ]
    return html.Div([html.H1(name), html.Nav([html.A("All studies", href="/"), *links])], className="head")


def study_facts(view: StudyView) -> Component:
    """Return what a study is, in a row."""
    config = view.config
    caps = problem_caps(view) if view.is_of_problem else cap_words(view.budget)
    return html.Div(
        [
            facts(
                [
                    ("space", config.space_name),
                    ("data", "" if view.is_of_problem else config.data),
                    ("cap", caps),
                    ("objectives", objective_words(view.objectives)),
                    ("trials", f"{len(view.records):,}: {status_words(view)}" if view.records else "none yet"),
                ]
            ),
            *(html.P(line, className="muted small") for line in view.trust_lines),
        ]
    )
