"""The server of the browser: on this machine, without a request to another, and closed to whoever has no token.

Off the loopback every request needs the token of the address that was printed, once in the address and then as a
cookie. On the loopback a page of another site could still ask under a name of its own; so the name must be ours.
"""

from __future__ import annotations

import hmac
import json
import socket
from pathlib import Path
from typing import Any

from dash import Dash
from flask import Flask, Response, abort, request
from plotly.offline import get_plotlyjs
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from nas.errors import InputError, NasError
from nas.report.browse.callbacks import add_callbacks, record_of
from nas.report.browse.layout import shell
from nas.report.browse.panels import comparable
from nas.report.browse.sessions import Sessions
from nas.report.browse.style import COLOURS

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "nas-token"
INDEX = """<!doctype html>
<html lang="en">
<head>
{%metas%}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{%title%}</title>
<link rel="icon" href="data:,">
<style>COLOURS</style>
{%css%}
<script src="PLOTLY"></script>
</head>
<body>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""
PLOTLY = "/plotly.min.js"


def make_app(sessions: Sessions, *, token: str | None = None) -> Dash:
    """Return the application; with a token, nothing of it is given to who has not got it."""
    server = Flask("nas.browse")
    app = Dash(
        "nas.browse",
        server=server,  # type: ignore[arg-type]
        title="nas",
        update_title="",
        assets_folder=str(Path(__file__).parent / "assets"),
        serve_locally=True,
        suppress_callback_exceptions=True,
        include_pages_meta=False,
        add_log_handler=False,
        enable_mcp=False,
        index_string=INDEX.replace("COLOURS", COLOURS).replace("PLOTLY", PLOTLY),
    )
    app.layout = shell
    add_callbacks(app, sessions)
    _guard(server, app, token)
    _add_data(server, sessions)
    return app


def serve(sessions: Sessions, host: str, port: int, token: str | None) -> BaseWSGIServer:
    """Return a server that is bound and ready; InputError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(f"--host {host} --port {port}: cannot be served: {error.strerror or error}") from None
    app = make_app(sessions, token=token)
    with bound:  # the server listens on a copy of it
        number = bound.getsockname()[1]
        return make_server(host, number, app.server, threaded=True, request_handler=_Quiet, fd=bound.fileno())


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: stderr is for what went wrong."""


def _guard(server: Flask, app: Dash, token: str | None) -> None:
    @server.before_request
    def check() -> None:
        if (
            token is None
            and request.host.rpartition(":")[0].strip("[]") not in LOOPBACK
            and request.host not in LOOPBACK
        ):
            abort(403)
        if token is not None:
            given = request.args.get("token") or request.cookies.get(COOKIE, "")
            if not hmac.compare_digest(given.encode(), token.encode()):
                abort(403)

    allowed: list[str] = []

    @server.after_request
    def protect(response: Response) -> Response:
        if not allowed:
            allowed.extend(app.csp_hashes())
        scripts = " ".join(["'self'", "'unsafe-eval'", *allowed])  # plotly's WebGL compiles its shaders' callers
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
            "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        if token is not None and request.args.get("token"):
            response.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
        return response


def _add_data(server: Flask, sessions: Sessions) -> None:
    library = get_plotlyjs().encode()

    @server.get(PLOTLY)
    def plotly() -> Response:
        response = Response(library, mimetype="text/javascript")
        response.headers["Cache-Control"] = "max-age=86400"
        return response

    @server.get("/data/study")
    def study() -> Response:
        packed = sessions.session(request.args.get("study", "")).snapshot().packed
        return Response(packed, mimetype="application/json", headers={"Content-Encoding": "gzip"})

    @server.get("/data/baselines")
    def baselines() -> Response:
        return _json(sessions.baselines(request.args.get("study", "")))

    @server.get("/data/facts")
    def facts() -> Response:
        snapshot = sessions.session(request.args.get("study", "")).snapshot()
        return _json(comparable(record_of(snapshot, request.args.get("trial")), snapshot.view))

    @server.errorhandler(NasError)
    def fault(error: NasError) -> Response:
        return Response(str(error), status=503, mimetype="text/plain")


def _json(content: Any) -> Response:
    return Response(json.dumps(content), mimetype="application/json")
