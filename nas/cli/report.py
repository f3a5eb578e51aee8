"""`nas report`: a study as one file: a page with all views, or the front as a picture."""

from __future__ import annotations

from pathlib import Path

from nas.errors import InputError
from nas.report.browse.offline import offline_html
from nas.report.browse.sessions import Sessions
from nas.report.front_figure import front_figure
from nas.report.images import write_image
from nas.report.page_html import write_page


def report_command(
    study: str,
    results: Path,
    storage: str | None,
    *,
    html: Path | None,
    images: tuple[Path, ...],
    verbs: frozenset[str],
) -> None:
    """Write what was asked for, and say where it is."""
    if html is None and not images:
        raise InputError("nothing to write: give --html FILE, --png FILE or --svg FILE")
    sessions = Sessions(results, storage, verbs)
    session = sessions.session(study)
    snapshot = session.snapshot()
    if html is not None:
        studies, hours = sessions.studies(study)
        spans, environment = session.spans(), snapshot.environment
        write_page(html, offline_html(studies, hours, spans, session.where, environment, session.folder))
        print(f"the page: {html}")
    for path in images:
        write_image(path, front_figure(snapshot.view))
        print(f"the front: {path}")
