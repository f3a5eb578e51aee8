"""What answers the browser: pages by address, a short query each five seconds, a candidate when asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, ctx, html, no_update
from dash.development.base_component import Component

from nas.errors import NasError
from nas.records import TrialRecord
from nas.report.browse.elements import figure
from nas.report.browse.layout import asked, start_page, study_facts, study_head
from nas.report.browse.panels import candidate_panel, search_panel
from nas.report.browse.sessions import Sessions, Snapshot
from nas.report.network_figures import block_figure

MEASURE_SECONDS = 120
"""Longer than that no network is measured for a page."""


def add_callbacks(app: Dash, sessions: Sessions) -> None:
    """Let an application answer from some studies."""

    @app.callback(Output("page", "children"), [Input("url", "search"), Input("tick", "n_intervals")])
    def page(search: str | None, _: int | None) -> Any:
        name, view = asked(search)
        if not name:
            return start_page(sessions.glances(), sessions.words)
        return no_update if ctx.triggered_id == "tick" else study_head(name, view)

    @app.callback(
        [Output("stamp", "data"), Output("notice", "children"), Output("facts", "children")],
        [Input("tick", "n_intervals"), Input("page", "children")],
        [State("url", "search"), State("stamp", "data")],
    )
    def poll(_: int, __: object, search: str | None, before: dict[str, str] | None) -> Any:
        name, _view = asked(search)
        if not name:
            return None, "", None
        try:
            snapshot = sessions.session(name).snapshot()
        except NasError as error:
            return no_update, f"{error}. Trying again every 5 seconds; what is shown is what was read last.", no_update
        now = {"study": name, "version": snapshot.version, "page": search or ""}
        return (now, "", study_facts(snapshot.view)) if now != before else (no_update, "", no_update)

    @app.callback(Output("search-view", "children"), Input("stamp", "data"), State("url", "search"))
    def search_view(_: object, search: str | None) -> Any:
        name, view = asked(search)
        if not name or view != "search":
            return None
        return _or_notice(lambda: search_panel(*sessions.studies(name), sessions.session(name).spans()))

    @app.callback(
        [Output("candidate", "children"), Output("by-block", "children")],
        [Input("chosen", "data"), Input("measure", "n_clicks")],
        prevent_initial_call=True,
    )
    def candidate(chosen: dict[str, Any], _: int | None) -> Any:
        if ctx.triggered_id == "measure":
            return no_update, _or_notice(lambda: _measured(sessions, chosen))
        return _or_notice(lambda: _panel(sessions, chosen)), None

    app.clientside_callback(ClientsideFunction("nas", "follow"), Output("drawn", "data"), Input("stamp", "data"))  # type: ignore[no-untyped-call]
    app.clientside_callback(ClientsideFunction("nas", "templates"), Output("ready", "data"), Input("templates", "data"))  # type: ignore[no-untyped-call]


def record_of(snapshot: Snapshot, trial: object) -> TrialRecord:
    """Return the record of a trial; NasError where there is none."""
    found = next((record for record in snapshot.view.records if str(record.number) == str(trial)), None)
    if found is None:
        raise NasError(f"study {snapshot.view.config.name!r}: no trial {trial}")
    return found


def _or_notice(make: Callable[[], Component]) -> Component:
    try:
        return make()
    except NasError as error:
        return html.P(str(error), className="notice")


def _panel(sessions: Sessions, chosen: dict[str, Any]) -> Component:
    session = sessions.session(str(chosen["study"]))
    snapshot = session.snapshot()
    return candidate_panel(record_of(snapshot, chosen["trial"]), snapshot.view, session.where, snapshot.environment)


def _measured(sessions: Sessions, chosen: dict[str, Any]) -> Component:
    """Return the interference of each block of a network, measured in a process of its own: this one has no torch."""
    session = sessions.session(str(chosen["study"]))
    number = record_of(session.snapshot(), chosen["trial"]).number
    where = ["--storage", session.url] if sessions.storage else ["--results", str(sessions.results)]
    line = [sys.executable, "-m", "nas", "inspect", f"{session.name}:{number}", "--json", *where]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=MEASURE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise NasError(f"trial {number}: measuring took longer than {MEASURE_SECONDS} s") from None
    if done.returncode:
        raise NasError((done.stderr.strip().splitlines() or ["it could not be measured"])[-1])
    found = json.loads(done.stdout)
    return figure(
        block_figure(found["by_block"], found["chance"]), "interference of each block against chance", wide=True
    )
