"""What pages are put together from: Dash's components, which a server sends and a file holds as HTML."""

from __future__ import annotations

import html as escape
from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go
from dash import html
from dash.development.base_component import Component
from plotly.io.json import to_json_plotly

from nas.report.front_page import untemplated

Child = Component | str | int | float | None

VOID = {"br", "hr", "img", "input", "meta", "link"}
NAMES = {"className": "class", "htmlFor": "for", "tabIndex": "tabindex", "colSpan": "colspan", "dateTime": "datetime"}


def figure(drawn: go.Figure, alt: str, *, wide: bool = False) -> Component:
    """Return the place of a figure, which the script of the page draws; a `wide` one is scrolled on a phone."""
    content = str(to_json_plotly(untemplated(drawn)))
    height = drawn.layout.height or 320
    attributes: dict[str, Any] = {"data-figure": content, "aria-label": alt}
    return html.Div(className="figure" + " wide" * wide, role="img", style={"height": f"{height}px"}, **attributes)


def section(title: str, *children: Child, note: str = "") -> Component:
    """Return a titled part of a page, with a line of explanation."""
    lead: list[Child] = [html.H3(title), *([html.P(note, className="muted")] if note else [])]
    return html.Section([*lead, *children])


def table(heads: Sequence[str], rows: Iterable[Sequence[Child]], *, numbers: Sequence[int] = ()) -> Component:
    """Return a table; the columns of `numbers` stand right."""

    def kind(i: int) -> str:
        return "number" if i in numbers else ""

    head = html.Tr([html.Th(each, scope="col", className=kind(i)) for i, each in enumerate(heads)])
    body = [html.Tr([html.Td(cell, className=kind(i)) for i, cell in enumerate(row)]) for row in rows]
    return html.Div(html.Table([html.Thead(head), html.Tbody(body)]), className="scroll", tabIndex="0")


def facts(pairs: Iterable[tuple[str, Child]]) -> Component:
    """Return names with what they are, in a row."""
    return html.Dl([html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs if value not in {"", None}])


def command(words: str, text: str) -> Component:
    """Return a command to be copied, with what it does."""
    copy: dict[str, Any] = {"data-copy": text, "aria-label": f"copy: {text}"}
    return html.Div(
        [html.Span(words), html.Code(text), html.Button("Copy", type="button", **copy)], className="command"
    )


def to_html(component: object) -> str:
    """Return a component of `dash.html` as text, everything in it escaped."""
    if component is None:
        return ""
    if isinstance(component, list | tuple):
        return "".join(map(to_html, component))
    if not isinstance(component, Component):
        return escape.escape(str(component))
    content: dict[str, Any] = component.to_plotly_json()  # type: ignore[no-untyped-call]
    tag = str(content["type"]).lower()
    props = dict(content["props"])
    children = props.pop("children", None)
    attributes = "".join(_attribute(name, value) for name, value in props.items() if value is not None)
    return f"<{tag}{attributes}>" if tag in VOID else f"<{tag}{attributes}>{to_html(children)}</{tag}>"


def _attribute(name: str, value: object) -> str:
    if name == "style" and isinstance(value, dict):
        value = "; ".join(f"{key}: {each}" for key, each in value.items())
    given = "" if value is True else f'="{escape.escape(str(value))}"'
    return f" {NAMES.get(name, name)}{given}"
