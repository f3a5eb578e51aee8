"""Where the studies lie that a user names: a URL, a file, a study's folder, or a folder of those."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from optuna.storages import RDBStorage

from nas.errors import StudyError, unknown
from nas.results import StudyFolder
from nas.search.catalogue import check_name, study_names
from nas.search.copy import Copied, copy_study, refuse_taken
from nas.search.storage import open_storage, shown, sqlite_path, sqlite_url


def url_of(place: str, results: Path) -> str:
    """Return the URL of a database that is given as one, as a file, or by the name of a study in `results`."""
    if "://" in place:
        return place
    path = Path(place)
    if path.is_file() or path.suffix or len(path.parts) > 1:
        return sqlite_url(StudyFolder(path).database if path.is_dir() else path)
    return sqlite_url(StudyFolder(results / place).database)


def copies(source: str, target: str, names: Sequence[str], results: Path) -> Iterator[tuple[Copied, str]]:
    """Copy studies and yield what was copied, and to where; StudyError before the first where one cannot be.

    All of the source, unless some are named.
    """
    opened = [open_storage(url) for url in _sources(source, results)]
    found = {name: storage for storage in opened for name in study_names(storage)}
    for name in names:
        if len(opened) == 1:
            check_name(opened[0], name)
        elif name not in found:
            raise StudyError(unknown("study", name, found, where=source))
    if not found:
        raise StudyError(f"{_shown(source)}: holds no study")
    wanted = list(dict.fromkeys(names)) or sorted(found)
    targets = {name: _target(target, name, results) for name in wanted}
    for name, url in targets.items():
        if (path := sqlite_path(url)) is None or path.is_file():
            refuse_taken(_open(url), name)
    for name, url in targets.items():
        yield copy_study(found[name], _open(url, create=True), name), shown(url)


def _open(url: str, *, create: bool = False) -> RDBStorage:
    """Return the target; a server's tables are made when they are first needed, with the first study or before."""
    return open_storage(url, create=create or sqlite_path(url) is None)


def _sources(place: str, results: Path) -> list[str]:
    if "://" not in place and Path(place).is_dir() and not StudyFolder(Path(place)).database.is_file():
        files = sorted(Path(place).glob("*/study.db"))
        if not files:
            raise StudyError(f"{place}: holds no study")
        return [sqlite_url(path) for path in files]
    return [url_of(place, results)]


def _target(place: str, name: str, results: Path) -> str:
    if "://" not in place and Path(place).is_dir() and not StudyFolder(Path(place)).database.is_file():
        return sqlite_url(StudyFolder(Path(place) / name).database)
    return url_of(place, results)


def _shown(place: str) -> str:
    return f"storage {shown(place)}" if "://" in place else place
