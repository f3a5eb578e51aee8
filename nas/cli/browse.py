"""`nas browse`: the studies in a browser, until Ctrl-C."""

from __future__ import annotations

import secrets
import sys
import webbrowser
from pathlib import Path
from threading import Timer
from urllib.parse import urlencode

from nas.report.browse.server import LOOPBACK, serve
from nas.report.browse.sessions import Sessions
from nas.search.read_only import open_read_only

WARM_SECONDS = 2
"""After which the newest study is read, if none was named: the start page goes first."""


def browse_command(
    study: str | None,
    results: Path,
    storage: str | None,
    *,
    host: str,
    port: int,
    show: bool,
    verbs: frozenset[str],
) -> None:
    """Serve the studies; one that is named is looked up before. `verbs` are the commands there are."""
    sessions = Sessions(results, storage, verbs)
    if storage is not None:
        open_read_only(storage)  # a mistake in it is said here, and not on a page
    if study is not None:
        sessions.session(study).warm()
    token = None if host in LOOPBACK else secrets.token_urlsafe(24)
    server = serve(sessions, host, port, token)
    asked = {**({"study": study} if study else {}), **({"token": token} if token else {})}
    where = f"[{host}]" if ":" in host else host
    url = f"http://{where}:{server.port}/" + (f"?{urlencode(asked)}" if asked else "")
    print(url, flush=True)
    print("read-only; Ctrl-C ends it", file=sys.stderr)
    if show:
        webbrowser.open(url)
    if study is None:
        later = Timer(WARM_SECONDS, sessions.warm)
        later.daemon = True
        later.start()
    with server:
        try:
            server.serve_forever()
            raise KeyboardInterrupt  # it ends by nothing else, and keeps that to itself
        finally:
            print("stopped", file=sys.stderr)
