"""A study as a pandas data frame."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from nas.errors import StudyError, unknown
from nas.report.tables import rows
from nas.results import StudyFolder
from nas.search.catalogue import study_names
from nas.search.read_only import open_read_only, reachable
from nas.search.storage import sqlite_url
from nas.search.study import Study


def load_study(name: str, results: str | Path = "results", storage: str | None = None) -> pd.DataFrame:
    """Return a row for each trial and reference, with the columns of `nas front --csv`; nothing is written.

    StudyError where there is no such study.
    """
    folder = StudyFolder(Path(results) / name)
    url = storage or sqlite_url(folder.database)
    if storage is None and not folder.database.is_file():
        known = sorted(path.parent.name for path in Path(results).glob("*/study.db"))
        where = f"results folder {results}"
        raise StudyError(unknown("study", name, known, where=where) if known else f"{where}: holds no study")
    with reachable(url):
        opened = open_read_only(url)
        if name not in (names := study_names(opened)):
            raise StudyError(unknown("study", name, names))
        view = Study.open(opened, name).view()
    return pd.DataFrame(rows([*view.records, *view.references], view))
